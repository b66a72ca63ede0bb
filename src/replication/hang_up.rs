//! Why one end of a stream ends it.

use std::time::Duration;

use super::sender::SenderError;
use crate::wal::OpId;

/// Why one end of a stream ends it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HangUp {
    /// The reign is over, or its log is no longer offered.
    #[error("the reign whose log was offered has ended")]
    ReignEnded,
    /// The same member streams over a newer connection.
    #[error("the member has registered again over another connection")]
    Replaced,
    /// The active's answer was that the standby needs a base.
    #[error("the standby needs a base: {0}")]
    BaseNeeded(String),
    /// The active does not serve the standby.
    #[error("the active does not serve this member: {0}")]
    Refused(String),
    /// Nothing came for too long.
    #[error("nothing was heard for {} ms", .0.as_millis())]
    Silent(Duration),
    /// What was sent is not acknowledged, though the standby is alive.
    #[error("what was sent has not been acknowledged for {} ms; is its disk stuck?", .0.as_millis())]
    Unacknowledged(Duration),
    /// A message that was not due.
    #[error("{got} came where {wanted} was due")]
    OutOfTurn {
        /// What came.
        got: String,
        /// What should have come.
        wanted: &'static str,
    },
    /// A frame of an older reign.
    #[error("it speaks for epoch {theirs} and this member has obeyed epoch {ours}; a deposed active is not followed")]
    OldEpoch {
        /// Its epoch.
        theirs: i64,
        /// Ours.
        ours: i64,
    },
    /// A frame of another reign than the one that the stream was begun in.
    #[error("it speaks for epoch {theirs} in a stream of epoch {ours}")]
    OtherEpoch {
        /// Its epoch.
        theirs: i64,
        /// The stream's.
        ours: i64,
    },
    /// A stream that is to begin elsewhere than where the logs were found to part.
    #[error("it wants to begin after {after}, and the logs agree up to {diff_head}")]
    BeginElsewhere {
        /// Where it wants to begin.
        after: OpId,
        /// The diff-head that it was told.
        diff_head: OpId,
    },
    /// An acknowledgement that cannot be.
    #[error(transparent)]
    Acknowledgement(#[from] SenderError),
    /// A digest of what was not acknowledged yet.
    #[error("it sent a digest up to {at}, and only {replicate_head} has been acknowledged")]
    DigestAhead {
        /// Where the digest ends.
        at: OpId,
        /// What was acknowledged.
        replicate_head: OpId,
    },
    /// This member's log is not fit to be continued.
    #[error("this member's own log is unfit: {0}; it takes a new base")]
    Unfit(String),
    /// Operations that do not continue the log.
    #[error("operation {next} does not follow {after}")]
    Hole {
        /// The last operation before.
        after: OpId,
        /// The one that came.
        next: OpId,
    },
}

impl HangUp {
    /// The reason for a message out of turn, with as much of it as a log line bears.
    pub(super) fn out_of_turn(got: &super::Message, wanted: &'static str) -> Self {
        Self::OutOfTurn { got: format!("{got:?}").chars().take(80).collect(), wanted }
    }
}

/// Checks that operations continue a log that ends at `after`: each index follows the one before, and no term is
/// lower. Returns the last one.
pub(super) fn follow_on(after: OpId, ops: impl IntoIterator<Item = OpId>) -> Result<OpId, HangUp> {
    ops.into_iter().try_fold(after, |after, next| {
        if after.index.checked_add(1) == Some(next.index) && next.term >= after.term {
            Ok(next)
        } else {
            Err(HangUp::Hole { after, next })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_continued_without_holes() {
        let op = OpId::new;
        assert_eq!(follow_on(op(1, 4), [op(1, 5), op(2, 6)]), Ok(op(2, 6)));
        assert_eq!(follow_on(op(1, 4), []), Ok(op(1, 4)));
        for next in [op(1, 4), op(1, 6), op(2, 4), op(0, 5), op(1, i64::MIN)] {
            assert_eq!(follow_on(op(1, 4), [next]), Err(HangUp::Hole { after: op(1, 4), next }));
        }
        assert!(follow_on(op(1, i64::MAX), [op(1, i64::MIN)]).is_err());
    }
}
