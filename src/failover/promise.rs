//! What the old active promised of its standbys, and who may therefore take over without a person.
//!
//! **No member is chosen here that could lack an operation which the old active acknowledged.** The promise is the record in
//! the old active's Lease: it changes the record before it acknowledges by another rule, and the fence replaces the very
//! version whose record was copied into the switch. So the copy is the last one that there was.

use super::{
    action::Waiting,
    choose::{Candidate, Recorded, is_itself},
    fenced,
    lease::LeaseSeen,
    observation::Observation,
    policy,
};
use crate::api::{PairStatus, SwitchRecord, SyncRecord, WhenDegraded};

/// The promise of the Lease's last holder; none when it acknowledged by itself.
pub(crate) fn of(status: &PairStatus, lease: &LeaseSeen) -> Option<SyncRecord> {
    match (&lease.sync, &lease.holder, &status.sync) {
        (Some(record), ..) => Some(record.clone()),
        // Somebody deleted the Lease, and with it what the holder wrote last.
        (None, None, Some(known)) => Some(SyncRecord { degraded: true, ..SyncRecord::none(known.epoch) }),
        (None, ..) => None,
    }
}

/// The switch's record, when its promise is not the Lease's. It is copied before the fence, after which the new active
/// writes its own.
///
/// What a member that was tried in this switch promised says nothing of what clients saw, since the Service did not select
/// it; unless it is the old active.
pub(crate) fn copied(status: &PairStatus, switch: &SwitchRecord, lease: &LeaseSeen) -> Option<SwitchRecord> {
    if switch.tried.last().is_some_and(|tried| switch.from.as_ref() != Some(&tried.name)) {
        return None;
    }
    let sync = of(status, lease);
    (sync != switch.sync).then(|| SwitchRecord { sync, ..switch.clone() })
}

/// The member that takes over under a promise; none when the promise leaves the choice to the rules without one.
///
/// What fenced members have is as good a witness as what others have; only serve they may not.
pub(crate) fn choose(
    seen: &Observation,
    switch: &SwitchRecord,
    recorded: Recorded,
    (candidates, fenced): (&[Candidate], &[Candidate]),
    waited: bool,
) -> Option<Result<Candidate, Waiting>> {
    let promise = switch.sync.as_ref()?;
    // The old active's own log has everything.
    let complete = |candidate: &&Candidate| {
        (recorded.is_final || is_itself(switch, candidate))
            && recorded.head.is_some_and(|head| candidate.inherited >= head)
    };
    if let Some(complete) = candidates.iter().find(complete) {
        return Some(Ok(complete.clone()));
    }
    let Some(needed) = promise.witnesses() else {
        return match seen.pair.spec.failover.when_degraded {
            WhenDegraded::Promote => None,
            WhenDegraded::Refuse => Some(Err(alone(seen, switch, recorded, candidates, waited))),
        };
    };
    let is_witness = |candidate: &&Candidate| {
        promise.members.contains(&candidate.name) && promise.floor.is_none_or(|floor| candidate.inherited >= floor)
    };
    let witnesses: Vec<_> = candidates.iter().chain(fenced).filter(is_witness).collect();
    let best = witnesses.iter().map(|witness| witness.inherited).max().filter(|_| witnesses.len() >= needed);
    let Some(best) = best else {
        return Some(Err(too_few(seen, switch, recorded, (promise, needed), candidates, waited)));
    };
    let has_all = |candidate: &&Candidate| is_witness(candidate) && candidate.inherited >= best;
    let chosen = candidates.iter().find(has_all).cloned();
    Some(chosen.ok_or_else(|| {
        let by = fenced.iter().find(has_all).map_or("", |candidate| candidate.name.as_str());
        let text = format!(
            "{by} may be the only one that has what the old active acknowledged last, and {}{}",
            fenced::left_out(seen, by),
            or_accept(seen, switch, recorded, candidates)
        );
        wait("CandidateFenced", text, waited)
    }))
}

fn alone(
    seen: &Observation,
    switch: &SwitchRecord,
    recorded: Recorded,
    candidates: &[Candidate],
    waited: bool,
) -> Waiting {
    let from = switch.from.as_deref().unwrap_or("the old active");
    let text = format!(
        "{from} may be the only one that has what it acknowledged last, and spec.failover.whenDegraded is Refuse; bring it \
         back{}",
        or_accept(seen, switch, recorded, candidates)
    );
    wait("DegradedNeedsApproval", text, waited)
}

fn too_few(
    seen: &Observation,
    switch: &SwitchRecord,
    recorded: Recorded,
    (promise, needed): (&SyncRecord, usize),
    candidates: &[Candidate],
    waited: bool,
) -> Waiting {
    let from = switch.from.as_deref().unwrap_or("the old active");
    let members: Vec<_> = promise.members.iter().map(String::as_str).collect();
    let text = format!(
        "{needed} of {} must answer and be able to serve, so that one of them has all that {from} acknowledged; bring them or \
         {from} back{}",
        members.join(", "),
        or_accept(seen, switch, recorded, candidates)
    );
    wait("PromiseNeedsMembers", text, waited)
}

fn or_accept(seen: &Observation, switch: &SwitchRecord, recorded: Recorded, candidates: &[Candidate]) -> String {
    candidates.first().map_or_else(String::new, |best| {
        let proposal = policy::proposal(seen, switch.epoch, best, recorded);
        format!(", or accept the loss of acknowledged operations: {proposal}")
    })
}

fn wait(reason: &'static str, text: String, waited: bool) -> Waiting {
    if waited { Waiting::stuck(reason, text) } else { Waiting::briefly("WaitingForCandidates", text) }
}
