//! The step Fencing: make sure that the old active is dead, then choose who serves next.

use super::{
    action::{Action, PairEvent, Step, Waiting},
    bounds::SUCCESSOR_LOST,
    choose::{self, Candidate, Recorded},
    initialize,
    lease::LeaseSeen,
    observation::Observation,
    promise,
    switchover::Request,
};
use crate::api::{MemberState, PairStatus, SwitchKind, SwitchRecord, SwitchStep};

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
    if let Some(record) = final_head(seen, switch, lease).or_else(|| promise::copied(status, switch, lease)) {
        return Step::remember(with(status, record));
    }
    if lease.over(seen.lease_duration()) {
        let witness = switch.from.as_deref().filter(|_| !lease.released()).and_then(|from| seen.still_serving(from));
        return match witness {
            Some(witness) => Step::wait(still_heard(witness, switch.from.as_deref().unwrap_or_default())),
            None => {
                Step::act(Action::FenceLease { resource_version: lease.resource_version.clone(), epoch: switch.epoch })
            }
        };
    }
    if let Some(why) = successor_lost(seen, switch) {
        return without_successor(status, switch, why);
    }
    let holder = lease.holder_member().or(switch.from.as_deref()).unwrap_or("its holder");
    let then = switch.to.as_ref().map_or(String::new(), |to| format!(" shipped the rest of its log to {to} and"));
    Step::wait(Waiting::briefly(
        "Fencing",
        format!("waiting until {holder} has stopped its kudu-master,{then} released the Lease"),
    ))
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

pub(crate) fn still_heard(witness: &str, active: &str) -> Waiting {
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
    Waiting::briefly("OldActiveStillHeard", text)
}

fn after_the_fence(seen: &Observation, status: &PairStatus, switch: &SwitchRecord, lease: &LeaseSeen) -> Step {
    let recorded = choose::recorded(seen, switch);
    match choose::choose(seen, switch, lease, recorded) {
        Ok(candidate) => Step::remember(with(status, promoting(seen, switch, candidate, recorded))),
        Err(_) if switch.to.is_some() && successor_lost(seen, switch).is_some() => {
            without_successor(status, switch, successor_lost(seen, switch).unwrap_or_default())
        }
        Err(waiting) => match Request::pending(seen, status) {
            Some(request) if waiting.stuck => approve(status, switch, &request),
            _ => Step::wait(waiting),
        },
    }
}

/// A person accepts what is lost, or names the member, while no candidate is good enough to be taken without that.
fn approve(status: &PairStatus, switch: &SwitchRecord, request: &Request) -> Step {
    let record = SwitchRecord { kind: SwitchKind::Failover, request: Some(request.value.clone()), ..switch.clone() };
    let mut status = with(status, record);
    status.switchover = Some(request.accept("the failover goes on with the member asked for, whatever is lost"));
    let note = format!("as annotated, the failover may go to {}", request.member().unwrap_or("any member"));
    Step::remember_and_tell(status, PairEvent::warning("LossAccepted", note))
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
        fenced_at: Some(seen.now.into()),
        waiting_for: None,
        ..switch.clone()
    }
}

/// Why the successor of a planned switch will not take over, when it will not.
fn successor_lost(seen: &Observation, switch: &SwitchRecord) -> Option<String> {
    let to = switch.to.as_deref()?;
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
fn without_successor(status: &PairStatus, switch: &SwitchRecord, why: String) -> Step {
    let record = SwitchRecord { to: None, ..switch.clone() };
    Step::remember_and_tell(with(status, record), PairEvent::warning("SwitchoverWithoutSuccessor", why))
}

/// The memory with this switch.
pub(crate) fn with(status: &PairStatus, switch: SwitchRecord) -> PairStatus {
    PairStatus { switch: Some(switch), ..status.clone() }
}
