//! What is written down beside a gap that is kept: where it comes from, and what became of it.

use serde::{Deserialize, Serialize};

use super::{
    describe::describe,
    plan::{Item, Plan},
    read::Gap,
    verdict::Verdict,
};
use crate::{api::GapState, replication::terms, wal::OpId};

/// Changes that are named in words; the others are counted.
const NAMED_CHANGES: usize = 20;

/// Tables whose outcome is told in words; the others are counted.
const OUTCOMES: usize = 50;

/// The anchors of a gap, and what became of it. As JSON beside the gap's segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptGap {
    /// Its name in the pair: the member's, and the gap's last operation.
    pub name: String,
    /// The pair.
    pub pair: String,
    /// The member whose log it is from.
    pub member: String,
    /// The reign that wrote its last operation.
    pub old_epoch: i64,
    /// The last operation that the new active has too; absent when they have nothing in common.
    pub diff_head: Option<OpId>,
    /// Its last operation.
    pub head: OpId,
    /// The reign in which it was found.
    pub new_epoch: i64,
    /// The active of that reign.
    pub new_active: String,
    /// The first operation of a later reign that the new active has behind the diff-head; absent until it is known here.
    #[serde(default)]
    pub new_first: Option<OpId>,
    /// Number of operations.
    pub ops: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// When it was kept, in milliseconds since 1970.
    pub kept_unix_milliseconds: u64,
    /// What people did in it, in words: the first ones.
    pub changes: Vec<String>,
    /// How many more there are.
    pub more_changes: u64,
    /// What became of it.
    pub state: GapState,
    /// The request that was obeyed last.
    #[serde(default)]
    pub request: Option<String>,
    /// The operations that a replay added, first and last; absent before one, and when it had nothing to add.
    #[serde(default)]
    pub replayed: Option<(OpId, OpId)>,
    /// The last operation of the active's log that the last plan took into account; absent before one.
    #[serde(default)]
    pub planned_head: Option<OpId>,
    /// What becomes of it once every standby has what its replay added, and what the plan took into account: an operation that
    /// overtook a table of the gap could still be lost until then.
    #[serde(default)]
    pub after_replay: Option<GapState>,
    /// What the last replay did with each table, in words, or why there was none.
    #[serde(default)]
    pub outcome: Vec<String>,
}

impl KeptGap {
    /// The anchors of a gap that was just found. `None`: there is nothing to keep.
    #[must_use]
    pub fn found(gap: &Gap, pair: &str, member: &str, new: (i64, &str), kept_unix_milliseconds: u64) -> Option<Self> {
        let head = gap.ops.last()?.id();
        let (new_epoch, new_active) = new;
        let bytes = gap.ops.iter().map(|op| u64::try_from(op.op.raw().len()).unwrap_or(u64::MAX));
        let mut changes: Vec<_> = describe(gap)
            .iter()
            .flat_map(|op| &op.events)
            .filter(|event| event.by_a_person())
            .map(ToString::to_string)
            .collect();
        let more = changes.split_off(NAMED_CHANGES.min(changes.len()));
        Some(Self {
            name: name(member, head),
            pair: pair.to_owned(),
            member: member.to_owned(),
            old_epoch: terms::epoch_of(head.term),
            diff_head: gap.after,
            head,
            new_epoch,
            new_active: new_active.to_owned(),
            new_first: None,
            ops: u64::try_from(gap.ops.len()).unwrap_or(u64::MAX),
            bytes: bytes.fold(0, u64::saturating_add),
            kept_unix_milliseconds,
            changes,
            more_changes: u64::try_from(more.len()).unwrap_or(u64::MAX),
            state: GapState::Pending,
            request: None,
            replayed: None,
            planned_head: None,
            after_replay: None,
            outcome: Vec::new(),
        })
    }

    /// The operation that every standby must have before the gap is settled.
    #[must_use]
    pub fn settled_with(&self) -> Option<OpId> {
        self.replayed.map(|ops| ops.1).max(self.planned_head)
    }

    /// Whether somebody or a replay has still to decide what becomes of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.state, GapState::Replayed | GapState::Discarded)
    }
}

/// A gap's name, which is also that of its folder.
#[must_use]
pub fn name(member: &str, head: OpId) -> String {
    format!("{member}-{head}")
}

/// What a plan comes to when what can be replayed is: in words for each table, conflicts first.
#[must_use]
pub fn outcome(plan: &Plan) -> (GapState, Vec<String>) {
    let is_conflict = |item: &&Item| matches!(item.verdict, Verdict::Conflict { .. });
    let (conflicts, others): (Vec<_>, Vec<_>) = plan.items.iter().partition(is_conflict);
    let state = if conflicts.is_empty() { GapState::Replayed } else { GapState::Conflict };
    let mut lines: Vec<_> = conflicts
        .into_iter()
        .chain(others)
        .map(|item| {
            let what = match item.verdict {
                Verdict::Replay => "replayed",
                Verdict::AlreadyReplayed => "replayed before",
                Verdict::Superseded { .. } => "superseded",
                Verdict::Conflict { .. } => "conflict",
            };
            format!("{what}: {}: {}", item.name, item.why)
        })
        .collect();
    let more = lines.len().saturating_sub(OUTCOMES);
    if more > 0 {
        lines.truncate(OUTCOMES);
        lines.push(format!("and {more} more; kudu-pair gap plan has all of them"));
    }
    (state, lines)
}
