package io.kudupair.client.summary;

import static io.kudupair.client.Records.EPOCH;
import static io.kudupair.client.Records.bad;
import static io.kudupair.client.Records.of;
import static io.kudupair.client.Records.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.history.Outcome;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class SummarizerTest {
  /** Successes of one kind that end every 50 ms from one time to another. */
  private static List<HistoryRecord> steady(String kind, long fromMs, long toMs) {
    List<HistoryRecord> records = new ArrayList<>();
    for (long end = fromMs; end <= toMs; end += 50) {
      records.add(ok(kind, "*", end - 2, end));
    }
    return records;
  }

  private static KindSummary only(Summary summary) {
    assertEquals(1, summary.kinds().size());
    return summary.kinds().get(0);
  }

  @Test
  void steadySuccessHasNoOutage() {
    KindSummary list = only(Summarizer.summarize(steady("list", 100, 5000), null, null));
    assertEquals(99, list.ok());
    assertEquals(50, list.normalGapMs());
    assertEquals(150, list.outageAboveMs());
    assertEquals(0, list.outages());
    assertNull(list.longestOutage());
    assertEquals(50, list.longestGap().ms());
  }

  @Test
  void anOutageGoesFromTheLastSuccessToTheEndOfTheNext() {
    List<HistoryRecord> records = steady("list", 100, 1000);
    records.add(bad("list", "*", 1050, 1500, Outcome.ERROR, "X: no"));
    records.add(ok("list", "*", 1550, 1800));
    records.addAll(steady("list", 1850, 3000));
    KindSummary list = only(Summarizer.summarize(records, null, null));
    assertEquals(new Gap(EPOCH + 1000, EPOCH + 1800, 800, true), list.longestOutage());
    assertEquals(1, list.outages());
    assertEquals(1, list.error());
    assertEquals(250, list.maxMs());
  }

  @Test
  void aSlowSuccessIsAnOutageWithoutAnyError() {
    List<HistoryRecord> records = steady("create", 100, 1000);
    records.add(ok("create", "t", 1050, 2050));
    KindSummary create = only(Summarizer.summarize(records, null, null));
    assertEquals(1050, create.longestOutage().ms());
    assertTrue(create.errors().isEmpty());
  }

  @Test
  void thePassingOfTimeIsTakenFromTheMonotonicClock() {
    List<HistoryRecord> records = steady("list", 100, 1000);
    HistoryRecord last = records.get(records.size() - 1);
    records.add(
        new HistoryRecord(
            "r", "list", "*", EPOCH + 90_000, last.monoEndNs() + 48_000_000, EPOCH + 90_002,
            last.monoEndNs() + 50_000_000, 2, Outcome.OK, null, false, null, null, null, null));
    assertEquals(0, only(Summarizer.summarize(records, null, null)).outages());
  }

  @Test
  void failuresUntilTheEndAreAnOutageThatIsNotOver() {
    List<HistoryRecord> records = steady("list", 100, 1000);
    records.add(bad("list", "*", 1050, 3000, Outcome.ERROR, "X: no"));
    assertEquals(
        new Gap(EPOCH + 1000, EPOCH + 3000, 2000, false),
        only(Summarizer.summarize(records, null, null)).longestOutage());
  }

  @Test
  void anOperationThatHangsShowsByWhatOtherKindsStartMeanwhile() {
    List<HistoryRecord> records = steady("create", 100, 1000);
    records.addAll(steady("write", 100, 4000));
    Summary summary = Summarizer.summarize(records, null, null);
    Gap gap = summary.kinds().get(0).longestOutage();
    assertFalse(gap.recovered());
    assertEquals(2998, gap.ms());
    assertNull(summary.kinds().get(1).longestOutage());
  }

  @Test
  void waitingAtTheEndForAnotherKindIsNoOutage() {
    List<HistoryRecord> records = steady("write", 100, 1000);
    records.addAll(steady("create", 100, 1000));
    records.add(bad("create", "t", 1010, 3010, Outcome.UNKNOWN, "Stopped: x"));
    Summary summary = Summarizer.summarize(records, null, null);
    assertNull(summary.kinds().get(0).longestOutage());
    assertEquals(2010, summary.kinds().get(1).longestOutage().ms());
  }

  @Test
  void failuresBeforeTheFirstSuccessAreAnOutageFromTheFirstAttempt() {
    List<HistoryRecord> records = new ArrayList<>();
    records.add(bad("list", "*", 0, 500, Outcome.ERROR, "X: no"));
    records.addAll(steady("list", 900, 2000));
    assertEquals(
        new Gap(EPOCH, EPOCH + 900, 900, true),
        only(Summarizer.summarize(records, null, null)).longestOutage());
  }

  @Test
  void nothingButFailuresIsOneOutage() {
    List<HistoryRecord> records =
        List.of(
            bad("list", "*", 0, 500, Outcome.ERROR, "X: no"),
            bad("list", "*", 550, 1000, Outcome.ERROR, "X: no"));
    assertEquals(
        new Gap(EPOCH, EPOCH + 1000, 1000, false),
        only(Summarizer.summarize(records, null, null)).longestOutage());
  }

  @Test
  void theTimeBetweenTwoRunsIsNoOutage() {
    List<HistoryRecord> records = steady("list", 100, 1000);
    for (HistoryRecord record : steady("list", 60_000, 61_000)) {
      long start = record.startMs() - EPOCH;
      records.add(
          of("second", "list", "*", start, start + 2, Outcome.OK, null, null, null));
    }
    assertEquals(0, only(Summarizer.summarize(records, null, null)).outages());
  }

  @Test
  void aWindowCountsWhatEndedInItAndGivesOverlappingOutagesInFull() {
    List<HistoryRecord> records = steady("list", 100, 1000);
    records.add(ok("list", "*", 1050, 1800));
    records.addAll(steady("list", 1850, 5000));
    records.add(ok("list", "*", 5050, 9000));
    KindSummary list = only(Summarizer.summarize(records, EPOCH + 1200, EPOCH + 2000));
    assertEquals(5, list.ok());
    assertEquals(new Gap(EPOCH + 1000, EPOCH + 1800, 800, true), list.longestOutage());
    assertEquals(1, list.outages());
    assertEquals(0, only(Summarizer.summarize(records, EPOCH + 2000, EPOCH + 3000)).outages());
  }

  @Test
  void distinctErrorsAreCountedMostFrequentFirst() {
    List<HistoryRecord> records =
        List.of(
            bad("create", "a", 0, 1, Outcome.UNKNOWN, "E: timeout 5 ms"),
            bad("create", "b", 2, 3, Outcome.ERROR, "E: refused"),
            bad("create", "c", 4, 5, Outcome.ERROR, "E: refused"));
    KindSummary create = only(Summarizer.summarize(records, null, null));
    assertEquals(
        List.of(
            new KindSummary.ErrorCount("E: refused", 2, "E: refused"),
            new KindSummary.ErrorCount("E: timeout <n> ms", 1, "E: timeout 5 ms")),
        create.errors());
    assertEquals(2, create.error());
    assertEquals(1, create.unknown());
  }

  @Test
  void anEmptyHistoryHasAnEmptySummary() {
    Summary summary = Summarizer.summarize(List.of(), null, null);
    assertEquals(0, summary.records());
    assertTrue(summary.kinds().isEmpty());
    assertTrue(SummaryText.of(summary).startsWith("0 operations"));
  }

  @Test
  void theTextGivesOutagesAndErrors() {
    List<HistoryRecord> records = steady("list", 100, 1000);
    records.add(bad("list", "*", 1050, 3000, Outcome.ERROR, "X: no"));
    String text = SummaryText.of(Summarizer.summarize(records, null, null));
    assertTrue(text.contains("2.000 s (22:13:21.000 on, NOT OVER)"), text);
    assertTrue(text.contains("list: 1 x X: no"), text);
  }
}
