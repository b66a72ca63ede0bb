package io.kudupair.client.verify;

/**
 * What the cluster says about one table name.
 *
 * @param name the table's name
 * @param listed whether the list of tables has it
 * @param openedId the id with which it could be opened, null when it is not there to open
 */
public record PresentTable(String name, boolean listed, String openedId) {}
