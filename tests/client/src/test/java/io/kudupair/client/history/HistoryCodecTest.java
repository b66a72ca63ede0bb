package io.kudupair.client.history;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kudupair.client.Records;
import org.junit.jupiter.api.Test;

class HistoryCodecTest {
  private static final String MINIMAL =
      "{\"kind\":\"list\",\"name\":\"*\",\"start_ms\":1000,\"mono_start_ns\":5,"
          + "\"end_ms\":1003,\"duration_ms\":3,\"outcome\":\"ok\"}";

  @Test
  void whatIsWrittenIsReadBack() {
    HistoryRecord record =
        new HistoryRecord(
            "r1", "rename", "a", 1, 2, 3, 4, 2, Outcome.UNKNOWN, "E: \"<x>\"\u20ac", true, "n", "b",
            "id", 7L);
    assertEquals(record, HistoryCodec.decode(HistoryCodec.encode(record)));
  }

  @Test
  void aLineHasEveryPromisedFieldAndNoNewline() {
    String line = HistoryCodec.encode(Records.ok("create", "t", 10, 14));
    for (String part :
        new String[] {
          "\"kind\":\"create\"",
          "\"name\":\"t\"",
          "\"start_ms\":1700000000010",
          "\"mono_start_ns\":10000000",
          "\"end_ms\":1700000000014",
          "\"duration_ms\":4",
          "\"outcome\":\"ok\"",
          "\"error\":null",
          "\"retryable\":false"
        }) {
      assertTrue(line.contains(part), part + " in " + line);
    }
    assertFalse(line.contains("\n"));
    assertFalse(line.contains("table_id"), line);
    String escaped =
        HistoryCodec.encode(Records.bad("list", "*", 0, 1, Outcome.ERROR, "two\nlines"));
    assertFalse(escaped.contains("\n"));
  }

  @Test
  void optionalFieldsMayBeMissing() {
    HistoryRecord record = HistoryCodec.decode(MINIMAL);
    assertEquals("", record.run());
    assertEquals(3_000_005, record.monoEndNs());
    assertFalse(record.retryable());
  }

  @Test
  void unknownFieldsAreIgnored() {
    assertEquals("list", HistoryCodec.decode(MINIMAL.replace("{", "{\"later\":[1],")).kind());
  }

  @Test
  void errorsSayWhatIsWrong() {
    assertEquals("field \"outcome\" is missing", message(MINIMAL.replace("outcome", "result")));
    assertEquals(
        "field \"outcome\" is \"fine\", not ok, error or unknown",
        message(MINIMAL.replace("\"ok\"", "\"fine\"")));
    assertEquals("not a JSON object", message("[]"));
    assertEquals("not valid JSON", message("{\"kind\":"));
    assertTrue(message(MINIMAL.replace("1000", "\"x\"")).startsWith("a field has the wrong type"));
  }

  private static String message(String line) {
    return assertThrows(IllegalArgumentException.class, () -> HistoryCodec.decode(line))
        .getMessage();
  }
}
