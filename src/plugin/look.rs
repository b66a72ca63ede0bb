//! What the API server says of a pair, and what follows from it. Nothing of it needs the controller to run.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;

use super::words;
use crate::{
    api::{
        DryRunAnswer, KuduMasterPair, MemberState, MemberStatus, PairStatus, Role,
        names::{self, DRY_RUN_ANNOTATION, SWITCHOVER_ANY},
    },
    controller::leases,
    failover::{
        bounds::FRESH_MOMENTS,
        lease::LeaseSeen,
        member::{LagReport, MemberReport, StandbyReport},
        observation::{Heard, MemberSeen, Observation},
        switchover,
    },
};

/// While a standby streams the controller writes the status at least every [`FRESH_MOMENTS`]; so often it may have failed to.
const WRITES_MISSED: u32 = 3;

/// Which pods are controllers.
pub(crate) const CONTROLLERS: &str = "app.kubernetes.io/name=kudu-pair,app.kubernetes.io/component=controller";
/// How to look after the controller.
pub(crate) const CONTROLLER_PODS: &str =
    "kubectl get pods -A -l app.kubernetes.io/name=kudu-pair,app.kubernetes.io/component=controller";

/// One pair as it was read just now.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// The pair.
    pub(crate) pair: KuduMasterPair,
    /// Its Lease, if there is one.
    pub(crate) lease: Option<Lease>,
    /// When it was read, by this machine's clock.
    pub(crate) now: Timestamp,
}

impl Look {
    pub(crate) fn name(&self) -> String {
        self.pair.name_any()
    }

    pub(crate) fn namespace(&self) -> String {
        self.pair.namespace().unwrap_or_default()
    }

    pub(crate) fn status(&self) -> PairStatus {
        self.pair.status.clone().unwrap_or_default()
    }

    /// For how long the status has been as it is; none when it was never written.
    pub(crate) fn status_age(&self) -> Option<Duration> {
        let fields = self.pair.metadata.managed_fields.iter().flatten();
        let of_status = fields.filter(|fields| fields.subresource.as_deref() == Some("status"));
        let written = of_status.filter_map(|fields| fields.time.as_ref()).map(|time| time.0).max()?;
        Some(words::since(self.now, written))
    }

    /// The age of a status that the controller would have written again by now if it ran.
    pub(crate) fn controller_silent(&self) -> Option<Duration> {
        let Some(age) = self.status_age() else {
            // Not even once.
            let made = self.pair.creation_timestamp()?.0;
            return Some(words::since(self.now, made)).filter(|age| *age > FRESH_MOMENTS);
        };
        let status = self.pair.status.as_ref()?;
        let streams = status.members.iter().any(|member| member.state == MemberState::Streaming);
        let unseen = status.observed_generation != self.pair.metadata.generation;
        Some(age).filter(|age| (streams || unseen || status.switch.is_some()) && *age > FRESH_MOMENTS * WRITES_MISSED)
    }

    /// What the Lease says. Its age is by two clocks, this machine's and its holder's: good for people, never for a fence.
    pub(crate) fn lease_seen(&self) -> Option<LeaseSeen> {
        leases::read(self.lease.as_ref()?, self.renewed_ago().unwrap_or_default()).ok()
    }

    /// How long ago the Lease was renewed.
    pub(crate) fn renewed_ago(&self) -> Option<Duration> {
        let renewed = self.lease.as_ref()?.spec.as_ref()?.renew_time.as_ref()?.0;
        Some(words::since(self.now, renewed))
    }

    /// What the controller saw when it wrote the status, as far as the status tells.
    pub(crate) fn observation(&self) -> Observation {
        let status = self.status();
        let wanted = names::members(&self.name(), self.pair.spec.standbys).into_iter().map(|name| {
            let known = status.members.iter().find(|member| member.name == name);
            let heard = known.and_then(|member| heard(&self.name(), &status, member, self.now));
            MemberSeen { name, pod: None, heard }
        });
        Observation {
            members: wanted.collect(),
            lease: self.lease_seen(),
            update_revision: None,
            service_active: status.active.clone(),
            active_head: None,
            certificates: None,
            status_written_ago: self.status_age(),
            fresh_uuid: String::new(),
            now: self.now,
            pair: self.pair.clone(),
        }
    }

    /// Whether a planned switch would be begun now, and what stands in its way, by the controller's own rules on what the status
    /// tells.
    pub(crate) fn switch_now(&self, to: Option<&str>) -> DryRunAnswer {
        let mut seen = self.observation();
        let status = PairStatus { switchover_dry_run: None, ..self.status() };
        let question = to.unwrap_or(SWITCHOVER_ANY).to_owned();
        seen.pair.annotations_mut().insert(DRY_RUN_ANNOTATION.to_owned(), question.clone());
        let answer = switchover::dry_run(&seen, &status);
        let mut answer = answer.unwrap_or_else(|| DryRunAnswer {
            request: question,
            possible: false,
            to: None,
            blockers: vec!["no member was named; name one, or any".to_owned()],
            message: String::new(),
        });
        if status.switch.is_some() {
            // That the old active's Lease is over is a part of the switch.
            answer.blockers.truncate(1 + usize::from(self.pair.spec.paused));
        }
        if let Some(age) = self.controller_silent() {
            answer.blockers.insert(0, silent(age));
            (answer.possible, answer.to) = (false, None);
        }
        answer
    }
}

/// That nobody would do anything.
fn silent(age: Duration) -> String {
    format!(
        "the controller, which makes the switch, has written nothing for {}; see its pods: {CONTROLLER_PODS}",
        words::span(age)
    )
}

/// What a member must have said for the status to say this of it; none when it was not heard.
fn heard(pair: &str, status: &PairStatus, member: &MemberStatus, now: Timestamp) -> Option<Heard> {
    if member.state == MemberState::Unreachable {
        return None;
    }
    let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    let standbys = status.members.iter().filter(|other| member.role == Role::Active && other.name != member.name);
    let standbys = standbys.map(|other| StandbyReport {
        member: other.name.clone(),
        replicate_head: other.head,
        heard_milliseconds_ago: 0,
        lag: other.lag_sampled_at.as_ref().map(|at| LagReport {
            ops: number(other.lag_ops),
            bytes: number(other.lag_bytes),
            milliseconds: number(other.lag_milliseconds),
            sample_milliseconds_ago: u64::try_from(words::since(now, at.0).as_millis()).unwrap_or(u64::MAX),
        }),
    });
    let report = MemberReport {
        pair: pair.to_owned(),
        member: member.name.clone(),
        identity: member.name.clone(),
        epoch: status.epoch,
        role: member.role,
        state: member.state,
        has_catalog: member.head.is_some(),
        catalog_uuid: None,
        head: member.head,
        applied_head: None,
        active_head: None,
        active_heard_milliseconds_ago: None,
        standbys: standbys.collect(),
        master_stopped: member.role == Role::Standby,
        gap: None,
        gaps: Vec::new(),
        encryption: None,
        sync: None,
        stay: None,
        pending_ops: number(member.pending_ops),
        pending_bytes: None,
        predicted_replay_milliseconds: number(member.predicted_replay_milliseconds),
        verified: None,
        unfit: member.unfit_log.clone(),
        base_bytes: None,
        kill_milliseconds: number(member.kill_milliseconds),
        message: member.message.clone(),
    };
    Some(Heard { report, ago: Duration::ZERO })
}
