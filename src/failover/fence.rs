//! The step Fencing: make sure that the old active is dead, then choose who serves next.

use std::time::Duration;

use super::{
    action::{Action, PairEvent, Step, Waiting},
    bounds::{STILL_HEARD_LONG, SUCCESSOR_LOST},
    choose::{self, Candidate, Recorded},
    initialize,
    lease::LeaseSeen,
    observation::Observation,
    policy, promise, receipt,
    switchover::Request,
};
use crate::api::{Answer, FailoverMode, MemberState, PairStatus, RequestAnswer, SwitchKind, SwitchRecord, SwitchStep};

/// One step of a switch whose old active is not known to be dead, or whose new one is not chosen.
pub(crate) fn step(seen: &Observation, status: &PairStatus, switch: &SwitchRecord) -> Step {
    let Some(lease) = &seen.lease else {
        // Somebody deleted it. Whoever held it cannot renew it any more; the new one has to run out once before it is proof.
        return Step::act(Action::CreateLease { epoch: switch.epoch - 1 });
    };
    if lease.epoch > switch.epoch {
        return Step::remember(with(status, SwitchRecord { epoch: seen.next_epoch(), ..switch.clone() }));
    }
    let step = if lease.epoch < switch.epoch {
        before_the_fence(seen, status, switch, lease)
    } else if switch.kind == SwitchKind::Initialize {
        first_again(seen, status, switch)
    } else {
        after_the_fence(seen, status, switch, lease)
    };
    step.and(super::peace::objects(seen, status))
}

fn before_the_fence(seen: &Observation, status: &PairStatus, switch: &SwitchRecord, lease: &LeaseSeen) -> Step {
    let corrected = final_head(seen, switch, lease)
        .or_else(|| promise::copied(status, switch, lease))
        .or_else(|| alive_again(seen, switch, lease));
    if let Some(record) = corrected {
        return Step::remember(with(status, record));
    }
    if lease.over(seen.lease_duration()) {
        let witness = switch.from.as_deref().filter(|_| !lease.released()).and_then(|from| seen.still_serving(from));
        return match witness {
            Some(witness) => {
                let beyond = lease.unchanged_for.saturating_sub(seen.lease_duration());
                Step::wait(still_heard(witness, switch.from.as_deref().unwrap_or_default(), beyond))
            }
            None => {
                Step::act(Action::FenceLease { resource_version: lease.resource_version.clone(), epoch: switch.epoch })
            }
        };
    }
    if let Some(why) = successor_lost(seen, switch) {
        return without_successor(status, switch, &why);
    }
    let holder = lease.holder_member().or(switch.from.as_deref()).unwrap_or("its holder");
    if seen.since(switch.started_at.0) >= seen.switchover_timeout() * 2 {
        return does_not_stand_down(seen, status, switch, holder);
    }
    let then = switch.to.as_ref().map_or(String::new(), |to| format!(" shipped the rest of its log to {to} and"));
    Step::wait(Waiting::briefly(
        "Fencing",
        format!("waiting until {holder} has stopped its kudu-master,{then} released the Lease"),
    ))
}

/// The old active renews its Lease and does not stop, though it was told to long ago: it may not see the pair's status.
///
/// As long as it holds the Lease of its reign nobody can have taken over, so a switch that is not needed is undone: the record
/// goes, and the active's order is to serve again.
fn does_not_stand_down(seen: &Observation, status: &PairStatus, switch: &SwitchRecord, holder: &str) -> Step {
    let lease = seen.lease.as_ref();
    let reigns =
        lease.is_some_and(|lease| lease.epoch == status.epoch && lease.holder_member() == status.active.as_deref());
    let serves = seen.report(holder).is_some_and(|report| report.state == MemberState::Serving);
    if reigns && switch.tried.is_empty() && (switch.kind == SwitchKind::Switchover || serves) {
        return receipt::undo(seen, status, switch, holder);
    }
    Step::wait(Waiting::stuck(
        "NotStandingDown",
        format!(
            "{holder} renews its Lease but has not stopped as it was told to; its sidecar may not see the pair's status: see the log \
             of its container replication, or delete its pod"
        ),
    ))
}

