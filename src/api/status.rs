//! What the operator says of a pair.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    failover::{DryRunAnswer, RequestAnswer},
    gap::GapStatus,
    sync::SyncRecord,
};
use crate::wal::OpId;

/// What the operator says of a pair. `active`, `epoch`, `catalog` and `switch` are also its memory: each step of a
/// switch is written here before it is taken, so that any controller can go on with it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct PairStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// In one word, how the pair is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The member that serves, or served last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<String>,
    /// Number of the active's reign; grows by one at each promotion.
    #[schemars(range(min = 0))]
    pub epoch: i64,
    /// How far the best standby is behind the active, for people; `unknown` when no recent sample says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<String>,
    /// When that was measured; absent when it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_sampled_at: Option<MicroTime>,
    /// The catalog of this pair: formatted once in the pair's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Catalog>,
    /// Which standbys have what was acknowledged, as the pair's Lease said last; absent while the active acknowledges by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncRecord>,
    /// Each member as it was last seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberStatus>,
    /// The switch that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<SwitchRecord>,
    /// Receipt of the last switch that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_switch: Option<Receipt>,
    /// Receipts of the last ten switches, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<Receipt>,
    /// Operations that only a lost active had, each as it was found when that member came back; the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapStatus>,
    /// Answer to the last request about a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_request: Option<RequestAnswer>,
    /// The members that may not serve, as the annotation `kudupair.io/fenced` named them when this was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fenced: Vec<String>,
    /// The last time that an active served on without the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_stay: Option<Stay>,
    /// Answer to the last switchover request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switchover: Option<RequestAnswer>,
    /// Answer to the last question whether a switchover could be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switchover_dry_run: Option<DryRunAnswer>,
    /// What became of the last approval of a failover that was the one asked for. Others are ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<RequestAnswer>,
    /// The state in detail, each with a reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// In one word, how a pair is.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum Phase {
    /// Members do not run yet.
    Pending,
    /// The first active formats the catalog.
    Initializing,
    /// The active serves and every standby follows it.
    Running,
    /// The active serves, but a standby does not follow it.
    Degraded,
    /// A planned switch is under way.
    SwitchingOver,
    /// The active was lost and a standby is taking over.
    FailingOver,
    /// No active serves, and the operator cannot or may not do anything about it; the conditions say why.
    Down,
}

/// The catalog of a pair.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// The uuid that all members' kudu-masters share, 32 hexadecimal digits.
    pub uuid: String,
    /// True since the first active served. From then on no member ever formats a catalog.
    pub formatted: bool,
}

/// A member as it was last seen.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// The member's pod.
    pub name: String,
    /// What the member is.
    pub role: Role,
    /// What it does.
    pub state: MemberState,
    /// Last operation in its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<OpId>,
    /// How many operations it is behind the active's head; absent when that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_ops: Option<i64>,
    /// How many bytes of log these operations are, at most; absent when that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<i64>,
    /// For how long the oldest of them has been waiting, at most, in milliseconds; absent when that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_milliseconds: Option<i64>,
    /// When that was measured by the active. With the numbers absent, the last time that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_sampled_at: Option<MicroTime>,
    /// Of a standby: the last moment at which it is known to have had all of the active's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<MicroTime>,
    /// Of a standby: operations that it holds past its base, which a promotion has to replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_ops: Option<i64>,
    /// Of a standby: how long a promotion is predicted to replay them, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_replay_milliseconds: Option<i64>,
    /// Of a standby: last operation up to which its log was compared with the active's since its base, and found equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_head: Option<OpId>,
    /// When that was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<MicroTime>,
    /// The log that this member found unfit last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfit_log: Option<UnfitLog>,
    /// How long the last kill of its `kudu-master` took, in milliseconds, from the signal until nothing of the process was left;
    /// absent before one. To be compared with `spec.failover.killTimeMilliseconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_milliseconds: Option<i64>,
    /// What is wrong and what to do, when something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A log that a standby found unfit: it is not the active's, or it is damaged. The standby takes a new base; the log is kept below
/// `quarantine/` on its volume, under the name of the generation.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UnfitLog {
    /// The generation whose log it is.
    pub generation: String,
    /// The epoch in which that was found.
    pub epoch: i64,
    /// What is wrong with it.
    pub fault: LogFault,
    /// Where, and how that was found.
    pub message: String,
    /// Whether another base has taken its place.
    pub replaced: bool,
}

/// What is wrong with a log.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum LogFault {
    /// It can be read, but does not hold what the active's holds.
    Differs,
    /// It cannot be read.
    Damaged,
}

/// What a member is.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum Role {
    /// The one that serves.
    Active,
    /// One that holds the active's log.
    Standby,
    /// Not known: the member does not answer.
    Unknown,
}

/// What a member does.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum MemberState {
    /// Waits for an order.
    Waiting,
    /// Formats the pair's catalog.
    Formatting,
    /// Starts kudu-master and waits until it has applied the recorded head.
    Promoting,
    /// kudu-master runs and has applied the recorded head.
    Serving,
    /// Has stopped kudu-master and ships what is left of its log.
    StandingDown,
    /// Looks for the active.
    Connecting,
    /// Copies a base from the active.
    CopyingBase,
    /// Receives the active's log.
    Streaming,
    /// Cannot go on; the message says why.
    Failed,
    /// Does not answer.
    Unreachable,
}

