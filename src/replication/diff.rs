//! Where two logs part, and what follows from it.

use super::message::{Answer, Digest};
use crate::wal::{OpDigest, OpId, TermHistory};

/// The active's answer to a standby with this history.
///
/// The diff-head comes from the terms, since each reign writes under terms of its own ([`super::terms`]); the digest of
/// that operation lets the standby check it. `digest_of` reads the active's log.
pub fn answer<E>(
    active: &TermHistory,
    standby: Option<&TermHistory>,
    uuid: &str,
    digest_of: impl FnOnce(OpId) -> Result<Option<OpDigest>, E>,
) -> Result<Answer, E> {
    let base =
        |reason: &str, diff_head| Answer::TakeBase { reason: reason.to_owned(), diff_head, uuid: uuid.to_owned() };
    let Some(standby) = standby.filter(|history| history.last().is_some()) else {
        return Ok(base("the standby has no log", None));
    };
    let Some(diff_head) = active.diff_head(standby) else {
        return Ok(base(
            "the two logs have no operation in common: the active no longer keeps that part of its log, or the standby's is another catalog's",
            None,
        ));
    };
    Ok(match digest_of(diff_head)? {
        Some(digest) => Answer::Meet { diff_head, digest: Digest(digest), uuid: uuid.to_owned() },
        None => base("the active no longer keeps the operation at which the logs agree", Some(diff_head)),
    })
}

/// What a standby does about the active's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its log is a prefix of the active's: stream what comes after.
    Stream {
        /// Last operation of the standby's log.
        after: OpId,
    },
    /// Its log holds operations that the active's does not, or another operation at the diff-head.
    Gap {
        /// Operations after the diff-head.
        ops: i64,
        /// Last operation at which the two logs agree.
        diff_head: Option<OpId>,
    },
    /// It needs a base and has nothing that the active lacks.
    Base,
}

/// What a standby with this history does about the active's answer; `digest_of` reads the standby's own log.
pub fn verdict<E>(
    answer: &Answer,
    own: Option<&TermHistory>,
    digest_of: impl FnOnce(OpId) -> Result<Option<OpDigest>, E>,
) -> Result<Verdict, E> {
    let last = own.and_then(TermHistory::last);
    let gap_after = |diff_head: Option<OpId>| {
        let from = diff_head.map_or_else(
            || own.and_then(TermHistory::first).map_or(0, |first| first.index.saturating_sub(1)),
            |op| op.index,
        );
        last.map_or(0, |last| last.index.saturating_sub(from))
    };
    Ok(match (answer, last) {
        (_, None) => Verdict::Base,
        (Answer::Meet { diff_head, digest, .. }, Some(last)) => {
            if digest_of(*diff_head)? != Some(digest.0) {
                Verdict::Gap { ops: gap_after(None), diff_head: None }
            } else if *diff_head == last {
                Verdict::Stream { after: last }
            } else {
                Verdict::Gap { ops: gap_after(Some(*diff_head)), diff_head: Some(*diff_head) }
            }
        }
        (Answer::TakeBase { diff_head, .. }, Some(last)) if *diff_head == Some(last) => Verdict::Base,
        (Answer::TakeBase { diff_head, .. }, Some(_)) => {
            Verdict::Gap { ops: gap_after(*diff_head), diff_head: *diff_head }
        }
        (Answer::Refused { .. }, Some(_)) => Verdict::Base,
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use rstest::rstest;

    use super::*;

    fn history(spans: &[(i64, i64, i64)]) -> TermHistory {
        spans.iter().flat_map(|&(term, first, last)| (first..=last).map(move |index| OpId::new(term, index))).collect()
    }

    fn digest(op: OpId) -> OpDigest {
        OpDigest::of_raw(op.to_string().as_bytes())
    }

    fn meet(active: &[(i64, i64, i64)], standby: &[(i64, i64, i64)]) -> Verdict {
        let (active, standby) = (history(active), history(standby));
        let from = |log: TermHistory| {
            move |op: OpId| Ok::<_, Infallible>((log.term_at(op.index) == Some(op.term)).then(|| digest(op)))
        };
        let Ok(answer) = answer(&active, Some(&standby), "u", from(active.clone()));
        let Ok(verdict) = verdict(&answer, Some(&standby), from(standby.clone()));
        verdict
    }

    #[rstest]
    #[case::prefix(&[(1, 1, 20)], &[(1, 1, 15)], Verdict::Stream { after: OpId::new(1, 15) })]
    #[case::equal(&[(1, 1, 20)], &[(1, 1, 20)], Verdict::Stream { after: OpId::new(1, 20) })]
    #[case::prefix_of_an_earlier_reign(&[(1, 1, 20), (2, 21, 30)], &[(1, 1, 20)], Verdict::Stream { after: OpId::new(1, 20) })]
    #[case::gap(&[(1, 1, 20), (2, 21, 30)], &[(1, 1, 24)], Verdict::Gap { ops: 4, diff_head: Some(OpId::new(1, 20)) })]
    #[case::nothing_in_common(&[(2, 50, 60)], &[(1, 1, 24)], Verdict::Gap { ops: 24, diff_head: None })]
    #[case::collected(&[(2, 50, 60)], &[], Verdict::Base)]
    fn logs_part(#[case] active: &[(i64, i64, i64)], #[case] standby: &[(i64, i64, i64)], #[case] expected: Verdict) {
        assert_eq!(meet(active, standby), expected);
    }

    #[test]
    fn another_payload_under_the_same_name_is_a_gap() {
        let log = history(&[(1, 1, 9)]);
        let answer =
            Answer::Meet { diff_head: OpId::new(1, 9), digest: Digest(OpDigest::of_raw(b"other")), uuid: "u".into() };
        let Ok(found) = verdict(&answer, Some(&log), |op| Ok::<_, Infallible>(Some(digest(op))));
        assert_eq!(found, Verdict::Gap { ops: 9, diff_head: None });
    }
}
