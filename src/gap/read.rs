//! Takes the operations behind the diff-head out of a log.

use super::model::Catalog;
use crate::{
    catalog::{CatalogError, RowChange, changes},
    wal::{OpId, OpType, Replicate, TermHistory},
};

/// One operation behind the diff-head.
#[derive(Debug, Clone)]
pub struct GapOp {
    /// The operation, as Kudu wrote it.
    pub op: Replicate,
    /// The rows that it changes, or why they cannot be read.
    pub rows: Result<Vec<RowChange>, CatalogError>,
}

impl GapOp {
    fn new(op: Replicate) -> Self {
        let rows = changes(&op);
        Self { op, rows }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> OpId {
        self.op.id()
    }

    /// The rows that it changes; none if they cannot be read.
    #[must_use]
    pub fn readable(&self) -> &[RowChange] {
        self.rows.as_deref().unwrap_or_default()
    }
}

/// A log, parted at an operation.
#[derive(Debug, Clone, Default)]
pub struct Gap {
    /// The last operation before it; the diff-head, as a rule. `None`: it is the whole log.
    pub after: Option<OpId>,
    /// The rows as they are at that operation, as far as the log tells.
    pub before: Catalog,
    /// The operations behind it, in order.
    pub ops: Vec<GapOp>,
}

/// Why a log cannot be parted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GapError {
    /// The log ends before it, or has another operation there.
    #[error("there is no operation {after} in this log, which has {}: the two logs do not part there",
        .first.zip(*.last).map_or("none".to_owned(), |(first, last)| format!("{first} to {last}")))]
    NotThere {
        /// Where it was to be parted.
        after: OpId,
        /// The log's first operation.
        first: Option<OpId>,
        /// The log's last operation.
        last: Option<OpId>,
    },
    /// The log begins only behind it.
    #[error(
        "the log begins with {first}, so operations after {after} are missing from it: Kudu has collected them. Use a copy of \
         the log that has them (segments that retention kept)"
    )]
    Collected {
        /// Where it was to be parted.
        after: OpId,
        /// The log's first operation.
        first: OpId,
    },
}

/// Parts a log, given as its REPLICATE entries in order, behind the operation `after`.
///
/// A log whose first operation is the next one after `after` will do, though then nothing is known of the rows before.
///
/// # Errors
/// When `after` is not in the log, or behind its end.
pub fn read(log: &[Replicate], after: Option<OpId>) -> Result<Gap, GapError> {
    let history: TermHistory = log.iter().map(Replicate::id).collect();
    let (first, last) = (history.first(), history.last());
    if let Some(after) = after {
        let follows =
            first.is_some_and(|first| first.index == after.index.saturating_add(1) && first.term >= after.term);
        if history.term_at(after.index) != Some(after.term) && !follows {
            return Err(match first {
                Some(first) if first.index > after.index => GapError::Collected { after, first },
                _ => GapError::NotThere { after, first, last },
            });
        }
    }
    let from = after.map_or(0, |after| after.index);
    let mut gap = Gap { after, before: Catalog::new(first.is_none_or(|first| first.index == 1)), ops: Vec::new() };
    for op in log {
        if history.term_at(op.id().index) != Some(op.id().term) {
            // A later term has overwritten it.
            continue;
        }
        if op.id().index > from {
            gap.ops.push(GapOp::new(op.clone()));
        } else {
            match changes(op) {
                Ok(rows) => rows.iter().for_each(|row| gap.before.apply(row)),
                Err(_) => gap.before.doubt(),
            }
        }
    }
    Ok(gap)
}

impl Gap {
    /// The same log, read again when more was added to it: only what is new is decoded. `None` when it does not continue what was
    /// read, and has to be parted anew.
    #[must_use]
    pub fn continued(mut self, log: &[Replicate]) -> Option<Self> {
        let mut last = self.last()?;
        let known = log.iter().rposition(|op| op.id() == last)?;
        for op in log.iter().skip(known.saturating_add(1)) {
            let id = op.id();
            if last.index.checked_add(1) != Some(id.index) || id.term < last.term {
                return None;
            }
            last = id;
            self.ops.push(GapOp::new(op.clone()));
        }
        Some(self)
    }

    /// The rows as they are behind its last operation.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        let mut catalog = self.before.clone();
        self.ops.iter().flat_map(GapOp::readable).for_each(|row| catalog.apply(row));
        catalog
    }

    /// Its last operation.
    #[must_use]
    pub fn last(&self) -> Option<OpId> {
        self.ops.last().map(GapOp::id).or(self.after)
    }

    /// The first operation that cannot be read.
    pub(super) fn unreadable(&self) -> Option<&CatalogError> {
        self.ops.iter().find_map(|op| op.rows.as_ref().err())
    }

    /// The highest time of its operations.
    pub(super) fn latest_timestamp(&self) -> u64 {
        self.ops.iter().map(|op| op.op.timestamp()).max().unwrap_or(0)
    }

    /// One of its writes of rows.
    pub(super) fn any_write(&self) -> Option<&Replicate> {
        self.ops.iter().map(|op| &op.op).find(|op| op.op_type() == OpType::Write)
    }
}
