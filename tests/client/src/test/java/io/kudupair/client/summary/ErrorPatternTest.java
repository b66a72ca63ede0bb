package io.kudupair.client.summary;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class ErrorPatternTest {
  private static final String TIMEOUT =
      "NonRecoverableException: cannot complete before timeout: KuduRpc(method=ListTables,"
          + " tablet=null, attempt=11, TimeoutTracker(timeout=2000, elapsed=1509), Trace Summary";

  @Test
  void timeoutsOfOneKindAreOneError() {
    assertEquals(
        "NonRecoverableException: cannot complete before timeout", ErrorPattern.of(TIMEOUT));
  }

  @Test
  void namesIdsAddressesAndNumbersAreReplaced() {
    assertEquals(
        "E: table <name> already exists with id <id>",
        ErrorPattern.of("E: table watch-1-000002 already exists with id " + "0a".repeat(16)));
    assertEquals(
        "E: the table does not exist: table_name: <name>",
        ErrorPattern.of("E: the table does not exist: table_name: \"t-7\""));
    assertEquals(
        "E: no answer from <address> after <n> tries",
        ErrorPattern.of("E: no answer from 10.1.2.3:7051 after 4 tries"));
    assertEquals(
        "E: not enough live tablet servers to create a table with the requested replication factor"
            + " <n>; <n> tablet servers are alive",
        ErrorPattern.of(
            "E: not enough live tablet servers to create a table with the requested replication"
                + " factor 1; 0 tablet servers are alive"));
  }

  @Test
  void theBriefFormKeepsTheMethod() {
    assertEquals(
        "NonRecoverableException: cannot complete before timeout: KuduRpc(method=ListTables,"
            + " tablet=null, attempt=11)",
        ErrorPattern.brief(TIMEOUT));
    assertEquals(203, ErrorPattern.brief("x".repeat(500)).length());
  }
}
