//! Generations: each base is copied into folders of its own, and the control file says which one counts.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    SidecarError,
    error::io,
    store::{AnchorStore, sync_folder},
};
use crate::{
    launcher::protocol::Generation,
    volume::Volume,
    wal::{OpId, SYS_CATALOG_TABLET_ID},
};

const PREFIX: &str = "gen-";
/// Where the logs of generations that were replaced are kept.
const QUARANTINE: &str = "quarantine";

/// The name of generation `number`.
#[must_use]
pub fn name(number: i64) -> Generation {
    format!("{PREFIX}{number}")
}

/// The folder of the catalog's log in a generation.
#[must_use]
pub fn log_folder(wal_dir: &Path, generation: &str) -> PathBuf {
    wal_dir.join(generation).join("wals").join(SYS_CATALOG_TABLET_ID)
}

/// Whether one generation was made after another; names that are none are not.
#[must_use]
pub fn is_newer(generation: &str, other: &str) -> bool {
    let number = |name: &str| name.strip_prefix(PREFIX).and_then(|number| number.parse::<i64>().ok());
    matches!((number(generation), number(other)), (Some(one), Some(other)) if one > other)
}

/// The name of a generation to be made. It is remembered before it is used, so that it is never used again.
///
/// # Errors
/// When the control file cannot be written.
pub fn next(anchors: &AnchorStore) -> Result<Generation, SidecarError> {
    let number = anchors.current().last_generation.saturating_add(1);
    anchors.update(|anchors| anchors.last_generation = number)?;
    Ok(name(number))
}

/// Lets a generation that is whole and durable count from now on. `base_head` is the last op of a base's log.
///
/// # Errors
/// When the control file cannot be written; which generation counts is known when it is read again.
pub fn adopt(anchors: &AnchorStore, generation: &str, uuid: &str, base_head: Option<OpId>) -> Result<(), SidecarError> {
    anchors.update(|anchors| {
        anchors.adopt(generation, base_head, base_head);
        uuid.clone_into(&mut anchors.uuid);
    })
}

/// Keeps the log of a replaced generation, readable with `kudu-pair wal`, and removes the rest of it.
///
/// # Errors
/// When the system refuses; what is left then is a leftover, and this can be called again.
pub fn quarantine(volume: &dyn Volume, wal_dir: &Path, data_dir: &Path, generation: &str) -> Result<(), SidecarError> {
    let kept = wal_dir.join(QUARANTINE).join(generation);
    let folder = log_folder(wal_dir, generation);
    let parent = wal_dir.join(QUARANTINE);
    if folder.exists() {
        volume.create_folder(&parent).map_err(io("create", &parent))?;
        // The log's new place must not be in a folder that a loss of power can still take.
        sync_folder(volume, wal_dir)?;
        volume.rename(&folder, &kept).map_err(io("quarantine", &folder))?;
    }
    if kept.exists() {
        // Nor may the removal that follows be durable before it. An earlier call may have come so far.
        sync_folder(volume, &parent)?;
    }
    remove(volume, wal_dir, data_dir, generation)
}

/// Removes a generation.
///
/// # Errors
/// When the system refuses; a part may be removed.
pub fn remove(volume: &dyn Volume, wal_dir: &Path, data_dir: &Path, generation: &str) -> Result<(), SidecarError> {
    for parent in [wal_dir, data_dir] {
        let folder = parent.join(generation);
        if folder.exists() {
            volume.remove_folder(&folder).map_err(io("remove", &folder))?;
        }
    }
    Ok(())
}

/// Generations on the volumes other than `current`: left by a crash between a new base and the removal of the old one.
///
/// # Errors
/// When a volume cannot be listed.
pub fn leftovers(wal_dir: &Path, data_dir: &Path, current: Option<&str>) -> Result<BTreeSet<Generation>, SidecarError> {
    let mut found = BTreeSet::new();
    for volume in [wal_dir, data_dir] {
        for entry in fs::read_dir(volume).map_err(io("list", volume))? {
            let name = entry.map_err(io("list", volume))?.file_name().to_string_lossy().into_owned();
            let numbered = name.strip_prefix(PREFIX).is_some_and(|number| number.parse::<i64>().is_ok());
            if numbered && Some(name.as_str()) != current {
                found.insert(name);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Disk;

    #[test]
    fn a_replaced_log_is_kept_and_the_rest_removed() {
        let volume = tempfile::tempdir().unwrap();
        let wal = volume.path();
        for number in [1, 2] {
            fs::create_dir_all(log_folder(wal, &name(number))).unwrap();
            fs::write(log_folder(wal, &name(number)).join("wal-000000001"), b"x").unwrap();
        }
        assert_eq!(leftovers(wal, wal, Some("gen-2")).unwrap(), ["gen-1".to_owned()].into());
        quarantine(&Disk, wal, wal, "gen-1").unwrap();
        assert!(wal.join("quarantine/gen-1/wal-000000001").exists());
        assert!(leftovers(wal, wal, Some("gen-2")).unwrap().is_empty());
    }
}
