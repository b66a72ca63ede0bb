package io.kudupair.client.watch;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.summary.ErrorPattern;
import java.io.PrintStream;
import java.time.Instant;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/** Tells a person, while it happens, when a kind begins to fail, works again, or was slow. */
public final class Announcer {
  /** A success that took longer is worth a line, milliseconds. */
  private static final long SLOW_MS = 500;

  private final PrintStream out;
  private final Map<String, HistoryRecord> failing = new HashMap<>();

  /**
   * Makes one.
   *
   * @param out where the lines go
   */
  public Announcer(PrintStream out) {
    this.out = out;
  }

  /** Looks at the newest record. */
  public synchronized void see(HistoryRecord record) {
    if (!record.ok()) {
      if (failing.putIfAbsent(record.kind(), record) == null) {
        say(record, "fails: " + ErrorPattern.brief(record.error()));
      }
      return;
    }
    HistoryRecord since = failing.remove(record.kind());
    if (since != null) {
      double seconds = (record.monoEndNs() - since.monoStartNs()) / 1e9;
      say(record, String.format(Locale.ROOT, "works again after %.3f s", seconds));
    } else if (record.durationMs() > SLOW_MS) {
      say(record, "took " + record.durationMs() + " ms");
    }
  }

  private void say(HistoryRecord record, String what) {
    out.println(Instant.ofEpochMilli(record.endMs()) + " " + record.kind() + " " + what);
  }
}
