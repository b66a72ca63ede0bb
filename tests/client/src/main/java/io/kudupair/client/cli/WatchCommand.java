package io.kudupair.client.cli;

import io.kudupair.client.history.HistoryRecord;
import io.kudupair.client.history.HistoryWriter;
import io.kudupair.client.summary.Summarizer;
import io.kudupair.client.summary.SummaryText;
import io.kudupair.client.watch.Announcer;
import io.kudupair.client.watch.LoopKind;
import io.kudupair.client.watch.RecentRecords;
import io.kudupair.client.watch.StopSignal;
import io.kudupair.client.watch.WatchOptions;
import io.kudupair.client.watch.Watcher;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import org.apache.kudu.client.KuduClient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Records a history. */
@Command(
    name = "watch",
    mixinStandardHelpOptions = true,
    description = {
      "Uses a cluster through one long-lived client, and appends every operation to a history, one"
          + " line of JSON each. Each kind has its own thread.",
      "Ends on SIGTERM or SIGINT with a summary and exit code 0.",
      "",
      "Kinds: list (all tables), open (the table PREFIX-rows), create (tables PREFIX-RUN-NUMBER),"
          + " write (a row of PREFIX-rows, which is then read back)."
    })
final class WatchCommand implements Callable<Integer> {
  private static final int SUMMARY_RECORDS = 200_000;

  @Spec private CommandSpec spec;
  @Mixin private MasterOptions master;

  private String prefix;
  private long intervalMs;
  private int buckets;
  private int replicas;
  private int renameEvery;
  private int dropEvery;
  private int keep;
  private Long durationS;
  private long graceMs;

  @Option(
      names = "--history",
      defaultValue = "-",
      paramLabel = "FILE",
      description =
          "Append the history to this file; - for standard output, and then the summary goes to"
              + " standard error (default: ${DEFAULT-VALUE}).")
  private String history;

  @Option(
      names = "--quiet",
      description = "Do not tell on standard error when a kind fails, works again or was slow.")
  private boolean quiet;

  @Option(
      names = "--prefix",
      defaultValue = "watch",
      paramLabel = "P",
      description = "Of every table's name (default: ${DEFAULT-VALUE}).")
  void setPrefix(String value) {
    prefix = Check.name(spec, "--prefix", value);
  }

  @Option(
      names = "--kinds",
      split = ",",
      converter = LoopKindConverter.class,
      defaultValue = "list,open,create,write",
      paramLabel = "KIND",
      description = "With commas between them (default: ${DEFAULT-VALUE}).")
  private Set<LoopKind> kinds;

  @Option(
      names = "--interval-ms",
      defaultValue = "50",
      paramLabel = "N",
      description =
          "Pause between two operations of one kind, milliseconds (default: ${DEFAULT-VALUE}).")
  void setIntervalMs(long value) {
    intervalMs = Check.atLeast(spec, "--interval-ms", value, 0);
  }

  @Option(
      names = "--buckets",
      defaultValue = "2",
      paramLabel = "B",
      description = "Tablets of each created table (default: ${DEFAULT-VALUE}).")
  void setBuckets(int value) {
    buckets = Check.atLeast(spec, "--buckets", value, 1);
  }

  @Option(
      names = "--replicas",
      defaultValue = "1",
      paramLabel = "R",
      description = "Replicas of each tablet, an odd number (default: ${DEFAULT-VALUE}).")
  void setReplicas(int value) {
    replicas = Check.replicas(spec, value);
  }

  @Option(
      names = "--rename-every",
      defaultValue = "0",
      paramLabel = "N",
      description =
          "After every N creates rename the oldest table not yet renamed; 0 for never"
              + " (default: ${DEFAULT-VALUE}).")
  void setRenameEvery(int value) {
    renameEvery = Check.atLeast(spec, "--rename-every", value, 0);
  }

  @Option(
      names = "--drop-every",
      defaultValue = "0",
      paramLabel = "N",
      description =
          "After every N creates drop the oldest table; 0 for never (default: ${DEFAULT-VALUE}).")
  void setDropEvery(int value) {
    dropEvery = Check.atLeast(spec, "--drop-every", value, 0);
  }

  @Option(
      names = "--keep",
      defaultValue = "0",
      paramLabel = "N",
      description =
          "After each create drop the oldest tables of this run until N are left; 0 to keep all"
              + " (default: ${DEFAULT-VALUE}).")
  void setKeep(int value) {
    keep = Check.atLeast(spec, "--keep", value, 0);
  }

  @Option(
      names = "--duration-s",
      paramLabel = "N",
      description = "End after so many seconds (default: only on a signal).")
  void setDurationS(long value) {
    durationS = Check.atLeast(spec, "--duration-s", value, 1);
  }

  @Option(
      names = "--grace-ms",
      defaultValue = "2000",
      paramLabel = "N",
      description =
          "At the end wait so long for operations under way, then record them as unknown,"
              + " milliseconds (default: ${DEFAULT-VALUE}).")
  void setGraceMs(long value) {
    graceMs = Check.atLeast(spec, "--grace-ms", value, 0);
  }

  @Override
  public Integer call() throws IOException {
    boolean toStdout = history.equals("-");
    PrintStream report = toStdout ? System.err : System.out;
    StopSignal stop = new StopSignal();
    StopOnSignal.Ending ending = StopOnSignal.install(stop);
    int code = ExitCode.CLUSTER;
    try {
      code = watch(toStdout, report, stop);
      return code;
    } finally {
      System.out.flush();
      ending.done(code);
    }
  }

  private int watch(boolean toStdout, PrintStream report, StopSignal stop) throws IOException {
    WatchOptions options =
        new WatchOptions(
            prefix,
            kinds,
            intervalMs,
            buckets,
            replicas,
            renameEvery,
            dropEvery,
            keep,
            durationS == null ? null : durationS * 1000,
            graceMs);
    RecentRecords recent = new RecentRecords(SUMMARY_RECORDS);
    boolean began;
    try (HistoryWriter writer =
        toStdout
            ? HistoryWriter.to(new FileOutputStream(FileDescriptor.out))
            : HistoryWriter.append(Path.of(history))) {
      Consumer<HistoryRecord> sink =
          record -> {
            writer.write(record);
            recent.add(record);
          };
      if (!quiet) {
        sink = sink.andThen(new Announcer(System.err)::see);
      }
      // Not closed: that would wait for operations under way, and the process ends here.
      KuduClient client = master.connect();
      began = new Watcher(client, options, stop, sink, writer::write, System.err).watch();
    }
    if (!began) {
      System.err.println("error: stopped before table " + prefix + "-rows could be used");
      return ExitCode.CLUSTER;
    }
    if (!recent.complete()) {
      report.println("only the last " + SUMMARY_RECORDS + " operations:");
    }
    report.print(SummaryText.of(Summarizer.summarize(recent.all(), null, null)));
    report.flush();
    return ExitCode.OK;
  }
}
