package io.kudupair.client;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.history.Outcome;

/** Makes records for tests. */
public final class Records {
  /** Wall clock at monotonic zero, milliseconds since the epoch. */
  public static final long EPOCH = 1_700_000_000_000L;

  private Records() {}

  public static HistoryRecord ok(String kind, String name, long startMs, long endMs) {
    return of("r", kind, name, startMs, endMs, Outcome.OK, null, null, null);
  }

  public static HistoryRecord bad(
      String kind, String name, long startMs, long endMs, Outcome outcome, String error) {
    return of("r", kind, name, startMs, endMs, outcome, error, null, null);
  }

  public static HistoryRecord of(
      String run,
      String kind,
      String name,
      long startMs,
      long endMs,
      Outcome outcome,
      String error,
      String newName,
      String tableId) {
    return new HistoryRecord(
        run,
        kind,
        name,
        EPOCH + startMs,
        startMs * 1_000_000,
        EPOCH + endMs,
        endMs * 1_000_000,
        endMs - startMs,
        outcome,
        error,
        outcome != Outcome.OK,
        null,
        newName,
        tableId,
        null);
  }
}
