//! What the status tells of gaps, and what people ask about them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    action::{PairEvent, Step},
    observation::Observation,
    overview::{Said, said},
};
use crate::{
    api::{
        Answer, GapDecision, GapPolicy, GapRequest, GapState, GapStatus, PairStatus, RequestAnswer,
        names::{GAP_ANNOTATION, SWITCHOVER_ANNOTATION},
    },
    gap::KeptGap,
};

/// The condition's type.
const CONDITION: &str = "GapPending";
/// Gaps in the status about which nobody has to decide any more.
const CLOSED_GAPS: usize = 10;
/// The flag with which tablet servers are told to delete the data of tables that the active does not know.
const DELETES_ORPHANS: &str = "catalog_manager_delete_orphaned_tablets";
/// Conflicts of one gap that the condition names; the status has more.
const TROUBLES: usize = 5;
/// The request that stands for the end of `spec.switchBack.discardAfterDays`.
const EXPIRED: &str = "spec.switchBack.discardAfterDays";

/// The gaps as the members that keep them tell of them, the newest first. One that nobody tells of stays as it was.
pub(super) fn told(seen: &Observation, status: &PairStatus) -> Vec<GapStatus> {
    let mut gaps = status.gaps.clone();
    for kept in kept(seen, status) {
        let known = gaps.iter().position(|gap| gap.name == kept.name);
        let decision = known.and_then(|at| gaps.get(at)).and_then(|gap| gap.decision.clone());
        let now = of(kept, decision);
        match known.and_then(|at| gaps.get_mut(at)) {
            Some(gap) => *gap = now,
            None => gaps.push(now),
        }
    }
    gaps.sort_by(|one, other| other.kept_at.0.cmp(&one.kept_at.0).then_with(|| one.name.cmp(&other.name)));
    let mut closed = 0;
    gaps.retain(|gap| {
        closed += usize::from(!gap.is_open());
        gap.is_open() || closed <= CLOSED_GAPS
    });
    gaps
}

/// The gaps that members tell of. Of one that was handed to an active two members tell: what it came to anywhere counts, then what the
/// active says.
fn kept<'a>(seen: &'a Observation, status: &PairStatus) -> impl Iterator<Item = &'a KeptGap> {
    let mut gaps: BTreeMap<&str, (bool, bool, &KeptGap)> = BTreeMap::new();
    for (member, report) in seen.members.iter().filter_map(|member| Some((member, member.report()?))) {
        let serves = status.active.as_ref() == Some(&member.name);
        for gap in &report.gaps {
            let told = (!gap.is_open(), serves, gap);
            let known = gaps.entry(&gap.name).or_insert(told);
            if (told.0, told.1) > (known.0, known.1) {
                *known = told;
            }
        }
    }
    gaps.into_values().map(|(.., gap)| gap)
}

fn of(kept: &KeptGap, decision: Option<GapDecision>) -> GapStatus {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let kept_at = Timestamp::from_millisecond(number(kept.kept_unix_milliseconds)).unwrap_or_default();
    GapStatus {
        name: kept.name.clone(),
        member: kept.member.clone(),
        old_epoch: kept.old_epoch,
        diff_head: kept.diff_head,
        head: kept.head,
        new_epoch: kept.new_epoch,
        new_active: kept.new_active.clone(),
        new_first: kept.new_first,
        ops: number(kept.ops),
        bytes: number(kept.bytes),
        kept_at: kept_at.into(),
        changes: kept.changes.clone(),
        more_changes: number(kept.more_changes),
        state: kept.state,
        replayed: kept.replayed.map(|(first, last)| vec![first, last]).unwrap_or_default(),
        outcome: kept.outcome.clone(),
        request: kept.request.clone(),
        decision,
    }
}

/// The condition that says whether a gap waits.
pub(super) fn condition(seen: &Observation, status: &PairStatus) -> Said {
    let open: Vec<_> = status.gaps.iter().filter(|gap| gap.is_open()).collect();
    let deletes = seen.pair.spec.kudu.flags.get(DELETES_ORPHANS).is_some_and(|value| value.0 != "false");
    let orphans = deletes.then(|| {
        format!(
            "spec.kudu.flags sets {DELETES_ORPHANS}: tablet servers delete the rows of tables that only a gap knows; remove it"
        )
    });
    let Some(first) = open.first() else {
        return match orphans {
            Some(orphans) => said(CONDITION, false, "OrphanedTabletsDeleted", orphans),
            None => said(CONDITION, false, "None", "no member keeps operations that the active does not have"),
        };
    };
    let policy = seen.pair.spec.switch_back.gap;
    let reason = match (first.state, policy) {
        (GapState::Conflict, _) => "Conflict",
        (_, GapPolicy::Replay) => "ReplayedOnSwitchBack",
        (_, GapPolicy::Ask) => "DecisionNeeded",
        (_, GapPolicy::Keep) => "Kept",
    };
    let told = open.iter().map(|gap| words(seen, status, gap)).chain(orphans);
    said(CONDITION, true, reason, told.collect::<Vec<_>>().join("; "))
}

