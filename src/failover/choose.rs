//! The choice of the member that serves next, made after the fence and never before.

use std::cmp::Reverse;

use super::{
    action::Waiting,
    bounds::{CHOICE_WAIT, TRY_AGAIN},
    fenced,
    lease::LeaseSeen,
    loss::{self, Approval, LostOps},
    member::MemberReport,
    observation::{MemberSeen, Observation},
    policy, promise,
    switchover::Request,
};
use crate::{
    api::{MemberState, SwitchKind, SwitchRecord},
    wal::OpId,
};

/// A member that can serve next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The member.
    pub(crate) name: String,
    /// The last op in its log.
    pub(crate) head: OpId,
    /// The last op that it has of the reign that ended: its head, except for a member that was started once in this switch.
    pub(crate) inherited: OpId,
}

/// The head that the next active should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The highest head known for the old active.
    pub(crate) head: Option<OpId>,
    /// Whether it is its last op beyond doubt.
    pub(crate) is_final: bool,
}

/// What is known of the old active's last op, now that it is fenced.
///
/// Once a member was tried in this switch nothing more can be learned: the others, the old active among them, may have
/// followed it and cut their logs to agree with its own.
pub(crate) fn recorded(seen: &Observation, switch: &SwitchRecord) -> Recorded {
    let recorded = Recorded { head: switch.recorded_head, is_final: switch.recorded_head_final };
    let settled = recorded.is_final || !switch.tried.is_empty();
    let Some(from) = switch.from.as_deref().filter(|_| !settled) else { return recorded };
    // A fenced member may hold what whoever is chosen instead of it lacks, and nobody else tells of.
    let fenced = seen.wanted_members().filter(|member| seen.is_fenced(&member.name));
    let fenced = fenced.filter_map(|member| member.heard.as_ref()?.report.head).max();
    let head = recorded.head.max(seen.known_head(from)).max(fenced);
    let its_own = seen.report(from).filter(|report| report.master_stopped && report.has_catalog);
    let is_final = its_own.is_some_and(|report| report.head.is_some() && report.head >= head);
    Recorded { head, is_final }
}

/// The member to promote, or why there is none yet.
pub(crate) fn choose(
    seen: &Observation,
    switch: &SwitchRecord,
    lease: &LeaseSeen,
    recorded: Recorded,
) -> Result<Candidate, Waiting> {
    let (fenced, able): (Vec<_>, Vec<_>) =
        candidates(seen, switch, lease).into_iter().partition(|candidate| seen.is_fenced(&candidate.name));
    let (unfit, candidates): (Vec<_>, Vec<_>) =
        able.into_iter().partition(|candidate| is_unfit(seen, switch, candidate));
    if let Some(to) = &switch.to {
        let successor = successor(to, candidates, recorded)?;
        // With the old active's last op it loses nothing. Without, the old active died before it could hand over.
        return if recorded.is_final { Ok(successor) } else { permit(seen, switch, lease, recorded, successor) };
    }
    let complete = |candidate: &Candidate| recorded.head.is_some_and(|head| candidate.inherited >= head);
    let all_heard = seen
        .wanted_members()
        .filter(|member| switch.from.as_deref() != Some(&member.name))
        .all(|member| candidates.iter().chain(&fenced).any(|candidate| candidate.name == member.name));
    let waited = lease.unchanged_for >= CHOICE_WAIT;
    if let Some(approved) = candidates.iter().chain(&unfit).find(|candidate| is_approved(switch, candidate, recorded)) {
        return if waited || all_heard { Ok(approved.clone()) } else { Err(a_moment()) };
    }
    let itself = candidates.iter().find(|candidate| serves_again(switch, candidate, recorded));
    if let Some(itself) = itself.filter(|_| policy::hold_in(seen, switch).is_some()) {
        return Ok(itself.clone());
    }
    let named = named(switch);
    if !candidates.is_empty()
        && let Some(promised) = promise::choose(seen, switch, recorded, (&candidates, &fenced), waited)
    {
        let promised = promised?;
        let other = candidates.into_iter().find(|candidate| named.as_ref() == Some(&candidate.name));
        let chosen = other.filter(|other| other.inherited >= promised.inherited).unwrap_or(promised);
        return unheld(seen, switch, recorded, chosen, waited);
    }
    let best = candidates.into_iter().find(|candidate| named.as_ref().is_none_or(|named| *named == candidate.name));
    let Some(best) = best else {
        let mut none = none(seen, switch, waited);
        if let Some(unfit) = unfit.first() {
            let approval = policy::proposal(seen, switch.epoch, unfit, recorded);
            none.text.push_str(&format!("; or serve from an unfit log, whatever it has lost or altered: {approval}"));
        }
        return Err(none);
    };
    if complete(&best) && recorded.is_final {
        return unheld(seen, switch, recorded, best, waited);
    }
    let no_better_one = waited || complete(&best) && all_heard;
    if !no_better_one {
        return Err(a_moment());
    }
    permit(seen, switch, lease, recorded, best)
}

