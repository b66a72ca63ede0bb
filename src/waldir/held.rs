//! Reads a live log together with segments of it that were kept when Kudu removed them.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use super::{LogTail, ReadError, SegmentPath, TailBatch, TailError, TailState, segment::SegmentReader};
use crate::wal::{Decoded, LogEntry, OpDigest, OpId, Replicate, TermHistory};

/// Most bytes of operations that one poll takes from kept segments; the rest of a batch still comes with it.
const POLL_BYTES: usize = 4 * 1024 * 1024;

/// Follows a live log as [`LogTail`] does; what Kudu has collected of it is taken from kept segments.
///
/// A kept segment may be of an earlier life of the log: each start of Kudu writes it anew. Operations count by their
/// [`OpId`], which means the same one in all lives of a reign, so whichever segment has the next one will do. COMMITs of
/// kept segments are not delivered.
#[derive(Debug)]
pub struct HeldTail {
    dir: PathBuf,
    held: PathBuf,
    live: LogTail,
    /// The kept segment that is read now, and the operation that was delivered last.
    bridge: Option<(SegmentReader, OpId)>,
}

impl HeldTail {
    /// A tail of the log folder `dir`, with kept segments in `held`, which need not exist. `after`: the last operation that
    /// the caller has.
    #[must_use]
    pub fn open(dir: &Path, held: &Path, after: OpId) -> Self {
        Self { dir: dir.to_owned(), held: held.to_owned(), live: LogTail::open(dir, Some(after)), bridge: None }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// As [`LogTail::poll`]; [`TailError::Gone`] if no kept segment has the operation either.
    pub fn poll(&mut self) -> Result<TailBatch, TailError> {
        loop {
            if let Some((reader, last)) = &mut self.bridge {
                let entries = next_ops(reader, last);
                if !entries.is_empty() {
                    return Ok(TailBatch { entries, state: TailState::More });
                }
                self.live = LogTail::open(&self.dir, Some(*last));
                self.bridge = None;
            }
            match self.live.poll() {
                Err(gone @ TailError::Gone { .. }) => {
                    let Some(last) = self.live.last() else { return Err(gone) };
                    match find(&self.held, last)? {
                        Some(reader) => self.bridge = Some((reader, last)),
                        None => return Err(gone),
                    }
                }
                other => return other,
            }
        }
    }
}

/// A kept segment that has the operation after `last`.
fn find(held: &Path, last: OpId) -> Result<Option<SegmentReader>, ReadError> {
    for path in list(held)? {
        let follows = history(&path)?.is_some_and(|history| {
            let next = history.term_at(last.index.saturating_add(1));
            // The operation before it has to be the one that was delivered, where the segment has it.
            next.is_some_and(|term| term >= last.term)
                && history.term_at(last.index).is_none_or(|term| term == last.term)
        });
        if follows && let Some(reader) = open(&path)? {
            return Ok(Some(reader));
        }
    }
    Ok(None)
}

/// The next operations of a kept segment after `last`, which it moves along. Empty at the segment's end.
fn next_ops(reader: &mut SegmentReader, last: &mut OpId) -> Vec<LogEntry> {
    let mut found = Vec::new();
    let mut bytes = 0_usize;
    while bytes < POLL_BYTES {
        match reader.next() {
            Ok(Decoded::Header(_)) => {}
            Ok(Decoded::Batch(batch)) => {
                for entry in batch.entries {
                    if let LogEntry::Replicate(replicate) = &entry
                        && last.index.checked_add(1) == Some(replicate.id().index)
                        && replicate.id().term >= last.term
                    {
                        *last = replicate.id();
                        bytes = bytes.saturating_add(entry.raw().len());
                        found.push(entry);
                    }
                }
            }
            // Its end, or damage: another segment or the live log goes on, or says what is missing.
            Ok(_) | Err(_) => break,
        }
    }
    found
}

/// What a segment holds, up to its end or to where it cannot be read any further. `None`: it is gone, or has no header yet.
///
/// # Errors
/// If the system refuses to read.
pub fn history(path: &Path) -> Result<Option<TermHistory>, ReadError> {
    let mut history = TermHistory::default();
    let read = visit(path, |replicate| history.record(replicate.id()))?;
    Ok(read.then_some(history))
}

/// The digest of an operation, if a kept segment has it.
///
/// # Errors
/// If the system refuses to read.
pub fn held_digest(held: &Path, op: OpId) -> Result<Option<OpDigest>, ReadError> {
    let mut found = None;
    for path in list(held)? {
        visit(&path, |replicate| {
            if replicate.id() == op {
                found = Some(OpDigest::of(replicate));
            }
        })?;
    }
    Ok(found)
}

/// Hands each operation of a segment to `seen`. False: it is gone, or has no header yet.
fn visit(path: &Path, mut seen: impl FnMut(&Replicate)) -> Result<bool, ReadError> {
    let Some(mut reader) = open(path)? else { return Ok(false) };
    let mut begun = false;
    loop {
        match reader.next() {
            Ok(Decoded::Header(_)) => begun = true,
            Ok(Decoded::Batch(batch)) => {
                for entry in &batch.entries {
                    if let LogEntry::Replicate(replicate) = entry {
                        seen(replicate);
                    }
                }
            }
            Err(error @ ReadError::Io { .. }) => return Err(error),
            Ok(_) | Err(_) => return Ok(begun),
        }
    }
}

/// The kept segments, those that were kept first first.
///
/// # Errors
/// If the system refuses to list them; that there is no folder is not an error.
pub fn list(held: &Path) -> Result<VecDeque<PathBuf>, ReadError> {
    let entries = match std::fs::read_dir(held) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(VecDeque::new()),
        Err(error) => return Err(ReadError::io(held, "list the folder")(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(ReadError::io(held, "list the folder"))?.path();
        if path.extension().is_some_and(|extension| extension == "segment") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.into())
}

fn open(path: &Path) -> Result<Option<SegmentReader>, ReadError> {
    match SegmentReader::open(SegmentPath { sequence_number: 0, path: path.to_owned() }) {
        Ok(reader) => Ok(Some(reader)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::waldir::{list_segments, testkit::FakeKudu};

    /// Keeps every segment that is there.
    fn keep(kudu: &FakeKudu, held: &Path, life: u32) {
        fs::create_dir_all(held).unwrap();
        for segment in list_segments(&kudu.dir).unwrap() {
            let name = format!("{life}-{}.segment", segment.sequence_number);
            let _ = fs::hard_link(&segment.path, held.join(name));
        }
    }

    fn drain(tail: &mut HeldTail) -> Vec<OpId> {
        let mut ids = Vec::new();
        loop {
            let batch = tail.poll().unwrap();
            ids.extend(batch.entries.iter().filter_map(|entry| match entry {
                LogEntry::Replicate(replicate) => Some(replicate.id()),
                LogEntry::Commit(_) => None,
            }));
            if batch.state == TailState::CaughtUp {
                return ids;
            }
        }
    }

    #[test]
    fn collected_segments_are_read_where_they_are_kept() {
        let mut kudu = FakeKudu::start();
        let folder = tempfile::tempdir().unwrap();
        let held = folder.path().join("held");
        for _ in 0..5 {
            kudu.ops(4);
            keep(&kudu, &held, 1);
            kudu.roll();
            kudu.collect();
        }
        kudu.ops(3);
        let mut tail = HeldTail::open(&kudu.dir, &held, OpId::new(1, 2));
        assert_eq!(drain(&mut tail), kudu.ids()[2..]);
        kudu.ops(2);
        assert_eq!(drain(&mut tail).len(), 2);
        assert!(held_digest(&held, OpId::new(1, 3)).unwrap().is_some());
        assert!(held_digest(&held, OpId::new(1, 300)).unwrap().is_none());
    }

    #[test]
    fn a_commit_alone_in_the_live_log_leads_to_its_operation() {
        use crate::wal::tests::{commit, replicate};
        let mut kudu = FakeKudu::start();
        let folder = tempfile::tempdir().unwrap();
        let held = folder.path().join("held");
        kudu.ops(4);
        kudu.entry(replicate(OpId::new(1, 6), 3, b""));
        keep(&kudu, &held, 1);
        kudu.roll();
        kudu.entry(commit(OpId::new(1, 6)));
        kudu.collect();
        assert_eq!(drain(&mut HeldTail::open(&kudu.dir, &held, OpId::new(1, 2))), kudu.ids()[2..]);
    }

    #[test]
    fn segments_of_an_earlier_life_do_as_well() {
        let mut kudu = FakeKudu::start();
        let folder = tempfile::tempdir().unwrap();
        let held = folder.path().join("held");
        kudu.ops(6);
        kudu.roll();
        kudu.ops(6);
        keep(&kudu, &held, 1);
        kudu.restart(0);
        kudu.ops(5);
        keep(&kudu, &held, 2);
        kudu.roll();
        kudu.collect();
        kudu.ops(2);
        assert_eq!(drain(&mut HeldTail::open(&kudu.dir, &held, OpId::new(1, 4))), kudu.ids()[4..]);
    }

    #[test]
    fn what_nobody_kept_is_gone() {
        let mut kudu = FakeKudu::start();
        let folder = tempfile::tempdir().unwrap();
        kudu.ops(4);
        kudu.roll();
        kudu.ops(4);
        kudu.collect();
        let mut tail = HeldTail::open(&kudu.dir, &folder.path().join("held"), OpId::new(1, 2));
        assert!(matches!(tail.poll(), Err(TailError::Gone { needed: 3, .. })));
        assert!(matches!(tail.poll(), Err(TailError::Gone { needed: 3, .. })));
    }
}
