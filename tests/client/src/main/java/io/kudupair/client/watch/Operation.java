package io.kudupair.client.watch;

/**
 * One operation that is about to be done.
 *
 * @param kind see {@link io.kudupair.client.history.Kind}
 * @param name the table, or {@code *}
 * @param newName for a rename the new name, otherwise null
 * @param change whether it changes something in the cluster
 * @param body does it
 */
record Operation(String kind, String name, String newName, boolean change, Body body) {

  /** Does an operation; whatever it throws is recorded. */
  @FunctionalInterface
  interface Body {
    Result run() throws Exception;
  }

  static Operation read(String kind, String name, Body body) {
    return new Operation(kind, name, null, false, body);
  }

  static Operation change(String kind, String name, Body body) {
    return new Operation(kind, name, null, true, body);
  }
}
