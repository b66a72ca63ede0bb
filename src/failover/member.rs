//! What a member says of itself.

use serde::{Deserialize, Serialize};

use crate::{
    api::{MemberState, Role, SyncRecord, UnfitLog},
    gap::KeptGap,
    wal::OpId,
};

/// A member's report, as its sidecar serves it at `/report`.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MemberReport {
    /// Name of the pair.
    pub pair: String,
    /// Name of the member.
    pub member: String,
    /// Who may hold the Lease for this member now: pod, pod uid and launcher instance.
    pub identity: String,
    /// The highest epoch that this member has obeyed.
    pub epoch: i64,
    /// What it is.
    pub role: Role,
    /// What it does.
    pub state: MemberState,
    /// Whether there is a catalog on its volumes.
    pub has_catalog: bool,
    /// The uuid of that catalog, 32 hexadecimal digits: a pair whose status was lost takes it over instead of formatting.
    #[serde(default)]
    pub catalog_uuid: Option<String>,
    /// Last op in its log: on a standby durable, on the active as read from its log.
    pub head: Option<OpId>,
    /// On an active: last op that its log shows applied.
    pub applied_head: Option<OpId>,
    /// On a standby: the active's head when it was last heard.
    pub active_head: Option<OpId>,
    /// On a standby: milliseconds since the active was last heard to be serving; absent when it never was in this epoch.
    pub active_heard_milliseconds_ago: Option<u64>,
    /// On an active: its standbys.
    pub standbys: Vec<StandbyReport>,
    /// True when kudu-master of this member is certainly not running.
    pub master_stopped: bool,
    /// Ops that this member had at its last rejoin and the active had not: the gap. Absent before a rejoin in this epoch.
    pub gap: Option<GapReport>,
    /// Gaps that it keeps on its volume.
    #[serde(default)]
    pub gaps: Vec<KeptGap>,
    /// How it talks to other members; absent in reports of a sidecar that knew plain text only.
    #[serde(default)]
    pub encryption: Option<LinkEncryption>,
    /// On an active: which standbys have what it acknowledges; absent while it acknowledges by itself.
    #[serde(default)]
    pub sync: Option<SyncRecord>,
    /// The last time that it served on without the API server; absent when this sidecar has seen none.
    #[serde(default)]
    pub stay: Option<StayReport>,
    /// On a standby: operations that it holds past its base, which a promotion has to replay.
    #[serde(default)]
    pub pending_ops: Option<u64>,
    /// On a standby: their length in bytes.
    #[serde(default)]
    pub pending_bytes: Option<u64>,
    /// On a standby: how long a promotion is predicted to replay them.
    #[serde(default)]
    pub predicted_replay_milliseconds: Option<u64>,
    /// On a standby: how far its log was compared with the active's and found equal; absent before the first comparison.
    #[serde(default)]
    pub verified: Option<VerifiedReport>,
    /// The log that this member found unfit last, for whatever reason; while it is not replaced, it is the one in use.
    #[serde(default)]
    pub unfit: Option<UnfitLog>,
    /// On a standby that takes a new base: bytes copied so far.
    #[serde(default)]
    pub base_bytes: Option<u64>,
    /// How long its launcher's last kill of kudu-master took, from the signal until it was reaped; absent before one.
    #[serde(default)]
    pub kill_milliseconds: Option<u64>,
    /// What is wrong and what to do, when something is.
    pub message: Option<String>,
}

impl MemberReport {
    /// Whether this member's log is one to serve from.
    pub fn is_fit(&self) -> bool {
        self.unfit.as_ref().is_none_or(|unfit| unfit.replaced)
    }
}

/// A stretch of a standby's log that was read back from its files and found equal to the active's.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedReport {
    /// The op behind which it begins: the last one of the base, if the active still had it when they were compared.
    pub from: OpId,
    /// Its last op.
    pub head: OpId,
    /// Milliseconds since its end was compared.
    pub milliseconds_ago: u64,
}

/// How a member talks to others.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum LinkEncryption {
    /// By mutual TLS.
    Tls,
    /// In plain text, because somebody asked for that.
    Plaintext,
    /// Not yet: why.
    Waiting(String),
}

/// What an active knows of one standby.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StandbyReport {
    /// The member's name.
    pub member: String,
    /// Last op that it has acknowledged as durable.
    pub replicate_head: Option<OpId>,
    /// Milliseconds since its last acknowledgement.
    pub heard_milliseconds_ago: u64,
    /// How far it is behind the active's head; absent while the active has not read its log.
    #[serde(default)]
    pub lag: Option<LagReport>,
}

/// How far a standby is behind the active's head, as the active measures it: at most so far, never further.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LagReport {
    /// Operations that it has not acknowledged; absent when it has acknowledged all that is known, but the sample is too old to
    /// say that it has everything.
    pub ops: Option<u64>,
    /// Bytes of these operations; absent when that is not known.
    pub bytes: Option<u64>,
    /// Age of the oldest of them; absent when that is not known.
    pub milliseconds: Option<u64>,
    /// Age of the sample: milliseconds since the standby's last acknowledgement or the active's last look at its own log.
    pub sample_milliseconds_ago: u64,
}

/// What a rejoining member had that the active did not.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GapReport {
    /// The epoch of the active that it rejoined.
    pub epoch: i64,
    /// Number of operations after the diff-head.
    pub ops: i64,
    /// Last op at which the two logs agree.
    pub diff_head: Option<OpId>,
    /// Last op of the rejoining member's own log.
    pub own_head: Option<OpId>,
}

/// A time in which an active served on without the API server.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StayReport {
    /// When it began, in milliseconds since 1970.
    pub since_unix_milliseconds: u64,
    /// How long it has lasted, or lasted.
    pub milliseconds: u64,
    /// Whether it has ended.
    pub over: bool,
}
