package io.kudupair.client.cli;

import io.kudupair.client.history.History;
import io.kudupair.client.history.HistoryException;
import io.kudupair.client.history.HistoryReader;
import io.kudupair.client.summary.Summarizer;
import io.kudupair.client.summary.Summary;
import io.kudupair.client.summary.SummaryText;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Summarizes a history. */
@Command(
    name = "summary",
    mixinStandardHelpOptions = true,
    description = {
      "Prints for each kind how many operations were ok, an error or unknown, the longest outage and"
          + " the distinct errors.",
      "",
      "An outage is a time from the end of one success to the end of the next that is longer than 3"
          + " times the kind's median such time, and longer than it by 100 ms. With --from-ms and"
          + " --to-ms, operations that ended in that time are counted, and outages that overlap it"
          + " are given in full."
    })
final class SummaryCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(names = "--history", required = true, paramLabel = "FILE", description = "From watch.")
  private Path history;

  @Option(
      names = "--from-ms",
      paramLabel = "A",
      description = "Milliseconds since the epoch (default: the history's start).")
  private Long fromMs;

  @Option(
      names = "--to-ms",
      paramLabel = "B",
      description = "Milliseconds since the epoch (default: the history's end).")
  private Long toMs;

  @Option(names = "--json", description = "Print one JSON object instead of a table.")
  private boolean json;

  @Override
  public Integer call() throws HistoryException {
    if (fromMs != null && toMs != null && fromMs > toMs) {
      throw Check.fail(spec, "--to-ms", toMs.toString(), "must not be before --from-ms " + fromMs);
    }
    History read = HistoryReader.read(history);
    if (read.tornTail()) {
      System.err.println("warning: " + history + ": the last line is unfinished and left out");
    }
    Summary summary = Summarizer.summarize(read.records(), fromMs, toMs);
    System.out.print(json ? Json.of(summary) + "\n" : SummaryText.of(summary));
    return ExitCode.OK;
  }
}
