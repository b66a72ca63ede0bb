//! The operations that change a volume, as a seam: the system's, or in tests those of a disk that fails and forgets.
//!
//! Only what changes files is behind it. Reading leaves nothing behind at a crash, so it goes to the system directly. No
//! operation is tried again here: whether that could succeed is known only to the caller, and after a failed flush it cannot.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

/// A file that is being written.
pub trait VolumeFile: Debug + Send {
    /// Writes all of `bytes` at `offset` (bytes from the file's beginning).
    ///
    /// # Errors
    /// What the system says; some of the bytes may have been written.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file to `bytes`, or lengthens it with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// What the system says. What is durable is then unknown, and stays so: the system has dropped its marks on what was not
    /// written, so a second flush succeeds without writing it. Only bytes that are written again can become durable.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// The operations that change a volume. A name is durable once its folder is flushed, content once its file is.
pub trait Volume: Debug + Send + Sync {
    /// Creates an empty file with the given permission bits, in place of any that is there.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn VolumeFile>>;

    /// Opens a file that is there, for writing.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn VolumeFile>>;

    /// Makes the content of a file that somebody else wrote durable.
    ///
    /// # Errors
    /// As for [`VolumeFile::sync_data`].
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable: new ones, renamed ones, removed ones.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes all that the volume of a folder still has in memory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_volume(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or folder another name, in place of any file that has it.
    ///
    /// # Errors
    /// What the system says; then the old name stands.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file one more name.
    ///
    /// # Errors
    /// What the system says; also when there is such a name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder, and those that it is to be in, where they are not there.
    ///
    /// # Errors
    /// What the system says.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all that is in it, in no particular order.
    ///
    /// # Errors
    /// What the system says; a part may be removed.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
}

/// The operations of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

/// The operations of the system, for whoever keeps them.
#[must_use]
pub fn disk() -> Arc<dyn Volume> {
    Arc::new(Disk)
}

impl Volume for Disk {
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn VolumeFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VolumeFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(path)?))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_volume(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

impl VolumeFile for File {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}
