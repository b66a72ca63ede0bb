//! Each entry once, in order, without a hole: what a tail has delivered, and what it holds a log against that it reads again.

use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
};

use crate::{
    wal::{Commit, LogEntry, OpDigest, OpId, Replicate, TermHistory},
    waldir::{Damage, ReadError, Rule, TailError},
};

/// Kudu commits a little out of order; a gap wider than this cannot be.
const MOST_EARLY_COMMITS: usize = 1 << 16;

/// What was delivered, so that each entry is delivered once.
#[derive(Debug)]
pub(super) struct Delivered {
    last: Option<OpId>,
    history: TermHistory,
    /// The last operations and their digests, in order.
    recent: VecDeque<(OpId, OpDigest)>,
    /// All COMMITs up to this index were delivered, or belong to operations before the start.
    commits_through: Option<i64>,
    /// COMMITs delivered out of order, after that index.
    early_commits: BTreeSet<i64>,
    /// Whether an operation was read since the log was last read from its start.
    begun: bool,
}

impl Delivered {
    pub(super) fn new(after: Option<OpId>) -> Self {
        Self {
            last: after,
            history: after.into_iter().collect(),
            recent: VecDeque::new(),
            commits_through: after.map(|id| id.index),
            early_commits: BTreeSet::new(),
            begun: false,
        }
    }

    /// The last operation.
    pub(super) fn last(&self) -> Option<OpId> {
        self.last
    }

    /// The log is read from its start again.
    pub(super) fn read_again(&mut self) {
        self.begun = false;
    }

    /// Whether an entry is new; an error if it contradicts what was delivered.
    pub(super) fn accept(
        &mut self,
        dir: &Path,
        path: &Path,
        offset: u64,
        entry: &LogEntry,
        digests: usize,
    ) -> Result<bool, TailError> {
        match entry {
            LogEntry::Replicate(replicate) => self.accept_replicate(dir, replicate, digests),
            LogEntry::Commit(commit) => self.accept_commit(dir, path, offset, commit),
        }
    }

    fn accept_replicate(&mut self, dir: &Path, replicate: &Replicate, digests: usize) -> Result<bool, TailError> {
        let found = replicate.id();
        self.begun = true;
        let diverged = |delivered| TailError::Diverged { path: dir.to_owned(), delivered, found };
        if let Some(last) = self.last {
            let needed = last.index.saturating_add(1);
            if found.index > needed {
                return Err(TailError::Gone { path: dir.to_owned(), needed, first_available: found });
            }
            if found.index < needed {
                return match self.contradiction(replicate) {
                    Some(delivered) => Err(diverged(delivered)),
                    None => Ok(false),
                };
            }
            if found.term < last.term {
                return Err(diverged(last));
            }
        }
        self.last = Some(found);
        self.history.record(found);
        self.commits_through.get_or_insert(found.index.saturating_sub(1));
        if self.recent.len() >= digests {
            self.recent.pop_front();
        }
        if digests > 0 {
            self.recent.push_back((found, OpDigest::of(replicate)));
        }
        Ok(true)
    }

    /// The operation that was delivered in place of this one, if another was.
    fn contradiction(&self, replicate: &Replicate) -> Option<OpId> {
        let found = replicate.id();
        let at = self.recent.partition_point(|(id, _)| id.index < found.index);
        match self.recent.get(at) {
            Some((id, digest)) if id.index == found.index => {
                (*id != found || *digest != OpDigest::of(replicate)).then_some(*id)
            }
            _ => match self.history.term_at(found.index) {
                Some(term) => (term != found.term).then(|| OpId::new(term, found.index)),
                // Before all that is known of: only that terms never fall.
                None => self.history.first().filter(|first| found.term > first.term),
            },
        }
    }

    fn accept_commit(&mut self, dir: &Path, path: &Path, offset: u64, commit: &Commit) -> Result<bool, TailError> {
        let id = commit.committed();
        let Some(through) = &mut self.commits_through else {
            // Before the first operation of the log: a COMMIT that outlived it.
            return Ok(false);
        };
        if id.index <= *through || self.early_commits.contains(&id.index) {
            return Ok(false);
        }
        if let Some(last) = self.last.filter(|last| id.index > last.index && !self.begun) {
            // Its operation was collected with the segment before, and with it the one that is needed.
            let needed = last.index.saturating_add(1);
            return Err(TailError::Gone { path: dir.to_owned(), needed, first_available: id });
        }
        if self.last.is_none_or(|last| id.index > last.index) {
            let rule = Rule::OrphanCommit(id);
            return Err(ReadError::Damaged(Damage { path: path.to_owned(), offset, rule }).into());
        }
        self.early_commits.insert(id.index);
        let full = self.early_commits.len() > MOST_EARLY_COMMITS;
        while let Some(&first) = self.early_commits.first()
            && (full_gap(full, self.early_commits.len()) || through.checked_add(1) == Some(first))
        {
            *through = first;
            self.early_commits.pop_first();
        }
        Ok(true)
    }
}

/// True while the set of early COMMITs has to be cut down, whatever the gap before it.
fn full_gap(full: bool, early: usize) -> bool {
    full && early >= MOST_EARLY_COMMITS
}
