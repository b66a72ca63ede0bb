package io.kudupair.client.summary;

import java.util.regex.Pattern;

/** Makes errors that differ only in a name, an id or a number count as one. */
public final class ErrorPattern {
  private static final Pattern RPC_DETAIL = Pattern.compile("(timeout): KuduRpc\\(.*");
  private static final Pattern ID = Pattern.compile("\\b[0-9a-f]{32}\\b");
  private static final Pattern QUOTED = Pattern.compile("'[^']*'|\"[^\"]*\"");
  private static final Pattern TABLE = Pattern.compile("(?i)\\b(table) (?!with |already |does |to )[^\\s'\",]+");
  private static final Pattern ADDRESS =
      Pattern.compile("(?:[\\w.-]+)?/?\\d{1,3}(?:\\.\\d{1,3}){3}:\\d+");
  private static final Pattern NUMBER = Pattern.compile("\\b\\d+\\b");

  private static final Pattern TIMEOUT_DETAIL = Pattern.compile(", TimeoutTracker\\(.*");
  private static final int BRIEF = 200;

  private ErrorPattern() {}

  /** The error cut down for a person: without the client's trace of a time-out, 200 characters. */
  public static String brief(String error) {
    String text = TIMEOUT_DETAIL.matcher(error).replaceAll(")");
    return text.length() <= BRIEF ? text : text.substring(0, BRIEF) + "...";
  }

  /** The error with what varies from one operation to the next replaced. */
  public static String of(String error) {
    String text = RPC_DETAIL.matcher(error).replaceAll("$1");
    text = ID.matcher(text).replaceAll("<id>");
    text = QUOTED.matcher(text).replaceAll("<name>");
    text = TABLE.matcher(text).replaceAll("$1 <name>");
    text = ADDRESS.matcher(text).replaceAll("<address>");
    return NUMBER.matcher(text).replaceAll("<n>");
  }
}
