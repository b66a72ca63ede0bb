package io.kudupair.client.cli;

import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/** Rules for option values; a broken one names the option, the value and the rule. */
final class Check {
  private Check() {}

  static long atLeast(CommandSpec spec, String option, long value, long least) {
    if (value < least) {
      throw fail(spec, option, String.valueOf(value), "must be " + least + " or more");
    }
    return value;
  }

  static int atLeast(CommandSpec spec, String option, int value, int least) {
    return (int) atLeast(spec, option, (long) value, least);
  }

  static int replicas(CommandSpec spec, int value) {
    if (value < 1 || value > 7 || value % 2 == 0) {
      throw fail(spec, "--replicas", String.valueOf(value), "must be 1, 3, 5 or 7");
    }
    return value;
  }

  static String name(CommandSpec spec, String option, String value) {
    if (value.isBlank()) {
      throw fail(spec, option, "'" + value + "'", "must not be empty");
    }
    return value;
  }

  static ParameterException fail(CommandSpec spec, String option, String value, String rule) {
    return new ParameterException(spec.commandLine(), option + ": " + value + " " + rule);
  }
}
