//! Raises the term of a catalog.
//!
//! kudu-master refuses a log whose last term is above the one in the consensus metadata; a standby's log grows past it with
//! each reign of another member.

use std::{fs, path::Path, time::Duration};

use super::{
    catalog::{self, TABLET},
    flags::tool_flags,
    jobs::{JobError, Workshop},
    tools::{Cancel, Limits},
    volumes::Folders,
};

/// The tool takes 60 ms; a promotion waits for it.
const LIMITS: Limits = Limits { total: Duration::from_secs(20), idle: None };

/// Raises the term of a generation to `term`; does nothing when it is there already.
pub fn set_term(workshop: &Workshop, generation: &str, term: i64, cancel: &Cancel) -> Result<(), JobError> {
    let folders = workshop.volumes.folders(generation)?;
    catalog::check(&folders.wal, &folders.data)?;
    if catalog::consensus(&folders.wal)?.term >= term {
        return Ok(());
    }
    let mut args = ["local_replica", "cmeta", "set_term", TABLET].map(str::to_owned).to_vec();
    args.push(term.to_string());
    args.extend(folder_flags(&folders));
    args.extend(tool_flags(&workshop.user_flags));
    workshop.programs.run(&workshop.children, &args, cancel, &LIMITS, || 0)?;
    remove_backups(&folders.wal)?;
    let now = catalog::consensus(&folders.wal)?.term;
    if now < term {
        return Err(JobError::Asked(format!("the term of {generation} is still {now} after it was set to {term}")));
    }
    tracing::info!(generation, term, "raised the term");
    Ok(())
}

/// The flags that point one of Kudu's tools to a generation.
pub fn folder_flags(folders: &Folders) -> [String; 2] {
    [format!("--fs_wal_dir={}", folders.wal.display()), format!("--fs_data_dirs={}", folders.data.display())]
}

/// Removes the copies that Kudu's tools make of the consensus metadata each time they change it.
pub fn remove_backups(wal: &Path) -> Result<(), JobError> {
    let failed = |error| JobError::File("consensus-meta", error);
    for entry in fs::read_dir(wal.join("consensus-meta")).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(&format!("{TABLET}.pre_rewrite.")) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
