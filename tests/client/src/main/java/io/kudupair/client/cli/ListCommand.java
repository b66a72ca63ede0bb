package io.kudupair.client.cli;

import java.util.concurrent.Callable;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Lists tables. */
@Command(
    name = "list",
    mixinStandardHelpOptions = true,
    description = "Prints the names of all tables, sorted, one a line.")
final class ListCommand implements Callable<Integer> {
  @Mixin private MasterOptions master;

  @Override
  public Integer call() throws KuduException {
    try (KuduClient client = master.connect()) {
      client.getTablesList().getTablesList().stream().sorted().forEach(System.out::println);
    }
    return ExitCode.OK;
  }
}
