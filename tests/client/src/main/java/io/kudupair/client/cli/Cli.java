package io.kudupair.client.cli;

import io.kudupair.client.history.HistoryException;
import io.kudupair.client.kudu.Failure;
import io.kudupair.client.kudu.Rows;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kudu.client.KuduException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The command line as a whole. */
@Command(
    name = "kudu-pair-client",
    mixinStandardHelpOptions = true,
    version = "kudu-pair-client 0.1.0",
    description = "A Kudu client that records what it saw of a cluster, and checks it afterwards.",
    subcommands = {
      CreateCommand.class,
      LatencyCommand.class,
      LoadCommand.class,
      CountCommand.class,
      ListCommand.class,
      WatchCommand.class,
      SummaryCommand.class,
      VerifyCommand.class
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:all went well",
      "1:verify: the cluster is not as the history says",
      "2:the command line is wrong",
      "3:the cluster did not do what was asked",
      "4:a history or an output file cannot be read or written"
    })
public final class Cli implements Runnable {
  @Spec private CommandSpec spec;

  /** Runs one command and gives its {@link ExitCode}. */
  public static int run(String... args) {
    return commandLine().execute(args);
  }

  static CommandLine commandLine() {
    return new CommandLine(new Cli())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setUsageHelpWidth(100)
        .setParameterExceptionHandler(
            (e, args) -> {
              CommandLine at = e.getCommandLine();
              at.getErr().println("error: " + e.getMessage());
              at.getErr().println("see: " + at.getCommandSpec().qualifiedName() + " --help");
              return ExitCode.USAGE;
            })
        .setExecutionExceptionHandler(
            (e, at, parsed) -> {
              at.getErr().println("error: " + message(e));
              return exitCode(e);
            });
  }

  private static String message(Exception e) {
    return e instanceof KuduException || e instanceof Rows.RowRefused
        ? Failure.of(e).error()
        : e.getMessage() != null ? e.getMessage() : e.toString();
  }

  private static int exitCode(Exception e) {
    if (e instanceof KuduException || e instanceof Rows.RowRefused) {
      return ExitCode.CLUSTER;
    }
    if (e instanceof HistoryException
        || e instanceof IOException
        || e instanceof UncheckedIOException
        || e.getCause() instanceof UncheckedIOException) {
      return ExitCode.FILE;
    }
    return ExitCode.CLUSTER;
  }

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "name a command, such as watch");
  }
}
