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
  private final AtomicReference<InFlight> inFlight = new AtomicReference<>();

  Recorder(String run, Consumer<HistoryRecord> sink) {
    this.run = run;
    this.sink = sink;
  }

  /** Does one operation. Exceptions become part of the record. */
  Result perform(Operation operation) {
    InFlight started = new InFlight(operation, System.currentTimeMillis(), System.nanoTime());
    inFlight.set(started);
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
    Operation operation = started.operation();
    sink.accept(
        new HistoryRecord(
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
            result.count()));
  }
}
