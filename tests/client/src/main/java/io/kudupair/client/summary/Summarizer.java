package io.kudupair.client.summary;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.history.Outcome;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Computes a {@link Summary}. */
public final class Summarizer {
  /** A gap is an outage when it is longer than this many times the normal gap, and also ... */
  static final double OUTAGE_FACTOR = 3;

  /** ... longer than the normal gap by this many milliseconds. */
  static final double OUTAGE_MARGIN_MS = 100;

  private Summarizer() {}

  /**
   * Summarizes the operations that ended within a time, and the gaps that overlap it. A gap is given
   * in full even where it began before that time or ended after it.
   *
   * @param history of one or more runs
   * @param fromMs wall clock, milliseconds since the epoch; null for the start of the history
   * @param toMs wall clock, milliseconds since the epoch; null for its end
   */
  public static Summary summarize(List<HistoryRecord> history, Long fromMs, Long toMs) {
    List<HistoryRecord> records = history.stream().filter(record -> !record.begun()).toList();
    long from =
        fromMs != null
            ? fromMs
            : records.stream().mapToLong(HistoryRecord::startMs).min().orElse(0);
    long to =
        toMs != null ? toMs : records.stream().mapToLong(HistoryRecord::endMs).max().orElse(from);

    Map<String, List<HistoryRecord>> byRun = new LinkedHashMap<>();
    Map<String, Map<String, List<HistoryRecord>>> kinds = new LinkedHashMap<>();
    for (HistoryRecord record : records) {
      byRun.computeIfAbsent(record.run(), r -> new ArrayList<>()).add(record);
      kinds
          .computeIfAbsent(record.kind(), k -> new LinkedHashMap<>())
          .computeIfAbsent(record.run(), r -> new ArrayList<>())
          .add(record);
    }
    List<KindSummary> summaries = new ArrayList<>();
    kinds.forEach((kind, runs) -> summaries.add(kind(kind, runs, byRun, from, to)));
    long inside = records.stream().filter(r -> r.endMs() >= from && r.endMs() <= to).count();
    return new Summary(from, to, inside, List.copyOf(summaries));
  }

  private static KindSummary kind(
      String kind,
      Map<String, List<HistoryRecord>> runs,
      Map<String, List<HistoryRecord>> byRun,
      long from,
      long to) {
    List<Gap> between = new ArrayList<>();
    List<Gap> edges = new ArrayList<>();
    runs.forEach(
        (run, records) -> {
          Gaps.Found found = Gaps.find(records, byRun.get(run));
          between.addAll(found.between());
          edges.addAll(found.edges());
        });
    double normal = median(between.stream().mapToDouble(Gap::ms).sorted().toArray());
    double limit = Math.max(OUTAGE_FACTOR * normal, normal + OUTAGE_MARGIN_MS);
    List<Gap> gaps =
        Stream.concat(between.stream(), edges.stream())
            .filter(gap -> gap.endedMs() >= from && gap.beganMs() <= to)
            .sorted(Comparator.comparingDouble(Gap::ms).reversed())
            .toList();
    List<Gap> outages = gaps.stream().filter(gap -> gap.ms() > limit).toList();

    List<HistoryRecord> inside =
        runs.values().stream()
            .flatMap(List::stream)
            .filter(r -> r.endMs() >= from && r.endMs() <= to)
            .toList();
    double[] durations =
        inside.stream()
            .filter(HistoryRecord::ok)
            .mapToDouble(HistoryRecord::durationMs)
            .sorted()
            .toArray();
    return new KindSummary(
        kind,
        count(inside, Outcome.OK),
        count(inside, Outcome.ERROR),
        count(inside, Outcome.UNKNOWN),
        (long) median(durations),
        durations.length == 0 ? 0 : (long) durations[durations.length - 1],
        normal,
        limit,
        gaps.isEmpty() ? null : gaps.get(0),
        outages.size(),
        outages.isEmpty() ? null : outages.get(0),
        errors(inside));
  }

  private static long count(List<HistoryRecord> records, Outcome outcome) {
    return records.stream().filter(r -> r.outcome() == outcome).count();
  }

  private static List<KindSummary.ErrorCount> errors(List<HistoryRecord> records) {
    Map<String, KindSummary.ErrorCount> counts = new LinkedHashMap<>();
    for (HistoryRecord record : records) {
      if (record.error() == null) {
        continue;
      }
      String pattern = ErrorPattern.of(record.error());
      counts.merge(
          pattern,
          new KindSummary.ErrorCount(pattern, 1, record.error()),
          (a, b) -> new KindSummary.ErrorCount(a.pattern(), a.count() + 1, a.example()));
    }
    return counts.values().stream()
        .sorted(Comparator.comparingLong(KindSummary.ErrorCount::count).reversed())
        .toList();
  }

  /** The median of sorted values, 0 when there are none. */
  private static double median(double[] sorted) {
    int n = sorted.length;
    if (n == 0) {
      return 0;
    }
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  }
}