/// The record of a switch that took the old active for dead, when it has taken its Lease again before the fence.
fn alive_again(seen: &Observation, switch: &SwitchRecord, lease: &LeaseSeen) -> Option<SwitchRecord> {
    let stopped = switch.from.as_deref().and_then(|from| seen.report(from)).is_some_and(|report| report.master_stopped);
    // Somebody who was tried holds it by now; the old active was fenced before.
    let may_be_its_own = switch.tried.is_empty();
    let alive = switch.dead_at.is_some() && may_be_its_own && !lease.over(seen.lease_duration()) && !stopped;
    alive.then(|| SwitchRecord { dead_at: None, ..switch.clone() })
}

/// The record, when what it says of the old active's last op is not what the Lease says.
///
/// The head that the old active left in the Lease goes into the record before the fence removes it from the Lease. And one
/// that was recorded is no proof any more when the old active has taken the Lease again before the fence: it may not have
/// known of the switch yet. A head left by a member that was tried in this switch says nothing of the old active.
fn final_head(seen: &Observation, switch: &SwitchRecord, lease: &LeaseSeen) -> Option<SwitchRecord> {
    let from = switch.from.as_deref()?;
    if switch.tried.last().is_some_and(|tried| tried.name != from) {
        return None;
    }
    let (head, is_final) = match lease.last_op() {
        Some(head) => (Some(head), true),
        None if switch.recorded_head_final => (switch.recorded_head.max(seen.known_head(from)), false),
        None => return None,
    };
    let corrected = SwitchRecord { recorded_head: head, recorded_head_final: is_final, ..switch.clone() };
    (corrected != *switch).then_some(corrected)
}

/// Never overruled, however long it lasts: two actives would be worse than none.
pub(crate) fn still_heard(witness: &str, active: &str, beyond: Duration) -> Waiting {
    let text = if witness == active {
        format!(
            "the Lease of {active} is over, but it still says that it serves; waiting until it stops, or does not answer"
        )
    } else {
        format!(
            "the Lease of {active} is over, but {witness} still hears it serve; waiting until it stops. If that lasts, look at \
             the launcher's log in {active}: its kudu-master should have been killed"
        )
    };
    Waiting { reason: "OldActiveStillHeard", text, stuck: beyond >= STILL_HEARD_LONG }
}

fn after_the_fence(seen: &Observation, status: &PairStatus, switch: &SwitchRecord, lease: &LeaseSeen) -> Step {
    let recorded = choose::recorded(seen, switch);
    match choose::choose(seen, switch, lease, recorded) {
        Ok(candidate) => Step::remember(with(status, promoting(seen, switch, candidate, recorded))),
        Err(waiting) => match successor_lost(seen, switch) {
            Some(why) => without_successor(status, switch, &why),
            None if waiting.stuck => word(seen, status, switch, lease, recorded).unwrap_or_else(|| Step::wait(waiting)),
            None => Step::wait(waiting),
        },
    }
}

