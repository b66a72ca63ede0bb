//! A volume whose process ends, or whose operations fail, when a test says so.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kudu_pair::volume::{self, Volume, VolumeFile};
use rustix::io::Errno;

use crate::disk::Disk;

/// What happens to the operations of a volume. Operations are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// They succeed.
    Succeed,
    /// The process ends before this one: it and all after it do nothing.
    End(usize),
    /// This one fails, of a write after its first half; those after it succeed.
    Fail(usize, Errno),
}

/// A volume on real files, which are what readers see, with a [`Disk`] beside them that knows what is durable.
#[derive(Debug, Clone)]
pub(crate) struct TestVolume {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    disk: Disk,
    plan: Plan,
    operations: usize,
    /// What was done, for whoever reads a failure.
    story: Vec<String>,
}

/// What to do with one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Do,
    Fail(Errno),
}

impl TestVolume {
    /// The volume of a folder; all that is in it is durable.
    pub(crate) fn of(root: &Path) -> Self {
        let state = State { disk: Disk::of(root), plan: Plan::Succeed, operations: 0, story: Vec::new() };
        Self { root: root.to_owned(), state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Plans what comes; operations are counted from here on.
    pub(crate) fn plan(&self, plan: Plan) {
        let mut state = self.state();
        (state.plan, state.operations) = (plan, 0);
        state.story.push(format!("-- {plan:?}"));
    }

    /// Whether the plan came to pass.
    pub(crate) fn has_happened(&self) -> bool {
        let state = self.state();
        match state.plan {
            Plan::Succeed => true,
            Plan::End(at) | Plan::Fail(at, _) => state.operations > at,
        }
    }

    pub(crate) fn disk(&self) -> Disk {
        self.state().disk.clone()
    }

    pub(crate) fn story(&self) -> String {
        self.state().story.join("\n")
    }

    /// Something that changes no file, as an acknowledgement: a process may end before and after it, and it may fail.
    pub(crate) fn step(&self, what: &str) -> io::Result<()> {
        match self.turn(what.to_owned())? {
            (_, Turn::Do) => Ok(()),
            (_, Turn::Fail(errno)) => Err(errno.into()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, what: String) -> io::Result<(MutexGuard<'_, State>, Turn)> {
        let mut state = self.state();
        let at = state.operations;
        state.operations += 1;
        let turn = match state.plan {
            Plan::End(end) if at >= end => return Err(io::Error::other("the process has ended")),
            Plan::Fail(fails, errno) if at == fails => Turn::Fail(errno),
            _ => Turn::Do,
        };
        let note = if turn == Turn::Do { "" } else { " FAILS" };
        state.story.push(format!("{at:3} {what}{note}"));
        Ok((state, turn))
    }

    /// An operation that is done as a whole or not at all.
    fn whole<T>(
        &self,
        what: &str,
        path: &Path,
        act: impl FnOnce() -> io::Result<T>,
        note: impl FnOnce(&mut Disk, &T),
    ) -> io::Result<T> {
        let (mut state, turn) = self.turn(format!("{what} {}", self.inside(path).display()))?;
        match turn {
            Turn::Fail(errno) => Err(errno.into()),
            Turn::Do => {
                let done = act()?;
                note(&mut state.disk, &done);
                Ok(done)
            }
        }
    }

    /// A path below the root.
    fn inside<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).expect("a path on the volume")
    }

    /// Removes a folder's content, one operation each.
    fn empty(&self, path: &Path) -> io::Result<()> {
        let mut entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            match entry.file_type()?.is_dir() {
                true => self.remove_folder(&entry.path())?,
                false => self.remove_file(&entry.path())?,
            }
        }
        Ok(())
    }

    fn file(&self, path: &Path, file: Box<dyn VolumeFile>) -> Box<dyn VolumeFile> {
        let node = self.state().disk.find(self.inside(path)).expect("a file");
        let name = self.inside(path).display().to_string();
        Box::new(TestFile { volume: self.clone(), node, name, file })
    }
}

impl Volume for TestVolume {
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn VolumeFile>> {
        let inside = self.inside(path);
        let file = self.whole(
            "create",
            path,
            || volume::Disk.create(path, mode),
            |disk, _| {
                disk.create(inside);
            },
        )?;
        Ok(self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VolumeFile>> {
        Ok(self.file(path, volume::Disk.open(path)?))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.open(path)?.sync_data()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let inside = self.inside(path);
        self.whole("flush folder", path, || path.metadata().map(drop), |disk, ()| disk.sync_folder(inside))
    }

    fn sync_volume(&self, path: &Path) -> io::Result<()> {
        let inside = self.inside(path);
        self.whole("flush volume", path, || Ok(()), |disk, ()| disk.sync_below(inside))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (inside, target) = (self.inside(from), self.inside(to));
        self.whole("rename", from, || volume::Disk.rename(from, to), |disk, ()| disk.rename(inside, target))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (inside, target) = (self.inside(from), self.inside(to));
        self.whole("link", from, || volume::Disk.link(from, to), |disk, ()| disk.link(inside, target))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let inside = self.inside(path);
        self.whole("remove", path, || volume::Disk.remove_file(path), |disk, ()| disk.remove(inside))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let inside = self.inside(path);
        self.whole("create folder", path, || std::fs::create_dir(path), |disk, ()| disk.create_folder(inside))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.empty(path)?;
        let inside = self.inside(path);
        self.whole("remove folder", path, || std::fs::remove_dir(path), |disk, ()| disk.remove(inside))
    }
}

/// A file of a [`TestVolume`].
#[derive(Debug)]
struct TestFile {
    volume: TestVolume,
    node: usize,
    name: String,
    file: Box<dyn VolumeFile>,
}

impl VolumeFile for TestFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut state, turn) = self.volume.turn(format!("write {} {offset}+{}", self.name, bytes.len()))?;
        let written = match turn {
            Turn::Do => bytes,
            // A full disk takes a part.
            Turn::Fail(_) => &bytes[..bytes.len() / 2],
        };
        self.file.write_all_at(written, offset)?;
        state.disk.write(self.node, offset, written);
        match turn {
            Turn::Do => Ok(()),
            Turn::Fail(errno) => Err(errno.into()),
        }
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        let (mut state, turn) = self.volume.turn(format!("cut {} to {bytes}", self.name))?;
        if let Turn::Fail(errno) = turn {
            return Err(errno.into());
        }
        self.file.set_len(bytes)?;
        state.disk.set_len(self.node, bytes);
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let (mut state, turn) = self.volume.turn(format!("flush {}", self.name))?;
        match turn {
            Turn::Do => {
                state.disk.sync(self.node);
                Ok(())
            }
            Turn::Fail(errno) => {
                state.disk.fail_sync(self.node);
                Err(errno.into())
            }
        }
    }
}
