//! What a member knows of itself, for whoever asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    SidecarError,
    config::SidecarConfig,
    lags::Lags,
    security::{LinkSecurity, Mode},
    tablet_watch::Held,
};
use crate::{
    api::{MemberState, Role, SyncRecord, UnfitLog},
    clock,
    failover::member::{GapReport, LagReport, MemberReport, StandbyReport, StayReport, VerifiedReport},
    gap::KeptGap,
    metrics::MemberCounters,
    replication::{
        Anchors,
        anchors::{Heads, HeadsOf},
        replay::Pending,
    },
    wal::OpId,
};

/// What a member knows of itself. Written by its duty, read by the report and the control socket.
#[derive(Debug)]
pub struct Board {
    pair: String,
    member: String,
    security: LinkSecurity,
    counters: MemberCounters,
    facts: Mutex<Facts>,
}

/// The facts on the board.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) identity: String,
    pub(super) epoch: i64,
    pub(super) role: Role,
    pub(super) state: MemberState,
    pub(super) catalog_uuid: Option<String>,
    pub(super) head: Option<OpId>,
    pub(super) applied_head: Option<OpId>,
    pub(super) active_head: Option<OpId>,
    pub(super) active_heard: Option<Instant>,
    pub(super) standbys: BTreeMap<String, StandbyFacts>,
    pub(super) master_stopped: bool,
    pub(super) gap: Option<GapReport>,
    /// Gaps that are kept on this member's volume.
    pub(super) gaps: Vec<KeptGap>,
    /// Of an active: the requests with which standbys handed it gaps, by the gap's name.
    pub(super) delivered: BTreeMap<String, String>,
    /// Where the pair's kudu-master takes calls, while this member serves or follows one that does.
    pub(super) master_rpc: Option<String>,
    /// The tablets that tablet servers held when they were asked last.
    pub(super) held: Option<Held>,
    pub(super) sync: Option<SyncRecord>,
    /// The last time that this member served on without the API server.
    pub(super) stay: Option<StayFacts>,
    /// Of a standby: what is past its base, and how long that takes to replay.
    pub(super) pending: Option<(Pending, Duration)>,
    /// Of a standby: how far its log was compared with the active's.
    pub(super) verified: Option<VerifiedFacts>,
    /// The log that was found unfit last.
    pub(super) unfit: Option<UnfitLog>,
    /// Bytes of a new base that have been copied.
    pub(super) base_bytes: Option<u64>,
    pub(super) message: Option<String>,
    /// How long the last kill of kudu-master took.
    pub(super) kill: Option<Duration>,
    /// Of an active whose disk stalls and who goes on: what to say of it.
    pub(super) stalled: Option<String>,
}

impl Facts {
    /// The pair's kudu-master, if it serves as far as this member knows.
    pub(super) fn serving_master(&self) -> Option<String> {
        let serves = matches!(self.state, MemberState::Serving | MemberState::Streaming);
        self.master_rpc.clone().filter(|_| serves)
    }
}

/// A stretch of a standby's log that was found equal to the active's.
#[derive(Debug, Clone, Copy)]
pub(super) struct VerifiedFacts {
    /// The operation behind which it begins.
    pub(super) from: OpId,
    /// Its last operation.
    pub(super) head: OpId,
    /// When it was compared.
    pub(super) when: Instant,
}

/// What an active knows of a standby that it feeds.
#[derive(Debug, Clone)]
pub(super) struct StandbyFacts {
    /// Last op that it has acknowledged.
    pub(super) replicate_head: OpId,
    /// When it did.
    pub(super) heard: Instant,
    /// How far standbys are behind the log that it is fed from.
    pub(super) lags: Arc<Lags>,
}

