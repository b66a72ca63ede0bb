package io.kudupair.client.cli;

import io.kudupair.client.kudu.KuduTables;
import io.kudupair.client.kudu.Rows;
import java.util.concurrent.Callable;
import org.apache.kudu.client.KuduClient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Writes rows. */
@Command(
    name = "load",
    mixinStandardHelpOptions = true,
    description = "Upserts rows with the keys 0 to N-1 into a table made by this client.")
final class LoadCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private MasterOptions master;

  @Option(names = "--table", required = true, paramLabel = "T", description = "The table.")
  private String table;

  private long rows;
  private long firstKey;

  @Option(names = "--rows", required = true, paramLabel = "N", description = "How many.")
  void setRows(long value) {
    rows = Check.atLeast(spec, "--rows", value, 1);
  }

  @Option(
      names = "--first-key",
      defaultValue = "0",
      paramLabel = "K",
      description = "Start here instead of at ${DEFAULT-VALUE}.")
  void setFirstKey(long value) {
    firstKey = Check.atLeast(spec, "--first-key", value, 0);
  }

  @Override
  public Integer call() throws Exception {
    try (KuduClient client = master.connect()) {
      long start = System.nanoTime();
      Rows.load(client, KuduTables.open(client, table), firstKey, rows);
      System.out.printf(
          "loaded %d rows into %s in %d ms%n",
          rows, table, (System.nanoTime() - start) / 1_000_000);
    }
    return ExitCode.OK;
  }
}
