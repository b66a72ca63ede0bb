package io.kudupair.client.history;

/** The values of {@code note} in a history. */
public final class Note {
  /**
   * A create was answered "already present". Names are used once, so an earlier try of the same call
   * made the table: it counts as ok.
   */
  public static final String ALREADY_PRESENT = "already-present";

  /** A rename was answered "not found", and the new name exists: an earlier try did it, so ok. */
  public static final String ALREADY_RENAMED = "already-renamed";

  /**
   * A drop of an acknowledged table was answered "not found": an earlier try did it, or the table had
   * been lost. Nothing tells which, so the outcome is unknown.
   */
  public static final String NOT_FOUND = "not-found";

  /** The client was stopped before an answer came. */
  public static final String STOPPED = "stopped";

  /**
   * A change to a table begins. Its answer follows in a record of its own, unless the client's machine
   * lost its power first.
   */
  public static final String BEGUN = "begun";

  private Note() {}
}
