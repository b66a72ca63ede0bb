package io.kudupair.client.kudu;

import java.util.List;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;
import org.apache.kudu.client.KuduPredicate;
import org.apache.kudu.client.KuduScanner;
import org.apache.kudu.client.KuduSession;
import org.apache.kudu.client.KuduTable;
import org.apache.kudu.client.OperationResponse;
import org.apache.kudu.client.RowError;
import org.apache.kudu.client.RowResult;
import org.apache.kudu.client.RowResultIterator;
import org.apache.kudu.client.SessionConfiguration.FlushMode;
import org.apache.kudu.client.Upsert;

/** Reads and writes rows of a table made by {@link KuduTables}. */
public final class Rows {
  private static final int BATCH = 1000;

  private Rows() {}

  /** A row that a tablet server refused. */
  public static final class RowRefused extends Exception {
    private static final long serialVersionUID = 1L;

    RowRefused(RowError error) {
      super(error.getErrorStatus().toString());
    }
  }

  /** Upserts one row; the session must flush by itself ({@link FlushMode#AUTO_FLUSH_SYNC}). */
  public static void put(KuduSession session, KuduTable table, long id, String value)
      throws KuduException, RowRefused {
    OperationResponse response = session.apply(upsert(table, id, value));
    if (response != null && response.hasRowError()) {
      throw new RowRefused(response.getRowError());
    }
  }

  /** The value of one row, null when there is no such row or its value is null. */
  public static String get(KuduClient client, KuduTable table, long id) throws KuduException {
    KuduPredicate predicate =
        KuduPredicate.newComparisonPredicate(
            table.getSchema().getColumn(KuduTables.ID), KuduPredicate.ComparisonOp.EQUAL, id);
    KuduScanner scanner = client.newScannerBuilder(table).addPredicate(predicate).build();
    try {
      String value = null;
      while (scanner.hasMoreRows()) {
        for (RowResult row : scanner.nextRows()) {
          value = row.isNull(KuduTables.VALUE) ? null : row.getString(KuduTables.VALUE);
        }
      }
      return value;
    } finally {
      scanner.close();
    }
  }

  /** Upserts rows with the keys from {@code firstId} on, so that a second time changes nothing. */
  public static void load(KuduClient client, KuduTable table, long firstId, long rows)
      throws KuduException, RowRefused {
    KuduSession session = client.newSession();
    session.setFlushMode(FlushMode.MANUAL_FLUSH);
    session.setMutationBufferSpace(BATCH);
    try {
      for (long i = 0; i < rows; i++) {
        session.apply(upsert(table, firstId + i, "row " + (firstId + i)));
        if ((i + 1) % BATCH == 0 || i + 1 == rows) {
          for (OperationResponse response : session.flush()) {
            if (response.hasRowError()) {
              throw new RowRefused(response.getRowError());
            }
          }
        }
      }
    } finally {
      session.close();
    }
  }

  /** Counts the rows by scanning all of them without any column. */
  public static long count(KuduClient client, KuduTable table) throws KuduException {
    KuduScanner scanner =
        client.newScannerBuilder(table).setProjectedColumnIndexes(List.of()).build();
    try {
      long count = 0;
      while (scanner.hasMoreRows()) {
        RowResultIterator rows = scanner.nextRows();
        count += rows.getNumRows();
      }
      return count;
    } finally {
      scanner.close();
    }
  }

  private static Upsert upsert(KuduTable table, long id, String value) {
    Upsert upsert = table.newUpsert();
    upsert.getRow().addLong(KuduTables.ID, id);
    upsert.getRow().addString(KuduTables.VALUE, value);
    return upsert;
  }
}
