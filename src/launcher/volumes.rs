//! The folders of a member: generations, how they come to be at once or not at all, and who may work on them.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};

use crate::volume::{Volume, disk};

/// Suffix of a generation that is being made.
const PARTIAL: &str = ".partial";
/// Suffix of a folder that is needed only while a generation is made.
const SCRATCH: &str = ".scratch";
/// Longest name of a generation.
const NAME_MAX: usize = 63;

/// The volumes of a member. Without a volume for data blocks, both are the same folder.
#[derive(Debug, Clone)]
pub struct Volumes {
    volume: Arc<dyn Volume>,
    wal: PathBuf,
    data: PathBuf,
}

/// The two folders of something that Kudu works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Log and metadata.
    pub wal: PathBuf,
    /// Data blocks.
    pub data: PathBuf,
}

/// Held while a launcher works on the volumes.
#[derive(Debug)]
pub struct VolumeLock {
    _file: File,
}

/// Why a volume cannot be worked on.
#[derive(thiserror::Error, Debug)]
pub enum VolumeError {
    /// The name could leave the volume or be taken for something else.
    #[error(
        "'{0}' is not the name of a generation: at most {NAME_MAX} small letters, digits and '-', beginning with a letter, as in gen-3"
    )]
    Name(String),
    /// There is one already.
    #[error("generation {0} exists already; choose another name, since a generation is never overwritten")]
    Exists(String),
    /// Another launcher works on the volume.
    #[error("another launcher works on {}; a volume belongs to one launcher at a time", .0.display())]
    Busy(PathBuf),
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Volumes {
    /// The volumes in these folders, which are made when they do not exist.
    pub fn open(wal: &Path, data: &Path) -> Result<Self, VolumeError> {
        Self::open_on(disk(), wal, data)
    }

    /// The same, on which a given volume makes the changes.
    pub fn open_on(volume: Arc<dyn Volume>, wal: &Path, data: &Path) -> Result<Self, VolumeError> {
        let real = |path: &Path| volume.create_folder(path).and_then(|()| path.canonicalize()).map_err(at(path));
        let (wal, data) = (real(wal)?, real(data)?);
        Ok(Self { volume, wal, data })
    }

    /// Where the launcher keeps its own files.
    pub fn own_files(&self) -> &Path {
        &self.wal
    }

    /// Takes the volumes for this launcher.
    pub fn lock(&self) -> Result<VolumeLock, VolumeError> {
        let path = self.wal.join("launcher.lock");
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(at(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(VolumeLock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(VolumeError::Busy(self.wal.clone())),
            Err(error) => Err(at(&path)(error.into())),
        }
    }

    /// The folders of a generation.
    pub fn folders(&self, generation: &str) -> Result<Folders, VolumeError> {
        let mut chars = generation.chars();
        let good = generation.len() <= NAME_MAX
            && chars.next().is_some_and(|first| first.is_ascii_lowercase())
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if good { Ok(self.named(generation)) } else { Err(VolumeError::Name(generation.to_owned())) }
    }

    /// Begins a generation that does not exist yet; to be ended with [`Self::commit`] or [`Self::clear_leftovers`].
    ///
    /// A generation exists when its folder of the log does: that one is renamed last.
    pub fn begin(&self, generation: &str) -> Result<Folders, VolumeError> {
        if self.folders(generation)?.wal.exists() {
            return Err(VolumeError::Exists(generation.to_owned()));
        }
        self.clear_leftovers()?;
        Ok(self.partial(generation))
    }

    /// The folders of a generation that has begun.
    pub fn partial(&self, generation: &str) -> Folders {
        self.named(&format!("{generation}{PARTIAL}"))
    }

    /// Folders for something that is needed only until [`Self::commit`].
    pub fn scratch(&self, generation: &str) -> Folders {
        self.named(&format!("{generation}{SCRATCH}"))
    }

    /// Makes a begun generation durable and real.
    ///
    /// Kudu's tools do not sync what they copy, so the volumes are synced as a whole. Kudu's files name no folders: a
    /// generation runs as well under its new name.
    pub fn commit(&self, generation: &str) -> Result<(), VolumeError> {
        let partial = self.partial(generation);
        let whole = self.folders(generation)?;
        if self.data != self.wal {
            self.volume.sync_volume(&self.data).map_err(at(&self.data))?;
            // Left by a commit that was interrupted: without its log's folder it is nothing.
            remove(&*self.volume, &whole.data)?;
            self.rename(&partial.data, &whole.data, &self.data)?;
        }
        self.volume.sync_volume(&self.wal).map_err(at(&self.wal))?;
        self.rename(&partial.wal, &whole.wal, &self.wal)?;
        self.clear_leftovers()
    }

    /// Renames something in `folder`, durably.
    fn rename(&self, from: &Path, to: &Path, folder: &Path) -> Result<(), VolumeError> {
        self.volume.rename(from, to).map_err(at(from))?;
        self.volume.sync_folder(folder).map_err(at(folder))
    }

    /// Removes the folders that unfinished work has left. Files of such names are the sidecar's, which replaces its own in the same way.
    pub fn clear_leftovers(&self) -> Result<(), VolumeError> {
        for volume in [&self.wal, &self.data] {
            for entry in fs::read_dir(volume).map_err(at(volume))? {
                let entry = entry.map_err(at(volume))?;
                let name = entry.file_name();
                let left = name.to_str().is_some_and(|name| name.ends_with(PARTIAL) || name.ends_with(SCRATCH));
                if left && entry.file_type().map_err(at(volume))?.is_dir() {
                    remove(&*self.volume, &entry.path())?;
                }
            }
        }
        Ok(())
    }

    fn named(&self, name: &str) -> Folders {
        Folders { wal: self.wal.join(name), data: self.data.join(name) }
    }
}

impl Folders {
    /// Both folders, or the one when they are the same.
    pub fn each(&self) -> impl Iterator<Item = &Path> {
        let second = (self.data != self.wal).then_some(self.data.as_path());
        [self.wal.as_path()].into_iter().chain(second)
    }

    /// Bytes in both folders, as far as they can be read.
    pub fn bytes(&self) -> u64 {
        self.each().map(bytes_below).sum()
    }
}

/// Bytes that the files below a folder take on the disk: preallocated tails count, so growth is seen.
fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// Removes a folder that may not be there.
fn remove(volume: &dyn Volume, folder: &Path) -> Result<(), VolumeError> {
    match volume.remove_folder(folder) {
        Ok(()) => {
            tracing::info!(folder = %folder.display(), "removed");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at(folder)(error)),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> VolumeError {
    let path = path.to_owned();
    move |source| VolumeError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn volumes() -> (tempfile::TempDir, Volumes) {
        let folder = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(&folder.path().join("wal"), &folder.path().join("data")).unwrap();
        (folder, volumes)
    }

    fn make(folders: &Folders) {
        for folder in folders.each() {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("instance"), "x").unwrap();
        }
    }

    #[rstest]
    #[case("")]
    #[case("../x")]
    #[case("gen-1.partial")]
    #[case("Gen")]
    #[case("1")]
    fn names_that_are_none_are_refused(#[case] name: &str) {
        assert!(matches!(volumes().1.folders(name), Err(VolumeError::Name(_))));
    }

    #[test]
    fn a_committed_generation_is_there_and_nothing_else() {
        let (_folder, volumes) = volumes();
        make(&volumes.begin("gen-1").unwrap());
        make(&volumes.scratch("gen-1"));
        volumes.commit("gen-1").unwrap();
        let folders = volumes.folders("gen-1").unwrap();
        assert!(folders.each().all(|folder| folder.join("instance").exists()));
        assert_eq!(fs::read_dir(volumes.own_files()).unwrap().count(), 1);
        assert!(matches!(volumes.begin("gen-1"), Err(VolumeError::Exists(_))));
    }

    #[test]
    fn a_commit_that_was_interrupted_between_its_volumes_left_nothing() {
        let (_folder, volumes) = volumes();
        make(&volumes.begin("gen-1").unwrap());
        let half = volumes.folders("gen-1").unwrap().data;
        fs::rename(volumes.data.join("gen-1.partial"), &half).unwrap();
        fs::write(half.join("stale"), "").unwrap();

        make(&volumes.begin("gen-1").unwrap());
        volumes.commit("gen-1").unwrap();
        assert!(!half.join("stale").exists());
    }

    /// A power cut while the sidecar replaced its control file leaves one, on which the launcher once ended at every start.
    #[test]
    fn a_file_that_the_sidecar_was_writing_is_left_alone() {
        let (_folder, volumes) = volumes();
        let file = volumes.own_files().join("kudu-pair.partial");
        fs::write(&file, "half").unwrap();
        make(&volumes.partial("gen-1"));
        volumes.clear_leftovers().unwrap();
        assert!(file.exists());
        assert!(volumes.partial("gen-1").each().all(|folder| !folder.exists()));
    }

    #[test]
    fn one_volume_can_serve_for_both() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(folder.path(), folder.path()).unwrap();
        make(&volumes.begin("gen-1").unwrap());
        volumes.commit("gen-1").unwrap();
        assert!(volumes.folders("gen-1").unwrap().wal.join("instance").exists());
    }

    #[test]
    fn a_volume_is_locked_once() {
        let (_folder, volumes) = volumes();
        let _lock = volumes.lock().unwrap();
        assert!(matches!(volumes.lock(), Err(VolumeError::Busy(_))));
    }
}
