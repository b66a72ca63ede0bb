//! The parts of a pair's status that are for people: phase, lag, members and conditions.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};

use super::{
    action::{PairEvent, Waiting},
    bounds::HEARD,
    encryption, fenced, gaps, kill_time,
    member::LagReport,
    observation::{MemberSeen, Observation},
    policy, rolling, stay, switchover, verification,
};
use crate::api::{MemberState, MemberStatus, PairStatus, Phase, Role, SwitchKind};

/// What the status says of the lag when no recent sample does.
pub(super) const LAG_UNKNOWN: &str = "unknown";

/// The status with everything for people filled in from what is seen; the memory stays as it is.
pub(crate) fn complete(seen: &Observation, memory: PairStatus, waiting: Option<&Waiting>) -> PairStatus {
    let mut status = memory;
    status.observed_generation = seen.pair.metadata.generation;
    if let Some(switch) = &mut status.switch {
        switch.waiting_for = waiting.map(|waiting| waiting.text.clone());
    }
    status.members = seen.members.iter().map(|member| member_status(seen, &status, member)).collect();
    status.gaps = gaps::told(seen, &status);
    status.fenced = fenced::names(&seen.pair).into_iter().map(str::to_owned).collect();
    status.sync = match &seen.lease {
        Some(lease) if lease.sync.is_some() || lease.holder.is_some() => lease.sync.clone(),
        // A Lease that was made anew does not know what was promised.
        _ => status.sync,
    };
    (status.lag, status.lag_sampled_at) = match status.active.as_deref() {
        Some(active) => lag_of_the_best(seen, active),
        None => (None, None),
    };
    if let Some(answer) = switchover::dry_run(seen, &status) {
        status.switchover_dry_run = Some(answer);
    }
    status.phase = Some(phase(seen, &status, waiting));
    status.conditions = conditions(seen, &status, waiting);
    status
}

/// The event that tells of what a person has to see to, when it begins to stand in the condition `Ready`.
pub(crate) fn new_trouble(before: &PairStatus, after: &PairStatus, waiting: Option<&Waiting>) -> Option<PairEvent> {
    let waiting = waiting.filter(|waiting| waiting.stuck)?;
    let says = |status: &PairStatus| {
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == waiting.reason)
    };
    (says(after) && !says(before)).then(|| PairEvent::warning(waiting.reason, waiting.text.clone()))
}

fn phase(seen: &Observation, status: &PairStatus, waiting: Option<&Waiting>) -> Phase {
    let stuck = waiting.is_some_and(|waiting| waiting.stuck);
    if let Some(switch) = &status.switch {
        return match switch.kind {
            SwitchKind::Initialize => Phase::Initializing,
            _ if stuck => Phase::Down,
            SwitchKind::Switchover => Phase::SwitchingOver,
            SwitchKind::Failover => Phase::FailingOver,
        };
    }
    let Some(active) = status.active.as_deref() else { return Phase::Pending };
    match serving(seen, status, active) {
        Serving::Lost => Phase::Down,
        Serving::Yes if rolling::all_in_sync(seen, active) => Phase::Running,
        Serving::Yes | Serving::NotHeard | Serving::Stays | Serving::Starting(_) => Phase::Degraded,
    }
}

/// How the active is while no switch is under way.
enum Serving {
    Yes,
    /// It renews its Lease, but the controller does not hear it.
    NotHeard,
    /// It holds its Lease, but does not serve.
    Starting(MemberState),
    /// It serves without its Lease, because every other member has pledged not to take over.
    Stays,
    /// Its Lease is over.
    Lost,
}

fn serving(seen: &Observation, status: &PairStatus, active: &str) -> Serving {
    let held = seen.lease.as_ref().is_some_and(|lease| {
        lease.holder_member() == Some(active) && lease.epoch == status.epoch && !lease.over(seen.lease_duration())
    });
    match seen.report(active) {
        Some(report) if !held && report.state == MemberState::Serving && stay::under_way(seen, active).is_some() => {
            Serving::Stays
        }
        _ if !held => Serving::Lost,
        None => Serving::NotHeard,
        Some(report) if report.state == MemberState::Serving => Serving::Yes,
        Some(report) => Serving::Starting(report.state),
    }
}

