//! When an operation counts as done: what a user asks for, and what was promised.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wal::OpId;

/// When a client is told that its operation is done.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.count) == (self.mode == 'Any')",
    "fieldPath": ".count",
    "message": "count is needed with the mode Any, and only with it; set it, or remove it",
}]))]
pub struct AcknowledgementSpec {
    /// `Async`: the active has it. `All`: every standby has it on its disk too. `Any`: `count` standbys have. Default: `Async`.
    pub mode: AcknowledgementMode,
    /// With `Any`: how many standbys must have an operation on their disk. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub count: Option<i32>,
}

impl AcknowledgementSpec {
    /// The rule of the API server for the whole pair.
    pub const RULE: &'static str = "!has(self.spec.replication) || !has(self.spec.replication.acknowledgement) || \
        !has(self.spec.replication.acknowledgement.count) || \
        self.spec.replication.acknowledgement.count <= self.spec.standbys";
    /// What it says when it is broken.
    pub const MESSAGE: &'static str = "spec.replication.acknowledgement.count must be at most spec.standbys, or nothing could ever be acknowledged; \
        lower it, or raise spec.standbys";

    /// Whether operations wait for standbys.
    pub fn is_synchronous(&self) -> bool {
        self.mode != AcknowledgementMode::Async
    }
}

/// Which standbys must have an operation before it is acknowledged.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum AcknowledgementMode {
    /// None.
    #[default]
    Async,
    /// Every one.
    All,
    /// As many as `count` says.
    Any,
}

/// What happens to operations while too few standbys have them.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum WhenUnavailable {
    /// They are not acknowledged until enough standbys have them.
    #[default]
    Block,
    /// After the timeout they are acknowledged by those standbys that are there, or by the active alone. That is written
    /// into the pair's Lease before the first one is.
    Degrade,
}

/// Whether a pair whose active acknowledged operations alone is failed over without a person.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum WhenDegraded {
    /// No: what the active acknowledged alone would be lost.
    #[default]
    Refuse,
    /// Yes: an operation may be lost rather than the service.
    Promote,
}

/// Which standbys are promised to have what the active of one reign has acknowledged.
///
/// It stands in the pair's Lease (annotation `kudupair.io/sync`), which the active holds. **Every operation that the active
/// acknowledged in this reign, and all that clients saw of earlier ones, is on the disks of at least `quorum` of `members`.** So
/// the longest log among `members - quorum + 1` of them has it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SyncRecord {
    /// The reign.
    pub epoch: i64,
    /// The standbys that count.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub members: BTreeSet<String>,
    /// How many of them have each acknowledged operation; zero: the active may be the only one that has it.
    #[schemars(range(min = 0))]
    pub quorum: i32,
    /// True when operations are acknowledged although fewer standbys have them than the user asked for.
    #[serde(default)]
    pub degraded: bool,
    /// An operation that each of `members` had when this was written: a log that ends before it is not what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<OpId>,
}

impl SyncRecord {
    /// The promise of a reign that has promised nothing.
    pub fn none(epoch: i64) -> Self {
        Self { epoch, members: BTreeSet::new(), quorum: 0, degraded: false, floor: None }
    }

    /// `quorum` as a number of members.
    pub fn quorum_size(&self) -> usize {
        usize::try_from(self.quorum).unwrap_or(0)
    }

    /// How many of `members` have to be heard so that one of them has every acknowledged operation; none when no number of
    /// them is enough.
    pub fn witnesses(&self) -> Option<usize> {
        let needed = self.members.len().checked_add(1)?.checked_sub(self.quorum_size())?;
        (self.quorum > 0 && needed >= 1).then_some(needed)
    }
}
