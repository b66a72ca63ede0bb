package io.kudupair.client.summary;

import java.util.List;

/**
 * A summary of a history.
 *
 * @param fromMs start of the chosen time, wall clock, milliseconds since the epoch
 * @param toMs end of the chosen time, wall clock, milliseconds since the epoch
 * @param records how many operations ended in it
 * @param kinds one entry for each kind in the history, in the order of their first appearance
 */
public record Summary(long fromMs, long toMs, long records, List<KindSummary> kinds) {}
