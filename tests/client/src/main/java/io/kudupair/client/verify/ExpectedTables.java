package io.kudupair.client.verify;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.history.Kind;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Works out from a history which tables should be there now. */
public final class ExpectedTables {
  private final Map<String, ExpectedTable> tables = new LinkedHashMap<>();

  private ExpectedTables() {}

  /**
   * One entry for each name that the history tried to create, drop or rename, in the order of their
   * first appearance.
   *
   * <p>Only an acknowledged change decides. Any other answer leaves both possible, errors too: the
   * client retries by itself, so an error can be the answer to a second try of a change that was
   * made.
   *
   * @param records in the order in which the operations ended; names are used once, and the changes
   *     to one table follow each other
   */
  public static List<ExpectedTable> from(List<HistoryRecord> records) {
    ExpectedTables expected = new ExpectedTables();
    for (HistoryRecord record : records) {
      switch (record.kind()) {
        case Kind.CREATE -> expected.create(record);
        case Kind.DROP -> expected.drop(record);
        case Kind.RENAME -> expected.rename(record);
        default -> {}
      }
    }
    return List.copyOf(expected.tables.values());
  }

  private void create(HistoryRecord record) {
    put(
        record,
        record.name(),
        record.ok() ? Expectation.PRESENT : Expectation.UNDECIDED,
        record.tableId());
  }

  private void drop(HistoryRecord record) {
    put(
        record,
        record.name(),
        record.ok() ? Expectation.ABSENT : Expectation.UNDECIDED,
        knownId(record));
  }

  private void rename(HistoryRecord record) {
    String id = knownId(record);
    boolean ok = record.ok();
    put(record, record.name(), ok ? Expectation.ABSENT : Expectation.UNDECIDED, id);
    if (record.newName() != null) {
      put(record, record.newName(), ok ? Expectation.PRESENT : Expectation.UNDECIDED, id);
    }
  }

  private String knownId(HistoryRecord record) {
    if (record.tableId() != null) {
      return record.tableId();
    }
    ExpectedTable before = tables.get(record.name());
    return before == null ? null : before.tableId();
  }

  private void put(HistoryRecord record, String name, Expectation expectation, String id) {
    String what = record.kind() + " " + record.name();
    if (record.newName() != null) {
      what += " to " + record.newName();
    }
    what += " was " + (record.ok() ? "acknowledged" : record.outcome().name().toLowerCase(Locale.ROOT));
    if (record.note() != null) {
      what += " (" + record.note() + ")";
    }
    tables.put(name, new ExpectedTable(name, expectation, id, what, record.endMs()));
  }
}
