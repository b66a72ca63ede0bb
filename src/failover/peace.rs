//! No switch is under way: see whether the active is lost, and otherwise do what people and the spec ask for.

use super::{
    action::{Action, PairEvent, Step, Waiting},
    choose::how_to_approve,
    fence::still_heard,
    lease::LeaseSeen,
    member::MemberReport,
    observation::Observation,
    promise, receipt, rolling,
    switchover::{self, Request},
};
use crate::api::{MemberState, PairStatus, SwitchKind, SwitchRecord, SwitchStep, names::SWITCHOVER_ANY};

/// One step of a pair that has an active and no switch under way.
pub(crate) fn step(seen: &Observation, status: &PairStatus, active: &str) -> Step {
    let objects = objects(seen, status);
    let Some(lease) = &seen.lease else {
        // Deleted by somebody. The active takes the new one if it is alive; if it is not, the new one has to run out
        // before that counts as proof.
        return Step::act(Action::CreateLease { epoch: status.epoch }).and(objects);
    };
    if lease.epoch < status.epoch {
        return raise(seen, status, lease).and(objects);
    }
    if lease.over(seen.lease_duration()) || lease.epoch > status.epoch {
        return lost(seen, status, active, lease).and(objects);
    }
    if seen.pair.spec.failover.automatic && has_failed(seen, status, active) {
        return failover(seen, status, active, lease, None);
    }
    if let Some(step) = receipt::amend(seen, status) {
        return step;
    }
    if let Some(request) = Request::pending(seen, status) {
        return switchover::answer(seen, status, active, &request);
    }
    if seen.service_active.as_deref() != Some(active) {
        return Step::act(Action::Repoint { active: active.to_owned() });
    }
    if let Some(step) = rolling::step(seen, status, active) {
        return step.and(objects);
    }
    match objects {
        Some(objects) => Step::act(objects),
        None => Step::wait(Waiting::stuck(
            "ActiveWouldBeRemoved",
            format!(
                "spec.standbys is {}, which would remove {active}, the active; waiting until another member can take over",
                seen.pair.spec.standbys
            ),
        )),
    }
}

/// Brings the pair's objects to what the spec wants; nothing while that would remove a member that matters.
pub(crate) fn objects(seen: &Observation, status: &PairStatus) -> Option<Action> {
    let switch = status.switch.as_ref();
    let matters =
        [&status.active, &switch.and_then(|switch| switch.from.clone()), &switch.and_then(|switch| switch.to.clone())]
            .into_iter()
            .flatten()
            .all(|member| seen.is_wanted(member));
    matters.then(|| Action::ApplyObjects { active: status.active.clone() })
}

/// A Lease from before the status: restored, or edited by hand.
fn raise(seen: &Observation, status: &PairStatus, lease: &LeaseSeen) -> Step {
    if lease.over(seen.lease_duration()) {
        let resource_version = lease.resource_version.clone();
        return Step::act(Action::FenceLease { resource_version, epoch: status.epoch });
    }
    let text =
        format!("the Lease says epoch {}, the status {}; waiting until the Lease is over", lease.epoch, status.epoch);
    Step::wait(Waiting::briefly("LeaseBehind", text))
}

/// The active's Lease is over: begins a failover, or says why not.
fn lost(seen: &Observation, status: &PairStatus, active: &str, lease: &LeaseSeen) -> Step {
    let witness = if lease.released() { None } else { seen.still_serving(active) };
    if let Some(witness) = witness {
        return Step::wait(still_heard(witness, active));
    }
    let request = Request::pending(seen, status);
    if seen.pair.spec.failover.automatic {
        return failover(seen, status, active, lease, None);
    }
    match request {
        Some(request) if request.member().is_none_or(|member| seen.is_wanted(member)) => {
            failover(seen, status, active, lease, Some(&request))
        }
        Some(request) => {
            let why = format!(
                "{:?} is no member of this pair; name one of {}, or any",
                request.value,
                seen.wanted().join(", ")
            );
            request.refuse(status, &why)
        }
        None => Step::wait(Waiting::stuck(
            "FailoverNotAutomatic",
            format!(
                "{active} is lost and spec.failover.automatic is false; set it to true, or fail over once: {}",
                how_to_approve(seen, SWITCHOVER_ANY)
            ),
        )),
    }
}

/// Whether the active says itself that it cannot go on, although it holds its Lease, and another member could. Its Lease does
/// not run out then: as soon as the switch is recorded it is told to stand down.
fn has_failed(seen: &Observation, status: &PairStatus, active: &str) -> bool {
    let failed = |report: &MemberReport| report.state == MemberState::Failed;
    let here = seen
        .report(active)
        .is_some_and(|report| failed(report) && report.epoch == status.epoch && report.master_stopped);
    here && seen
        .standbys_of(active)
        .filter_map(|member| member.report())
        .any(|report| report.has_catalog && !failed(report))
}

fn failover(
    seen: &Observation,
    status: &PairStatus,
    active: &str,
    lease: &LeaseSeen,
    request: Option<&Request>,
) -> Step {
    let epoch = seen.next_epoch();
    let lost_at = seen.now.checked_sub(lease.unchanged_for).unwrap_or(seen.now);
    let switch = SwitchRecord {
        kind: SwitchKind::Failover,
        epoch,
        step: SwitchStep::Fencing,
        from: Some(active.to_owned()),
        to: None,
        tried: Vec::new(),
        request: request.map(|request| request.value.clone()),
        gate: None,
        recorded_head: lease.last_op().or_else(|| seen.known_head(active)),
        recorded_head_final: lease.last_op().is_some(),
        sync: promise::of(status, lease),
        lost_at: Some(lost_at.into()),
        started_at: seen.now.into(),
        fenced_at: None,
        replayed_at: None,
        waiting_for: None,
    };
    let why = if lease.released() {
        format!("{active} released its Lease")
    } else if lease.epoch > status.epoch {
        format!("somebody raised the Lease to epoch {}", lease.epoch)
    } else if !lease.over(seen.lease_duration()) {
        let message = seen.report(active).and_then(|report| report.message.as_deref());
        format!("{active} cannot go on: {}", message.unwrap_or("it does not say why"))
    } else if lease.holder.is_none() {
        format!("{active} did not take its Lease")
    } else {
        format!("{active} did not renew its Lease for {:.1} s", lease.unchanged_for.as_secs_f64())
    };
    let mut status = PairStatus { switch: Some(switch), ..status.clone() };
    if let Some(request) = request {
        status.switchover = Some(request.accept(format!("{active} is lost; failing over to epoch {epoch}")));
    }
    Step::remember_and_tell(
        status,
        PairEvent::warning("FailoverStarted", format!("{why}; failing over to epoch {epoch}")),
    )
}
