package io.kudupair.client.cli;

import io.kudupair.client.kudu.KuduTables;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Creates tables. */
@Command(
    name = "create",
    mixinStandardHelpOptions = true,
    description = {
      "Creates hash-partitioned tables PREFIX-0001, PREFIX-0002, ...",
      "Prints one line for each. A table that is already there is left as it is."
    })
final class CreateCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private MasterOptions master;

  private String prefix;
  private int tables;
  private int buckets;
  private int replicas;

  @Option(names = "--prefix", required = true, paramLabel = "P", description = "Of every name.")
  void setPrefix(String value) {
    prefix = Check.name(spec, "--prefix", value);
  }

  @Option(names = "--tables", required = true, paramLabel = "N", description = "How many.")
  void setTables(int value) {
    tables = Check.atLeast(spec, "--tables", value, 1);
  }

  @Option(
      names = "--buckets",
      defaultValue = "2",
      paramLabel = "B",
      description = "Tablets of each table (default: ${DEFAULT-VALUE}).")
  void setBuckets(int value) {
    buckets = Check.atLeast(spec, "--buckets", value, 1);
  }

  @Option(
      names = "--replicas",
      defaultValue = "1",
      paramLabel = "R",
      description = "Replicas of each tablet, an odd number (default: ${DEFAULT-VALUE}).")
  void setReplicas(int value) {
    replicas = Check.replicas(spec, value);
  }

  @Override
  public Integer call() throws KuduException {
    try (KuduClient client = master.connect()) {
      for (int i = 1; i <= tables; i++) {
        String name = prefix + String.format(Locale.ROOT, "-%04d", i);
        long start = System.nanoTime();
        String what = "created";
        try {
          KuduTables.create(client, name, buckets, replicas);
        } catch (KuduException e) {
          if (!e.getStatus().isAlreadyPresent()) {
            throw e;
          }
          what = "already present:";
        }
        System.out.printf("%s %s in %d ms%n", what, name, (System.nanoTime() - start) / 1_000_000);
      }
    }
    return ExitCode.OK;
  }
}
