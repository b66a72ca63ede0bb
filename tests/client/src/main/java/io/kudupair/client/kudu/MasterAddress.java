package io.kudupair.client.kudu;

/** Checks master addresses before the client sees them, for a clearer error. */
public final class MasterAddress {
  private MasterAddress() {}

  /**
   * Checks one {@code HOST:PORT}, or several with commas between them.
   *
   * @throws IllegalArgumentException with the rule that is broken
   */
  public static String check(String addresses) {
    for (String address : addresses.split(",", -1)) {
      int colon = address.lastIndexOf(':');
      String host = colon < 0 ? address : address.substring(0, colon);
      if (colon < 0 || host.isBlank() || !host.equals(host.strip())) {
        throw new IllegalArgumentException(
            "'" + address + "' must be HOST:PORT, as in kudu.example:7051");
      }
      int port;
      try {
        port = Integer.parseInt(address.substring(colon + 1));
      } catch (NumberFormatException e) {
        port = -1;
      }
      if (port < 1 || port > 65535) {
        throw new IllegalArgumentException("the port of '" + address + "' must be 1 to 65535");
      }
    }
    return addresses;
  }
}
