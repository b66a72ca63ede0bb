package io.kudupair.client.watch;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.history.Note;
import io.kudupair.client.history.Outcome;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/** Does operations one after the other, and hands a record of each to a consumer. */
final class Recorder {
  private record InFlight(Operation operation, long startMs, long startNs) {}

  private final String run;
  private final Consumer<HistoryRecord> sink;
  private final Consumer<HistoryRecord> begun;
  private final AtomicReference<InFlight> inFlight = new AtomicReference<>();

  /**
   * Makes one.
   *
   * @param sink gets a record of each operation when it has ended
   * @param begun gets a record of each change before it is asked for
   */
  Recorder(String run, Consumer<HistoryRecord> sink, Consumer<HistoryRecord> begun) {
    this.run = run;
    this.sink = sink;
    this.begun = begun;
  }

  /** Does one operation. Exceptions become part of the record. */
  Result perform(Operation operation) {
    InFlight started = new InFlight(operation, System.currentTimeMillis(), System.nanoTime());
    inFlight.set(started);
    if (operation.change()) {
      Result asked = new Result(Outcome.UNKNOWN, null, true, Note.BEGUN, null, null);
      begun.accept(record(started, started.startMs(), started.startNs(), asked));
    }
    Result result;
    try {
      result = operation.body().run();
    } catch (Exception e) {
      result = Result.failed(e, operation.change());
    }
    finish(started, result);
    return result;
  }

  /** Records the operation under way, if there is one, as one without an answer. */
  void abandon() {
    InFlight started = inFlight.get();
    if (started != null) {
      finish(
          started,
          new Result(
              Outcome.UNKNOWN,
              "Stopped: the client was stopped before an answer came",
              true,
              Note.STOPPED,
              null,
              null));
    }
  }

  private void finish(InFlight started, Result result) {
    long endNs = System.nanoTime();
    long endMs = System.currentTimeMillis();
    if (!inFlight.compareAndSet(started, null)) {
      return; // Already recorded as abandoned.
    }
    sink.accept(record(started, endMs, endNs, result));
  }

  private HistoryRecord record(InFlight started, long endMs, long endNs, Result result) {
    Operation operation = started.operation();
    return new HistoryRecord(
        run,
        operation.kind(),
        operation.name(),
        started.startMs(),
        started.startNs(),
        endMs,
        endNs,
        Math.round((endNs - started.startNs()) / 1e6),
        result.outcome(),
        result.error(),
        result.retryable(),
        result.note(),
        operation.newName(),
        result.tableId(),
        result.count());
  }
}
