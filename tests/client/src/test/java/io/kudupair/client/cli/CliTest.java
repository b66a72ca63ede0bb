package io.kudupair.client.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

class CliTest {
  private String err = "";

  private int run(String... args) {
    StringWriter text = new StringWriter();
    CommandLine cli = Cli.commandLine().setErr(new PrintWriter(text, true));
    int code = cli.execute(args);
    err = text.toString();
    return code;
  }

  @Test
  void wrongValuesNameOptionValueAndRule() {
    assertEquals(
        ExitCode.USAGE, run("watch", "--master", "a:1", "--replicas", "2"));
    assertTrue(err.contains("--replicas: 2 must be 1, 3, 5 or 7"), err);
    assertEquals(
        ExitCode.USAGE, run("create", "--master", "a:1", "--prefix", "p", "--tables", "0"));
    assertTrue(err.contains("--tables: 0 must be 1 or more"), err);
    assertEquals(ExitCode.USAGE, run("watch", "--master", "a:1", "--kinds", "list,x"));
    assertTrue(err.contains("'--kinds' (KIND): 'x' must be list, open, create or write"), err);
    assertEquals(ExitCode.USAGE, run("list", "--master", "a"));
    assertTrue(err.contains("--master: 'a' must be HOST:PORT"), err);
  }

  @Test
  void aCommandIsNeeded() {
    assertEquals(ExitCode.USAGE, run());
    assertTrue(err.contains("name a command"), err);
  }

  @Test
  void aMissingHistoryIsAFileError() {
    assertEquals(ExitCode.FILE, run("summary", "--history", "no-such-file"));
    assertTrue(err.contains("no-such-file: there is no such file"), err);
  }

  @Test
  void aWindowThatEndsBeforeItBeginsIsRefused() {
    assertEquals(
        ExitCode.USAGE,
        run("summary", "--history", "h", "--from-ms", "10", "--to-ms", "5"));
    assertTrue(err.contains("--to-ms: 5 must not be before --from-ms 10"), err);
  }
}