/// Whether a member's log was found unfit and no new base counts yet. Nobody but a person who names it takes it then.
fn is_unfit(seen: &Observation, switch: &SwitchRecord, candidate: &Candidate) -> bool {
    let fit = seen.report(&candidate.name).is_some_and(MemberReport::is_fit);
    !fit && named(switch).as_ref() != Some(&candidate.name)
}

fn a_moment() -> Waiting {
    Waiting::briefly(
        "WaitingForCandidates",
        "the old active is fenced; waiting a moment for a member with more of its log",
    )
}

/// Whether this is the old active's own log. Not when it may have followed another member that was tried, and cut its log to agree;
/// when it was tried itself after that, it has served since, and followed nobody.
pub(crate) fn is_itself(switch: &SwitchRecord, candidate: &Candidate) -> bool {
    let followed_nobody = switch.tried.last().is_none_or(|last| switch.from.as_ref() == Some(&last.name));
    followed_nobody && switch.from.as_ref() == Some(&candidate.name)
}

/// Whether this is the old active with all of its own log, which loses nothing.
fn serves_again(switch: &SwitchRecord, candidate: &Candidate, recorded: Recorded) -> bool {
    is_itself(switch, candidate) && recorded.head.is_none_or(|head| candidate.inherited >= head)
}

/// The member that a person asked for in a failover of their own.
fn named(switch: &SwitchRecord) -> Option<String> {
    let request = switch.request.as_deref().filter(|_| switch.kind == SwitchKind::Failover)?;
    Request::parse(request).member().map(str::to_owned)
}

/// Whether a person approved that this candidate takes over, with what that loses.
fn is_approved(switch: &SwitchRecord, candidate: &Candidate, recorded: Recorded) -> bool {
    switch.approval.as_ref().is_some_and(|given| Approval::of(switch.epoch, candidate, recorded).is_given_by(given))
}

/// Whether this annotation's value approves that some member takes over.
pub(crate) fn would_approve(
    seen: &Observation,
    switch: &SwitchRecord,
    lease: &LeaseSeen,
    recorded: Recorded,
    value: &str,
) -> bool {
    let switch = SwitchRecord { approval: Some(value.to_owned()), ..switch.clone() };
    let approved = |candidate: &Candidate| is_approved(&switch, candidate, recorded);
    candidates(seen, &switch, lease).iter().any(|candidate| !seen.is_fenced(&candidate.name) && approved(candidate))
}

/// The candidate, if a promise or the old active's last op shows that nothing is lost: only the mode and the budget can hold it.
fn unheld(
    seen: &Observation,
    switch: &SwitchRecord,
    recorded: Recorded,
    candidate: Candidate,
    waited: bool,
) -> Result<Candidate, Waiting> {
    match policy::hold_in(seen, switch).filter(|_| !serves_again(switch, &candidate, recorded)) {
        None => Ok(candidate),
        Some(_) if !waited => Err(a_moment()),
        Some(hold) => Err(policy::ask(seen, hold, switch.epoch, &candidate, recorded)),
    }
}

/// The candidate, if the spec allows what is lost.
fn permit(
    seen: &Observation,
    switch: &SwitchRecord,
    lease: &LeaseSeen,
    recorded: Recorded,
    candidate: Candidate,
) -> Result<Candidate, Waiting> {
    let candidate = unheld(seen, switch, recorded, candidate, true)?;
    if serves_again(switch, &candidate, recorded) {
        return Ok(candidate);
    }
    let lost = LostOps::between(recorded, candidate.inherited);
    let window = loss::window(seen, switch, lease, &candidate);
    match loss::broken_bound(&seen.pair.spec.failover, lost, window) {
        None => Ok(candidate),
        Some(broken) => Err(Waiting::stuck(
            "LossNeedsApproval",
            format!(
                "{} is the best member that answers, but {broken}; bring the old active back, or accept the loss: {}",
                candidate.name,
                policy::proposal(seen, switch.epoch, &candidate, recorded)
            ),
        )),
    }
}

