package io.kudupair.client.cli;

import io.kudupair.client.watch.StopSignal;
import java.util.concurrent.CountDownLatch;

/**
 * Turns SIGTERM and SIGINT into a {@link StopSignal}, and lets the command end by itself with its own
 * exit code instead of the signal's.
 */
final class StopOnSignal {
  private StopOnSignal() {}

  /** Tells that the command has ended. */
  interface Ending {
    void done(int exitCode);
  }

  static Ending install(StopSignal stop) {
    CountDownLatch ended = new CountDownLatch(1);
    int[] code = {ExitCode.OK};
    Thread hook =
        new Thread(
            () -> {
              if (ended.getCount() == 0) {
                return; // An exit of its own accord.
              }
              stop.request();
              try {
                ended.await();
              } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
              }
              Runtime.getRuntime().halt(code[0]);
            },
            "stop-on-signal");
    Runtime.getRuntime().addShutdownHook(hook);
    return exitCode -> {
      code[0] = exitCode;
      ended.countDown();
    };
  }
}
