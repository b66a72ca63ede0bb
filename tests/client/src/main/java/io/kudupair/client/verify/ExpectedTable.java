package io.kudupair.client.verify;

/**
 * What a history says about one table name.
 *
 * @param name the table's name
 * @param expectation whether it should be there
 * @param tableId the id it should have, null where the client never learned it
 * @param because the operation that says so, for a person
 * @param atMs when that operation ended, wall clock, milliseconds since the epoch
 */
public record ExpectedTable(
    String name, Expectation expectation, String tableId, String because, long atMs) {}
