package io.kudupair.client.verify;

import io.kudupair.client.verify.VerifyReport.Finding;
import java.time.Instant;
import java.util.List;

/** Shows a {@link VerifyReport} to a person. */
public final class VerifyText {
  private VerifyText() {}

  /** One line for each finding, then what was checked. */
  public static String of(VerifyReport report) {
    StringBuilder text = new StringBuilder();
    add(text, "missing", report.missing());
    add(text, "resurrected", report.resurrected());
    add(text, "replaced", report.replaced());
    add(text, "inconsistent", report.inconsistent());
    text.append(
        String.format(
            "%s: %d acknowledged tables, %d missing, %d replaced;"
                + " %d acknowledged drops and renames, %d resurrected; %d inconsistent;"
                + " %d undecided, of which %d are there%n",
            report.ok() ? "OK" : "NOT OK",
            report.acknowledged(),
            report.missing().size(),
            report.replaced().size(),
            report.dropped(),
            report.resurrected().size(),
            report.inconsistent().size(),
            report.undecided(),
            report.undecidedPresent()));
    return text.toString();
  }

  private static void add(StringBuilder text, String label, List<Finding> findings) {
    for (Finding finding : findings) {
      text.append(
          String.format(
              "%s: %s %s; %s at %s%n",
              label,
              finding.name(),
              finding.found(),
              finding.because(),
              Instant.ofEpochMilli(finding.atMs())));
    }
  }
}
