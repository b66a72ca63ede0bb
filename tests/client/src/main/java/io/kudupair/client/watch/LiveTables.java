package io.kudupair.client.watch;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * The tables that a run has made and not dropped, oldest first. A table whose state is in doubt is
 * left out.
 */
final class LiveTables {
  private final Deque<String> fresh = new ArrayDeque<>();
  private final Deque<String> renamed = new ArrayDeque<>();

  /** A table was created. */
  void created(String name) {
    fresh.addLast(name);
  }

  /** A table was renamed to this name. */
  void renamed(String newName) {
    renamed.addLast(newName);
  }

  /** Takes the oldest table that was never renamed, null when there is none. */
  String takeToRename() {
    return fresh.pollFirst();
  }

  /** Takes the oldest table, null when there is none. Tables are renamed in the order of their age. */
  String takeToDrop() {
    String oldest = renamed.pollFirst();
    return oldest != null ? oldest : fresh.pollFirst();
  }

  /** How many there are. */
  int size() {
    return fresh.size() + renamed.size();
  }
}
