//! The one decision: what is seen of a pair goes in, what to do comes out.
//!
//! Pure: no clock, no randomness, no I/O. The memory of a switch is the pair's status; each step is written there before it
//! is taken, so any controller can go on from what it reads. That makes two controllers at once harmless: a status write
//! and a fence replace the very version that was read or do nothing, applying objects and deleting a pod by its uid can be
//! repeated, and no step relies on an earlier one of the same process.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    action::{Action, Decision, PairEvent, Step, Waiting},
    bounds::{FRESH_MOMENTS, FRESH_NUMBERS, LOOK_IN_PEACE, LOOK_IN_SWITCH},
    fence, fenced, gaps, initialize, kill_time,
    observation::Observation,
    overview, peace, promote, rolling,
    switchover::Request,
    verification,
};
use crate::api::{FailoverMode, PairStatus, SwitchRecord, SwitchStep};

/// What to do now.
pub fn decide(seen: &Observation) -> Decision {
    let status = seen.status();
    match next(seen, &status) {
        Step::Remember { status: memory, events } => {
            let written = overview::complete(seen, *memory, None);
            let tell = events.into_iter().chain(news(seen, &status, &written)).map(Action::Event);
            let actions = std::iter::once(Action::WriteStatus(Box::new(written))).chain(tell).collect();
            Decision { actions, requeue_after: Duration::ZERO }
        }
        Step::Act { mut actions, waiting } => {
            let requeue_after = when_to_look(seen, &status, &actions, waiting.as_ref());
            let shown = overview::complete(seen, status.clone(), waiting.as_ref());
            if is_worth_writing(seen, &status, &shown) {
                let event = overview::new_trouble(&status, &shown, waiting.as_ref());
                let news = news(seen, &status, &shown);
                actions.push(Action::WriteStatus(Box::new(shown)));
                actions.extend(event.into_iter().chain(news).map(Action::Event));
            }
            Decision { actions, requeue_after }
        }
    }
}

/// What a status tells that the one before did not, and somebody should hear of.
fn news(seen: &Observation, before: &PairStatus, after: &PairStatus) -> Vec<PairEvent> {
    let mut news = verification::news(before, after);
    news.extend(kill_time::news(seen, before, after));
    news.extend(gaps::news(before, after));
    news.extend(fenced::news(before, after));
    news
}

fn next(seen: &Observation, status: &PairStatus) -> Step {
    if seen.pair.spec.paused {
        return paused(seen, status);
    }
    match (&status.catalog, &status.switch, &status.active) {
        (Some(_), Some(switch), _) => switching(seen, status, switch),
        (Some(_), None, Some(active)) => peace::step(seen, status, active),
        (None, ..) | (Some(_), None, None) => initialize::step(seen, status).and(rolling::unblock(seen)),
    }
}

fn switching(seen: &Observation, status: &PairStatus, switch: &SwitchRecord) -> Step {
    let step = match switch.step {
        SwitchStep::Fencing => fence::step(seen, status, switch).and(rolling::unblock(seen)),
        SwitchStep::Promoting => promote::step(seen, status, switch),
        SwitchStep::Repointing => promote::repoint(seen, status, switch),
    };
    // With the mode Off a failover that has chosen nobody yet may still come to need a request, and then this is it.
    let off = seen.pair.spec.failover.mode == FailoverMode::Off;
    let undecided = off && switch.step == SwitchStep::Fencing && switch.to.is_none() && switch.request.is_none();
    match (&step, Request::pending(seen, status)) {
        (Step::Act { waiting: Some(_), .. }, Some(request)) if !undecided => {
            let why = format!("a {:?} to epoch {} is under way; wait until it has ended", switch.kind, switch.epoch);
            request.refuse(status, &why)
        }
        _ => step,
    }
}

fn paused(seen: &Observation, status: &PairStatus) -> Step {
    match Request::pending(seen, status) {
        Some(request) => request.refuse(status, "spec.paused is true, so nothing is done; set it to false"),
        None => Step::wait(Waiting::stuck(
            "Paused",
            "spec.paused is true, so the operator changes nothing; set it to false",
        )),
    }
}

fn when_to_look(seen: &Observation, status: &PairStatus, actions: &[Action], waiting: Option<&Waiting>) -> Duration {
    let moves = |action: &Action| match action {
        Action::CreateLease { .. } | Action::FenceLease { .. } | Action::Repoint { .. } => true,
        Action::WriteStatus(_) | Action::ApplyObjects { .. } | Action::DeletePod { .. } | Action::Event(_) => false,
    };
    if actions.iter().any(moves) {
        Duration::ZERO
    } else if status.switch.is_some() || waiting.is_some_and(|waiting| !waiting.stuck) {
        LOOK_IN_SWITCH
    } else {
        // A lost active is noticed when its Lease is over, and not at the look after that.
        let left = seen.lease.as_ref().map(|lease| lease.left(seen.lease_duration()));
        left.filter(|left| !left.is_zero())
            .map_or(LOOK_IN_PEACE, |left| left.clamp(Duration::from_millis(1), LOOK_IN_PEACE))
    }
}

/// Whether the status tells people something new, or only newer numbers and the last ones are old.
fn is_worth_writing(seen: &Observation, before: &PairStatus, after: &PairStatus) -> bool {
    if before == after {
        return false;
    }
    let ago = seen.status_written_ago;
    if without_numbers(before) != without_numbers(after) {
        return true;
    }
    let numbers_changed = without_moments(before) != without_moments(after);
    ago.is_none_or(|ago| ago >= if numbers_changed { FRESH_NUMBERS } else { FRESH_MOMENTS })
}

fn without_moments(status: &PairStatus) -> PairStatus {
    let mut status = status.clone();
    for member in &mut status.members {
        member.caught_up_at = None;
    }
    status
}

fn without_numbers(status: &PairStatus) -> PairStatus {
    let mut status = without_moments(status);
    // Whether the lag is known at all is news; how large it is, is a number.
    status.lag = status.lag.filter(|lag| lag == overview::LAG_UNKNOWN);
    status.lag_sampled_at = None;
    for member in &mut status.members {
        member.head = None;
        (member.verified_head, member.verified_at) = (None, None);
        (member.lag_ops, member.lag_bytes, member.lag_milliseconds, member.lag_sampled_at) = (None, None, None, None);
    }
    let verified =
        |condition: &&mut Condition| condition.type_ == verification::CONDITION && condition.status == "True";
    for condition in status.conditions.iter_mut().filter(verified) {
        condition.message.clear();
    }
    status
}
