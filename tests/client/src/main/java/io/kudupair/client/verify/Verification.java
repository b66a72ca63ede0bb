package io.kudupair.client.verify;

import io.kudupair.client.verify.VerifyReport.Finding;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Compares what a history expects with what a cluster has. */
public final class Verification {
  private Verification() {}

  /**
   * Compares.
   *
   * @param expected from {@link ExpectedTables#from}
   * @param present by name; an expected name that is not in it counts as absent
   */
  public static VerifyReport compare(
      List<ExpectedTable> expected, Map<String, PresentTable> present) {
    int acknowledged = 0;
    int dropped = 0;
    int undecided = 0;
    int undecidedPresent = 0;
    List<Finding> missing = new ArrayList<>();
    List<Finding> resurrected = new ArrayList<>();
    List<Finding> replaced = new ArrayList<>();
    List<Finding> inconsistent = new ArrayList<>();
    for (ExpectedTable table : expected) {
      PresentTable there =
          present.getOrDefault(table.name(), new PresentTable(table.name(), false, null));
      boolean opened = there.openedId() != null;
      if (opened != there.listed()) {
        inconsistent.add(
            finding(table, opened ? "opens, but is not listed" : "is listed, but does not open"));
      }
      boolean any = opened || there.listed();
      switch (table.expectation()) {
        case PRESENT -> {
          acknowledged++;
          if (!any) {
            missing.add(finding(table, "is not there"));
          } else if (opened && table.tableId() != null && !table.tableId().equals(there.openedId())) {
            replaced.add(
                finding(table, "has id " + there.openedId() + " instead of " + table.tableId()));
          }
        }
        case ABSENT -> {
          dropped++;
          if (any) {
            resurrected.add(finding(table, "is there"));
          }
        }
        case UNDECIDED -> {
          undecided++;
          undecidedPresent += any ? 1 : 0;
        }
      }
    }
    return new VerifyReport(
        acknowledged,
        dropped,
        undecided,
        undecidedPresent,
        List.copyOf(missing),
        List.copyOf(resurrected),
        List.copyOf(replaced),
        List.copyOf(inconsistent));
  }

  private static Finding finding(ExpectedTable table, String found) {
    return new Finding(table.name(), table.because(), table.atMs(), found);
  }
}
