package io.kudupair.client.cli;

import io.kudupair.client.kudu.Rows;
import java.util.concurrent.Callable;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Counts rows. */
@Command(
    name = "count",
    mixinStandardHelpOptions = true,
    description = "Scans a whole table and prints how many rows it has.")
final class CountCommand implements Callable<Integer> {
  @Mixin private MasterOptions master;

  @Option(names = "--table", required = true, paramLabel = "T", description = "The table.")
  private String table;

  @Override
  public Integer call() throws KuduException {
    try (KuduClient client = master.connect()) {
      System.out.println(Rows.count(client, client.openTable(table)));
    }
    return ExitCode.OK;
  }
}
