//! The meter of a reign's log, shared by whoever reads the log and whoever asks how far a standby is behind.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    replication::lag::{Lag, LagMeter},
    wal::{LogEntry, OpId},
};

/// How far standbys are behind one log.
#[derive(Debug)]
pub(super) struct Lags {
    born: Instant,
    meter: Mutex<LagMeter>,
}

impl Lags {
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), meter: Mutex::default() }
    }

    /// Notes the next entries of the log.
    pub(super) fn saw(&self, entries: &[LogEntry]) {
        let ops = entries.iter().filter_map(|entry| match entry {
            LogEntry::Replicate(op) => Some((op.id(), u64::try_from(op.raw().len()).unwrap_or(u64::MAX))),
            // Not shipped.
            LogEntry::Commit(_) => None,
        });
        self.meter().saw(ops);
    }

    /// Notes that a look that began then has come to the log's end.
    pub(super) fn came_to_end(&self, began: Instant) {
        self.meter().came_to_end(began.saturating_duration_since(self.born));
    }

    /// The log is read anew from its beginning.
    pub(super) fn restart(&self) {
        self.meter().restart();
    }

    /// How far a standby is behind that acknowledged this then.
    pub(super) fn lag(&self, replicate_head: OpId, heard: Instant) -> Option<Lag> {
        self.meter().lag(replicate_head, heard.saturating_duration_since(self.born), self.born.elapsed())
    }

    fn meter(&self) -> MutexGuard<'_, LagMeter> {
        // At worst it has counted a part of what it was just told.
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