/// A person's word, while no candidate may be taken without one: an approval of what is asked for, or with the mode `Off` a
/// request for a switch.
fn word(
    seen: &Observation,
    status: &PairStatus,
    switch: &SwitchRecord,
    lease: &LeaseSeen,
    recorded: Recorded,
) -> Option<Step> {
    let given = policy::annotation(seen).filter(|value| switch.approval.as_deref() != Some(value));
    if let Some(value) = given.filter(|value| choose::would_approve(seen, switch, lease, recorded, value)) {
        let record =
            SwitchRecord { kind: SwitchKind::Failover, to: None, approval: Some(value.to_owned()), ..switch.clone() };
        let message = format!("the failover to epoch {} goes on with the member and the loss approved", switch.epoch);
        let answer = RequestAnswer { request: value.to_owned(), answer: Answer::Accepted, message };
        let status = PairStatus { approval: Some(answer), ..with(status, record) };
        return Some(Step::remember_and_tell(status, PairEvent::warning("LossAccepted", format!("approved: {value}"))));
    }
    let request = Request::pending(seen, status).filter(|_| seen.pair.spec.failover.mode == FailoverMode::Off)?;
    if switch.request.is_some() || request.member().is_some_and(|member| !seen.is_wanted(member)) {
        return None;
    }
    let record = SwitchRecord { kind: SwitchKind::Failover, request: Some(request.value.clone()), ..switch.clone() };
    let answer = request.accept(format!("the failover to epoch {} goes on as asked", switch.epoch));
    Some(Step::remember(PairStatus { switchover: Some(answer), ..with(status, record) }))
}

/// An initialisation starts again, by the same rules as the first time.
fn first_again(seen: &Observation, status: &PairStatus, switch: &SwitchRecord) -> Step {
    let tried: Vec<_> = switch.tried.iter().map(|tried| tried.name.clone()).collect();
    match initialize::first(seen, status.catalog.as_ref(), &tried) {
        Err(waiting) => Step::wait(waiting),
        Ok(first) => {
            let gate = first.adopted.map(|adopted| adopted.head);
            let record = SwitchRecord {
                step: SwitchStep::Promoting,
                to: Some(first.to),
                gate,
                fenced_at: Some(seen.now.into()),
                waiting_for: None,
                ..switch.clone()
            };
            Step::remember(with(status, record))
        }
    }
}

/// The record once a member is chosen.
fn promoting(seen: &Observation, switch: &SwitchRecord, chosen: Candidate, recorded: Recorded) -> SwitchRecord {
    SwitchRecord {
        step: SwitchStep::Promoting,
        to: Some(chosen.name),
        gate: Some(chosen.head),
        recorded_head: recorded.head,
        recorded_head_final: recorded.is_final,
        acknowledged_head: switch.acknowledged_head.max(
            switch.from.as_deref().filter(|_| switch.tried.is_empty()).and_then(|from| seen.known_acknowledged(from)),
        ),
        fenced_at: Some(seen.now.into()),
        waiting_for: None,
        ..switch.clone()
    }
}

/// Why the successor of a planned switch will not take over, when it will not.
fn successor_lost(seen: &Observation, switch: &SwitchRecord) -> Option<String> {
    let to = switch.to.as_deref()?;
    if !seen.is_wanted(to) {
        return Some(format!("spec.standbys leaves no place for {to} any more"));
    }
    let waited = seen.since(switch.started_at.0);
    let report = seen.member(to).and_then(|member| member.report_within(SUCCESSOR_LOST));
    if waited >= seen.switchover_timeout() {
        let most = seen.switchover_timeout().as_secs();
        return Some(format!(
            "the old active did not hand over to {to} within {most} s (spec.failover.switchoverTimeoutMilliseconds)"
        ));
    }
    match report {
        None if waited >= SUCCESSOR_LOST => Some(format!("{to} does not answer any more")),
        Some(report) if report.state == MemberState::Failed => {
            Some(format!("{to} failed: {}", report.message.as_deref().unwrap_or("it does not say why")))
        }
        _ => None,
    }
}

/// Goes on without a successor: the old active releases its Lease without shipping anything more, and then the best member,
/// as a rule the old active itself, serves.
fn without_successor(status: &PairStatus, switch: &SwitchRecord, why: &str) -> Step {
    let record = SwitchRecord { to: None, why: receipt::then(switch, why), ..switch.clone() };
    Step::remember_and_tell(with(status, record), PairEvent::warning("SwitchoverWithoutSuccessor", why))
}

/// The memory with this switch.
pub(crate) fn with(status: &PairStatus, switch: SwitchRecord) -> PairStatus {
    PairStatus { switch: Some(switch), ..status.clone() }
}
