//! Switches and restarts that the operator makes by itself: pods of an old revision, and an active that the spec removes.

use super::{
    action::{Action, PairEvent, Step},
    bounds::{HEARD, MAX_LAG_OPS, OWN_SWITCH_AGAIN, USELESS_POD},
    observation::{MemberSeen, Observation},
    switchover,
};
use crate::api::{MemberState, PairStatus, SwitchKind, SwitchOutcome};

/// The next restart or switch that the spec asks for, one at a time, and only while nothing else is wrong.
pub(crate) fn step(seen: &Observation, status: &PairStatus, active: &str) -> Option<Step> {
    if let Some(useless) = seen.members.iter().find(|member| member.name != active && is_useless(seen, member)) {
        return Some(replace(useless));
    }
    if !all_in_sync(seen, active) {
        return None;
    }
    if !seen.is_wanted(active) {
        return switch(seen, status, active, "spec.standbys leaves no place for it");
    }
    if let Some(outdated) = seen.standbys_of(active).find(|member| is_outdated(seen, member)) {
        return Some(replace(outdated));
    }
    let active_is_outdated = seen.member(active).is_some_and(|member| is_outdated(seen, member));
    if active_is_outdated { switch(seen, status, active, "its pod has to be made anew") } else { None }
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

/// A planned switch that nobody asked for by annotation. Not soon after one that went back: each try stops the service.
fn switch(seen: &Observation, status: &PairStatus, active: &str, why: &str) -> Option<Step> {
    let went_back = status.last_switch.as_ref().is_some_and(|receipt| {
        receipt.kind == SwitchKind::Switchover
            && receipt.outcome == SwitchOutcome::RolledBack
            && seen.since(receipt.finished_at.0) < OWN_SWITCH_AGAIN
    });
    if went_back {
        return None;
    }
    let to = switchover::best_standby(seen, active).ok()?;
    let planned = switchover::planned(seen, status, active, &to, None);
    let note = format!("{to} takes over from {active} in epoch {}: {why}", status.epoch + 1);
    Some(Step::remember_and_tell(planned, PairEvent::normal("SwitchoverStarted", note)))
}