fn member_status(seen: &Observation, status: &PairStatus, member: &MemberSeen) -> MemberStatus {
    // The head of a member that does not answer is still the best that is known of it.
    let known = status.members.iter().find(|known| known.name == member.name);
    let last = || member.heard.as_ref().and_then(|heard| heard.report.head).or(known.and_then(|known| known.head));
    let active = status.active.as_deref().filter(|active| *active != member.name);
    let lag = active.and_then(|active| measured(seen, active, member));
    let sampled_before = || known?.lag_sampled_at.clone();
    let lag_sampled_at =
        lag.as_ref().map(|lag| MicroTime(lag.sampled_at)).or_else(|| active.and_then(|_| sampled_before()));
    let lag = lag.filter(|lag| lag.is_recent).map(|lag| lag.report);
    let number = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok());
    let caught_up_at = || active.and_then(|active| seen.caught_up_at(member, active)).map(Into::into);
    match member.report() {
        Some(report) => MemberStatus {
            name: member.name.clone(),
            role: report.role,
            state: report.state,
            head: report.head,
            lag_ops: number(lag.and_then(|lag| lag.ops)),
            lag_bytes: number(lag.and_then(|lag| lag.bytes)),
            lag_milliseconds: number(lag.and_then(|lag| lag.milliseconds)),
            lag_sampled_at,
            caught_up_at: caught_up_at(),
            pending_ops: number(report.pending_ops),
            predicted_replay_milliseconds: number(report.predicted_replay_milliseconds),
            verified_head: report.verified.map(|verified| verified.head),
            verified_at: report.verified.and_then(|verified| {
                let ago = Duration::from_millis(verified.milliseconds_ago).saturating_add(member.heard.as_ref()?.ago);
                seen.now.checked_sub(ago).ok().map(MicroTime)
            }),
            unfit_log: report.unfit.clone(),
            // A sidecar that was restarted has seen no kill yet.
            kill_milliseconds: number(report.kill_milliseconds).or(known.and_then(|known| known.kill_milliseconds)),
            message: report.message.clone(),
        },
        None => MemberStatus {
            name: member.name.clone(),
            role: Role::Unknown,
            state: MemberState::Unreachable,
            head: last(),
            lag_ops: None,
            lag_bytes: None,
            lag_milliseconds: None,
            lag_sampled_at,
            caught_up_at: caught_up_at(),
            pending_ops: None,
            predicted_replay_milliseconds: None,
            verified_head: None,
            verified_at: None,
            unfit_log: known.and_then(|known| known.unfit_log.clone()),
            kill_milliseconds: known.and_then(|known| known.kill_milliseconds),
            message: Some(silence(member).to_owned()),
        },
    }
}

fn silence(member: &MemberSeen) -> &'static str {
    match &member.pod {
        None => "there is no pod; see the StatefulSet's events",
        Some(pod) if pod.deleting => "its pod is being deleted",
        Some(pod) if pod.ready => "its pod is ready but does not answer the controller; see network policies",
        Some(_) => "its pod does not answer; see the pod's events and the log of its container replication",
    }
}

/// How far a standby is behind, as the active measured it.
struct Measured {
    report: LagReport,
    sampled_at: Timestamp,
    /// Whether that still says how far it is behind now.
    is_recent: bool,
}

/// None while one of the two is not heard, or the active is not connected with the standby.
fn measured(seen: &Observation, active: &str, standby: &MemberSeen) -> Option<Measured> {
    standby.report()?;
    let heard = seen.member(active)?.heard.as_ref().filter(|heard| heard.ago <= HEARD)?;
    let report = heard.report.standbys.iter().find(|known| known.member == standby.name)?.lag?;
    let age = Duration::from_millis(report.sample_milliseconds_ago).saturating_add(heard.ago);
    Some(Measured { report, sampled_at: seen.now.checked_sub(age).unwrap_or(seen.now), is_recent: age <= HEARD })
}

/// How far the standby is behind that is least so, for people, and when that was measured.
fn lag_of_the_best(seen: &Observation, active: &str) -> (Option<String>, Option<MicroTime>) {
    let all = seen.standbys_of(active).filter_map(|member| measured(seen, active, member));
    let known = all.filter(|lag| lag.is_recent).filter_map(|lag| Some((lag.report.ops?, lag)));
    match known.min_by_key(|(ops, lag)| (*ops, lag.report.milliseconds)) {
        Some((ops, lag)) => (Some(lag_text(ops, &lag.report)), Some(MicroTime(lag.sampled_at))),
        None => (Some(LAG_UNKNOWN.to_owned()), None),
    }
}

