package io.kudupair.client.history;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kudupair.client.Records;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HistoryFileTest {
  private static final HistoryRecord A = Records.ok("list", "*", 0, 1);
  private static final HistoryRecord B = Records.ok("list", "*", 2, 3);

  @TempDir private Path dir;

  @Test
  void everyRecordIsInTheFileBeforeTheWriterIsClosed() throws Exception {
    Path file = dir.resolve("h");
    try (HistoryWriter writer = HistoryWriter.append(file)) {
      writer.write(A);
      assertEquals(List.of(A), HistoryReader.read(file).records());
      writer.write(B);
      assertEquals(List.of(A, B), HistoryReader.read(file).records());
    }
  }

  @Test
  void anUnfinishedLastLineIsNotedAndCutByTheNextWriter() throws Exception {
    Path file = dir.resolve("h");
    try (HistoryWriter writer = HistoryWriter.append(file)) {
      writer.write(A);
    }
    Files.writeString(file, "{\"kind\":\"li", StandardOpenOption.APPEND);
    History torn = HistoryReader.read(file);
    assertEquals(List.of(A), torn.records());
    assertTrue(torn.tornTail());
    try (HistoryWriter writer = HistoryWriter.append(file)) {
      writer.write(B);
    }
    History whole = HistoryReader.read(file);
    assertEquals(List.of(A, B), whole.records());
    assertFalse(whole.tornTail());
  }

  @Test
  void aFileOfOneUnfinishedLineIsEmptied() throws Exception {
    Path file = dir.resolve("h");
    Files.writeString(file, "{\"ki");
    HistoryWriter.append(file).close();
    assertEquals(0, Files.size(file));
  }

  @Test
  void aBadLineInTheMiddleIsAnErrorThatNamesFileAndLine() throws Exception {
    Path file = dir.resolve("h");
    Files.writeString(file, HistoryCodec.encode(A) + "\n\nnonsense\n" + HistoryCodec.encode(B));
    HistoryException e = assertThrows(HistoryException.class, () -> HistoryReader.read(file));
    assertEquals(file + ": line 3: not a JSON object", e.getMessage());
  }

  @Test
  void aMissingFileIsNamed() {
    Path file = dir.resolve("none");
    HistoryException e = assertThrows(HistoryException.class, () -> HistoryReader.read(file));
    assertEquals(file + ": there is no such file", e.getMessage());
  }

  @Test
  void aLastLineWithoutNewlineThatIsWholeCounts() throws Exception {
    assertEquals(List.of(A), HistoryReader.parse(HistoryCodec.encode(A)).records());
    assertEquals(List.of(), HistoryReader.parse("").records());
  }
}
