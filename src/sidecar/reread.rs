//! Reading a log once more, to extend a digest over it.

use std::collections::VecDeque;

use crate::{
    replication::Rolling,
    wal::{LogEntry, OpId, Replicate},
    waldir::{HeldTail, LogTail, TailBatch, TailError, TailState},
};

/// A log that is read in order.
pub(super) trait Tail {
    fn poll(&mut self) -> Result<TailBatch, TailError>;
}

impl Tail for LogTail {
    fn poll(&mut self) -> Result<TailBatch, TailError> {
        Self::poll(self)
    }
}

impl Tail for HeldTail {
    fn poll(&mut self) -> Result<TailBatch, TailError> {
        Self::poll(self)
    }
}

/// Reads a log from one operation on, as far as it is asked to each time.
#[derive(Debug)]
pub(super) struct Rereader<T> {
    tail: T,
    at: OpId,
    /// Read, and behind what was asked for. At most what one poll returns.
    ready: VecDeque<Replicate>,
}

/// Where a reading ended.
#[derive(Debug)]
pub(super) enum Reached {
    /// Where it was to end.
    Asked,
    /// Where its limit was.
    Limit,
    /// At the end of what the log holds.
    End(TailState),
    /// At an operation that does not follow the one before.
    Hole(OpId),
}

impl<T: Tail> Rereader<T> {
    /// A tail that was opened behind `at`.
    pub(super) fn new(tail: T, at: OpId) -> Self {
        Self { tail, at, ready: VecDeque::new() }
    }

    /// The last operation that was added to a digest.
    pub(super) fn at(&self) -> OpId {
        self.at
    }

    /// Extends a digest that ends where this reader is, up to `to` or by about so many bytes.
    pub(super) fn extend(&mut self, rolling: &mut Rolling, to: OpId, limit_bytes: usize) -> Result<Reached, TailError> {
        let mut bytes = 0_usize;
        loop {
            while let Some(op) = self.ready.front() {
                if self.at.index >= to.index {
                    return Ok(Reached::Asked);
                }
                if bytes >= limit_bytes {
                    return Ok(Reached::Limit);
                }
                if rolling.add(op).is_err() {
                    return Ok(Reached::Hole(op.id()));
                }
                self.at = op.id();
                bytes = bytes.saturating_add(op.raw().len());
                self.ready.pop_front();
            }
            if self.at.index >= to.index {
                return Ok(Reached::Asked);
            }
            let batch = self.tail.poll()?;
            self.ready.extend(batch.entries.into_iter().filter_map(|entry| match entry {
                LogEntry::Replicate(op) => Some(op),
                // Each member's own.
                LogEntry::Commit(_) => None,
            }));
            if self.ready.is_empty() && batch.state != TailState::More {
                return Ok(Reached::End(batch.state));
            }
        }
    }
}
