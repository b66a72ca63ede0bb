package io.kudupair.client.watch;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Tells every loop to end. */
public final class StopSignal {
  private final CountDownLatch latch = new CountDownLatch(1);

  /** Asks for the end; may be called more than once. */
  public void request() {
    latch.countDown();
  }

  /** Whether the end was asked for. */
  public boolean requested() {
    return latch.getCount() == 0;
  }

  /**
   * Waits for a time or until the end is asked for, whichever comes first.
   *
   * @param ms milliseconds
   * @return whether the end was asked for
   */
  public boolean await(long ms) {
    try {
      return latch.await(ms, TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      request();
      return true;
    }
  }
}
