package io.kudupair.client.history;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import java.util.List;

/** Turns records into lines of JSON and back. */
public final class HistoryCodec {
  private static final Gson GSON =
      new GsonBuilder()
          .setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES)
          .disableHtmlEscaping()
          .create();
  private static final Gson WITH_NULLS = GSON.newBuilder().serializeNulls().create();

  private static final List<String> REQUIRED =
      List.of("kind", "name", "start_ms", "mono_start_ns", "end_ms", "duration_ms", "outcome");

  private HistoryCodec() {}

  /**
   * One line, without its newline. {@code error} is always there, null when ok; other fields that
   * have no value are left out.
   */
  public static String encode(HistoryRecord record) {
    JsonObject object = GSON.toJsonTree(record).getAsJsonObject();
    if (!object.has("error")) {
      object.add("error", JsonNull.INSTANCE);
    }
    return WITH_NULLS.toJson(object);
  }

  /**
   * Reads one line. Unknown fields are ignored; {@code run} and {@code mono_end_ns} may be missing.
   *
   * @throws IllegalArgumentException when the line is no JSON object or lacks a required field; the
   *     message says which
   */
  public static HistoryRecord decode(String line) {
    JsonObject object;
    try {
      JsonElement element = GSON.fromJson(line, JsonElement.class);
      if (element == null || !element.isJsonObject()) {
        throw new IllegalArgumentException("not a JSON object");
      }
      object = element.getAsJsonObject();
    } catch (JsonParseException e) {
      throw new IllegalArgumentException("not valid JSON", e);
    }
    for (String field : REQUIRED) {
      if (!object.has(field) || object.get(field).isJsonNull()) {
        throw new IllegalArgumentException("field \"" + field + "\" is missing");
      }
    }
    if (!object.has("run")) {
      object.addProperty("run", "");
    }
    HistoryRecord record;
    try {
      if (!object.has("mono_end_ns")) {
        object.addProperty(
            "mono_end_ns",
            object.get("mono_start_ns").getAsLong()
                + object.get("duration_ms").getAsLong() * 1_000_000L);
      }
      record = GSON.fromJson(object, HistoryRecord.class);
    } catch (JsonParseException | NumberFormatException | UnsupportedOperationException e) {
      throw new IllegalArgumentException("a field has the wrong type: " + e.getMessage(), e);
    }
    if (record.outcome() == null) {
      throw new IllegalArgumentException(
          "field \"outcome\" is " + object.get("outcome") + ", not ok, error or unknown");
    }
    return record;
  }
}
