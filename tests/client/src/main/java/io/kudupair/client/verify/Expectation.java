package io.kudupair.client.verify;

/** What a history says about one table name. */
public enum Expectation {
  /** The table was acknowledged created (or renamed to this name), and nothing undid that. */
  PRESENT,

  /** The table was acknowledged dropped (or renamed from this name). */
  ABSENT,

  /** The last change that concerns this name has no telling answer: both are right. */
  UNDECIDED
}
