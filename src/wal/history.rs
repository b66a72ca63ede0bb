//! Which term wrote which part of a log.

use serde::{Deserialize, Serialize};

use super::OpId;

/// A run of operations that one term wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermSpan {
    /// The term.
    pub term: i64,
    /// Index of its first operation.
    pub first: i64,
    /// Index of its last operation.
    pub last: i64,
}

/// The terms of a log, in order, with the operations that each wrote.
///
/// A log's whole identity in a few numbers: an [`OpId`] is unique to one reign, so two logs are equal up
/// to the last operation at which their histories agree. See [`TermHistory::diff_head`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TermHistory {
    spans: Vec<TermSpan>,
}

impl TermHistory {
    /// Adds the next operation. One at or before the last index replaces all from there on, as in Raft.
    pub fn record(&mut self, id: OpId) {
        while let Some(span) = self.spans.last_mut() {
            if span.last < id.index {
                break;
            }
            if span.first < id.index {
                span.last = id.index.saturating_sub(1);
                break;
            }
            self.spans.pop();
        }
        match self.spans.last_mut() {
            Some(span) if span.term == id.term && span.last.checked_add(1) == Some(id.index) => span.last = id.index,
            _ => self.spans.push(TermSpan { term: id.term, first: id.index, last: id.index }),
        }
    }

    /// The runs, in order.
    #[must_use]
    pub fn spans(&self) -> &[TermSpan] {
        &self.spans
    }

    /// The first operation.
    #[must_use]
    pub fn first(&self) -> Option<OpId> {
        self.spans.first().map(|span| OpId::new(span.term, span.first))
    }

    /// The last operation.
    #[must_use]
    pub fn last(&self) -> Option<OpId> {
        self.spans.last().map(|span| OpId::new(span.term, span.last))
    }

    /// The term that wrote the operation at `index`, if it is in this log.
    #[must_use]
    pub fn term_at(&self, index: i64) -> Option<i64> {
        let after = self.spans.partition_point(|span| span.last < index);
        self.spans.get(after).filter(|span| span.first <= index).map(|span| span.term)
    }

    /// This log with the part of an earlier one before it, where the two are without a hole between them; else this log.
    #[must_use]
    pub fn preceded_by(&self, earlier: &Self) -> Self {
        let Some(first) = self.first() else { return earlier.clone() };
        let before = first.index.saturating_sub(1);
        if earlier.term_at(before).is_none_or(|term| term > first.term) {
            return self.clone();
        }
        let spans = earlier.spans.iter().filter(|span| span.first <= before);
        let cut = spans.map(|span| TermSpan { last: span.last.min(before), ..*span });
        let mut joined = Self { spans: cut.collect() };
        for span in &self.spans {
            match joined.spans.last_mut() {
                Some(last) if last.term == span.term && last.last.checked_add(1) == Some(span.first) => {
                    last.last = span.last
                }
                _ => joined.spans.push(*span),
            }
        }
        joined
    }

    /// The last operation at which this log and another agree; `None` if they share none.
    ///
    /// A common operation implies that all before it are common (Raft's log matching property), so the parts
    /// that only one of the two still holds do not matter.
    #[must_use]
    pub fn diff_head(&self, other: &Self) -> Option<OpId> {
        self.spans.iter().rev().find_map(|mine| {
            other.spans.iter().rev().find_map(|theirs| {
                let last = mine.last.min(theirs.last);
                (mine.term == theirs.term && mine.first.max(theirs.first) <= last).then(|| OpId::new(mine.term, last))
            })
        })
    }
}

impl FromIterator<OpId> for TermHistory {
    fn from_iter<T: IntoIterator<Item = OpId>>(ids: T) -> Self {
        let mut history = Self::default();
        ids.into_iter().for_each(|id| history.record(id));
        history
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_part_comes_before_it_where_there_is_no_hole() {
        let ops = |term: i64, indexes: std::ops::RangeInclusive<i64>| indexes.map(move |index| OpId::new(term, index));
        let earlier: TermHistory = ops(1, 1..=5).chain(ops(2, 6..=9)).collect();
        let later: TermHistory = ops(2, 8..=12).chain(ops(3, 13..=14)).collect();
        let joined: TermHistory = ops(1, 1..=5).chain(ops(2, 6..=12)).chain(ops(3, 13..=14)).collect();
        assert_eq!(later.preceded_by(&earlier), joined);
        let hole: TermHistory = ops(3, 13..=14).collect();
        assert_eq!(hole.preceded_by(&earlier), hole);
        assert_eq!(TermHistory::default().preceded_by(&earlier), earlier);
        assert_eq!(later.preceded_by(&TermHistory::default()), later);
        assert_eq!(earlier.preceded_by(&later), earlier);
    }

    fn history(spans: &[(i64, i64, i64)]) -> TermHistory {
        spans.iter().flat_map(|&(term, first, last)| (first..=last).map(move |index| OpId::new(term, index))).collect()
    }

    #[test]
    fn joins_runs_and_finds_terms() {
        let log = history(&[(1, 5, 9), (2, 10, 10), (5, 11, 20)]);
        assert_eq!(log.spans().len(), 3);
        assert_eq!(log.first(), Some(OpId::new(1, 5)));
        assert_eq!(log.last(), Some(OpId::new(5, 20)));
        assert_eq!(
            [4, 5, 9, 10, 11, 20, 21].map(|index| log.term_at(index)),
            [None, Some(1), Some(1), Some(2), Some(5), Some(5), None]
        );
    }

    #[test]
    fn a_later_term_overwrites() {
        let mut log = history(&[(1, 1, 4), (2, 5, 8)]);
        log.record(OpId::new(3, 3));
        assert_eq!(log, history(&[(1, 1, 2), (3, 3, 3)]));
        log.record(OpId::new(4, 1));
        assert_eq!(log, history(&[(4, 1, 1)]));
    }

    #[test]
    fn diff_head_is_the_last_common_op() {
        let old = history(&[(1, 1, 50), (2, 51, 80)]);
        assert_eq!(old.diff_head(&history(&[(1, 1, 50), (2, 51, 70), (3, 71, 90)])), Some(OpId::new(2, 70)));
        assert_eq!(old.diff_head(&history(&[(2, 60, 70)])), Some(OpId::new(2, 70)));
        assert_eq!(old.diff_head(&history(&[(1, 1, 40), (3, 41, 60)])), Some(OpId::new(1, 40)));
        assert_eq!(old.diff_head(&history(&[(3, 1, 9)])), None);
        assert_eq!(old.diff_head(&TermHistory::default()), None);
        assert_eq!(old.diff_head(&old), old.last());
    }
}
