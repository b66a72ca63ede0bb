package io.kudupair.client.verify;

import static io.kudupair.client.Records.bad;
import static io.kudupair.client.Records.of;
import static io.kudupair.client.Records.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.history.Outcome;
import io.kudupair.client.verify.VerifyReport.Finding;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class VerificationTest {
  private final List<HistoryRecord> history = new ArrayList<>();
  private final Map<String, PresentTable> cluster = new HashMap<>();
  private long clock;

  private void create(String name, Outcome outcome) {
    clock++;
    history.add(
        of("r", "create", name, clock, clock, outcome, outcome == Outcome.OK ? null : "E", null,
            outcome == Outcome.OK ? "id-" + name : null));
  }

  private void drop(String name, Outcome outcome) {
    clock++;
    history.add(of("r", "drop", name, clock, clock, outcome, null, null, null));
  }

  private void rename(String name, String newName, Outcome outcome) {
    clock++;
    history.add(of("r", "rename", name, clock, clock, outcome, null, newName, null));
  }

  private void has(String name, String id) {
    cluster.put(name, new PresentTable(name, true, id));
  }

  private VerifyReport verify() {
    return Verification.compare(ExpectedTables.from(history), cluster);
  }

  private static List<String> names(List<Finding> findings) {
    return findings.stream().map(Finding::name).toList();
  }

  @Test
  void aChangeThatBeganAndHasNoAnswerMayHaveBeenMade() {
    create("a", Outcome.OK);
    rename("a", "b", Outcome.UNKNOWN);
    has("b", "id-a");
    assertTrue(verify().ok());
    rename("a", "b", Outcome.OK);
    has("a", "id-a");
    assertEquals(List.of("a"), names(verify().resurrected()));
  }

  @Test
  void anAcknowledgedTableThatIsThereIsFine() {
    create("a", Outcome.OK);
    has("a", "id-a");
    VerifyReport report = verify();
    assertTrue(report.ok());
    assertEquals(1, report.acknowledged());
  }

  @Test
  void anAcknowledgedTableThatIsGoneIsMissing() {
    create("a", Outcome.OK);
    VerifyReport report = verify();
    assertFalse(report.ok());
    assertEquals(List.of("a"), names(report.missing()));
    assertEquals("create a was acknowledged", report.missing().get(0).because());
    assertTrue(VerifyText.of(report).contains("missing: a is not there"), VerifyText.of(report));
  }

  @Test
  void aTableUnderAnotherIdIsNotTheOneAcknowledged() {
    create("a", Outcome.OK);
    has("a", "id-other");
    assertEquals(List.of("a"), names(verify().replaced()));
  }

  @Test
  void anAcknowledgedCreateWithoutAnIdIsContentWithAnyId() {
    history.add(ok("create", "a", 1, 2));
    has("a", "whatever");
    assertTrue(verify().ok());
  }

  @Test
  void aDroppedTableThatIsThereIsResurrected() {
    create("a", Outcome.OK);
    drop("a", Outcome.OK);
    assertTrue(verify().ok());
    has("a", "id-a");
    assertEquals(List.of("a"), names(verify().resurrected()));
  }

  @Test
  void aRenamedTableHasOnlyItsNewNameAndItsOldId() {
    create("a", Outcome.OK);
    rename("a", "b", Outcome.OK);
    has("b", "id-a");
    assertTrue(verify().ok());

    cluster.clear();
    has("a", "id-a");
    VerifyReport undone = verify();
    assertEquals(List.of("a"), names(undone.resurrected()));
    assertEquals(List.of("b"), names(undone.missing()));

    cluster.clear();
    has("b", "id-x");
    assertEquals(List.of("b"), names(verify().replaced()));
  }

  @Test
  void aRenamedAndDroppedTableHasNeitherName() {
    create("a", Outcome.OK);
    rename("a", "b", Outcome.OK);
    drop("b", Outcome.OK);
    assertTrue(verify().ok());
    assertEquals(2, verify().dropped());
    has("b", "id-a");
    assertEquals(List.of("b"), names(verify().resurrected()));
  }

  @Test
  void changesWithoutAnAcknowledgementDecideNothing() {
    create("a", Outcome.UNKNOWN);
    create("b", Outcome.ERROR);
    create("c", Outcome.OK);
    drop("c", Outcome.UNKNOWN);
    create("d", Outcome.OK);
    drop("d", Outcome.ERROR);
    create("e", Outcome.OK);
    rename("e", "f", Outcome.UNKNOWN);
    assertTrue(verify().ok());
    assertEquals(6, verify().undecided());
    has("a", "1");
    has("b", "2");
    has("c", "id-c");
    has("d", "id-d");
    has("f", "id-e");
    VerifyReport report = verify();
    assertTrue(report.ok());
    assertEquals(5, report.undecidedPresent());
    assertEquals(0, report.acknowledged());
  }

  @Test
  void listAndOpenMustAgree() {
    create("a", Outcome.OK);
    create("b", Outcome.OK);
    cluster.put("a", new PresentTable("a", true, null));
    cluster.put("b", new PresentTable("b", false, "id-b"));
    VerifyReport report = verify();
    assertFalse(report.ok());
    assertEquals(List.of("a", "b"), names(report.inconsistent()));
    assertTrue(report.missing().isEmpty());
  }

  @Test
  void otherKindsSayNothingAboutTables() {
    history.add(ok("list", "*", 1, 2));
    history.add(ok("open", "t", 1, 2));
    history.add(bad("write", "t", 1, 2, Outcome.ERROR, "E"));
    assertTrue(ExpectedTables.from(history).isEmpty());
  }

  @Test
  void aLaterLookReplacesTheFindingsAndKeepsTheCounts() {
    create("a", Outcome.OK);
    create("b", Outcome.OK);
    VerifyReport first = verify();
    assertEquals(Set.of("a", "b"), first.findings());
    has("a", "id-a");
    VerifyReport later =
        first.withFindingsOf(Verification.compare(ExpectedTables.from(history), cluster));
    assertEquals(Set.of("b"), later.findings());
    assertEquals(2, later.acknowledged());
  }
}
