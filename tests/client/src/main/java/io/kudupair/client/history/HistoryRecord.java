package io.kudupair.client.history;

/**
 * One operation of one client. A history is a file of these, one JSON object a line, in the order in
 * which the operations ended; before a change to a table one that says that it begins.
 *
 * @param run identifies the process that recorded it: monotonic times compare only within one run
 * @param kind see {@link Kind}
 * @param name the table, or {@code *} when the operation is about all of them
 * @param startMs wall clock at the start, milliseconds since the epoch
 * @param monoStartNs monotonic clock at the start, nanoseconds from an arbitrary origin
 * @param endMs wall clock at the end, milliseconds since the epoch
 * @param monoEndNs monotonic clock at the end, nanoseconds from the same origin
 * @param durationMs how long it took by the monotonic clock, whole milliseconds
 * @param outcome how it ended
 * @param error exception class and the first line of its message; null when ok
 * @param retryable whether the same call may well succeed later; false when ok
 * @param note what else is worth knowing, see {@link Note}; null when nothing is
 * @param newName for a rename the table's new name, otherwise null
 * @param tableId the table's id where the client learned it, otherwise null
 * @param count for a list the number of tables, otherwise null
 */
public record HistoryRecord(
    String run,
    String kind,
    String name,
    long startMs,
    long monoStartNs,
    long endMs,
    long monoEndNs,
    long durationMs,
    Outcome outcome,
    String error,
    boolean retryable,
    String note,
    String newName,
    String tableId,
    Long count) {

  /** Whether it only says that a change begins: no operation of its own. */
  public boolean begun() {
    return Note.BEGUN.equals(note);
  }

  /** Whether the cluster acknowledged the operation. */
  public boolean ok() {
    return outcome == Outcome.OK;
  }
}
