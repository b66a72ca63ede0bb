package io.kudupair.client.summary;

/**
 * A time without a success of one kind: from the end of one success to the end of the next.
 *
 * @param beganMs end of the last success before it (where there was none, the start of the first
 *     operation), wall clock, milliseconds since the epoch
 * @param endedMs end of the first success after it (where there was none, the end of the history),
 *     wall clock, milliseconds since the epoch
 * @param ms how long it was by the monotonic clock, milliseconds
 * @param recovered whether a success ended it
 */
public record Gap(long beganMs, long endedMs, double ms, boolean recovered) {}
