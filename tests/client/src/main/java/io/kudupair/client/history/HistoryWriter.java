package io.kudupair.client.history;

import java.io.Closeable;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * Appends records to a history, each with one write that is handed to the system at once, so that a
 * killed client loses at most what was still under way. Safe for use by several threads.
 */
public final class HistoryWriter implements Closeable {
  private final OutputStream out;
  private final boolean owned;

  private HistoryWriter(OutputStream out, boolean owned) {
    this.out = out;
    this.owned = owned;
  }

  /** Appends to a file, first cutting off a last line that an earlier client left unfinished. */
  public static HistoryWriter append(Path file) throws IOException {
    TornTail.cut(file);
    return new HistoryWriter(new FileOutputStream(file.toFile(), true), true);
  }

  /** Writes to a stream, which {@link #close} leaves open. */
  public static HistoryWriter to(OutputStream out) {
    return new HistoryWriter(out, false);
  }

  /** Appends one record. */
  public synchronized void write(HistoryRecord record) {
    try {
      out.write((HistoryCodec.encode(record) + "\n").getBytes(StandardCharsets.UTF_8));
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public synchronized void close() throws IOException {
    if (owned) {
      out.close();
    }
  }
}