impl StandbyFacts {
    fn lag(&self) -> Option<LagReport> {
        self.lags.lag(self.replicate_head, self.heard).map(|lag| LagReport {
            ops: lag.ops,
            bytes: lag.bytes,
            milliseconds: lag.time.map(milliseconds),
            sample_milliseconds_ago: milliseconds(lag.sample_age),
        })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time in which an active served on without the API server.
#[derive(Debug, Clone, Copy)]
pub(super) struct StayFacts {
    since_unix_milliseconds: u64,
    begun: Instant,
    ended_after: Option<Duration>,
}

impl StayFacts {
    pub(super) fn begin() -> Self {
        Self { since_unix_milliseconds: clock::unix_millis(), begun: Instant::now(), ended_after: None }
    }

    /// The API server is back, or somebody did not pledge.
    pub(super) fn end(&mut self) {
        let lasted = self.lasted();
        self.ended_after = Some(lasted);
    }

    fn lasted(&self) -> Duration {
        self.ended_after.unwrap_or_else(|| self.begun.elapsed())
    }
}

impl Board {
    /// The board of a member that has just been started.
    pub(super) fn new(config: &SidecarConfig, anchors: &Anchors, security: LinkSecurity) -> Self {
        Self {
            pair: config.pair.clone(),
            member: config.member.clone(),
            security,
            counters: MemberCounters::default(),
            facts: Mutex::new(Facts {
                identity: config.identity_prefix.clone(),
                epoch: anchors.epoch,
                role: Role::Unknown,
                state: MemberState::Waiting,
                catalog_uuid: anchors.generation.as_ref().map(|_| anchors.uuid.clone()),
                head: None,
                applied_head: None,
                active_head: None,
                active_heard: None,
                standbys: BTreeMap::new(),
                master_stopped: false,
                gap: anchors.gap.clone(),
                gaps: Vec::new(),
                delivered: BTreeMap::new(),
                master_rpc: None,
                held: None,
                sync: None,
                stay: None,
                pending: None,
                verified: None,
                unfit: anchors.unfit.clone(),
                base_bytes: None,
                message: None,
                kill: None,
                stalled: None,
            }),
        }
    }

    /// Name of the pair.
    pub(super) fn pair(&self) -> &str {
        &self.pair
    }

    /// What this sidecar measured since it started.
    pub(super) fn counters(&self) -> &MemberCounters {
        &self.counters
    }

    /// When the certificate ends that new links use; none without one.
    pub(super) fn certificate_ends(&self) -> Option<Timestamp> {
        match self.security.now() {
            Mode::Tls(credentials) => Some(credentials.ends),
            Mode::Plaintext | Mode::Waiting(_) => None,
        }
    }

    /// The facts, to read or change.
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        // Facts are plain values: whoever panicked while it held them cannot have left half a change of importance.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what the member is and does; what was wrong before is over.
    pub(super) fn enter(&self, role: Role, state: MemberState) {
        let mut facts = self.facts();
        if (facts.role, facts.state) != (role, state) {
            tracing::info!(?role, ?state, epoch = facts.epoch, "state");
        }
        (facts.role, facts.state, facts.message, facts.stalled) = (role, state, None, None);
    }

    /// Says why the member cannot go on.
    pub(super) fn fail(&self, error: &SidecarError) {
        let mut facts = self.facts();
        (facts.state, facts.message) = (MemberState::Failed, Some(error.to_string()));
    }

    /// The report as it is now.
    pub fn report(&self) -> MemberReport {
        let facts = self.facts().clone();
        let pending = facts.pending.filter(|_| facts.role == Role::Standby);
        let ago = |since: Instant| milliseconds(since.elapsed());
        MemberReport {
            pair: self.pair.clone(),
            member: self.member.clone(),
            identity: facts.identity,
            epoch: facts.epoch,
            role: facts.role,
            state: facts.state,
            has_catalog: facts.catalog_uuid.is_some(),
            catalog_uuid: facts.catalog_uuid,
            head: facts.head,
            applied_head: facts.applied_head,
            active_head: facts.active_head,
            active_heard_milliseconds_ago: facts.active_heard.map(ago),
            standbys: facts
                .standbys
                .into_iter()
                .map(|(member, standby)| StandbyReport {
                    member,
                    lag: standby.lag(),
                    replicate_head: Some(standby.replicate_head),
                    heard_milliseconds_ago: ago(standby.heard),
                })
                .collect(),
            master_stopped: facts.master_stopped,
            gap: facts.gap,
            gaps: facts.gaps,
            pending_ops: pending.map(|(pending, _)| pending.ops),
            pending_bytes: pending.map(|(pending, _)| pending.bytes),
            predicted_replay_milliseconds: pending.map(|(_, time)| milliseconds(time)),
            verified: facts.verified.filter(|_| facts.role == Role::Standby).map(|verified| VerifiedReport {
                from: verified.from,
                head: verified.head,
                milliseconds_ago: ago(verified.when),
            }),
            unfit: facts.unfit,
            base_bytes: facts.base_bytes,
            encryption: Some(self.security.shown()),
            sync: facts.sync,
            stay: facts.stay.map(|stay| StayReport {
                since_unix_milliseconds: stay.since_unix_milliseconds,
                milliseconds: milliseconds(stay.lasted()),
                over: stay.ended_after.is_some(),
            }),
            // Not less than it was: it is compared with a bound.
            kill_milliseconds: facts.kill.map(|kill| milliseconds(kill + Duration::from_micros(999))),
            message: facts.stalled.or(facts.message),
        }
    }

    /// The heads of this pair's logs, while this member takes part in a reign.
    pub(super) fn heads(&self) -> Option<Heads> {
        let facts = self.facts();
        let (replicate, current) = match (facts.role, facts.state) {
            (Role::Standby, MemberState::Streaming) => (facts.head, facts.active_head),
            (Role::Active, MemberState::Serving | MemberState::StandingDown) => {
                (facts.standbys.values().map(|standby| standby.replicate_head).max(), facts.head)
            }
            _ => return None,
        };
        Some(Heads { of: HeadsOf { role: facts.role, epoch: facts.epoch }, replicate, current })
    }

    /// Whether the member does what a healthy one does: serves, or streams.
    pub fn is_ready(&self) -> bool {
        matches!(self.facts().state, MemberState::Serving | MemberState::Streaming)
    }
}
