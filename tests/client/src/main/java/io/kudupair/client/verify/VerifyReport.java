package io.kudupair.client.verify;

import java.util.List;

/**
 * The result of comparing a history with a cluster.
 *
 * @param acknowledged names that should be there
 * @param dropped names that should not be there
 * @param undecided names of which the history cannot tell
 * @param undecidedPresent how many of those are there
 * @param missing acknowledged, but not there
 * @param resurrected acknowledged dropped or renamed away, but there
 * @param replaced there, but with another id: not the table that was acknowledged
 * @param inconsistent listed but not to be opened, or to be opened but not listed
 */
public record VerifyReport(
    int acknowledged,
    int dropped,
    int undecided,
    int undecidedPresent,
    List<Finding> missing,
    List<Finding> resurrected,
    List<Finding> replaced,
    List<Finding> inconsistent) {

  /**
   * One table that is not as it should be.
   *
   * @param name the table's name
   * @param because what the history says about it
   * @param atMs when the history learned that, wall clock, milliseconds since the epoch
   * @param found what the cluster says about it
   */
  public record Finding(String name, String because, long atMs, String found) {}

  /** Whether everything that was acknowledged is so. */
  public boolean ok() {
    return missing.isEmpty()
        && resurrected.isEmpty()
        && replaced.isEmpty()
        && inconsistent.isEmpty();
  }
}
