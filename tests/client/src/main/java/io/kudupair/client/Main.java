package io.kudupair.client;

import io.kudupair.client.cli.Cli;

/** Where the program begins. */
public final class Main {
  private Main() {}

  /** Runs one command; see {@code --help}. */
  public static void main(String[] args) {
    System.exit(Cli.run(args));
  }
}
