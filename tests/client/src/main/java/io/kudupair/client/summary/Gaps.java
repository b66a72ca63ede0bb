package io.kudupair.client.summary;

import io.kudupair.client.history.HistoryRecord;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;

/** Finds the times without a success. */
final class Gaps {
  private Gaps() {}

  /**
   * The gaps between the successes of one kind in one run: those between two successes first, then
   * an {@link Found#edges edge} before the first success and one after the last.
   *
   * @param records of one run and one kind, in any order
   * @param run all records of that run: they tell how long it went on. After a last success that no
   *     failure followed, the run counts as going on for as long as operations of other kinds were
   *     started: an operation that hangs is in no history before it ends
   */
  static Found find(List<HistoryRecord> records, List<HistoryRecord> run) {
    List<HistoryRecord> byEnd = new ArrayList<>(records);
    byEnd.sort((a, b) -> Long.compare(a.monoEndNs(), b.monoEndNs()));
    List<Gap> between = new ArrayList<>();
    List<Gap> edges = new ArrayList<>();
    HistoryRecord lastOk = null;
    HistoryRecord firstFailure = null;
    boolean failedSince = false;
    for (HistoryRecord record : byEnd) {
      if (!record.ok()) {
        failedSince = true;
        firstFailure = firstFailure == null ? record : firstFailure;
        continue;
      }
      if (lastOk != null) {
        between.add(
            gap(lastOk.endMs(), lastOk.monoEndNs(), record.endMs(), record.monoEndNs(), true));
      } else if (firstFailure != null) {
        edges.add(
            gap(
                firstFailure.startMs(),
                firstFailure.monoStartNs(),
                record.endMs(),
                record.monoEndNs(),
                true));
      }
      lastOk = record;
      failedSince = false;
    }
    HistoryRecord runEnd =
        Collections.max(run, Comparator.comparingLong(HistoryRecord::monoEndNs));
    HistoryRecord lastStart =
        Collections.max(run, Comparator.comparingLong(HistoryRecord::monoStartNs));
    if (lastOk != null && failedSince) {
      edges.add(
          gap(lastOk.endMs(), lastOk.monoEndNs(), runEnd.endMs(), runEnd.monoEndNs(), false));
    } else if (lastOk != null
        && between.size() >= 3
        && lastStart.monoStartNs() > lastOk.monoEndNs()) {
      edges.add(
          gap(
              lastOk.endMs(),
              lastOk.monoEndNs(),
              lastStart.startMs(),
              lastStart.monoStartNs(),
              false));
    } else if (lastOk == null && firstFailure != null) {
      edges.add(
          gap(
              firstFailure.startMs(),
              firstFailure.monoStartNs(),
              runEnd.endMs(),
              runEnd.monoEndNs(),
              false));
    }
    return new Found(between, edges);
  }

  private static Gap gap(long beganMs, long beganNs, long endedMs, long endedNs, boolean recovered) {
    return new Gap(beganMs, endedMs, (endedNs - beganNs) / 1e6, recovered);
  }

  /**
   * What was found.
   *
   * @param between two successes
   * @param edges before the first success, where a failure came before it; and after the last one
   */
  record Found(List<Gap> between, List<Gap> edges) {}
}
