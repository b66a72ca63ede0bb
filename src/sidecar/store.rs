//! The control file on disk: written so that after any crash either the old or the new one is there.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use super::{SidecarError, error::io};
use crate::replication::Anchors;

/// Name of the control file on the log volume.
const FILE_NAME: &str = "kudu-pair.anchors";

/// A member's anchors, in memory as they are on disk.
#[derive(Debug)]
pub(super) struct AnchorStore {
    path: PathBuf,
    anchors: Anchors,
}

impl AnchorStore {
    /// Reads the control file, or begins with empty anchors when there is none.
    pub(super) fn open(wal_dir: &Path, pair: &str) -> Result<Self, SidecarError> {
        let path = wal_dir.join(FILE_NAME);
        let anchors = match fs::read(&path) {
            Ok(bytes) => {
                Anchors::decode(&bytes).map_err(|source| SidecarError::Anchors { path: path.clone(), source })?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Anchors::new(pair),
            Err(error) => return Err(io("read", &path)(error)),
        };
        if anchors.pair != pair {
            return Err(SidecarError::OtherPair { found: anchors.pair, wanted: pair.to_owned() });
        }
        Ok(Self { path, anchors })
    }

    /// The anchors as they are on disk.
    pub(super) fn current(&self) -> Anchors {
        self.anchors.clone()
    }

    /// Changes the anchors; when this returns, the change is durable. Nothing is written when nothing changes.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut Anchors)) -> Result<(), SidecarError> {
        let mut next = self.anchors.clone();
        change(&mut next);
        if next != self.anchors {
            write_durably(&self.path, &next.encode())?;
            self.anchors = next;
        }
        Ok(())
    }
}

/// Write, fsync, rename, fsync of the folder.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), SidecarError> {
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial).map_err(io("create", &partial))?;
    file.write_all(bytes).map_err(io("write", &partial))?;
    file.sync_all().map_err(io("fsync", &partial))?;
    fs::rename(&partial, path).map_err(io("rename", &partial))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes renames, new files and removals in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), SidecarError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("fsync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = AnchorStore::open(folder.path(), "demo").unwrap();
        store.update(|anchors| anchors.epoch = 4).unwrap();
        assert_eq!(AnchorStore::open(folder.path(), "demo").unwrap().current(), store.current());
    }

    #[test]
    fn another_pairs_volume_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        AnchorStore::open(folder.path(), "one").unwrap().update(|anchors| anchors.epoch = 1).unwrap();
        let refused = AnchorStore::open(folder.path(), "two").unwrap_err();
        assert!(refused.to_string().contains("belongs to pair \"one\""), "{refused}");
    }

    #[test]
    fn a_damaged_control_file_stops_the_member() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), b"KPANCHOR rubbish").unwrap();
        let refused = AnchorStore::open(folder.path(), "demo").unwrap_err();
        assert!(refused.to_string().contains("restore it"), "{refused}");
    }
}
