//! The steps Promoting and Repointing: the chosen member comes to serve, the Service follows it, the switch ends.

use std::time::Duration;

use super::{
    action::{Action, Step, Waiting},
    bounds::{REPLAY_PATIENCE, TAKE_LEASE, TAKE_LEASE_UNHEARD},
    fence::with,
    lease::LeaseSeen,
    member::MemberReport,
    observation::{MemberSeen, Observation},
    receipt,
};
use crate::api::{MemberState, PairStatus, SwitchKind, SwitchRecord, SwitchStep, TriedMember};

/// One step while the chosen member starts and replays.
pub(crate) fn step(seen: &Observation, status: &PairStatus, switch: &SwitchRecord) -> Step {
    let to = switch.to.as_deref().unwrap_or_default();
    let objects = super::peace::objects(seen, status);
    let Some(lease) = &seen.lease else {
        return Step::act(Action::CreateLease { epoch: switch.epoch }).and(objects);
    };
    if lease.epoch < switch.epoch {
        return raise(seen, switch, lease).and(objects);
    }
    if let Some(why) = given_up(seen, switch, lease, to) {
        return again(seen, status, switch, why);
    }
    if serves(seen, switch, lease, to) {
        let record = SwitchRecord {
            step: SwitchStep::Repointing,
            replayed_at: Some(seen.now.into()),
            waiting_for: None,
            ..switch.clone()
        };
        return Step::remember(with(status, record));
    }
    Step::wait(not_yet(seen, switch, lease, to)).and(objects)
}

/// Why the chosen member does not serve yet. There is no better one, or it would be that one's turn.
fn not_yet(seen: &Observation, switch: &SwitchRecord, lease: &LeaseSeen, to: &str) -> Waiting {
    if lease.holder_member() != Some(to) {
        return Waiting::briefly("Promoting", format!("waiting until {to} takes the Lease"));
    }
    let text = format!("waiting until {to} has applied the operations of its log");
    if waited(seen, switch) < REPLAY_PATIENCE {
        return Waiting::briefly("Promoting", text);
    }
    Waiting::stuck(
        "PromotionSlow",
        format!(
            "{text}, for more than {} s, and no other member could take over; see the logs of its containers, or bring another \
             member back",
            REPLAY_PATIENCE.as_secs()
        ),
    )
}

fn waited(seen: &Observation, switch: &SwitchRecord) -> Duration {
    switch.fenced_at.as_ref().map_or_else(Duration::default, |fenced| seen.since(fenced.0))
}

/// One step while the Service is pointed at the member that serves already. It is not asked whether it still does: it has
/// taken over, and when it is lost now it is lost as any active is, with its own reign's operations counted.
pub(crate) fn repoint(seen: &Observation, status: &PairStatus, switch: &SwitchRecord) -> Step {
    let to = switch.to.clone().unwrap_or_default();
    if seen.service_active.as_deref() != Some(&to) {
        return Step::act(Action::Repoint { active: to });
    }
    receipt::finish(seen, status, switch, to)
}

/// Before the first reign a Lease may be left over from an earlier life of the pair.
fn raise(seen: &Observation, switch: &SwitchRecord, lease: &LeaseSeen) -> Step {
    // Nobody may take an unheld Lease of an epoch that no order names, and every member was seen stopped.
    let free = switch.kind == SwitchKind::Initialize && lease.holder.is_none();
    if free || lease.over(seen.lease_duration()) {
        let resource_version = lease.resource_version.clone();
        return Step::act(Action::FenceLease { resource_version, epoch: switch.epoch });
    }
    let holder = lease.holder.as_deref().unwrap_or("nobody");
    let text = format!("waiting until the Lease of an earlier reign is over; {holder} holds it");
    if waited(seen, switch) < REPLAY_PATIENCE {
        return Step::wait(Waiting::briefly("Promoting", text));
    }
    let text = format!(
        "{text} and renews it, though no member of the pair was told to: stop it, or delete the Lease once it is dead"
    );
    Step::wait(Waiting::stuck("LeaseOfAnEarlierReign", text))
}

