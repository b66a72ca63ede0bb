package io.kudupair.client.verify;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

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

  /** The names of all findings. */
  public Set<String> findings() {
    return Stream.of(missing, resurrected, replaced, inconsistent)
        .flatMap(List::stream)
        .map(Finding::name)
        .collect(Collectors.toCollection(LinkedHashSet::new));
  }

  /** The same counts with the findings of a later look at the same names. */
  public VerifyReport withFindingsOf(VerifyReport later) {
    return new VerifyReport(
        acknowledged,
        dropped,
        undecided,
        undecidedPresent,
        later.missing,
        later.resurrected,
        later.replaced,
        later.inconsistent);
  }

  /** Whether everything that was acknowledged is so. */
  public boolean ok() {
    return missing.isEmpty()
        && resurrected.isEmpty()
        && replaced.isEmpty()
        && inconsistent.isEmpty();
  }
}
