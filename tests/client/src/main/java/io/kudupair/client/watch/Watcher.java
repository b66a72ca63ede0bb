package io.kudupair.client.watch;

import io.kudupair.client.history.HistoryRecord;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduTable;

/** Runs the loops of one watch, all on one client. */
public final class Watcher {
  private static final long POLL_MS = 20;

  private final KuduClient client;
  private final WatchOptions options;
  private final StopSignal stop;
  private final Consumer<HistoryRecord> sink;
  private final Consumer<HistoryRecord> begun;
  private final PrintStream log;

  /**
   * Makes one.
   *
   * @param client stays open for the whole watch; the caller closes it
   * @param sink gets every record, from several threads
   * @param begun gets a record of each change to a table before it is asked for
   * @param log for a person, while it runs
   */
  public Watcher(
      KuduClient client,
      WatchOptions options,
      StopSignal stop,
      Consumer<HistoryRecord> sink,
      Consumer<HistoryRecord> begun,
      PrintStream log) {
    this.client = client;
    this.options = options;
    this.stop = stop;
    this.sink = sink;
    this.begun = begun;
    this.log = log;
  }

  /**
   * Watches until the stop signal or the chosen duration.
   *
   * @return whether the watch ever began: not if the stop came before the fixed table could be used
   * @throws IllegalStateException when a loop broke, as when the history cannot be written
   */
  public boolean watch() {
    String run = Long.toString(System.currentTimeMillis(), 36);
    Long deadline =
        options.durationMs() == null ? null : System.nanoTime() + options.durationMs() * 1_000_000;
    String fixed = options.prefix() + "-rows";
    KuduTable table = null;
    if (options.kinds().contains(LoopKind.OPEN) || options.kinds().contains(LoopKind.WRITE)) {
      table = prepare(fixed, deadline);
      if (table == null) {
        return false;
      }
    }
    AtomicReference<Throwable> broken = new AtomicReference<>();
    Map<Thread, Recorder> loops = new LinkedHashMap<>();
    for (LoopKind kind : options.kinds()) {
      Recorder recorder = new Recorder(run, sink, kind == LoopKind.CREATE ? begun : record -> {});
      Runnable step =
          switch (kind) {
            case LIST -> new ListLoop(client, recorder);
            case OPEN -> new OpenLoop(client, fixed, recorder);
            case CREATE -> new CreateLoop(client, options, recorder, run);
            case WRITE -> new WriteLoop(client, table, recorder, run);
          };
      Thread thread = new Thread(() -> loop(step, broken), "watch-" + kind);
      thread.setDaemon(true);
      loops.put(thread, recorder);
    }
    loops.keySet().forEach(Thread::start);
    stop.await(msUntil(deadline));
    stop.request();
    end(loops);
    if (broken.get() != null) {
      throw new IllegalStateException(broken.get().getMessage(), broken.get());
    }
    return true;
  }

  /** Prepares the fixed table in a thread of its own, so that a stop need not wait for the client. */
  private KuduTable prepare(String name, Long deadline) {
    CompletableFuture<KuduTable> prepared = new CompletableFuture<>();
    Thread thread =
        new Thread(
            () -> {
              try {
                prepared.complete(FixedTable.prepare(client, name, options, stop, log));
              } catch (RuntimeException e) {
                prepared.completeExceptionally(e);
              }
            },
            "watch-prepare");
    thread.setDaemon(true);
    thread.start();
    while (!prepared.isDone() && msUntil(deadline) > 0 && !stop.await(POLL_MS)) {}
    try {
      return prepared.isDone() ? prepared.join() : null;
    } catch (CompletionException e) {
      throw new IllegalStateException(e.getCause().getMessage(), e.getCause());
    }
  }

  private static long msUntil(Long deadline) {
    return deadline == null
        ? Long.MAX_VALUE
        : Math.max(0, (deadline - System.nanoTime()) / 1_000_000);
  }

  private void loop(Runnable step, AtomicReference<Throwable> broken) {
    try {
      while (!stop.requested()) {
        step.run();
        stop.await(options.intervalMs());
      }
    } catch (RuntimeException | Error e) {
      broken.compareAndSet(null, e);
      stop.request();
    }
  }

  private void end(Map<Thread, Recorder> loops) {
    long deadline = System.nanoTime() + options.graceMs() * 1_000_000;
    List<Recorder> hanging = new ArrayList<>();
    loops.forEach(
        (thread, recorder) -> {
          try {
            thread.join(Math.max(1, (deadline - System.nanoTime()) / 1_000_000));
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
          if (thread.isAlive()) {
            hanging.add(recorder);
          }
        });
    hanging.forEach(Recorder::abandon);
  }
}
