//! What a switch did, for the status and for an event.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    action::{PairEvent, Step},
    bounds::RECEIPTS,
    observation::Observation,
};
use crate::{
    api::{Answer, PairStatus, Receipt, RequestAnswer, SwitchKind, SwitchOutcome, SwitchRecord},
    replication::terms,
    wal::OpId,
};

/// What `opsLost` says while it is not known.
pub const UNKNOWN: &str = "unknown";

/// Ends a switch: the memory with its receipt, and the event that tells it.
pub(crate) fn finish(seen: &Observation, status: &PairStatus, switch: &SwitchRecord, to: String) -> Step {
    let receipt = receipt(switch, to.clone(), seen.now);
    let text = text(&receipt);
    let mut status = PairStatus { active: Some(to), epoch: switch.epoch, ..ended(status, switch, &receipt, &text) };
    if let Some(catalog) = &mut status.catalog {
        catalog.formatted = true;
    }
    let event = match (receipt.kind, receipt.outcome) {
        (SwitchKind::Initialize, _) => PairEvent::normal("Initialized", text),
        (SwitchKind::Failover, _) => PairEvent::warning("FailoverCompleted", text),
        (SwitchKind::Switchover, SwitchOutcome::Completed) => PairEvent::normal("SwitchoverCompleted", text),
        (SwitchKind::Switchover, SwitchOutcome::RolledBack) => PairEvent::warning("SwitchoverRolledBack", text),
    };
    Step::remember_and_tell(status, event)
}

/// Undoes a switch whose old active still holds its Lease and serves: nothing has changed but the record.
pub(crate) fn undo(seen: &Observation, status: &PairStatus, switch: &SwitchRecord, active: &str) -> Step {
    let why = format!("{active} did not stand down within {} s", (seen.switchover_timeout() * 2).as_secs());
    let record = SwitchRecord { epoch: status.epoch, why: then(switch, &why), ..switch.clone() };
    let receipt = Receipt {
        ops_lost: "0".to_owned(),
        promoted_head: None,
        outcome: SwitchOutcome::RolledBack,
        ..receipt(&record, active.to_owned(), seen.now)
    };
    let text = format!("{why}: {active} serves on in epoch {}, nothing was changed", status.epoch);
    let event = PairEvent::warning("SwitchUndone", text.clone());
    Step::remember_and_tell(ended(status, switch, &receipt, &text), event)
}

/// The memory without the switch and with its receipt, and the requests that asked for it answered.
fn ended(status: &PairStatus, switch: &SwitchRecord, receipt: &Receipt, text: &str) -> PairStatus {
    let answer = match receipt.outcome {
        SwitchOutcome::Completed => Answer::Completed,
        SwitchOutcome::RolledBack => Answer::RolledBack,
    };
    let answered = |request: &String| RequestAnswer { request: request.clone(), answer, message: text.to_owned() };
    let before = status.switches.iter().take(RECEIPTS - 1).cloned();
    PairStatus {
        switch: None,
        last_switch: Some(receipt.clone()),
        switches: std::iter::once(receipt.clone()).chain(before).collect(),
        switchover: switch.request.as_ref().map(answered).or_else(|| status.switchover.clone()),
        approval: switch.approval.as_ref().map(answered).or_else(|| status.approval.clone()),
        ..status.clone()
    }
}

/// Why the switch was begun, and what came in its way last.
pub(crate) fn then(switch: &SwitchRecord, why: &str) -> Option<String> {
    let begun = switch.why.as_deref().map(|before| before.split("; then ").next().unwrap_or(before));
    Some(begun.map_or_else(|| why.to_owned(), |begun| format!("{begun}; then {why}")))
}

/// The receipt of a switch that ends now.
pub fn receipt(switch: &SwitchRecord, to: String, now: Timestamp) -> Receipt {
    let started = switch.started_at.0;
    let fenced = switch.fenced_at.as_ref().map_or(started, |at| at.0);
    let replayed = switch.replayed_at.as_ref().map_or(fenced, |at| at.0);
    let lost = switch.lost_at.as_ref().map_or(started, |at| at.0);
    let back = switch.kind == SwitchKind::Switchover && switch.from.as_deref() == Some(&to);
    let tried = switch.tried.iter().find(|tried| tried.name == to).and_then(|tried| tried.head);
    let promoted = tried.or(switch.gate);
    Receipt {
        kind: switch.kind,
        epoch: switch.epoch,
        from: switch.from.clone(),
        ops_lost: ops_lost(switch, &to, promoted),
        to,
        tried: switch.tried.iter().map(|tried| tried.name.clone()).collect(),
        acknowledged_head: switch.acknowledged_head,
        recorded_head: switch.recorded_head,
        promoted_head: promoted,
        started_at: switch.started_at.clone(),
        finished_at: now.into(),
        detect_seconds: seconds(lost, started),
        fence_seconds: seconds(started, fenced),
        replay_seconds: seconds(fenced, replayed),
        repoint_seconds: seconds(replayed, now),
        outcome: if back { SwitchOutcome::RolledBack } else { SwitchOutcome::Completed },
        why: switch.why.clone(),
        approval: switch.approval.clone(),
    }
}

