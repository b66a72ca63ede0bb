//! A member's volume: its log, of which a loss of power takes what was not flushed, and its control file.

use bytes::{BufMut, Bytes};
use kudu_pair::{
    replication::Anchors,
    wal::{OpDigest, OpId, Replicate, TermHistory},
};

/// A member's volume.
pub(crate) struct Disk {
    log: Vec<Replicate>,
    /// How many operations of the log a loss of power spares.
    flushed: usize,
    /// The control file as it was last written.
    control_file: Vec<u8>,
}

impl Disk {
    pub(crate) fn new(pair: &str) -> Self {
        Self { log: Vec::new(), flushed: 0, control_file: Anchors::new(pair).encode() }
    }

    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::decode(&self.control_file).expect("a control file")
    }

    pub(crate) fn change_anchors(&mut self, change: impl FnOnce(&mut Anchors)) {
        let mut anchors = self.anchors();
        change(&mut anchors);
        self.control_file = anchors.encode();
    }

    pub(crate) fn log(&self) -> &[Replicate] {
        &self.log
    }

    pub(crate) fn last(&self) -> Option<OpId> {
        self.log.last().map(Replicate::id)
    }

    /// Last operation that a loss of power spares.
    pub(crate) fn durable(&self) -> Option<OpId> {
        self.flushed.checked_sub(1).map(|last| self.log[last].id())
    }

    pub(crate) fn at(&self, index: i64) -> Option<&Replicate> {
        let first = self.log.first()?.id().index;
        self.log.get(usize::try_from(index - first).ok()?)
    }

    pub(crate) fn history(&self) -> Option<TermHistory> {
        (!self.log.is_empty()).then(|| self.log.iter().map(Replicate::id).collect())
    }

    pub(crate) fn digest(&self, op: OpId) -> Option<OpDigest> {
        self.at(op.index).filter(|found| found.id() == op).map(OpDigest::of)
    }

    pub(crate) fn append(&mut self, ops: impl IntoIterator<Item = Replicate>) {
        self.log.extend(ops);
    }

    /// Changes the payload of the operation at this place of the log, and leaves all else sound: nothing but another log can tell.
    pub(crate) fn alter(&mut self, place: usize) {
        let id = self.log[place].id();
        let altered = operation(id, b"altered by the disk");
        assert_ne!(altered, self.log[place]);
        self.log[place] = altered;
    }

    pub(crate) fn flush(&mut self) {
        self.flushed = self.log.len();
    }

    /// Takes up to `lost` operations that were not flushed.
    pub(crate) fn lose_power(&mut self, lost: usize) {
        let kept = self.log.len().saturating_sub(lost).max(self.flushed);
        self.log.truncate(kept);
        // What a restart finds it flushes before it speaks of it.
        self.flush();
    }

    /// Replaces the log by that of a base, flushed.
    pub(crate) fn take_base(&mut self, log: &[Replicate]) {
        self.log = log.to_vec();
        self.flush();
        let last = self.last();
        self.change_anchors(|anchors| {
            // The first one is that of a catalog that was formatted here.
            anchors.last_generation = anchors.last_generation.max(1) + 1;
            let generation = format!("gen-{}", anchors.last_generation);
            anchors.adopt(&generation, last, last);
        });
    }

    /// Removes up to `count` operations from the front; the last one stays.
    pub(crate) fn collect(&mut self, count: usize) {
        let count = count.min(self.log.len().saturating_sub(1));
        self.log.drain(..count);
        self.flushed = self.flushed.saturating_sub(count);
    }
}

/// An operation as Kudu writes it: a `LogEntryPB` with what this project reads of it, and a payload.
pub(crate) fn operation(id: OpId, payload: &[u8]) -> Replicate {
    let mut message = Vec::new();
    let mut op_id = Vec::new();
    for (tag, number) in [(0x08, id.term), (0x10, id.index)] {
        op_id.put_u8(tag);
        put_varint(&mut op_id, number.unsigned_abs());
    }
    put_bytes(&mut message, 0x0a, &op_id);
    message.put_u8(0x11);
    message.put_u64_le(id.index.unsigned_abs());
    message.put_slice(&[0x20, 3]);
    put_bytes(&mut message, 0x2a, payload);
    let mut entry = vec![0x08, 1];
    put_bytes(&mut entry, 0x12, &message);
    let op = Replicate::from_raw(Bytes::from(entry)).expect("an operation");
    assert_eq!(op.id(), id);
    op
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.put_u8(tag);
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}
