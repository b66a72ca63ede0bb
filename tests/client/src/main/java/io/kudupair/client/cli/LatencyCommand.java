package io.kudupair.client.cli;

import io.kudupair.client.kudu.KuduTables;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Times the creation of tables on several clusters in turn. */
@Command(
    name = "latency",
    mixinStandardHelpOptions = true,
    description = {
      "Creates tables on several clusters in turn, so that what else the machine does falls on all, and",
      "drops them again. The order is another one in each round.",
      "Prints a JSON object: for each cluster the milliseconds of each creation, in order."
    })
final class LatencyCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(
      names = "--cluster",
      required = true,
      paramLabel = "NAME=HOST:PORT[,HOST:PORT...]",
      description = "A cluster and its masters; to be given once for each.")
  private Map<String, String> clusters;

  private int rounds;
  private int warmUp;
  private int buckets;

  @Option(
      names = "--rounds",
      required = true,
      paramLabel = "N",
      description = "Tables on each cluster that count.")
  void setRounds(int value) {
    rounds = Check.atLeast(spec, "--rounds", value, 1);
  }

  @Option(
      names = "--warm-up",
      defaultValue = "10",
      paramLabel = "N",
      description = "Tables on each cluster before those that count (default: ${DEFAULT-VALUE}).")
  void setWarmUp(int value) {
    warmUp = Check.atLeast(spec, "--warm-up", value, 0);
  }

  @Option(
      names = "--buckets",
      defaultValue = "8",
      paramLabel = "B",
      description = "Tablets of each table (default: ${DEFAULT-VALUE}).")
  void setBuckets(int value) {
    buckets = Check.atLeast(spec, "--buckets", value, 1);
  }

  @Override
  public Integer call() throws KuduException {
    Map<String, KuduClient> clients = new LinkedHashMap<>();
    Map<String, List<Double>> milliseconds = new LinkedHashMap<>();
    try {
      for (Map.Entry<String, String> cluster : clusters.entrySet()) {
        List<String> masters = List.of(cluster.getValue().split(","));
        clients.put(cluster.getKey(), new KuduClient.KuduClientBuilder(masters).build());
        milliseconds.put(cluster.getKey(), new ArrayList<>());
      }
      List<String> order = new ArrayList<>(clients.keySet());
      Random random = new Random(1);
      for (int round = -warmUp; round < rounds; round++) {
        String name = String.format(Locale.ROOT, "latency-%05d", round + warmUp);
        for (String cluster : order) {
          long start = System.nanoTime();
          KuduTables.create(clients.get(cluster), name, buckets, 1);
          double took = (System.nanoTime() - start) / 1e6;
          if (round >= 0) {
            milliseconds.get(cluster).add(took);
          }
        }
        // A tablet server holds only so many tablets well. What it still does to remove these, and
        // what a cluster does after its turn, falls on another cluster in each round.
        for (String cluster : order) {
          clients.get(cluster).deleteTable(name);
        }
        Collections.shuffle(order, random);
      }
    } finally {
      for (KuduClient client : clients.values()) {
        client.close();
      }
    }
    System.out.println(Json.of(milliseconds));
    return ExitCode.OK;
  }
}
