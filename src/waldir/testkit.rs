//! A writer of logs that behaves as `kudu-master` does, for the tests of this module.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{SegmentPath, list_segments};
use crate::wal::{
    Codec, Footer, LogEntry, OpId, Replicate, encode,
    tests::{commit, header, replicate},
};

/// Allocated size of a segment: small, so that tests roll often.
const ALLOCATED: u64 = 16 * 1024;

/// A fake master's log folder.
pub(crate) struct FakeKudu {
    /// Removed at the end.
    _root: tempfile::TempDir,
    pub(crate) dir: PathBuf,
    /// Everything that was written, in order; what a restart rewrites.
    pub(crate) log: Vec<Bytes>,
    number: u64,
    file: Option<File>,
    written: u64,
    entries: i64,
}

impl FakeKudu {
    /// A log with the NO_OP of term 1.
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("wals").join(crate::wal::SYS_CATALOG_TABLET_ID);
        fs::create_dir_all(&dir).unwrap();
        let mut kudu = Self { _root: root, dir, log: vec![], number: 0, file: None, written: 0, entries: 0 };
        kudu.roll();
        kudu.write(OpId::new(1, 1), 1);
        kudu
    }

    /// The last operation.
    pub(crate) fn last(&self) -> OpId {
        self.ids().last().copied().unwrap()
    }

    /// All operations, in order.
    pub(crate) fn ids(&self) -> Vec<OpId> {
        self.replicates().iter().map(Replicate::id).collect()
    }

    pub(crate) fn replicates(&self) -> Vec<Replicate> {
        self.log.iter().filter_map(|raw| Replicate::from_raw(raw.clone()).ok()).collect()
    }

    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.log.iter().map(|raw| LogEntry::from_raw(raw.clone()).unwrap()).collect()
    }

    /// Writes the next operation of the current term, and its COMMIT.
    pub(crate) fn op(&mut self) -> OpId {
        let last = self.last();
        let id = OpId::new(last.term, last.index + 1);
        self.write(id, 3);
        id
    }

    pub(crate) fn ops(&mut self, count: usize) {
        for _ in 0..count {
            self.op();
        }
    }

    fn write(&mut self, id: OpId, op_type: i32) {
        self.entry(replicate(id, op_type, format!("operation {id}").as_bytes()));
        self.entry(commit(id));
    }

    /// Writes one entry in a batch of its own.
    pub(crate) fn entry(&mut self, raw: Bytes) {
        let batch = encode::batch(Codec::Lz4, [&raw]).unwrap();
        self.put(&batch);
        self.log.push(raw);
        self.entries += 1;
    }

    /// Writes bytes at the end of what is written.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.file.as_ref().unwrap().write_all_at(bytes, self.written).unwrap();
        self.written += bytes.len() as u64;
    }

    /// A batch of the next operation without its last bytes; the rest comes with the returned call.
    pub(crate) fn half_op(&mut self, cut: usize) -> impl FnOnce(&mut Self) + use<> {
        let last = self.last();
        let raw = replicate(OpId::new(last.term, last.index + 1), 3, b"written in two steps");
        let batch = encode::batch(Codec::Lz4, [&raw]).unwrap();
        let cut = cut % batch.len();
        self.put(&batch[..cut]);
        move |kudu| {
            kudu.put(&batch[cut..]);
            kudu.log.push(raw);
            kudu.entries += 1;
        }
    }

    /// Closes the segment, if there is one, and begins the next.
    pub(crate) fn roll(&mut self) {
        if let Some(file) = self.file.take() {
            let footer = Footer {
                entries: self.entries,
                min_replicate_index: None,
                max_replicate_index: None,
                closed_micros: Some(1),
            };
            let footer = encode::footer(&footer);
            file.write_all_at(&footer, self.written).unwrap();
            file.set_len(self.written + footer.len() as u64).unwrap();
        }
        self.number += 1;
        let placeholder = self.dir.join(".kudutmp.newsegmentABCDEF");
        let file = File::create(&placeholder).unwrap();
        file.set_len(ALLOCATED).unwrap();
        fs::rename(placeholder, SegmentPath::new(&self.dir, self.number).path).unwrap();
        let bytes = encode::segment_header(&header(self.number, 3)).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        self.written = bytes.len() as u64;
        self.entries = 0;
        self.file = Some(file);
    }

    /// Removes the oldest segments, but not the last.
    pub(crate) fn collect(&mut self) {
        let mut segments = list_segments(&self.dir).unwrap();
        segments.pop();
        segments.iter().for_each(|segment| fs::remove_file(&segment.path).unwrap());
    }

    /// Stops: the last segment stays as it is, and the file is closed.
    pub(crate) fn kill(&mut self) {
        self.file = None;
    }

    /// Starts again, without the last `lost` entries: moves the log away, rewrites it and opens a new term.
    pub(crate) fn restart(&mut self, lost: usize) {
        self.kill();
        let recovery = self.dir.with_extension("recovery");
        fs::rename(&self.dir, &recovery).unwrap();
        fs::create_dir(&self.dir).unwrap();
        let term = self.last().term + 1;
        let log = self.log[..self.log.len().saturating_sub(lost).max(2)].to_vec();
        self.log.clear();
        self.number = 0;
        self.roll();
        for (at, raw) in log.into_iter().enumerate() {
            if at % 40 == 39 {
                self.roll();
            }
            self.entry(raw);
        }
        fs::remove_dir_all(recovery).unwrap();
        let id = OpId::new(term, self.last().index + 1);
        self.write(id, 1);
    }

    /// The last segment's file.
    pub(crate) fn last_segment(&self) -> PathBuf {
        SegmentPath::new(&self.dir, self.number).path
    }

    /// Where the last segment's good part ends.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}

/// Flips one bit of a file.
pub(crate) fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 0x10;
    file.write_all_at(&byte, at).unwrap();
}
