//! A disk that is soon full.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A small file system in memory, unmounted when this goes. Needs root.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one on an empty folder.
    pub(crate) fn mount(path: &Path, megabytes: u32) -> Self {
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(path));
        Self { path: path.to_owned() }
    }

    /// The same on a block device, which can be frozen as a device that stalls does. Needs root.
    pub(crate) fn mount_blocks(path: &Path, image: &Path, megabytes: u64) -> Self {
        std::fs::File::create(image).and_then(|file| file.set_len(megabytes << 20)).expect("an image");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image));
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(path));
        // Kudu and the launcher take their folder for their own.
        std::fs::remove_dir(path.join("lost+found")).expect("an empty folder");
        Self { path: path.to_owned() }
    }

    /// Makes it larger, as a PVC is.
    pub(crate) fn enlarge(&self, megabytes: u32) {
        run(Command::new("mount").args(["-o", &format!("remount,size={megabytes}m")]).arg(&self.path));
    }

    /// Fills it but for a few bytes, with what does not belong there.
    pub(crate) fn fill(&self, left: u64) {
        let space = rustix::fs::statvfs(&self.path).expect("a file system");
        let ballast = std::fs::File::create(self.path.join("ballast")).expect("a file");
        let bytes = (space.f_bavail * space.f_frsize).saturating_sub(left);
        rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("space");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there was killed a moment ago.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("a program");
    assert!(status.success(), "{command:?}: {status}; these tests need root");
}
