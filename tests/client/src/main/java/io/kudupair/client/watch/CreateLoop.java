package io.kudupair.client.watch;

import io.kudupair.client.history.Kind;
import io.kudupair.client.history.Note;
import io.kudupair.client.kudu.KuduTables;
import java.util.Locale;
import org.apache.kudu.client.AlterTableOptions;
import org.apache.kudu.client.KuduClient;
import org.apache.kudu.client.KuduException;

/** Creates tables under names that are used once, and renames and drops some of them. */
final class CreateLoop implements Runnable {
  private final KuduClient client;
  private final WatchOptions options;
  private final Recorder recorder;
  private final String namePrefix;
  private final LiveTables live = new LiveTables();
  private long counter;

  CreateLoop(KuduClient client, WatchOptions options, Recorder recorder, String run) {
    this.client = client;
    this.options = options;
    this.recorder = recorder;
    this.namePrefix = options.prefix() + "-" + run + "-";
  }

  /** One create, and what is due after it. */
  @Override
  public void run() {
    counter++;
    String name = namePrefix + String.format(Locale.ROOT, "%06d", counter);
    if (recorder.perform(Operation.change(Kind.CREATE, name, () -> create(name))).isOk()) {
      live.created(name);
    }
    if (due(options.renameEvery())) {
      rename(live.takeToRename());
    }
    if (due(options.dropEvery())) {
      drop(live.takeToDrop());
    }
    while (options.keep() > 0 && live.size() > options.keep()) {
      drop(live.takeToDrop());
    }
  }

  private boolean due(int every) {
    return every > 0 && counter % every == 0;
  }

  private Result create(String name) throws KuduException {
    try {
      return Result.okTable(
          KuduTables.create(client, name, options.buckets(), options.replicas()).getTableId());
    } catch (KuduException e) {
      if (e.getStatus().isAlreadyPresent()) {
        return Result.okNoted(Note.ALREADY_PRESENT);
      }
      throw e;
    }
  }

  private void rename(String name) {
    if (name == null) {
      return;
    }
    String newName = name + "-renamed";
    Operation rename =
        new Operation(
            Kind.RENAME,
            name,
            newName,
            true,
            () -> {
              try {
                client.alterTable(name, new AlterTableOptions().renameTable(newName));
                return Result.ok();
              } catch (KuduException e) {
                if (e.getStatus().isNotFound() && client.tableExists(newName)) {
                  return Result.okNoted(Note.ALREADY_RENAMED);
                }
                throw e;
              }
            });
    if (recorder.perform(rename).isOk()) {
      live.renamed(newName);
    }
  }

  private void drop(String name) {
    if (name == null) {
      return;
    }
    recorder.perform(
        Operation.change(
            Kind.DROP,
            name,
            () -> {
              try {
                client.deleteTable(name);
                return Result.ok();
              } catch (KuduException e) {
                if (e.getStatus().isNotFound()) {
                  return Result.undecided(e, Note.NOT_FOUND);
                }
                throw e;
              }
            }));
  }
}
