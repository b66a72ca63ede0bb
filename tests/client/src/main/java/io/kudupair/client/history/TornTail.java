package io.kudupair.client.history;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;

/** The unfinished last line that a killed client can leave behind. */
final class TornTail {
  private TornTail() {}

  /** Shortens the file to its last newline. A missing file is left missing. */
  static void cut(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      return;
    }
    try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
      long keep = bytes.length();
      while (keep > 0) {
        bytes.seek(keep - 1);
        if (bytes.read() == '\n') {
          break;
        }
        keep--;
      }
      if (keep < bytes.length()) {
        bytes.setLength(keep);
      }
    }
  }
}
