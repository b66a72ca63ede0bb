package io.kudupair.client.summary;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Locale;

/** Shows a {@link Summary} to a person. */
public final class SummaryText {
  private static final DateTimeFormatter CLOCK =
      DateTimeFormatter.ofPattern("HH:mm:ss.SSS").withZone(ZoneOffset.UTC);
  private static final String ROW = "%-8s %7s %6s %8s %7s %8s %10s  %s%n";

  private SummaryText() {}

  /** A table, then the distinct errors. Clock times are UTC. */
  public static String of(Summary summary) {
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "%d operations in %.1f s, %s to %s UTC%n",
            summary.records(),
            (summary.toMs() - summary.fromMs()) / 1000.0,
            Instant.ofEpochMilli(summary.fromMs()),
            Instant.ofEpochMilli(summary.toMs())));
    text.append(
        String.format(
            ROW, "kind", "ok", "error", "unknown", "p50 ms", "max ms", "outages", "longest outage"));
    for (KindSummary kind : summary.kinds()) {
      text.append(
          String.format(
              ROW,
              kind.kind(),
              kind.ok(),
              kind.error(),
              kind.unknown(),
              kind.medianMs(),
              kind.maxMs(),
              kind.outages(),
              outage(kind)));
    }
    for (KindSummary kind : summary.kinds()) {
      for (KindSummary.ErrorCount error : kind.errors()) {
        text.append(
            String.format("%s: %d x %s%n", kind.kind(), error.count(), ErrorPattern.brief(error.example())));
      }
    }
    return text.toString();
  }

  private static String outage(KindSummary kind) {
    Gap gap = kind.longestOutage();
    if (gap == null) {
      return String.format(Locale.ROOT, "none over %.0f ms", kind.outageAboveMs());
    }
    String began = CLOCK.format(Instant.ofEpochMilli(gap.beganMs()));
    return gap.recovered()
        ? String.format(
            Locale.ROOT,
            "%.3f s (%s to %s)",
            gap.ms() / 1000,
            began,
            CLOCK.format(Instant.ofEpochMilli(gap.endedMs())))
        : String.format(Locale.ROOT, "%.3f s (%s on, NOT OVER)", gap.ms() / 1000, began);
  }
}
