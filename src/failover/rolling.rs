//! Switches and restarts that the operator makes by itself: pods of an old revision, and an active that the spec removes.

use super::{
    action::{Action, PairEvent, Step},
    bounds::{HEARD, MAX_LAG_OPS, OWN_SWITCH_AGAIN, USELESS_POD},
    observation::{MemberSeen, Observation},
    overview::{Said, said},
    switchover,
};
use crate::api::{FailoverMode, MemberState, PairStatus, SwitchKind, SwitchOutcome, names::SWITCHOVER_ANNOTATION};

/// What comes next of what the spec asks for.
enum Next<'a> {
    /// Everything is as the spec says, as far as it is known.
    Nothing,
    /// This pod is made anew.
    Replace(&'a MemberSeen),
    /// The active hands over to this member.
    Switch { to: String, why: &'static str },
    /// Something is to be done and cannot be yet.
    Blocked(String),
}

/// The next restart or switch that the spec asks for, one at a time, and only while nothing else is wrong.
pub(crate) fn step(seen: &Observation, status: &PairStatus, active: &str) -> Option<Step> {
    match next(seen, status, active) {
        Next::Nothing | Next::Blocked(_) => None,
        Next::Replace(member) => Some(replace(member)),
        Next::Switch { to, why } => {
            let planned = switchover::planned(seen, status, active, &to, why, None);
            let note = format!("{to} takes over from {active} in epoch {}: {why}", status.epoch + 1);
            Some(Step::remember_and_tell(planned, PairEvent::normal("SwitchoverStarted", note)))
        }
    }
}

/// Standbys first, then a planned switch, then the old active, which is a standby by then.
fn next<'a>(seen: &'a Observation, status: &PairStatus, active: &'a str) -> Next<'a> {
    if let Some(useless) = seen.members.iter().find(|member| member.name != active && is_useless(seen, member)) {
        return Next::Replace(useless);
    }
    let standby = seen.standbys_of(active).find(|member| is_outdated(seen, member));
    let active_is_outdated = seen.member(active).is_some_and(|member| is_outdated(seen, member));
    let removes_the_active = !seen.is_wanted(active);
    if standby.is_none() && !active_is_outdated && !removes_the_active {
        return Next::Nothing;
    }
    if let Some(behind) = seen.standbys_of(active).find(|member| !is_in_sync(seen, member, active)) {
        return Next::Blocked(format!("waiting until {} streams with little lag", behind.name));
    }
    if removes_the_active {
        return switch(seen, status, active, "spec.standbys leaves no place for it");
    }
    let Some(standby) = standby else {
        return switch(seen, status, active, "its pod has to be made anew");
    };
    // The budget for disruptions counts pods that are not ready; a deletion does not ask it.
    match seen.members.iter().find(|member| member.name != standby.name && is_away(seen, member, active)) {
        Some(away) => Next::Blocked(format!(
            "waiting until the pod of {} is ready, before that of {} goes",
            away.name, standby.name
        )),
        None => Next::Replace(standby),
    }
}

/// Whether the pod of a member that matters is not there for everybody.
fn is_away(seen: &Observation, member: &MemberSeen, active: &str) -> bool {
    let matters = seen.is_wanted(&member.name) || member.name == active;
    matters && member.pod.as_ref().is_none_or(|pod| pod.deleting || !pod.ready)
}

/// Whether every pod is what the spec asks for.
pub(crate) fn condition(seen: &Observation, status: &PairStatus) -> Said {
    let outdated: Vec<_> = seen.wanted_members().filter(|member| is_outdated(seen, member)).collect();
    let names: Vec<_> = outdated.iter().map(|member| member.name.as_str()).collect();
    let Some(active) = status.active.as_deref().filter(|_| seen.update_revision.is_some()) else {
        return said("UpToDate", false, "NotKnown", "the revision that pods should run is not known yet");
    };
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let text = format!("pods to be made anew: {names}");
    match next(seen, status, active) {
        Next::Nothing => match between_pods(seen) {
            None => said("UpToDate", true, "UpToDate", "every pod is what the spec asks for"),
            Some(member) => {
                said("UpToDate", false, "Updating", format!("the pod of {} is being made anew", member.name))
            }
        },
        _ if status.switch.is_some() => {
            said("UpToDate", false, "Switching", format!("{text}; after the switch that is under way"))
        }
        Next::Blocked(why) => said("UpToDate", false, "Waiting", format!("{text}; {why}")),
        Next::Replace(_) | Next::Switch { .. } => said("UpToDate", false, "Updating", text),
    }
}

/// A member whose old pod goes or is gone, and that has no new one yet.
fn between_pods(seen: &Observation) -> Option<&MemberSeen> {
    seen.wanted_members().find(|member| member.pod.as_ref().is_none_or(|pod| pod.deleting))
}

/// Replaces pods of an old revision that are of no use before any member is active: the new revision may be the cure.
pub(crate) fn unblock(seen: &Observation) -> Option<Action> {
    let useless = seen.members.iter().find(|member| is_useless(seen, member))?;
    delete(useless)
}

/// Whether every standby that the spec asks for streams with little lag.
pub(crate) fn all_in_sync(seen: &Observation, active: &str) -> bool {
    seen.standbys_of(active).all(|member| is_in_sync(seen, member, active))
}

/// Whether a standby streams with little lag.
pub(crate) fn is_in_sync(seen: &Observation, member: &MemberSeen, active: &str) -> bool {
    let streams = member.report().is_some_and(|report| report.state == MemberState::Streaming);
    streams && seen.lag(member, active).is_some_and(|lag| lag <= MAX_LAG_OPS)
}

fn is_outdated(seen: &Observation, member: &MemberSeen) -> bool {
    let Some(pod) = member.pod.as_ref().filter(|pod| !pod.deleting) else { return false };
    seen.update_revision.is_some() && pod.revision != seen.update_revision
}

/// An outdated pod that serves nobody: not ready, not heard, not the Lease's holder, and not just made.
fn is_useless(seen: &Observation, member: &MemberSeen) -> bool {
    let old_enough = member.pod.as_ref().is_some_and(|pod| !pod.ready && pod.age >= USELESS_POD);
    let holds = seen.lease.as_ref().and_then(|lease| lease.holder_member()) == Some(&member.name);
    is_outdated(seen, member) && old_enough && !holds && member.report_within(HEARD.max(USELESS_POD)).is_none()
}

fn delete(member: &MemberSeen) -> Option<Action> {
    Some(Action::DeletePod { name: member.name.clone(), uid: member.pod.as_ref()?.uid.clone() })
}

fn replace(member: &MemberSeen) -> Step {
    let note = format!("{} runs an old revision and is made anew", member.name);
    let actions =
        delete(member).into_iter().chain([Action::Event(PairEvent::normal("MemberRestarted", note))]).collect();
    Step::Act { actions, waiting: None }
}

/// A planned switch that nobody asked for by annotation.
fn switch<'a>(seen: &Observation, status: &PairStatus, active: &str, why: &'static str) -> Next<'a> {
    if seen.pair.spec.failover.mode == FailoverMode::Off {
        return Next::Blocked(format!(
            "{active} has to hand over, since {why}, and spec.failover.mode is Off: ask for a switch with the annotation \
             {SWITCHOVER_ANNOTATION}"
        ));
    }
    if let Some(why) = went_back(seen, status) {
        return Next::Blocked(why);
    }
    match switchover::best_standby(seen, active) {
        Ok(to) => Next::Switch { to, why },
        Err(why) => Next::Blocked(why.join("; ")),
    }
}

/// Why no planned switch is begun that nobody asked for: the last one went back a short time ago, and each try stops the service.
pub(super) fn went_back(seen: &Observation, status: &PairStatus) -> Option<String> {
    let receipt = status.last_switch.as_ref().filter(|receipt| {
        receipt.kind == SwitchKind::Switchover
            && receipt.outcome == SwitchOutcome::RolledBack
            && seen.since(receipt.finished_at.0) < OWN_SWITCH_AGAIN
    })?;
    let minutes = OWN_SWITCH_AGAIN.as_secs() / 60;
    let why = receipt.why.as_deref().unwrap_or("see the last switch");
    Some(format!("the last switch went back ({why}); it is tried again {minutes} minutes after that"))
}
