//! Makes a new, empty catalog with a given uuid.
//!
//! `kudu fs format` can be given a uuid but makes no catalog, and kudu-master refuses folders without one. kudu-master makes a
//! catalog when its folders do not exist, but under a uuid that it draws itself. So both are done: a kudu-master on a loopback
//! port that nobody knows makes the catalog and is killed; then the identity is replaced by one from `kudu fs format`, and
//! `kudu local_replica cmeta rewrite_raft_config` names it as the Raft configuration's only peer. The catalog's first
//! real master loads all that as any other restart.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    catalog::{self, TABLET},
    copy::{LAYOUT_LIMITS, lay_out},
    flags::{formatting_args, tool_flags},
    jobs::{JobError, Workshop},
    output::Output,
    term::{folder_flags, remove_backups},
    tools::{Cancel, ToolError},
    volumes::Folders,
};

/// How long a new catalog may take; it takes half a second.
const CATALOG_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// The address in the Raft configuration. A configuration must have one, and a single master does not use it.
const PEER_ADDRESS: &str = "127.0.0.1:7051";

/// Makes a catalog in the folders of a generation that has begun.
pub fn format(workshop: &Workshop, generation: &str, uuid: &str, cancel: &Cancel) -> Result<(), JobError> {
    let partial = workshop.volumes.partial(generation);
    make_catalog(workshop, &partial, cancel)?;

    let identity = workshop.volumes.scratch(generation);
    lay_out(workshop, &identity, uuid, cancel)?;
    for (from, to) in identity.each().zip(partial.each()) {
        fs::rename(from.join("instance"), to.join("instance")).map_err(|error| JobError::File("instance", error))?;
    }
    let mut args = ["local_replica", "cmeta", "rewrite_raft_config", TABLET].map(str::to_owned).to_vec();
    args.push(format!("{uuid}:{PEER_ADDRESS}"));
    args.extend(folder_flags(&partial));
    args.extend(tool_flags(&workshop.user_flags));
    workshop.programs.run(&workshop.children, &args, cancel, &LAYOUT_LIMITS, || 0)?;
    remove_backups(&partial.wal)?;
    tracing::info!(generation, uuid, "formatted a new catalog");
    Ok(())
}

/// Lets a kudu-master make a catalog, and kills it.
fn make_catalog(workshop: &Workshop, folders: &Folders, cancel: &Cancel) -> Result<(), JobError> {
    let args = formatting_args(&workshop.user_flags, &folders.wal, &folders.data);
    let mut child = workshop.programs.spawn(&workshop.children, &workshop.programs.master(), &args)?;
    let output = Output::follow(&mut child);
    let begin = Instant::now();
    let made: Result<(), JobError> = loop {
        // It elects itself, which raises the term from 0, after it has made all its files.
        if catalog::consensus(&folders.wal).is_ok_and(|consensus| consensus.term > 0) {
            break Ok(());
        }
        match workshop.children.try_wait(&mut child) {
            Ok(None) => {}
            Ok(Some(status)) => {
                let words = output.last_words().unwrap_or_default();
                return Err(ToolError::Failed("kudu-master".to_owned(), status, words).into());
            }
            Err(error) => break Err(ToolError::Wait(error).into()),
        }
        if cancel.is_cancelled() {
            break Err(ToolError::Cancelled.into());
        }
        if begin.elapsed() > CATALOG_LIMIT {
            // A file that is there and cannot be read says more than the time.
            break match catalog::consensus(&folders.wal) {
                Err(error) => Err(error.into()),
                Ok(_) => Err(ToolError::TooLong(CATALOG_LIMIT).into()),
            };
        }
        thread::sleep(LOOK);
    };
    // Either fails only when it is gone.
    let _ = child.kill();
    let _ = workshop.children.wait(&mut child);
    made
}