fn words(seen: &Observation, status: &PairStatus, gap: &GapStatus) -> String {
    let GapStatus { name, member, ops, new_active, new_epoch, .. } = gap;
    let more = (gap.more_changes > 0).then(|| format!("and {} more", gap.more_changes));
    let changes = gap.changes.iter().cloned().chain(more).collect::<Vec<_>>().join(", ");
    let changes = if changes.is_empty() { "nothing that a person did".to_owned() } else { changes };
    let troubles = gap.outcome.iter().filter(|line| line.starts_with("conflict") || line.starts_with("not"));
    let outcome = troubles.take(TROUBLES);
    let next = match gap.state {
        GapState::Replaying => "they are in the active's log, and wait for its standbys".to_owned(),
        GapState::Conflict => {
            let conflicts = outcome.cloned().collect::<Vec<_>>().join(", ");
            format!(
                "replayed but for {conflicts}: mend that and replay again ({}), or {}",
                ask(seen, "replay", name),
                ask(seen, "discard", name)
            )
        }
        _ => {
            let failed = outcome.map(|line| format!("{line}; ")).collect::<String>();
            let serves = status.active.as_deref() == Some(member);
            let now = format!("replay them: {}", ask(seen, "replay", name));
            let how = match (seen.pair.spec.switch_back.gap, serves) {
                (GapPolicy::Replay, false) => format!(
                    "they are replayed when {member} serves again ({}), or in place, which restarts the active: {}",
                    annotate(seen, SWITCHOVER_ANNOTATION, member),
                    ask(seen, "replay", name)
                ),
                _ => now,
            };
            format!("{failed}{how}; or give them up: {}", ask(seen, "discard", name))
        }
    };
    format!(
        "{name}: {ops} operations that only {member} had when {new_active} took over in epoch {new_epoch} ({changes}); {next}"
    )
}

fn ask(seen: &Observation, what: &str, name: &str) -> String {
    annotate(seen, GAP_ANNOTATION, &format!("{what}:{name}"))
}

fn annotate(seen: &Observation, annotation: &str, value: &str) -> String {
    let namespace = seen.pair.metadata.namespace.as_deref().unwrap_or("default");
    format!("kubectl annotate -n {namespace} kmp {} --overwrite {annotation}={value}", seen.name())
}

/// The events of gaps that were found, and of those that came to an end.
pub(super) fn news(before: &PairStatus, after: &PairStatus) -> Vec<PairEvent> {
    let event = |gap: &GapStatus| {
        let was = before.gaps.iter().find(|known| known.name == gap.name).map(|known| known.state);
        if was == Some(gap.state) {
            return None;
        }
        let by = gap.request.as_deref().unwrap_or("spec.switchBack.gap");
        let outcome = || format!("{}, asked for by {by}: {}", gap.name, gap.outcome.join("; "));
        match gap.state {
            GapState::Pending => was.is_none().then(|| {
                let note = format!(
                    "{} keeps {} operations that {} does not have ({}); see the condition {CONDITION}",
                    gap.member,
                    gap.ops,
                    gap.new_active,
                    gap.changes.join(", ")
                );
                PairEvent::warning("GapKept", note)
            }),
            GapState::Replaying => None,
            GapState::Replayed => Some(PairEvent::normal("GapReplayed", outcome())),
            GapState::Conflict => Some(PairEvent::warning("GapConflict", outcome())),
            GapState::Discarded => Some(PairEvent::warning("GapDiscarded", outcome())),
        }
    };
    after.gaps.iter().filter_map(event).collect()
}

/// Takes a request that was not answered yet, notes one that was obeyed, and gives up gaps that are too old.
pub(crate) fn step(seen: &Observation, status: &PairStatus) -> Option<Step> {
    pending(seen, status)
        .map(|value| answer(status, value))
        .or_else(|| obeyed(seen, status))
        .or_else(|| expire(seen, status))
}

fn pending<'a>(seen: &'a Observation, status: &PairStatus) -> Option<&'a str> {
    let value = seen.pair.metadata.annotations.as_ref()?.get(GAP_ANNOTATION).filter(|value| !value.is_empty())?;
    let answered = status.gap_request.as_ref().is_some_and(|answer| answer.request == *value);
    (!answered).then_some(value.as_str())
}

