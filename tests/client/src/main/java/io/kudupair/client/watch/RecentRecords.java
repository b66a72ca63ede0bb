package io.kudupair.client.watch;

import io.kudupair.client.history.HistoryRecord;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/** Keeps the last records in memory for the summary at the end. */
public final class RecentRecords {
  private final int limit;
  private final Deque<HistoryRecord> records = new ArrayDeque<>();
  private boolean complete = true;

  /**
   * Makes one.
   *
   * @param limit how many records to keep
   */
  public RecentRecords(int limit) {
    this.limit = limit;
  }

  /** Adds the newest record. */
  public synchronized void add(HistoryRecord record) {
    if (records.size() == limit) {
      records.removeFirst();
      complete = false;
    }
    records.addLast(record);
  }

  /** The records kept, oldest first. */
  public synchronized List<HistoryRecord> all() {
    return List.copyOf(records);
  }

  /** Whether none was left out. */
  public synchronized boolean complete() {
    return complete;
  }
}
