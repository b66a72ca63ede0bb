package io.kudupair.client.watch;

import java.util.Set;

/**
 * What to watch, and how.
 *
 * @param prefix of every table's name
 * @param kinds of {@link LoopKind}
 * @param intervalMs pause between the end of one operation of a kind and the start of the next,
 *     milliseconds
 * @param buckets tablets of each created table
 * @param replicas of each tablet
 * @param renameEvery after every so many creates rename the oldest table not yet renamed; 0 for never
 * @param dropEvery after every so many creates drop the oldest table; 0 for never
 * @param keep after each create drop the oldest tables until so many are left; 0 to keep all
 * @param durationMs end by itself after so long, milliseconds; null for never
 * @param graceMs how long to wait for operations under way when the end comes, milliseconds
 */
public record WatchOptions(
    String prefix,
    Set<LoopKind> kinds,
    long intervalMs,
    int buckets,
    int replicas,
    int renameEvery,
    int dropEvery,
    int keep,
    Long durationMs,
    long graceMs) {}