/// How many operations of the old active the new one does not have; a number only when it is proven.
fn ops_lost(switch: &SwitchRecord, to: &str, promoted: Option<OpId>) -> String {
    // Its own log, unless it followed another one that was tried in between and cut its log to agree.
    let its_own = switch.from.as_deref() == Some(to) && switch.tried.iter().all(|tried| tried.name == to);
    if switch.kind == SwitchKind::Initialize || its_own {
        return "0".to_owned();
    }
    let (Some(recorded), Some(promoted), true) = (switch.recorded_head, promoted, switch.recorded_head_final) else {
        return UNKNOWN.to_owned();
    };
    // Within one reign the new active's log is a part of the old one's, so indexes can be compared.
    let same_reign = terms::epoch_of(recorded.term) == terms::epoch_of(promoted.term);
    let lost = (recorded.index - promoted.index).max(0);
    // One that was tried before may have followed another one since and have more than it had then, never less.
    let at_most = switch.tried.iter().any(|tried| tried.name == to);
    if same_reign && (lost == 0 || !at_most) { lost.to_string() } else { UNKNOWN.to_owned() }
}

/// The memory with a number in place of `unknown`, once the old active has rejoined and says what only it had.
///
/// Not when a member was tried before: the old active may have cut its log to follow that one, and what it had by itself is
/// not what it says of this reign.
pub(crate) fn amend(seen: &Observation, status: &PairStatus) -> Option<Step> {
    let receipt =
        status.last_switch.as_ref().filter(|receipt| receipt.ops_lost == UNKNOWN && receipt.tried.is_empty())?;
    let from = receipt.from.as_deref()?;
    let gap = seen.report(from)?.gap.as_ref().filter(|gap| gap.epoch == receipt.epoch)?;
    let amended = Receipt { ops_lost: gap.ops.to_string(), ..receipt.clone() };
    let note = format!(
        "{from} is back: {} operations of it were lost in the {:?} to epoch {}",
        gap.ops, receipt.kind, receipt.epoch
    );
    let event = if gap.ops == 0 { PairEvent::normal("LossKnown", note) } else { PairEvent::warning("LossKnown", note) };
    let amend = |kept: &Receipt| if kept == receipt { amended.clone() } else { kept.clone() };
    let switches = status.switches.iter().map(amend).collect();
    Some(Step::remember_and_tell(PairStatus { last_switch: Some(amended.clone()), switches, ..status.clone() }, event))
}

/// The receipt in one sentence.
pub fn text(receipt: &Receipt) -> String {
    let Receipt { to, epoch, ops_lost, detect_seconds, fence_seconds, replay_seconds, repoint_seconds, .. } = receipt;
    let phases = format!(
        "{detect_seconds} s to notice, {fence_seconds} s to fence, {replay_seconds} s to replay, {repoint_seconds} s to repoint"
    );
    let lost = match ops_lost.as_str() {
        UNKNOWN => "operations lost not known until the old active is back".to_owned(),
        "1" => "1 operation lost".to_owned(),
        number => format!("{number} operations lost"),
    };
    let what = match (receipt.outcome, &receipt.from) {
        (SwitchOutcome::RolledBack, _) => format!("went back to {to} in epoch {epoch}: {lost}; {phases}"),
        (_, Some(from)) if from != to => format!("{to} took over from {from} in epoch {epoch}: {lost}; {phases}"),
        (_, Some(_)) => format!("{to} serves again in epoch {epoch}: {lost}; {phases}"),
        (_, None) => return format!("{to} serves in epoch {epoch}; {phases}"),
    };
    let heads = [
        ("acknowledged", receipt.acknowledged_head),
        ("recorded", receipt.recorded_head),
        ("promoted", receipt.promoted_head),
    ];
    let heads = heads
        .map(|(name, head)| format!("{name} {}", head.map_or_else(|| UNKNOWN.to_owned(), |head| head.to_string())));
    let why = receipt.why.as_ref().map_or_else(String::new, |why| format!("; {why}"));
    format!("{what}; last operations: {}{why}", heads.join(", "))
}

/// Seconds between two moments, as in `5.2`; never negative, whatever the clock did.
fn seconds(from: Timestamp, to: Timestamp) -> String {
    let span = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    format!("{:.1}", span.as_secs_f64())
}
