package io.kudupair.client.history;

/** A history that cannot be read; the message names the file, the line and what is wrong. */
public final class HistoryException extends Exception {
  private static final long serialVersionUID = 1L;

  /** Makes one. */
  public HistoryException(String message, Throwable cause) {
    super(message, cause);
  }
}
