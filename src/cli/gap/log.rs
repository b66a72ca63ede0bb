//! A log or a kept gap, read from its folder.

use std::path::{Path, PathBuf};

use super::GapCommandError;
use crate::{
    gap::{Gap, KeptGap, read},
    sidecar::gaps::GapStore,
    wal::{LogEntry, OpId, Replicate, TermHistory},
    waldir::{list_segments, read_log, stopped_log_dir, tablet_wal_dir},
};

/// A log that was read.
pub(super) struct Log {
    /// The folder of its segments.
    pub(super) dir: PathBuf,
    /// The anchors, when it is a kept gap.
    pub(super) kept: Option<KeptGap>,
    pub(super) path: PathBuf,
    pub(super) ops: Vec<Replicate>,
}

impl Log {
    pub(super) fn read(path: &Path) -> Result<Self, GapCommandError> {
        let dir = if path.join("wals").is_dir() { tablet_wal_dir(path, None) } else { path.to_owned() };
        let dir = stopped_log_dir(&dir);
        if list_segments(&dir)?.is_empty() {
            return Err(GapCommandError::NoLog(path.to_owned()));
        }
        let mut ops = Vec::new();
        read_log(&dir, |_, entry| {
            if let LogEntry::Replicate(op) = entry {
                ops.push(op.clone());
            }
        })?;
        Ok(Self { kept: GapStore::anchors(path)?, path: path.to_owned(), dir, ops })
    }

    pub(super) fn history(&self) -> TermHistory {
        self.ops.iter().map(Replicate::id).collect()
    }

    pub(super) fn op(&self, id: OpId) -> Option<&Replicate> {
        self.ops.iter().find(|op| op.id() == id)
    }

    pub(super) fn part(&self, after: Option<OpId>) -> Result<Gap, GapCommandError> {
        read(&self.ops, after).map_err(|source| GapCommandError::Part { path: self.path.clone(), source })
    }

    /// The last operation that this log and the new active's have in common.
    pub(super) fn diff_head(&self, active: &Self) -> Result<OpId, GapCommandError> {
        let (gap, path) = (self.path.clone(), active.path.clone());
        if let Some(kept) = &self.kept {
            let shared = kept.diff_head.filter(|op| active.history().term_at(op.index) == Some(op.term));
            return shared.ok_or(GapCommandError::NothingInCommon { gap, active: path });
        }
        let Some(op) = active.history().diff_head(&self.history()) else {
            return Err(GapCommandError::NothingInCommon { gap, active: path });
        };
        if self.op(op).map(Replicate::raw) != active.op(op).map(Replicate::raw) {
            return Err(GapCommandError::Different { gap, active: path, op });
        }
        Ok(op)
    }
}

/// The clock's part of a hybrid time.
pub(super) fn clock_time(timestamp: u64) -> Option<String> {
    let micros = i64::try_from(timestamp >> 12).ok()?;
    jiff::Timestamp::from_microsecond(micros).ok().map(|time| format!("{time:.6}"))
}
