package io.kudupair.client.cli;

import io.kudupair.client.watch.LoopKind;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads one of the values of {@code --kinds}. */
final class LoopKindConverter implements ITypeConverter<LoopKind> {
  @Override
  public LoopKind convert(String value) {
    return switch (value) {
      case "list" -> LoopKind.LIST;
      case "open" -> LoopKind.OPEN;
      case "create" -> LoopKind.CREATE;
      case "write" -> LoopKind.WRITE;
      default ->
          throw new TypeConversionException("'" + value + "' must be list, open, create or write");
    };
  }
}