fn lag_text(ops: u64, lag: &LagReport) -> String {
    if ops == 0 {
        return "0 ops".to_owned();
    }
    let bytes = lag.bytes.map_or_else(|| "bytes unknown".to_owned(), bytes_text);
    let time = lag.milliseconds.map(Duration::from_millis);
    let time = time.map_or_else(|| "time unknown".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
    format!("{ops} ops, {bytes}, {time}")
}

fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// One condition before its times are known.
pub(super) struct Said {
    type_: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl Said {
    pub(super) fn unknown(type_: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { type_, status: "Unknown", reason: reason.into(), message: message.into() }
    }
}

pub(super) fn said(type_: &'static str, holds: bool, reason: impl Into<String>, message: impl Into<String>) -> Said {
    Said { type_, status: if holds { "True" } else { "False" }, reason: reason.into(), message: message.into() }
}

fn conditions(seen: &Observation, status: &PairStatus, waiting: Option<&Waiting>) -> Vec<Condition> {
    let all = [
        ready(seen, status, waiting),
        standbys_in_sync(seen, status),
        verification::condition(seen, status),
        synchronous(seen, status),
        catalog_formatted(status),
        switching(status, waiting),
        spec_accepted(seen, status),
        rolling::condition(seen, status),
        policy::condition(seen, status),
        encryption::condition(seen),
        kill_time::condition(seen, status),
        gaps::condition(seen, status),
        fenced::condition(seen, status),
        paused(seen),
    ];
    let generation = seen.pair.metadata.generation;
    all.into_iter()
        .map(|said| {
            let before = status.conditions.iter().find(|before| before.type_ == said.type_);
            let unchanged = before.filter(|before| before.status == said.status);
            Condition {
                type_: said.type_.to_owned(),
                status: said.status.to_owned(),
                reason: said.reason,
                message: said.message,
                observed_generation: generation,
                last_transition_time: unchanged.map_or(Time(seen.now), |before| before.last_transition_time.clone()),
            }
        })
        .collect()
}

fn ready(seen: &Observation, status: &PairStatus, waiting: Option<&Waiting>) -> Said {
    let why = |fallback: &str| waiting.map_or_else(|| fallback.to_owned(), |waiting| waiting.text.clone());
    if let Some(switch) = &status.switch {
        let reason = waiting.map_or("Switching", |waiting| waiting.reason);
        return said(
            "Ready",
            false,
            reason,
            why(&format!("a {:?} to epoch {} is under way", switch.kind, switch.epoch)),
        );
    }
    let Some(active) = status.active.as_deref() else {
        let reason = waiting.map_or("NotInitialized", |waiting| waiting.reason);
        return said("Ready", false, reason, why("no member is active yet"));
    };
    match serving(seen, status, active) {
        Serving::Lost => {
            let reason = waiting.map_or("ActiveLost", |waiting| waiting.reason);
            said("Ready", false, reason, why(&format!("{active} does not hold its Lease")))
        }
        Serving::Starting(state) => match waiting.filter(|waiting| waiting.stuck) {
            Some(waiting) => said("Ready", false, waiting.reason, waiting.text.clone()),
            None => said("Ready", false, "ActiveNotServing", format!("{active} is {state:?}")),
        },
        _ if seen.service_active.as_deref() != Some(active) => {
            said("Ready", false, "ServiceElsewhere", format!("the Service does not select {active} yet"))
        }
        Serving::Stays => said(
            "Ready",
            true,
            "ServingWithoutApiServer",
            format!(
                "{active} serves in epoch {} although it cannot reach the API server: every other member has pledged not to take \
                 over",
                status.epoch
            ),
        ),
        Serving::NotHeard => Said::unknown(
            "Ready",
            "ActiveNotHeard",
            format!("{active} renews its Lease but does not answer the controller; see network policies"),
        ),
        Serving::Yes => said("Ready", true, "Serving", format!("{active} serves in epoch {}", status.epoch)),
    }
}

fn standbys_in_sync(seen: &Observation, status: &PairStatus) -> Said {
    let Some(active) = status.active.as_deref() else {
        return said("StandbysInSync", false, "NotInitialized", "no member is active yet");
    };
    let behind: Vec<_> = seen
        .standbys_of(active)
        .filter(|member| !rolling::is_in_sync(seen, member, active))
        .map(|member| match member.report() {
            None => format!("{} does not answer", member.name),
            Some(report) if report.state != MemberState::Streaming => format!("{} is {:?}", member.name, report.state),
            Some(_) if seen.lag(member, active).is_none() => format!("how far {} is behind is not known", member.name),
            Some(_) => format!("{} is too far behind", member.name),
        })
        .collect();
    if behind.is_empty() {
        said("StandbysInSync", true, "Streaming", "every standby receives the active's log")
    } else {
        said("StandbysInSync", false, "StandbyBehind", behind.join("; "))
    }
}

/// Whether each operation is on as many standbys as the user asked for before it is acknowledged.
fn synchronous(seen: &Observation, status: &PairStatus) -> Said {
    let wanted = seen.pair.spec.replication.acknowledgement.is_synchronous();
    let Some(record) = &status.sync else {
        return match wanted {
            false => said("Synchronous", false, "Async", "operations are acknowledged as soon as the active has them"),
            true => said(
                "Synchronous",
                false,
                "NotYet",
                "the active acknowledges by itself until its pod is made anew with the sync gate",
            ),
        };
    };
    let names: Vec<_> = record.members.iter().map(String::as_str).collect();
    let names = names.join(", ");
    let least = match (seen.pair.spec.replication.acknowledgement.count, seen.pair.spec.standbys) {
        (Some(count), _) => count,
        (None, standbys) => standbys,
    };
    if record.degraded && record.quorum == 0 {
        said(
            "Synchronous",
            false,
            "Degraded",
            "the active acknowledges alone; it is not replaced without the loss of that",
        )
    } else if record.degraded {
        said("Synchronous", false, "Degraded", format!("operations are acknowledged with fewer standbys: {names}"))
    } else if record.quorum < least {
        let text = "operations are not acknowledged until more standbys have caught up; those that have: ";
        said("Synchronous", false, "Blocked", format!("{text}{}", if names.is_empty() { "none" } else { &names }))
    } else {
        let text = format!("each operation is on {} of {names} before it is acknowledged", record.quorum);
        said("Synchronous", true, "InSync", text)
    }
}

fn catalog_formatted(status: &PairStatus) -> Said {
    match &status.catalog {
        Some(catalog) if catalog.formatted => said(
            "CatalogFormatted",
            true,
            "Formatted",
            format!("the catalog is {}; no member formats one any more", catalog.uuid),
        ),
        Some(_) => said("CatalogFormatted", false, "Formatting", "the first active formats the catalog"),
        None => said("CatalogFormatted", false, "NotInitialized", "no catalog has been formatted or found yet"),
    }
}

fn switching(status: &PairStatus, waiting: Option<&Waiting>) -> Said {
    match &status.switch {
        None => said("Switching", false, "Settled", "no switch is under way"),
        Some(switch) => {
            let waits = waiting.map_or_else(String::new, |waiting| format!(": {}", waiting.text));
            let message = format!("{:?} to epoch {}, step {:?}{waits}", switch.kind, switch.epoch, switch.step);
            said("Switching", true, format!("{:?}", switch.step), message)
        }
    }
}

fn spec_accepted(seen: &Observation, status: &PairStatus) -> Said {
    match status.active.as_deref().filter(|active| !seen.is_wanted(active)) {
        None => said("SpecAccepted", true, "Accepted", "the spec is being followed"),
        Some(active) => said(
            "SpecAccepted",
            false,
            "ActiveWouldBeRemoved",
            format!(
                "spec.standbys is {}, which would remove {active}, the active; once every standby is in sync another member \
                 takes over, and then pods are removed",
                seen.pair.spec.standbys
            ),
        ),
    }
}

fn paused(seen: &Observation) -> Said {
    if seen.pair.spec.paused {
        said("Paused", true, "SpecPaused", "spec.paused is true: no failover, no switchover, no update of objects")
    } else {
        said("Paused", false, "NotPaused", "the operator looks after the pair")
    }
}
