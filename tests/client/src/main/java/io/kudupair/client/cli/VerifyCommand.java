package io.kudupair.client.cli;

import io.kudupair.client.history.History;
import io.kudupair.client.history.HistoryException;
import io.kudupair.client.history.HistoryReader;
import io.kudupair.client.verify.ClusterTables;
import io.kudupair.client.verify.ExpectedTable;
import io.kudupair.client.verify.ExpectedTables;
import io.kudupair.client.verify.PresentTable;
import io.kudupair.client.verify.Verification;
import io.kudupair.client.verify.VerifyReport;
import io.kudupair.client.verify.VerifyText;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Checks a cluster against a history. */
@Command(
    name = "verify",
    mixinStandardHelpOptions = true,
    description = {
      "Checks that every table whose creation was acknowledged is there, with the same id, and that"
          + " none whose drop or rename was acknowledged is. Changes without an acknowledgement are"
          + " left open: both are right.",
      "Stop the watch that writes the history first. Exit code 1 when something is not as it should"
          + " be."
    })
final class VerifyCommand implements Callable<Integer> {
  @Mixin private MasterOptions master;

  @Option(names = "--history", required = true, paramLabel = "FILE", description = "From watch.")
  private Path history;

  @Option(names = "--out", paramLabel = "FILE", description = "Also write the result as JSON here.")
  private Path out;

  @Override
  public Integer call() throws HistoryException, IOException {
    History read = HistoryReader.read(history);
    if (read.tornTail()) {
      System.err.println("warning: " + history + ": the last line is unfinished and left out");
    }
    List<ExpectedTable> expected = ExpectedTables.from(read.records());
    VerifyReport report = Verification.compare(expected, look(expected));
    System.out.print(VerifyText.of(report));
    if (out != null) {
      Files.writeString(out, Json.of(report) + "\n");
    }
    return report.ok() ? ExitCode.OK : ExitCode.CHECK_FAILED;
  }

  private Map<String, PresentTable> look(
      List<ExpectedTable> expected) throws KuduException {
    try (KuduClient client = master.connect()) {
      return ClusterTables.look(client, expected.stream().map(ExpectedTable::name).toList());
    }
  }
}
