package io.kudupair.client.watch;

/** The loops of a watch; each has a thread of its own. */
public enum LoopKind {
  /** Lists all tables. */
  LIST,

  /** Opens the fixed table. */
  OPEN,

  /** Creates tables, and renames and drops some. */
  CREATE,

  /** Writes a row of the fixed table and reads it back. */
  WRITE
}
