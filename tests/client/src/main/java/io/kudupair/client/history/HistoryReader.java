package io.kudupair.client.history;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reads histories. */
public final class HistoryReader {
  private HistoryReader() {}

  /**
   * Reads a file.
   *
   * @throws HistoryException when it cannot be read, or a line other than an unfinished last one is
   *     no record
   */
  public static History read(Path file) throws HistoryException {
    String text;
    try {
      text = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
    } catch (NoSuchFileException e) {
      throw new HistoryException(file + ": there is no such file", e);
    } catch (IOException e) {
      throw new HistoryException(file + ": cannot be read: " + e.getMessage(), e);
    }
    try {
      return parse(text);
    } catch (HistoryException e) {
      throw new HistoryException(file + ": " + e.getMessage(), e);
    }
  }

  /**
   * Reads the text of a history. Empty lines are skipped; a last line without a newline that is no
   * record is what a killed client leaves behind, and only noted.
   */
  public static History parse(String text) throws HistoryException {
    List<HistoryRecord> records = new ArrayList<>();
    int number = 0;
    int at = 0;
    while (at < text.length()) {
      int newline = text.indexOf('\n', at);
      boolean finished = newline >= 0;
      String line = text.substring(at, finished ? newline : text.length());
      at = finished ? newline + 1 : text.length();
      number++;
      if (line.isBlank()) {
        continue;
      }
      try {
        records.add(HistoryCodec.decode(line));
      } catch (IllegalArgumentException e) {
        if (!finished) {
          return new History(List.copyOf(records), true);
        }
        throw new HistoryException("line " + number + ": " + e.getMessage(), e);
      }
    }
    return new History(List.copyOf(records), false);
  }
}
