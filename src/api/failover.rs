//! Who decides that another member takes over, and how a person does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who decides that another member takes over.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum FailoverMode {
    /// The operator, within `maxLossOps`, `maxLossSeconds` and `failoversPerHour`.
    #[default]
    Automatic,
    /// A person approves what the operator proposes in the condition `Ready`, by the annotation `kudupair.io/approve-failover`.
    Approval,
    /// Only a person's own request, the annotation `kudupair.io/switchover`, makes another member active. The operator switches
    /// by itself neither after a loss nor to restart a pod. In YAML it needs quotes: `Off` alone reads as false.
    Off,
}

/// Answer to a request that stands in an annotation.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RequestAnswer {
    /// The annotation's value that is answered.
    pub request: String,
    /// What became of it.
    pub answer: Answer,
    /// Why, and what to do.
    pub message: String,
}

/// What became of a request.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum Answer {
    /// The switch is under way.
    Accepted,
    /// The switch is done.
    Completed,
    /// Nothing was done.
    Refused,
    /// It was tried and went back to the old active.
    RolledBack,
}

/// Answer to a question whether a planned switch could be made (annotation `kudupair.io/switchover-dry-run`).
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DryRunAnswer {
    /// The annotation's value that is answered.
    pub request: String,
    /// Whether the switch would have been begun at that moment.
    pub possible: bool,
    /// The member that would have become active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Everything that stood in the way, each with what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<String>,
    /// The same in a sentence.
    pub message: String,
}
