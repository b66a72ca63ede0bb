package io.kudupair.client.watch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.history.Note;
import io.kudupair.client.history.Outcome;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class RecorderTest {
  private final List<HistoryRecord> seen = new ArrayList<>();
  private final List<HistoryRecord> begun = new ArrayList<>();
  private final Recorder recorder = new Recorder("r", seen::add, begun::add);

  @Test
  void aSuccessIsRecordedWithItsTimes() {
    recorder.perform(Operation.change("create", "t", () -> Result.okTable("id")));
    HistoryRecord record = seen.get(0);
    assertEquals("create", record.kind());
    assertEquals("id", record.tableId());
    assertNull(record.error());
    assertTrue(record.monoEndNs() >= record.monoStartNs());
    assertTrue(record.endMs() >= record.startMs());
  }

  @Test
  void anExceptionIsRecordedByItsClassAndFirstLine() {
    Operation.Body body =
        () -> {
          throw new IllegalArgumentException("first\nsecond");
        };
    recorder.perform(Operation.read("list", "*", body));
    recorder.perform(Operation.change("drop", "t", body));
    assertEquals("IllegalArgumentException: first", seen.get(0).error());
    assertEquals(Outcome.ERROR, seen.get(0).outcome());
    assertEquals(Outcome.UNKNOWN, seen.get(1).outcome());
  }

  @Test
  void aChangeIsRecordedBeforeItIsAskedFor() {
    recorder.perform(Operation.read("list", "*", Result::ok));
    assertEquals(0, begun.size());
    recorder.perform(
        Operation.change(
            "drop",
            "t",
            () -> {
              assertEquals(Note.BEGUN, begun.get(0).note());
              return Result.ok();
            }));
    assertEquals(1, begun.size());
    assertEquals(Outcome.UNKNOWN, begun.get(0).outcome());
    assertEquals(Outcome.OK, seen.get(1).outcome());
  }

  @Test
  void anAbandonedOperationIsRecordedOnceAndAsUnknown() {
    recorder.perform(
        Operation.change(
            "create",
            "t",
            () -> {
              recorder.abandon();
              return Result.ok();
            }));
    assertEquals(1, seen.size());
    assertEquals(Outcome.UNKNOWN, seen.get(0).outcome());
    assertEquals(Note.STOPPED, seen.get(0).note());
    recorder.abandon();
    assertEquals(1, seen.size());
  }
}
