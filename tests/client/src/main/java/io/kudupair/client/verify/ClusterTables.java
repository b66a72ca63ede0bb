package io.kudupair.client.verify;

import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;

/** Asks a cluster which tables are there. */
public final class ClusterTables {
  private ClusterTables() {}

  /**
   * Lists all tables once, and tries to open each of the given ones.
   *
   * @throws KuduException on any answer other than the table or "not found"
   */
  public static Map<String, PresentTable> look(KuduClient client, List<String> names)
      throws KuduException {
    Set<String> listed = new HashSet<>(client.getTablesList().getTablesList());
    Map<String, PresentTable> tables = new LinkedHashMap<>();
    for (String name : names) {
      tables.put(name, new PresentTable(name, listed.contains(name), openedId(client, name)));
    }
    return tables;
  }

  private static String openedId(KuduClient client, String name) throws KuduException {
    try {
      return client.openTable(name).getTableId();
    } catch (KuduException e) {
      if (e.getStatus().isNotFound()) {
        return null;
      }
      throw e;
    }
  }
}
