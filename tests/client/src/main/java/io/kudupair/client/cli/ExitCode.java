package io.kudupair.client.cli;

/** The program's exit codes. */
public final class ExitCode {
  /** All went well. */
  public static final int OK = 0;

  /** The check was done, and the cluster is not as the history says. */
  public static final int CHECK_FAILED = 1;

  /** The command line is wrong. */
  public static final int USAGE = 2;

  /** The cluster did not do what was asked. */
  public static final int CLUSTER = 3;

  /** A history or an output file cannot be read or written. */
  public static final int FILE = 4;

  private ExitCode() {}
}
