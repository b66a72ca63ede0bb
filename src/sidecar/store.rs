//! The control file on disk: written so that after any crash either the old or the new one is there.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{SidecarError, error::io};
use crate::{
    replication::Anchors,
    volume::{Volume, disk},
};

/// Name of the control file on the log volume.
pub const CONTROL_FILE: &str = "kudu-pair.anchors";
/// Its permission bits: it holds nothing secret, and people read it.
const MODE: u32 = 0o644;

/// A member's anchors, in memory as they are on disk. Clones are handles on the same ones.
#[derive(Debug, Clone)]
pub struct AnchorStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    volume: Arc<dyn Volume>,
    path: PathBuf,
    /// Never held across I/O.
    anchors: Mutex<Anchors>,
    /// Whether a write failed, so that it is not known what is on disk. Held by whoever writes, so that one change follows the
    /// other.
    unsure: Mutex<bool>,
}

impl AnchorStore {
    /// Reads the control file, or begins with empty anchors when there is none.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is another pair's.
    pub fn open(wal_dir: &Path, pair: &str) -> Result<Self, SidecarError> {
        Self::open_on(disk(), wal_dir, pair)
    }

    /// The same on a given volume.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_on(volume: Arc<dyn Volume>, wal_dir: &Path, pair: &str) -> Result<Self, SidecarError> {
        let path = wal_dir.join(CONTROL_FILE);
        let anchors = match fs::read(&path) {
            Ok(bytes) => {
                let anchors =
                    Anchors::decode(&bytes).map_err(|source| SidecarError::Anchors { path: path.clone(), source })?;
                // Whoever renamed it may have ended before the name was durable, and it is obeyed from here on.
                sync_folder(&*volume, wal_dir)?;
                anchors
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Anchors::new(pair),
            Err(error) => return Err(io("read", &path)(error)),
        };
        if anchors.pair != pair {
            return Err(SidecarError::OtherPair { found: anchors.pair, wanted: pair.to_owned() });
        }
        let (anchors, unsure) = (Mutex::new(anchors), Mutex::new(false));
        Ok(Self { shared: Arc::new(Shared { volume, path, anchors, unsure }) })
    }

    /// The anchors as they are on disk. Waits for no write.
    #[must_use]
    pub fn current(&self) -> Anchors {
        lock(&self.shared.anchors).clone()
    }

    /// Changes the anchors; when this returns, the change is durable. Nothing is written when nothing changes, unless the write
    /// before failed.
    ///
    /// # Errors
    /// When it cannot be written. On disk is then the old or the new one; in memory the old one, so that the next change
    /// writes the whole file again.
    pub fn update(&self, change: impl FnOnce(&mut Anchors)) -> Result<(), SidecarError> {
        let Shared { volume, path, anchors, unsure } = &*self.shared;
        let mut unsure = lock(unsure);
        let before = self.current();
        let mut next = before.clone();
        change(&mut next);
        if *unsure || next != before {
            *unsure = true;
            write_durably(&**volume, path, &next.encode())?;
            *unsure = false;
            *lock(anchors) = next;
        }
        Ok(())
    }
}

/// Both locks guard plain values that are replaced whole: whoever panicked left the old or the new one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Write, fsync, rename, fsync of the folder.
pub(super) fn write_durably(volume: &dyn Volume, path: &Path, bytes: &[u8]) -> Result<(), SidecarError> {
    let partial = path.with_extension("partial");
    let mut file = volume.create(&partial, MODE).map_err(io("create", &partial))?;
    file.write_all_at(bytes, 0).map_err(io("write", &partial))?;
    file.sync_data().map_err(io("fsync", &partial))?;
    volume.rename(&partial, path).map_err(io("rename", &partial))?;
    sync_folder(volume, path.parent().unwrap_or(Path::new(".")))
}

/// Removes a file, if it is there, for good.
pub(super) fn remove_durably(volume: &dyn Volume, path: &Path) -> Result<(), SidecarError> {
    match volume.remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("remove", path)(error)),
        Ok(()) => sync_folder(volume, path.parent().unwrap_or(Path::new("."))),
    }
}

/// Makes renames, new files and removals in a folder durable.
pub(super) fn sync_folder(volume: &dyn Volume, folder: &Path) -> Result<(), SidecarError> {
    volume.sync_folder(folder).map_err(io("fsync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let store = AnchorStore::open(folder.path(), "demo").unwrap();
        store.update(|anchors| anchors.epoch = 4).unwrap();
        assert_eq!(AnchorStore::open(folder.path(), "demo").unwrap().current(), store.current());
    }

    #[test]
    fn changes_through_several_handles_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = AnchorStore::open(folder.path(), "demo").unwrap();
        let other = store.clone();
        let numbers = std::thread::spawn(move || {
            for _ in 0..20 {
                other.update(|anchors| anchors.last_generation += 1).unwrap();
            }
        });
        for epoch in 1..=20 {
            store.update(|anchors| anchors.epoch = epoch).unwrap();
        }
        numbers.join().unwrap();
        let kept = AnchorStore::open(folder.path(), "demo").unwrap().current();
        assert_eq!((kept.epoch, kept.last_generation), (20, 20));
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
        fs::write(folder.path().join(CONTROL_FILE), b"KPANCHOR rubbish").unwrap();
        let refused = AnchorStore::open(folder.path(), "demo").unwrap_err();
        assert!(refused.to_string().contains("restore it"), "{refused}");
    }
}
