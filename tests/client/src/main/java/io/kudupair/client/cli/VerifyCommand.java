package io.kudupair.client.cli;

import io.kudupair.client.history.History;
import io.kudupair.client.history.HistoryException;
import io.kudupair.client.history.HistoryReader;
import io.kudupair.client.verify.ClusterTables;
import io.kudupair.client.verify.ExpectedTable;
import io.kudupair.client.verify.ExpectedTables;
import io.kudupair.client.verify.Verification;
import io.kudupair.client.verify.VerifyReport;
import io.kudupair.client.verify.VerifyText;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
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
      "The watch that writes the history may go on: what is found is looked at again twice, a second"
          + " later, with the history of then. Exit code 1 when something is not as it should be."
    })
final class VerifyCommand implements Callable<Integer> {
  /** A change that a watch made after the history was read is no finding: look again. */
  private static final int SECOND_LOOKS = 2;

  private static final long SECOND_LOOK_MS = 1000;

  @Mixin private MasterOptions master;

  @Option(names = "--history", required = true, paramLabel = "FILE", description = "From watch.")
  private Path history;

  @Option(names = "--out", paramLabel = "FILE", description = "Also write the result as JSON here.")
  private Path out;

  @Override
  public Integer call() throws HistoryException, IOException, InterruptedException {
    VerifyReport report;
    try (KuduClient client = master.connect()) {
      report = compare(client, read(true));
      for (int i = 0; i < SECOND_LOOKS && !report.ok(); i++) {
        Thread.sleep(SECOND_LOOK_MS);
        Set<String> names = report.findings();
        report =
            report.withFindingsOf(
                compare(
                    client, read(false).stream().filter(t -> names.contains(t.name())).toList()));
      }
    }
    System.out.print(VerifyText.of(report));
    if (out != null) {
      Files.writeString(out, Json.of(report) + "\n");
    }
    return report.ok() ? ExitCode.OK : ExitCode.CHECK_FAILED;
  }

  private List<ExpectedTable> read(boolean warn) throws HistoryException {
    History read = HistoryReader.read(history);
    if (warn && read.tornTail()) {
      System.err.println("warning: " + history + ": the last line is unfinished and left out");
    }
    return ExpectedTables.from(read.records());
  }

  private static VerifyReport compare(KuduClient client, List<ExpectedTable> expected)
      throws KuduException {
    return Verification.compare(
        expected,
        ClusterTables.look(client, expected.stream().map(ExpectedTable::name).toList()));
  }
}
