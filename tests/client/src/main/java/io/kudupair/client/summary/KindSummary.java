package io.kudupair.client.summary;

import java.util.List;

/**
 * One kind of operation within the chosen time.
 *
 * @param kind see {@link io.kudupair.client.history.Kind}
 * @param ok acknowledged operations
 * @param error operations that were answered with an error
 * @param unknown operations without a telling answer
 * @param medianMs the median duration of the acknowledged ones, milliseconds
 * @param maxMs the longest duration of an acknowledged one, milliseconds
 * @param normalGapMs the median time from one success to the next in the whole history, milliseconds
 * @param outageAboveMs a gap longer than this is an outage, milliseconds
 * @param longestGap the longest gap, outage or not, null when there was none
 * @param outages how many gaps were longer than that
 * @param longestOutage the longest of them, null when there was none
 * @param errors the distinct errors, most frequent first
 */
public record KindSummary(
    String kind,
    long ok,
    long error,
    long unknown,
    long medianMs,
    long maxMs,
    double normalGapMs,
    double outageAboveMs,
    Gap longestGap,
    long outages,
    Gap longestOutage,
    List<ErrorCount> errors) {

  /**
   * How often one error was seen.
   *
   * @param pattern the error without its names and numbers
   * @param count how often
   * @param example the first such error in full
   */
  public record ErrorCount(String pattern, long count, String example) {}
}
