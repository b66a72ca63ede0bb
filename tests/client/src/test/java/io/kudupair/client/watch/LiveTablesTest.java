package io.kudupair.client.watch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import org.junit.jupiter.api.Test;

class LiveTablesTest {
  @Test
  void theOldestIsTakenFirst() {
    LiveTables live = new LiveTables();
    assertNull(live.takeToRename());
    assertNull(live.takeToDrop());
    live.created("a");
    live.created("b");
    live.created("c");
    assertEquals("a", live.takeToRename());
    live.renamed("a2");
    assertEquals("a2", live.takeToDrop());
    assertEquals("b", live.takeToDrop());
    assertEquals("c", live.takeToRename());
    assertNull(live.takeToDrop());
  }
}
