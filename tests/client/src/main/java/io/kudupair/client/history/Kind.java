package io.kudupair.client.history;

/** The values of {@code kind} in a history. */
public final class Kind {
  /** List all tables. */
  public static final String LIST = "list";

  /** Open a table, which asks the master for its schema. */
  public static final String OPEN = "open";

  /** Create a table and wait until it can be used. */
  public static final String CREATE = "create";

  /** Drop a table. */
  public static final String DROP = "drop";

  /** Rename a table from {@code name} to {@code new_name}. */
  public static final String RENAME = "rename";

  /** Upsert one row: tablet servers only, once the client knows where the tablet is. */
  public static final String WRITE = "write";

  /** Read that row back and compare it. */
  public static final String READ = "read";

  private Kind() {}
}