fn serves(seen: &Observation, switch: &SwitchRecord, lease: &LeaseSeen, to: &str) -> bool {
    lease.holder_member() == Some(to)
        && seen.report(to).is_some_and(|report| {
            report.state == MemberState::Serving
                && report.epoch == switch.epoch
                && switch.gate.is_none_or(|gate| report.applied_head.is_some_and(|applied| applied >= gate))
        })
}

/// Why the chosen member will not come to serve, when it will not.
fn given_up(seen: &Observation, switch: &SwitchRecord, lease: &LeaseSeen, to: &str) -> Option<String> {
    if lease.epoch > switch.epoch {
        return Some(format!("somebody raised the Lease to epoch {}", lease.epoch));
    }
    let report = seen.report(to);
    if let Some(report) = report.filter(|report| report.state == MemberState::Failed && report.epoch == switch.epoch) {
        return Some(format!("{to} failed: {}", report.message.as_deref().unwrap_or("it does not say why")));
    }
    if lease.released() {
        return Some(format!("{to} gave the Lease back{}", last_words(report)));
    }
    if lease.holder.is_some() {
        if lease.over(seen.lease_duration()) {
            return Some(format!("{to} did not renew the Lease"));
        }
        let waited = waited(seen, switch);
        let patience = match switch.kind {
            SwitchKind::Switchover => seen.switchover_timeout(),
            SwitchKind::Initialize | SwitchKind::Failover => REPLAY_PATIENCE,
        };
        return (waited >= patience && another(seen, switch, to))
            .then(|| format!("{to} did not come to serve within {} s, and another member can", patience.as_secs()));
    }
    let patience = if report.is_some() { TAKE_LEASE } else { TAKE_LEASE_UNHEARD };
    (lease.unchanged_for >= patience).then(|| format!("{to} did not take the Lease within {} s", patience.as_secs()))
}

fn last_words(report: Option<&MemberReport>) -> String {
    report.and_then(|report| report.message.as_deref()).map_or(String::new(), |message| format!(": {message}"))
}

/// Whether another member that has not been tried could pass the gate.
fn another(seen: &Observation, switch: &SwitchRecord, to: &str) -> bool {
    let untried = |member: &&MemberSeen| !switch.tried.iter().any(|tried| tried.name == member.name);
    seen.standbys_of(to).filter(untried).filter(|member| !seen.is_fenced(&member.name)).any(|member| {
        member.report().is_some_and(|report| {
            report.has_catalog
                && report.master_stopped
                && report.state != MemberState::Failed
                && report.head >= switch.gate
        })
    })
}

/// Fences the member that was chosen, in the next epoch, and chooses again.
fn again(seen: &Observation, status: &PairStatus, switch: &SwitchRecord, why: String) -> Step {
    let mut record = SwitchRecord {
        epoch: seen.next_epoch(),
        step: SwitchStep::Fencing,
        to: None,
        gate: None,
        fenced_at: None,
        waiting_for: None,
        why: receipt::then(switch, &why),
        ..switch.clone()
    };
    let to = switch.to.clone().unwrap_or_default();
    let mut head = record.tried.iter().find(|tried| tried.name == to).map_or(switch.gate, |tried| tried.head);
    if switch.from.as_ref() == Some(&to) {
        // The Service selects the old active all the time, so clients may have seen what it wrote when it was started again.
        let released = seen.lease.as_ref().and_then(LeaseSeen::last_op);
        record.recorded_head = released.or_else(|| switch.recorded_head.max(seen.known_head(&to)));
        record.recorded_head_final = released.is_some();
        record.dead_at = None;
        head = None;
    }
    record.tried.retain(|tried| tried.name != to);
    record.tried.push(TriedMember { name: to, head });
    let note = format!("{why}; choosing again for epoch {}", record.epoch);
    Step::remember_and_tell(with(status, record), super::action::PairEvent::warning("PromotionFailed", note))
}
