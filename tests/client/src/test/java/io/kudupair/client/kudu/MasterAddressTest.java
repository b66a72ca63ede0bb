package io.kudupair.client.kudu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class MasterAddressTest {
  @Test
  void goodAddressesAreKept() {
    assertEquals("a:1,b.c:65535", MasterAddress.check("a:1,b.c:65535"));
  }

  @Test
  void badOnesAreNamedWithTheRule() {
    assertEquals("'a' must be HOST:PORT, as in kudu.example:7051", message("b:1,a"));
    assertEquals("'' must be HOST:PORT, as in kudu.example:7051", message("b:1,"));
    assertEquals("the port of 'a:0' must be 1 to 65535", message("a:0"));
    assertEquals("the port of 'a:x' must be 1 to 65535", message("a:x"));
  }

  private static String message(String address) {
    return assertThrows(IllegalArgumentException.class, () -> MasterAddress.check(address))
        .getMessage();
  }
}
