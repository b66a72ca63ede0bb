package io.kudupair.client.history;

import com.google.gson.annotations.SerializedName;

/** How one operation ended, as the application that called it was told. */
public enum Outcome {
  /** The cluster acknowledged the operation. */
  @SerializedName("ok")
  OK,

  /**
   * The cluster answered with an error. A change may still have been made: the Java client retries
   * by itself, and an earlier try can have succeeded before a later one was refused.
   */
  @SerializedName("error")
  ERROR,

  /** No answer came that tells whether a change was made: a time-out, or the client stopped. */
  @SerializedName("unknown")
  UNKNOWN
}
