//! What only a lost active had, and what is to become of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wal::OpId;

/// What becomes of operations that only an old active had.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct SwitchBackSpec {
    /// What becomes of a gap when the member that keeps it serves again: `Replay` what does not conflict with what was done since,
    /// `Ask` a person by the condition `GapPending`, or `Keep` it until a person says something. Default: `Replay`.
    pub gap: GapPolicy,
    /// How much a member keeps in gaps at most. Those that were replayed or discarded go first, the oldest before the others. One that nobody has
    /// decided about never goes for this: when there is no room for another one, the member that has it does not rejoin and says so. Default: 1024.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_mebibytes: i32,
    /// After so many days a gap that nobody decided about is discarded, with an event. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub discard_after_days: Option<i32>,
}

impl Default for SwitchBackSpec {
    fn default() -> Self {
        Self { gap: GapPolicy::default(), max_mebibytes: 1024, discard_after_days: None }
    }
}

/// What becomes of a gap when its member serves again.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum GapPolicy {
    /// What does not conflict with what was done since is replayed.
    #[default]
    Replay,
    /// A person is asked.
    Ask,
    /// Nothing, until a person says something.
    Keep,
}

/// What became of a gap.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum GapState {
    /// It is kept, and nothing was done with it.
    Pending,
    /// What can be replayed is in the active's log; not every standby has it yet.
    Replaying,
    /// All of it was replayed, or superseded by what was done since.
    Replayed,
    /// What could be replayed was; a person has to choose about the rest.
    Conflict,
    /// A person gave it up. It stays on the member's volume.
    Discarded,
}

/// Operations that only one member had when another one became active.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GapStatus {
    /// Its name, as requests name it.
    pub name: String,
    /// The member that had them, and keeps it.
    pub member: String,
    /// The reign that wrote its last operation.
    pub old_epoch: i64,
    /// The last operation that the new active had too; absent when they had nothing in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff_head: Option<OpId>,
    /// Its last operation.
    pub head: OpId,
    /// The reign in which it was found.
    pub new_epoch: i64,
    /// The active of that reign.
    pub new_active: String,
    /// The first operation that the new active has in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_first: Option<OpId>,
    /// Number of operations.
    pub ops: i64,
    /// Their length in bytes.
    pub bytes: i64,
    /// When it was kept.
    pub kept_at: MicroTime,
    /// What people did in it, in words: the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// How many more there are.
    #[serde(default)]
    pub more_changes: i64,
    /// What became of it.
    pub state: GapState,
    /// The operations that its replay added, first and last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replayed: Vec<OpId>,
    /// What the last replay did with each table, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcome: Vec<String>,
    /// What asked for its state: the value of the annotation kudupair.io/gap, in which `kubectl kudupair` writes who asked behind the @, or
    /// `spec.switchBack.discardAfterDays`. Absent when `spec.switchBack.gap` did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What a person asked for, until it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<GapDecision>,
}

impl GapStatus {
    /// Whether somebody or a replay has still to decide what becomes of it.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, GapState::Replayed | GapState::Discarded)
    }
}

/// What a person asked for about a gap.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GapDecision {
    /// What.
    pub what: GapRequest,
    /// The annotation's value that asked for it.
    pub request: String,
}

/// What can be asked for about a gap.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum GapRequest {
    /// Replay what does not conflict.
    Replay,
    /// Give it up.
    Discard,
}
