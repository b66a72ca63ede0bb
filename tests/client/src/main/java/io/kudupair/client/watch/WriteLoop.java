package io.kudupair.client.watch;

import io.kudupair.client.history.Kind;
import io.kudupair.client.kudu.Rows;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduSession;
import org.apache.kudu.client.KuduTable;
import org.apache.kudu.client.SessionConfiguration.FlushMode;

/** Writes a row of the fixed table, each time another, and reads it back if that was acknowledged. */
final class WriteLoop implements Runnable {
  /** Row keys repeat after so many, which bounds the table. */
  private static final long KEYS = 100_000;

  private final KuduClient client;
  private final KuduTable table;
  private final KuduSession session;
  private final Recorder recorder;
  private final String run;
  private long counter;

  WriteLoop(KuduClient client, KuduTable table, Recorder recorder, String run) {
    this.client = client;
    this.table = table;
    this.recorder = recorder;
    this.run = run;
    this.session = client.newSession();
    session.setFlushMode(FlushMode.AUTO_FLUSH_SYNC);
  }

  @Override
  public void run() {
    long id = counter % KEYS;
    String value = run + " " + counter;
    counter++;
    Operation write =
        Operation.change(
            Kind.WRITE,
            table.getName(),
            () -> {
              Rows.put(session, table, id, value);
              return Result.ok();
            });
    if (!recorder.perform(write).isOk()) {
      return;
    }
    recorder.perform(
        Operation.read(
            Kind.READ,
            table.getName(),
            () -> {
              String found = Rows.get(client, table, id);
              if (!value.equals(found)) {
                throw new WrongRow("row " + id + " is '" + found + "' instead of '" + value + "'");
              }
              return Result.ok();
            }));
  }

  /** An acknowledged write that a read did not find. */
  private static final class WrongRow extends Exception {
    private static final long serialVersionUID = 1L;

    WrongRow(String message) {
      super(message);
    }
  }
}