fn answer(status: &PairStatus, value: &str) -> Step {
    let refused = |why: String| {
        let message = format!("{why}; then ask again with a new value, which anything after @ makes");
        let event = PairEvent::warning("GapRequestRefused", format!("{GAP_ANNOTATION} {value:?}: {message}"));
        let answer = RequestAnswer { request: value.to_owned(), answer: Answer::Refused, message };
        Step::remember_and_tell(PairStatus { gap_request: Some(answer), ..status.clone() }, event)
    };
    let Some((what, name)) = parse(value) else {
        return refused("write replay: or discard: and the name of a gap, as in replay:demo-0-1000001.205".to_owned());
    };
    let Some(gap) = status.gaps.iter().find(|gap| gap.name == name) else {
        let names: Vec<_> = status.gaps.iter().filter(|gap| gap.is_open()).map(|gap| gap.name.as_str()).collect();
        let known =
            if names.is_empty() { "no gap waits".to_owned() } else { format!("name one of {}", names.join(", ")) };
        return refused(format!("there is no gap {name:?}: {known}"));
    };
    if !gap.is_open() {
        return refused(format!("{name} is {:?} already: name another one", gap.state));
    }
    let message = match what {
        GapRequest::Replay => {
            let active = status.active.as_deref().unwrap_or("the active");
            let handed = if status.active.as_ref() == Some(&gap.member) {
                String::new()
            } else {
                format!("{} hands {name} to {active}; ", gap.member)
            };
            format!("{handed}{active} is restarted in place with {name} behind its head")
        }
        GapRequest::Discard => format!("{name} is given up; it stays on the volume of {}", gap.member),
    };
    let decision = GapDecision { what, request: value.to_owned() };
    let event = PairEvent::normal("GapRequestAccepted", message.clone());
    let answer = RequestAnswer { request: value.to_owned(), answer: Answer::Accepted, message };
    let decided = decided(status, name, decision);
    Step::remember_and_tell(PairStatus { gap_request: Some(answer), ..decided }, event)
}

/// `replay:NAME` or `discard:NAME`, and perhaps `@` and something that makes it new.
fn parse(value: &str) -> Option<(GapRequest, &str)> {
    let (what, name) = value.split_once('@').map_or(value, |(request, _)| request).split_once(':')?;
    let what = match what.trim() {
        "replay" => GapRequest::Replay,
        "discard" => GapRequest::Discard,
        _ => return None,
    };
    Some((what, name.trim()))
}

fn decided(status: &PairStatus, name: &str, decision: GapDecision) -> PairStatus {
    let mut status = status.clone();
    if let Some(gap) = status.gaps.iter_mut().find(|gap| gap.name == name) {
        gap.decision = Some(decision);
    }
    status
}

/// The memory without a decision that its member has obeyed, and with the request answered.
fn obeyed(seen: &Observation, status: &PairStatus) -> Option<Step> {
    let (name, request, kept) = status.gaps.iter().find_map(|gap| {
        let decision = gap.decision.as_ref()?;
        let kept = kept(seen, status).find(|kept| kept.name == gap.name)?;
        let done = kept.request.as_ref() == Some(&decision.request) && kept.state != GapState::Replaying;
        done.then(|| (gap.name.clone(), decision.request.clone(), kept))
    })?;
    let mut next = PairStatus { gaps: told(seen, status), ..status.clone() };
    if let Some(gap) = next.gaps.iter_mut().find(|gap| gap.name == name) {
        gap.decision = None;
    }
    if next.gap_request.as_ref().is_some_and(|answer| answer.request == request) {
        let message = format!("{name} is {:?}: {}", kept.state, kept.outcome.join("; "));
        next.gap_request = Some(RequestAnswer { request, answer: Answer::Completed, message });
    }
    Some(Step::remember(next))
}

fn expire(seen: &Observation, status: &PairStatus) -> Option<Step> {
    let days = seen.pair.spec.switch_back.discard_after_days?;
    let age = SignedDuration::from_hours(i64::from(days).saturating_mul(24));
    let old =
        |gap: &&GapStatus| gap.is_open() && gap.decision.is_none() && seen.now.duration_since(gap.kept_at.0) > age;
    let gap = status.gaps.iter().find(old)?;
    let note = format!(
        "{} is older than {EXPIRED}, {days}, and is given up; it stays on the volume of {}",
        gap.name, gap.member
    );
    let decision = GapDecision { what: GapRequest::Discard, request: EXPIRED.to_owned() };
    Some(Step::remember_and_tell(decided(status, &gap.name, decision), PairEvent::warning("GapExpired", note)))
}
