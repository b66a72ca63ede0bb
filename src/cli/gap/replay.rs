//! Replaying a gap into the log of a master that is stopped, and giving one up.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::Path,
};

use rustix::fs::{FlockOperation, fcntl_lock};

use super::{
    GapCommandError, Outcome,
    log::Log,
    plan::{has_conflicts, write_plan},
};
use crate::{
    api::GapState,
    gap::KeptGap,
    sidecar::{
        gaps::GapStore,
        replay::{LogAtRest, Prepared},
    },
    wal::SYS_CATALOG_TABLET_ID,
};

/// The file that a Kudu server locks while it runs, below its data folder.
const LOCKED_BY_KUDU: &str = "data/block_manager_instance";

/// Adds what can be replayed behind the head of a log at rest.
pub(super) fn replay(gap: &Path, into: &Path, out: &mut dyn Write) -> Result<Outcome, GapCommandError> {
    refuse_while_running(into)?;
    let (old, new) = (Log::read(gap)?, Log::read(into)?);
    let part = old.part(Some(old.diff_head(&new)?))?;
    let mut log = LogAtRest::read(&new.dir)?;
    let prepared = Prepared::new(&log, &part, 0, None)?;
    write_plan(&prepared.plan, false, out)?;
    prepared.append(&mut log)?;
    match prepared.ops() {
        None => writeln!(out, "\nnothing to add: the log stays as it is")?,
        Some((first, last)) => writeln!(
            out,
            "\nadded {first} to {last}\nBefore kudu-master starts, its term has to be raised:\n  kudu local_replica cmeta set_term \
             {SYS_CATALOG_TABLET_ID} {} --fs_wal_dir={} --fs_data_dirs=...",
            last.term,
            into.display()
        )?,
    }
    Ok(if has_conflicts(&prepared.plan) { Outcome::Conflicts } else { Outcome::Ok })
}

/// Marks a kept gap as given up; its files stay.
pub(super) fn discard(gap: &Path, out: &mut dyn Write) -> Result<Outcome, GapCommandError> {
    let kept = GapStore::anchors(gap)?.ok_or_else(|| GapCommandError::NotKept(gap.to_owned()))?;
    let name = kept.name.clone();
    let outcome = vec!["discarded on its volume".to_owned()];
    GapStore::describe(gap, &KeptGap { state: GapState::Discarded, outcome, ..kept })?;
    writeln!(out, "{name} is given up; its files stay")?;
    Ok(Outcome::Ok)
}

fn refuse_while_running(server: &Path) -> Result<(), GapCommandError> {
    let file = match File::options().read(true).write(true).open(server.join(LOCKED_BY_KUDU)) {
        Ok(file) => file,
        // A log's own folder: whether a server runs on it is not to be seen.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| GapCommandError::Running(server.to_owned()))
}
