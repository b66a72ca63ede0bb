package io.kudupair.client.watch;

import io.kudupair.client.kudu.Failure;
import io.kudupair.client.kudu.KuduTables;
import java.io.PrintStream;
import java.time.Instant;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;
import org.apache.kudu.client.KuduTable;

/** The table that is opened, written and read throughout. */
final class FixedTable {
  private static final long RETRY_MS = 1000;

  private FixedTable() {}

  /**
   * Opens the table, creating it if it is missing; tries until that works.
   *
   * @return null when the stop signal came first
   */
  static KuduTable prepare(
      KuduClient client, String name, WatchOptions options, StopSignal stop, PrintStream log) {
    String lastError = null;
    while (!stop.requested()) {
      try {
        return openOrCreate(client, name, options);
      } catch (KuduException e) {
        String error = Failure.of(e).error();
        if (!error.equals(lastError)) {
          log.println(Instant.now() + " waiting for table " + name + ": " + error);
          lastError = error;
        }
      }
      stop.await(RETRY_MS);
    }
    return null;
  }

  private static KuduTable openOrCreate(KuduClient client, String name, WatchOptions options)
      throws KuduException {
    try {
      return KuduTables.open(client, name);
    } catch (KuduException e) {
      if (!e.getStatus().isNotFound()) {
        throw e;
      }
    }
    return KuduTables.create(client, name, options.buckets(), options.replicas());
  }
}
