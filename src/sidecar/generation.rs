//! Generations: each base is copied into folders of its own, and the control file says which one counts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{SidecarError, error::io, store::sync_folder};
use crate::{launcher::protocol::Generation, wal::SYS_CATALOG_TABLET_ID};

const PREFIX: &str = "gen-";
/// Where the logs of generations that were replaced are kept.
const QUARANTINE: &str = "quarantine";

/// The name of generation `number`.
pub(super) fn name(number: i64) -> Generation {
    format!("{PREFIX}{number}")
}

/// The folder of the catalog's log in a generation.
pub(super) fn log_folder(wal_dir: &Path, generation: &str) -> PathBuf {
    wal_dir.join(generation).join("wals").join(SYS_CATALOG_TABLET_ID)
}

/// Keeps the log of a replaced generation, readable with `kudu-pair wal`, and removes the rest of it.
pub(super) fn quarantine(wal_dir: &Path, data_dir: &Path, generation: &str) -> Result<(), SidecarError> {
    let kept = wal_dir.join(QUARANTINE).join(generation);
    let folder = log_folder(wal_dir, generation);
    if folder.exists() {
        let parent = wal_dir.join(QUARANTINE);
        fs::create_dir_all(&parent).map_err(io("create", &parent))?;
        fs::rename(&folder, &kept).map_err(io("quarantine", &folder))?;
        sync_folder(&parent)?;
    }
    remove(wal_dir, data_dir, generation)
}

/// Removes a generation.
pub(super) fn remove(wal_dir: &Path, data_dir: &Path, generation: &str) -> Result<(), SidecarError> {
    for volume in [wal_dir, data_dir] {
        let folder = volume.join(generation);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(io("remove", &folder))?;
        }
    }
    Ok(())
}

/// Generations on the log volume other than `current`: left by a crash between a new base and the removal of the old one.
pub(super) fn leftovers(wal_dir: &Path, current: Option<&str>) -> Result<Vec<Generation>, SidecarError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(wal_dir).map_err(io("list", wal_dir))? {
        let name = entry.map_err(io("list", wal_dir))?.file_name().to_string_lossy().into_owned();
        let numbered = name.strip_prefix(PREFIX).is_some_and(|number| number.parse::<i64>().is_ok());
        if numbered && Some(name.as_str()) != current {
            found.push(name);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_log_is_kept_and_the_rest_removed() {
        let volume = tempfile::tempdir().unwrap();
        let wal = volume.path();
        for number in [1, 2] {
            fs::create_dir_all(log_folder(wal, &name(number))).unwrap();
            fs::write(log_folder(wal, &name(number)).join("wal-000000001"), b"x").unwrap();
        }
        assert_eq!(leftovers(wal, Some("gen-2")).unwrap(), ["gen-1"]);
        quarantine(wal, wal, "gen-1").unwrap();
        assert!(wal.join("quarantine/gen-1/wal-000000001").exists());
        assert!(leftovers(wal, Some("gen-2")).unwrap().is_empty());
    }
}
