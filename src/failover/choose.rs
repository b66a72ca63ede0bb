//! The choice of the member that serves next, made after the fence and never before.

use std::cmp::Reverse;

use super::{
    action::Waiting,
    bounds::{CHOICE_WAIT, MAX_LAG_OPS, TRY_AGAIN},
    lease::LeaseSeen,
    observation::{MemberSeen, Observation},
    promise,
    switchover::Request,
};
use crate::{
    api::{MemberState, SwitchKind, SwitchRecord},
    replication::terms,
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
    let head = recorded.head.max(seen.known_head(from));
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
    let candidates = candidates(seen, switch, lease);
    if let Some(to) = &switch.to {
        return successor(to, candidates, recorded);
    }
    let complete = |candidate: &Candidate| recorded.head.is_some_and(|head| candidate.inherited >= head);
    let all_heard = seen
        .wanted_members()
        .filter(|member| switch.from.as_deref() != Some(&member.name))
        .all(|member| candidates.iter().any(|candidate| candidate.name == member.name));
    let waited = lease.unchanged_for >= CHOICE_WAIT;
    let approved = approval(switch);
    if approved.is_none()
        && !candidates.is_empty()
        && let Some(choice) = promise::choose(seen, switch, recorded, &candidates, waited)
    {
        return choice;
    }
    let named = approved.as_ref().and_then(Request::member);
    let best = match named {
        Some(name) => candidates.into_iter().find(|candidate| candidate.name == name),
        None => candidates.into_iter().next(),
    };
    let Some(best) = best else {
        return Err(none(seen, switch, waited));
    };
    if complete(&best) && (recorded.is_final || all_heard) || approved.is_some() && waited {
        return Ok(best);
    }
    if !waited {
        return Err(Waiting::briefly(
            "WaitingForCandidates",
            "the old active is fenced; waiting a moment for a member with more of its log",
        ));
    }
    too_much_loss(seen, &best, recorded).map_or(Ok(best), Err)
}

/// The request by which a person accepts what a failover loses.
fn approval(switch: &SwitchRecord) -> Option<Request> {
    if switch.kind == SwitchKind::Failover { switch.request.as_deref().map(Request::parse) } else { None }
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
            let why = candidate(member, switch, lease?).err()?;
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

/// Why the best candidate is not taken without a person's word, when it is not.
fn too_much_loss(seen: &Observation, best: &Candidate, recorded: Recorded) -> Option<Waiting> {
    let head = recorded.head?;
    let reign = |op: OpId| terms::epoch_of(op.term);
    let loss = if reign(best.inherited) < reign(head) {
        format!(
            "it never followed the last reign: its log ends at {}, the old active's at {head} or later",
            best.inherited
        )
    } else if head.index - best.inherited.index > MAX_LAG_OPS {
        format!(
            "its log ends at {}, the old active's at {head} or later, and more than {MAX_LAG_OPS} operations would be lost",
            best.inherited
        )
    } else {
        return None;
    };
    Some(Waiting::stuck(
        "LossNeedsApproval",
        format!(
            "the best member that answers is {}, but {loss}; bring the old active back, or accept the loss: {}",
            best.name,
            how_to_approve(seen, &best.name)
        ),
    ))
}

/// The command by which a person accepts what a failover to `member` loses.
pub(crate) fn how_to_approve(seen: &Observation, member: &str) -> String {
    let name = seen.name();
    let namespace = seen.pair.metadata.namespace.as_deref().unwrap_or("default");
    let tag = seen.next_epoch();
    format!("kubectl annotate -n {namespace} kmp {name} --overwrite kudupair.io/switchover={member}@{tag}")
}
