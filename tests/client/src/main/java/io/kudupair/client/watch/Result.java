package io.kudupair.client.watch;

import io.kudupair.client.history.Outcome;
import io.kudupair.client.kudu.Failure;

/** How an operation ended; the parts are those of a history record. */
record Result(
    Outcome outcome, String error, boolean retryable, String note, String tableId, Long count) {

  static Result ok() {
    return new Result(Outcome.OK, null, false, null, null, null);
  }

  static Result okNoted(String note) {
    return new Result(Outcome.OK, null, false, note, null, null);
  }

  static Result okTable(String tableId) {
    return new Result(Outcome.OK, null, false, null, tableId, null);
  }

  static Result okCount(long count) {
    return new Result(Outcome.OK, null, false, null, null, count);
  }

  static Result failed(Throwable thrown, boolean change) {
    Failure failure = Failure.of(thrown);
    return new Result(
        failure.outcome(change), failure.error(), failure.retryable(), null, null, null);
  }

  static Result undecided(Throwable thrown, String note) {
    return new Result(Outcome.UNKNOWN, Failure.of(thrown).error(), false, note, null, null);
  }

  boolean isOk() {
    return outcome == Outcome.OK;
  }
}
