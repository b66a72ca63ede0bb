//! Members that a person keeps from serving, by the annotation `kudupair.io/fenced` on the pair.
//!
//! **No reign begins on a fenced member.** It is read from the very version of the pair that a decision is made on and whose status
//! the decision replaces, so that a choice which did not see the annotation is not written. A fenced member goes on to follow and
//! to confirm: that takes no `kudu-master`, and what it has may be needed.

use std::collections::BTreeSet;

use super::{
    action::{PairEvent, Step, Waiting},
    observation::Observation,
    overview::{Said, said},
    rolling, switchover,
};
use crate::api::{KuduMasterPair, PairStatus, names::FENCED_ANNOTATION};

/// The condition's type.
const CONDITION: &str = "Fenced";
/// Why the active hands over.
const WHY: &str = "it is fenced";

/// The names in the annotation, each once, in their order; whether there are such members is asked later.
pub fn names(pair: &KuduMasterPair) -> Vec<&str> {
    let value = pair.metadata.annotations.as_ref().and_then(|annotations| annotations.get(FENCED_ANNOTATION));
    let names = value.map_or("", String::as_str).split(',').map(str::trim).filter(|name| !name.is_empty());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The annotation's value that fences these members; none when it should not be there.
pub fn value(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(","))
}

/// Lets a fenced active hand over as soon as another member can take over.
pub(super) fn step(seen: &Observation, status: &PairStatus, active: &str) -> Option<Step> {
    if !seen.is_fenced(active) {
        return None;
    }
    let to = successor(seen, status, active).ok()?;
    let planned = switchover::planned(seen, status, active, &to, WHY, None);
    let note = format!("{to} takes over from {active} in epoch {}: {WHY}", status.epoch + 1);
    Some(Step::remember_and_tell(planned, PairEvent::normal("SwitchoverStarted", note)))
}

fn successor(seen: &Observation, status: &PairStatus, active: &str) -> Result<String, String> {
    match rolling::went_back(seen, status) {
        Some(why) => Err(why),
        None => switchover::best_standby(seen, active).map_err(|why| why.join("; ")),
    }
}

/// Why a member that could serve otherwise is left out, and how to change that.
pub(super) fn left_out(seen: &Observation, name: &str) -> String {
    let pair = seen.name();
    let namespace = seen.pair.metadata.namespace.as_deref().unwrap_or("default");
    format!("{name} is fenced; to let it serve: kubectl kudupair unfence -n {namespace} {name} {pair}")
}

/// That nothing goes on because the member that would serve is fenced.
pub(super) fn waiting(seen: &Observation, name: &str) -> Waiting {
    Waiting::stuck("CandidateFenced", format!("{name} would serve, but {}", left_out(seen, name)))
}

/// The condition that says who is fenced, and whether that holds yet.
pub(super) fn condition(seen: &Observation, status: &PairStatus) -> Said {
    let names = names(&seen.pair);
    let (members, strangers): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| seen.is_wanted(name));
    let mut notes: Vec<String> = Vec::new();
    if !strangers.is_empty() {
        let members = seen.wanted().join(", ");
        notes.push(format!("{FENCED_ANNOTATION} names {}: the members are {members}", strangers.join(", ")));
    }
    if members.is_empty() {
        let reason = if strangers.is_empty() { "NobodyFenced" } else { "NoSuchMember" };
        let nobody = || "every member may serve".to_owned();
        return said(CONDITION, false, reason, notes.pop().unwrap_or_else(nobody));
    }
    let fenced = members.join(", ");
    let serves = status.active.as_deref().filter(|active| members.contains(active));
    let Some(active) = serves else {
        notes.insert(0, format!("{fenced} may not serve until unfenced"));
        return said(CONDITION, true, "Fenced", notes.join("; "));
    };
    let yet = match &status.switch {
        Some(_) => "until the switch that is under way has ended".to_owned(),
        None => match successor(seen, status, active) {
            Ok(to) => format!("until {to} takes over"),
            Err(why) => format!("since nobody can take over: {why}"),
        },
    };
    notes.insert(0, format!("{active} is fenced and serves on {yet}"));
    said(CONDITION, true, "ActiveServesOn", notes.join("; "))
}

/// The event that tells when members are fenced or unfenced.
pub(super) fn news(before: &PairStatus, after: &PairStatus) -> Option<PairEvent> {
    if before.fenced == after.fenced {
        return None;
    }
    let said = after.conditions.iter().find(|condition| condition.type_ == CONDITION)?;
    let message = said.message.clone();
    Some(match (said.status.as_str(), said.reason.as_str()) {
        ("True", "Fenced") => PairEvent::normal("MemberFenced", message),
        ("True", _) => PairEvent::warning("MemberFenced", message),
        (_, "NoSuchMember") => PairEvent::warning("FenceIgnored", message),
        _ => PairEvent::normal("MemberUnfenced", format!("{} may serve again", before.fenced.join(", "))),
    })
}
