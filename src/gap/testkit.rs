//! A gap for tests that only hand it on.

use super::{KeptGap, kept};
use crate::{api::GapState, wal::OpId};

/// A member's gap of three operations, about which nobody has decided.
pub(crate) fn kept_gap(member: &str, head: OpId) -> KeptGap {
    KeptGap {
        name: kept::name(member, head),
        pair: "demo".to_owned(),
        member: member.to_owned(),
        old_epoch: 1,
        diff_head: Some(OpId::new(head.term, head.index - 3)),
        head,
        new_epoch: 2,
        new_active: "demo-1".to_owned(),
        new_first: None,
        ops: 3,
        bytes: 600,
        kept_unix_milliseconds: 1_000,
        changes: vec!["CREATE TABLE sales, 2 tablets".to_owned()],
        more_changes: 0,
        state: GapState::Pending,
        request: None,
        replayed: None,
        planned_head: None,
        after_replay: None,
        outcome: Vec::new(),
    }
}
