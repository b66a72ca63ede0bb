package io.kudupair.client.kudu;

import java.util.List;
import org.apache.kudu.ColumnSchema.ColumnSchemaBuilder;
import org.apache.kudu.Schema;
import org.apache.kudu.Type;
import org.apache.kudu.client.CreateTableOptions;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;
import org.apache.kudu.client.KuduTable;

/** The one shape of table that this client makes: an int64 key {@code id} and a {@code value}. */
public final class KuduTables {
  /** Name of the key column. */
  public static final String ID = "id";

  /** Name of the string column. */
  public static final String VALUE = "value";

  private KuduTables() {}

  /**
   * Creates a table and waits until it can be used.
   *
   * @param buckets hash partitions on the key, each one tablet; 1 makes a table of one tablet
   * @param replicas replicas of each tablet, an odd number
   */
  public static KuduTable create(KuduClient client, String name, int buckets, int replicas)
      throws KuduException {
    Schema schema =
        new Schema(
            List.of(
                new ColumnSchemaBuilder(ID, Type.INT64).key(true).build(),
                new ColumnSchemaBuilder(VALUE, Type.STRING).nullable(true).build()));
    CreateTableOptions options = new CreateTableOptions().setNumReplicas(replicas);
    if (buckets > 1) {
      options.addHashPartitions(List.of(ID), buckets);
    } else {
      options.setRangePartitionColumns(List.of());
    }
    return client.createTable(name, schema, options);
  }

  /**
   * Opens a table and checks its shape.
   *
   * @throws IllegalArgumentException when its columns are not those of {@link #create}
   */
  public static KuduTable open(KuduClient client, String name) throws KuduException {
    KuduTable table = client.openTable(name);
    Schema schema = table.getSchema();
    if (schema.getColumnCount() != 2
        || !schema.hasColumn(ID)
        || !schema.hasColumn(VALUE)
        || schema.getColumn(ID).getType() != Type.INT64
        || schema.getColumn(VALUE).getType() != Type.STRING) {
      throw new IllegalArgumentException(
          "table " + name + " must have just the columns id (int64) and value (string)");
    }
    return table;
  }
}
