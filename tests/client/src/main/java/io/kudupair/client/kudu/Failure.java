package io.kudupair.client.kudu;

import io.kudupair.client.history.Outcome;
import org.apache.kudu.client.KuduException;
import org.apache.kudu.client.Status;

/**
 * What an exception says.
 *
 * @param error its class and the first line of its message
 * @param retryable whether the same call may well succeed later
 * @param answered whether it is the cluster's own answer; if not, a change may have been made
 */
public record Failure(String error, boolean retryable, boolean answered) {
  private static final String TOO_FEW_SERVERS = "not enough live tablet servers";

  /** Reads an exception. */
  public static Failure of(Throwable thrown) {
    String message = thrown.getMessage() == null ? "" : thrown.getMessage();
    String firstLine = message.lines().findFirst().orElse("");
    String error = thrown.getClass().getSimpleName() + ": " + firstLine;
    if (!(thrown instanceof KuduException kudu)) {
      return new Failure(error, false, thrown instanceof Rows.RowRefused);
    }
    Status status = kudu.getStatus();
    boolean retryable =
        status.isTimedOut()
            || status.isServiceUnavailable()
            || status.isNetworkError()
            || status.isAborted()
            || status.isIncomplete()
            || status.isUninitialized()
            || message.contains(TOO_FEW_SERVERS);
    boolean answered =
        status.isInvalidArgument()
            || status.isAlreadyPresent()
            || status.isNotFound()
            || status.isNotAuthorized()
            || status.isNotSupported()
            || status.isConfigurationError();
    return new Failure(error, retryable, answered);
  }

  /**
   * The outcome to record.
   *
   * @param change whether the operation changes something
   */
  public Outcome outcome(boolean change) {
    return change && !answered ? Outcome.UNKNOWN : Outcome.ERROR;
  }
}
