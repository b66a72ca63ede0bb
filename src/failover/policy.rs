//! Whether the operator may let another member take over by itself, and what a person has to say when it may not.
//!
//! A member's own log loses nothing, so the old active may always serve again.

use jiff::Timestamp;

use super::{
    action::Waiting,
    budget::{self, Budget},
    choose::{Candidate, Recorded},
    loss::Approval,
    observation::Observation,
    overview::{Said, said},
};
use crate::api::{
    FailoverMode, PairStatus, SwitchKind, SwitchRecord,
    names::{APPROVAL_ANNOTATION, SWITCHOVER_ANNOTATION, SWITCHOVER_ANY},
};

/// What keeps the operator from letting another member take over by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// `spec.failover.mode: Approval`.
    Approval,
    /// `spec.failover.mode: Off`, and nobody has asked for a switch.
    Off,
    /// Too many failovers within the last hour.
    BackingOff {
        /// So many.
        failovers: usize,
        /// When the next one is made by itself.
        until: Timestamp,
    },
}

/// What holds a failover back that has not begun.
pub(crate) fn hold(seen: &Observation, status: &PairStatus) -> Option<Hold> {
    match seen.pair.spec.failover.mode {
        FailoverMode::Off => Some(Hold::Off),
        FailoverMode::Approval => Some(Hold::Approval),
        FailoverMode::Automatic => {
            let Budget { used, until } = budget(seen, status);
            until.map(|until| Hold::BackingOff { failovers: used, until })
        }
    }
}

/// What holds back the choice of another member in a switch that has begun.
pub(crate) fn hold_in(seen: &Observation, switch: &SwitchRecord) -> Option<Hold> {
    match hold(seen, &seen.status())? {
        Hold::Off if switch.request.is_some() => None,
        // A planned switch counts against no budget, also when it does not end as planned.
        Hold::BackingOff { .. } if switch.kind == SwitchKind::Switchover => None,
        hold => Some(hold),
    }
}

fn budget(seen: &Observation, status: &PairStatus) -> Budget {
    budget::of(status, seen.pair.spec.failover.failovers_per_hour, seen.now)
}

/// The wait for a person's word about this candidate.
pub(crate) fn ask(seen: &Observation, hold: Hold, epoch: i64, candidate: &Candidate, recorded: Recorded) -> Waiting {
    let proposal = || proposal(seen, epoch, candidate, recorded);
    match hold {
        Hold::Off => off(seen),
        Hold::Approval => Waiting::stuck(
            "ApprovalNeeded",
            format!(
                "the active is lost and spec.failover.mode is Approval; bring it back, or approve a failover: {}",
                proposal()
            ),
        ),
        Hold::BackingOff { failovers, until } => Waiting::stuck(
            "FailoverBackingOff",
            format!(
                "the active is lost, after {failovers} failovers within an hour; the next one is made at {} \
                 (spec.failover.failoversPerHour is {}), or approve it now: {}",
                clock(until),
                seen.pair.spec.failover.failovers_per_hour,
                proposal()
            ),
        ),
    }
}

/// The wait for a person's own request.
pub(crate) fn off(seen: &Observation) -> Waiting {
    let command = annotate(seen, SWITCHOVER_ANNOTATION, &format!("{SWITCHOVER_ANY}@{}", seen.next_epoch()));
    Waiting::stuck(
        "FailoverOff",
        format!("the active is lost and spec.failover.mode is Off; bring it back, or ask for a switch: {command}"),
    )
}

/// Who would take over, what that loses, and the command that approves it.
pub(crate) fn proposal(seen: &Observation, epoch: i64, candidate: &Candidate, recorded: Recorded) -> String {
    let asked = Approval::of(epoch, candidate, recorded);
    let last = recorded.head.map_or_else(|| "an unknown operation".to_owned(), |head| head.to_string());
    let annotation = annotation(seen).filter(|value| !asked.is_given_by(value));
    let other = annotation
        .map_or_else(String::new, |value| format!(" (the annotation says {value:?}, which approves something else)"));
    format!(
        "{} has the log up to {}, the old active's went to {last}: {}; {}{other}",
        candidate.name,
        candidate.inherited,
        asked.lost.words(),
        annotate(seen, APPROVAL_ANNOTATION, &asked.to_string())
    )
}

/// The value of the annotation by which a person approves a failover.
pub(crate) fn annotation(seen: &Observation) -> Option<&str> {
    let value = seen.pair.metadata.annotations.as_ref()?.get(APPROVAL_ANNOTATION)?;
    (!value.is_empty()).then_some(value.as_str())
}

fn annotate(seen: &Observation, annotation: &str, value: &str) -> String {
    let namespace = seen.pair.metadata.namespace.as_deref().unwrap_or("default");
    format!("kubectl annotate -n {namespace} kmp {} --overwrite {annotation}={value}", seen.name())
}

/// For people, in whole seconds.
fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Whether the operator would fail over by itself now.
pub(crate) fn condition(seen: &Observation, status: &PairStatus) -> Said {
    let no = |reason: &str, message: String| said("AutomaticFailover", false, reason, message);
    let per_hour = seen.pair.spec.failover.failovers_per_hour;
    if seen.pair.spec.paused {
        return no("Paused", "spec.paused is true".to_owned());
    }
    match hold(seen, status) {
        Some(Hold::Off) => no("Off", "spec.failover.mode is Off: only a person's request switches".to_owned()),
        Some(Hold::Approval) => {
            no("Approval", "spec.failover.mode is Approval: a failover waits until a person approves it".to_owned())
        }
        Some(Hold::BackingOff { failovers, until }) => no(
            "BackingOff",
            format!(
                "{failovers} failovers within an hour (spec.failover.failoversPerHour is {per_hour}): the next one is made from {} on, \
                 or when a person approves it",
                clock(until)
            ),
        ),
        None => {
            let used = budget(seen, status).used;
            said(
                "AutomaticFailover",
                true,
                "Allowed",
                format!("{used} of {per_hour} failovers within an hour are used"),
            )
        }
    }
}