/// Why a switch is made.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum SwitchKind {
    /// The first active of the pair.
    Initialize,
    /// Planned.
    Switchover,
    /// The active was lost.
    Failover,
}

/// How far a switch is.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum SwitchStep {
    /// The old active is being stopped, or its Lease awaited to be over.
    Fencing,
    /// The new active starts and replays up to the recorded head.
    Promoting,
    /// The Service is being pointed at the new active.
    Repointing,
}

/// A switch that is under way. Each step is recorded before it is taken.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SwitchRecord {
    /// Why.
    pub kind: SwitchKind,
    /// The epoch that the switch leads to.
    pub epoch: i64,
    /// How far it is.
    pub step: SwitchStep,
    /// The old active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The new active; of a failover known only once the old active is fenced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Members that were chosen in this switch and did not come to serve, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<TriedMember>,
    /// The switchover request that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What a person approved of this failover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// The op that the new active must have applied before it may serve: the last one in its log when it was chosen,
    /// never below what was known to be acknowledged and replicated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<OpId>,
    /// The highest head known for the old active when it was fenced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_head: Option<OpId>,
    /// True when the recorded head is the old active's last op beyond doubt, because it was read after kudu-master had stopped.
    #[serde(default)]
    pub recorded_head_final: bool,
    /// Which standbys have what the old active acknowledged: what its Lease said before the fence; absent when it acknowledged
    /// by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncRecord>,
    /// The last op that the old active is known to have acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_head: Option<OpId>,
    /// When the old active was last known to be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<MicroTime>,
    /// When the old active was known to be dead, if it was before the fence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_at: Option<MicroTime>,
    /// Why the switch was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When the switch was decided.
    pub started_at: MicroTime,
    /// When the old active was fenced and the new one chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fenced_at: Option<MicroTime>,
    /// When the new active had applied the recorded head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed_at: Option<MicroTime>,
    /// Why the switch does not go on, when it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
}

impl SwitchRecord {
    /// A switch that begins at that time, of which nothing else is known yet.
    pub fn new(kind: SwitchKind, epoch: i64, step: SwitchStep, started_at: jiff::Timestamp) -> Self {
        Self {
            kind,
            epoch,
            step,
            from: None,
            to: None,
            tried: Vec::new(),
            request: None,
            approval: None,
            gate: None,
            recorded_head: None,
            recorded_head_final: false,
            sync: None,
            acknowledged_head: None,
            lost_at: None,
            dead_at: None,
            why: None,
            started_at: started_at.into(),
            fenced_at: None,
            replayed_at: None,
            waiting_for: None,
        }
    }
}

/// A member that was chosen in a switch and did not come to serve.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TriedMember {
    /// The member.
    pub name: String,
    /// The last op in its log when it was chosen. What its master wrote after that was never seen by a client, since the
    /// Service did not select it; absent for the old active, which the Service selects all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<OpId>,
}

/// What a switch did.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Why it was made.
    pub kind: SwitchKind,
    /// The epoch that it led to.
    pub epoch: i64,
    /// The old active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The new active.
    pub to: String,
    /// Members that were chosen before it and did not come to serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
    /// The last op that the old active is known to have acknowledged; it may have acknowledged more. Absent when it was never
    /// heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_head: Option<OpId>,
    /// The highest head known for the old active when it was fenced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_head: Option<OpId>,
    /// The last op of the old reign that the new active had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted_head: Option<OpId>,
    /// Operations of the old active that the new one does not have: a number, or `unknown` until the old active's log is seen.
    pub ops_lost: String,
    /// When the switch was decided.
    pub started_at: MicroTime,
    /// When the Service pointed at the new active.
    pub finished_at: MicroTime,
    /// Seconds from the last sign of the old active to the decision, as in `5.2`.
    pub detect_seconds: String,
    /// Seconds until the old active was fenced.
    pub fence_seconds: String,
    /// Seconds until the new active had applied the recorded head.
    pub replay_seconds: String,
    /// Seconds until the Service pointed at the new active.
    pub repoint_seconds: String,
    /// How it ended: `Completed`, or `RolledBack` when a planned switch went back to the old active.
    pub outcome: SwitchOutcome,
    /// Why it was made, and why it ended otherwise than planned, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What a person approved of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
}

/// How a switch ended.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[schemars(inline)]
pub enum SwitchOutcome {
    /// The new active serves.
    Completed,
    /// The old active serves again.
    RolledBack,
}

/// A time in which an active served on without the API server, because every other member had pledged not to take over.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Stay {
    /// The active.
    pub member: String,
    /// When the first pledges took the place of its renewal, by its own clock.
    pub since: MicroTime,
    /// How long it lasted in seconds, as in `23.4`: until the Lease was renewed again, or until a pledge was missing.
    pub seconds: String,
}
