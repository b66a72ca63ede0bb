package io.kudupair.client.history;

import java.util.List;

/**
 * What was read from a history.
 *
 * @param records in the file's order, which is the order in which the operations ended
 * @param tornTail whether the last line was unfinished and so left out
 */
public record History(List<HistoryRecord> records, boolean tornTail) {}
