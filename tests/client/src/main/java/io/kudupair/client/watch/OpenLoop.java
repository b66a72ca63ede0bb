package io.kudupair.client.watch;

import io.kudupair.client.history.Kind;
import org.apache.kudu.client.KuduClient;

/** Opens the fixed table, which asks the master for its schema each time. */
final class OpenLoop implements Runnable {
  private final KuduClient client;
  private final String table;
  private final Recorder recorder;

  OpenLoop(KuduClient client, String table, Recorder recorder) {
    this.client = client;
    this.table = table;
    this.recorder = recorder;
  }

  @Override
  public void run() {
    recorder.perform(
        Operation.read(
            Kind.OPEN, table, () -> Result.okTable(client.openTable(table).getTableId())));
  }
}
