//! What a log holds, folded from its entries.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Commit, LogEntry, OpId, OpType, Replicate, TermHistory};

/// A NO_OP, with which a leader opens its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NoOp {
    /// Its identity.
    pub id: OpId,
    /// True if it was applied: from then on its term serves.
    pub committed: bool,
}

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LogSummary {
    /// The log's first operation; a log whose older segments were collected does not start at index 1.
    pub first: Option<OpId>,
    /// The log's last operation, committed or not: its head.
    pub last: Option<OpId>,
    /// The operation with the highest index that has a COMMIT.
    pub last_committed: Option<OpId>,
    /// The terms and what each wrote.
    pub history: TermHistory,
    /// The NO_OP of each term.
    pub no_ops: Vec<NoOp>,
    /// Number of REPLICATE entries.
    pub replicates: u64,
    /// Number of COMMIT entries.
    pub commits: u64,
    /// Size of all entries, uncompressed.
    pub bytes: u64,
    /// REPLICATE entries that a later term overwrote. Always 0 where there was only ever one voter.
    pub overwritten: u64,
    /// COMMIT entries without their REPLICATE, other than those of operations before `first`.
    pub orphan_commits: u64,
    /// Size of the operations that have no COMMIT yet.
    pub pending_bytes: u64,
    /// Operations without a COMMIT, by index: what a start has to apply first.
    #[serde(skip)]
    pending: BTreeMap<i64, Pending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pending {
    term: i64,
    bytes: u64,
}

impl LogSummary {
    /// Adds the next entry of the log.
    pub fn fold(&mut self, entry: &LogEntry) {
        match entry {
            LogEntry::Replicate(replicate) => self.fold_replicate(replicate),
            LogEntry::Commit(commit) => self.fold_commit(commit),
        }
    }

    /// Adds the next entry, known to be an operation.
    pub fn fold_replicate(&mut self, replicate: &Replicate) {
        let id = replicate.id();
        let bytes = u64::try_from(replicate.raw().len()).unwrap_or(u64::MAX);
        if self.last.is_some_and(|last| id.index <= last.index) {
            self.overwrite_from(id.index);
        }
        self.replicates = self.replicates.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.pending_bytes = self.pending_bytes.saturating_add(bytes);
        self.pending.insert(id.index, Pending { term: id.term, bytes });
        self.history.record(id);
        self.first = self.history.first();
        self.last = Some(id);
        if replicate.op_type() == OpType::NoOp {
            self.no_ops.push(NoOp { id, committed: false });
        }
    }

    /// From this operation on a term serves, as the log shows: the latest NO_OP that was applied.
    ///
    /// When that one was collected, the first operation that is left, once it is known to be applied: Kudu collects only what it
    /// has applied, and nothing of a term is applied before its NO_OP.
    #[must_use]
    pub fn opened(&self) -> Option<OpId> {
        let no_op = self.no_ops.iter().rev().find(|no_op| no_op.committed).map(|no_op| no_op.id);
        no_op.or_else(|| self.first.filter(|first| self.applied_through() >= Some(*first)))
    }

    fn overwrite_from(&mut self, index: i64) {
        for pending in self.pending.split_off(&index).into_values() {
            self.pending_bytes = self.pending_bytes.saturating_sub(pending.bytes);
            self.overwritten = self.overwritten.saturating_add(1);
        }
        self.no_ops.retain(|no_op| no_op.id.index < index);
    }

    fn fold_commit(&mut self, commit: &Commit) {
        let id = commit.committed();
        self.commits = self.commits.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u64::try_from(commit.raw().len()).unwrap_or(u64::MAX));
        match self.pending.get(&id.index) {
            Some(pending) if pending.term == id.term => {
                self.pending_bytes = self.pending_bytes.saturating_sub(pending.bytes);
                self.pending.remove(&id.index);
            }
            // A COMMIT may outlive its operation: log collection removed the segment that held it.
            None if self.first.is_none_or(|first| id.index < first.index) => {}
            _ => self.orphan_commits = self.orphan_commits.saturating_add(1),
        }
        if self.last_committed.is_none_or(|last| last.index < id.index) {
            self.last_committed = Some(id);
        }
        if let Some(no_op) = self.no_ops.iter_mut().rev().find(|no_op| no_op.id == id) {
            no_op.committed = true;
        }
    }

    /// Number of operations without a COMMIT.
    #[must_use]
    pub fn pending_ops(&self) -> usize {
        self.pending.len()
    }

    /// The operations without a COMMIT, in order.
    pub fn pending(&self) -> impl Iterator<Item = OpId> + '_ {
        self.pending.iter().map(|(&index, pending)| OpId::new(pending.term, index))
    }

    /// The last operation such that it and all before it were applied.
    ///
    /// Kudu writes COMMITs out of order, so [`Self::last_committed`] says nothing of the operations before it.
    #[must_use]
    pub fn applied_through(&self) -> Option<OpId> {
        let Some((&index, _)) = self.pending.first_key_value() else {
            return self.last;
        };
        let before = index.checked_sub(1)?;
        self.history.term_at(before).map(|term| OpId::new(term, before))
    }

    /// True if the log shows `id` as applied, with all before it: the operation is there, not another at its index.
    #[must_use]
    pub fn has_applied(&self, id: OpId) -> bool {
        self.history.term_at(id.index) == Some(id.term)
            && self.applied_through().is_some_and(|applied| applied.index >= id.index)
    }
}