/// Who could take over from an active that is lost and not fenced yet, the best one first, and what is known of its last op.
pub(crate) fn proposals(seen: &Observation, active: &str, lease: &LeaseSeen) -> (Vec<Candidate>, Recorded) {
    let recorded =
        Recorded { head: lease.last_op().or_else(|| seen.known_head(active)), is_final: lease.last_op().is_some() };
    let mut candidates: Vec<_> = seen
        .standbys_of(active)
        .filter(|member| !seen.is_fenced(&member.name))
        .filter_map(|member| {
            let report = member.report().filter(|report| report.state != MemberState::Failed && report.has_catalog)?;
            let report = Some(report).filter(|report| report.is_fit())?;
            let head = report.head.filter(|_| report.master_stopped)?;
            Some(Candidate { name: member.name.clone(), head, inherited: head })
        })
        .collect();
    candidates.sort_by_key(|candidate| Reverse(candidate.inherited));
    (candidates, recorded)
}

/// The successor of a planned switch, which takes over only with everything.
fn successor(to: &str, candidates: Vec<Candidate>, recorded: Recorded) -> Result<Candidate, Waiting> {
    candidates
        .into_iter()
        .find(|candidate| candidate.name == to && recorded.head.is_none_or(|head| candidate.inherited >= head))
        .ok_or_else(|| {
            Waiting::briefly("WaitingForSuccessor", format!("waiting until {to} has the last op of the old active"))
        })
}

/// Members that can serve next, the best one first.
fn candidates(seen: &Observation, switch: &SwitchRecord, lease: &LeaseSeen) -> Vec<Candidate> {
    let mut candidates: Vec<_> =
        seen.wanted_members().filter_map(|member| candidate(member, switch, lease).ok()).collect();
    candidates.sort_by_key(|candidate| {
        let was_tried = switch.tried.iter().any(|tried| tried.name == candidate.name);
        let was_active = switch.from.as_deref() == Some(&candidate.name);
        (Reverse(candidate.inherited), was_tried, was_active)
    });
    candidates
}

/// The member as a candidate, or why it is none. Only a report made after the fence counts, since the log may have grown
/// until then.
fn candidate(member: &MemberSeen, switch: &SwitchRecord, lease: &LeaseSeen) -> Result<Candidate, &'static str> {
    let heard = member.report().ok_or("does not answer")?;
    let report = member.report_within(lease.unchanged_for).ok_or("was not heard since the fence")?;
    debug_assert_eq!(heard, report);
    if report.state == MemberState::Failed {
        return Err("failed");
    }
    let head = report.head.filter(|_| report.has_catalog).ok_or("has no catalog")?;
    if !report.master_stopped {
        return Err("still stops its kudu-master");
    }
    let tried = switch.tried.iter().find(|tried| tried.name == member.name);
    if tried.is_some() && lease.unchanged_for < TRY_AGAIN {
        return Err("did not come to serve a moment ago");
    }
    let inherited = tried.and_then(|tried| tried.head).map_or(head, |inherited| inherited.min(head));
    Ok(Candidate { name: member.name.clone(), head, inherited })
}

/// Why nobody can serve, member by member.
fn none(seen: &Observation, switch: &SwitchRecord, waited: bool) -> Waiting {
    let lease = seen.lease.as_ref();
    let each: Vec<_> = seen
        .wanted_members()
        .filter_map(|member| {
            let why = match candidate(member, switch, lease?) {
                Ok(candidate) if is_unfit(seen, switch, &candidate) => {
                    "has a log that was found unfit, and no new base yet"
                }
                Ok(_) if seen.is_fenced(&member.name) => return Some(fenced::left_out(seen, &member.name)),
                Ok(_) => return None,
                Err(why) => why,
            };
            let message = member.report().and_then(|report| report.message.as_deref());
            Some(match message {
                Some(message) => format!("{} {why} ({message})", member.name),
                None => format!("{} {why}", member.name),
            })
        })
        .collect();
    let text = format!("no member can serve: {}; bring one back", each.join(", "));
    if waited { Waiting::stuck("NoCandidate", text) } else { Waiting::briefly("WaitingForCandidates", text) }
}
