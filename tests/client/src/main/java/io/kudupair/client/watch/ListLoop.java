package io.kudupair.client.watch;

import io.kudupair.client.history.Kind;
import org.apache.kudu.client.KuduClient;

/** Lists all tables. */
final class ListLoop implements Runnable {
  private final KuduClient client;
  private final Recorder recorder;

  ListLoop(KuduClient client, Recorder recorder) {
    this.client = client;
    this.recorder = recorder;
  }

  @Override
  public void run() {
    recorder.perform(
        Operation.read(
            Kind.LIST,
            "*",
            () -> Result.okCount(client.getTablesList().getTablesList().size())));
  }
}
