//! No switch is under way: see whether the active is lost, and otherwise do what people and the spec ask for.

use super::{
    action::{Action, PairEvent, Step, Waiting},
    choose,
    fence::still_heard,
    fenced, gaps,
    lease::LeaseSeen,
    loss::Approval,
    member::MemberReport,
    observation::Observation,
    policy::{self, Hold},
    promise, receipt, rolling, stay,
    switchover::{self, Request},
};
use crate::api::{Answer, MemberState, PairStatus, RequestAnswer, SwitchKind, SwitchRecord, SwitchStep};

/// One step of a pair that has an active and no switch under way.
pub(crate) fn step(seen: &Observation, status: &PairStatus, active: &str) -> Step {
    let objects = objects(seen, status);
    let Some(lease) = &seen.lease else {
        // Deleted by somebody. The active takes the new one if it is alive; if it is not, the new one has to run out
        // before that counts as proof.
        return Step::act(Action::CreateLease { epoch: status.epoch }).and(objects);
    };
    if lease.epoch < status.epoch {
        return raise(seen, status, lease).and(objects);
    }
    if lease.over(seen.lease_duration()) || lease.epoch > status.epoch {
        return lost(seen, status, active, lease).and(objects).and(rolling::unblock(seen));
    }
    // Where the operator may not fail over by itself, a switch that a person asks for is as good and loses nothing.
    let asked = || policy::hold(seen, status).is_some() && Request::pending(seen, status).is_some();
    if has_failed(seen, status, active) && !asked() {
        return lost(seen, status, active, lease).and(objects);
    }
    if let Some(step) = receipt::amend(seen, status).or_else(|| stay::note(seen, status, active)) {
        return step;
    }
    if let Some(step) = gaps::step(seen, status) {
        return step;
    }
    if let Some(request) = Request::pending(seen, status) {
        return switchover::answer(seen, status, active, &request);
    }
    if seen.service_active.as_deref() != Some(active) {
        return Step::act(Action::Repoint { active: active.to_owned() });
    }
    if let Some(step) = fenced::step(seen, status, active) {
        return step;
    }
    if let Some(step) = rolling::step(seen, status, active) {
        return step.and(objects);
    }
    match objects {
        Some(objects) => Step::act(objects),
        None => Step::wait(Waiting::stuck(
            "ActiveWouldBeRemoved",
            format!(
                "spec.standbys is {}, which would remove {active}, the active; waiting until another member can take over",
                seen.pair.spec.standbys
            ),
        )),
    }
}

/// Brings the pair's objects to what the spec wants; nothing while that would remove a member that matters.
pub(crate) fn objects(seen: &Observation, status: &PairStatus) -> Option<Action> {
    let switch = status.switch.as_ref();
    let matters =
        [&status.active, &switch.and_then(|switch| switch.from.clone()), &switch.and_then(|switch| switch.to.clone())]
            .into_iter()
            .flatten()
            .all(|member| seen.is_wanted(member));
    matters.then(|| Action::ApplyObjects { active: status.active.clone() })
}

/// A Lease from before the status: restored, or edited by hand.
fn raise(seen: &Observation, status: &PairStatus, lease: &LeaseSeen) -> Step {
    if lease.over(seen.lease_duration()) {
        let resource_version = lease.resource_version.clone();
        return Step::act(Action::FenceLease { resource_version, epoch: status.epoch });
    }
    let text =
        format!("the Lease says epoch {}, the status {}; waiting until the Lease is over", lease.epoch, status.epoch);
    Step::wait(Waiting::briefly("LeaseBehind", text))
}

/// The active's Lease is over, or it says that it cannot go on: begins a failover, or says why not.
fn lost(seen: &Observation, status: &PairStatus, active: &str, lease: &LeaseSeen) -> Step {
    let witness = if lease.released() { None } else { seen.still_serving(active) };
    if let Some(witness) = witness {
        let beyond = lease.unchanged_for.saturating_sub(seen.lease_duration());
        return Step::wait(still_heard(witness, active, beyond));
    }
    let Some(hold) = policy::hold(seen, status) else {
        return failover(seen, status, active, lease, Word::None);
    };
    if comes_back(seen, status, active, lease) {
        return failover(seen, status, active, lease, Word::None);
    }
    let request = Request::pending(seen, status);
    if hold == Hold::Off {
        return match request {
            Some(request) if request.member().is_none_or(|member| seen.is_wanted(member)) => {
                failover(seen, status, active, lease, Word::Request(&request))
            }
            Some(request) => request.refuse(status, &switchover::no_member(seen, &request.value)),
            None => Step::wait(policy::off(seen)),
        };
    }
    let (candidates, recorded) = choose::proposals(seen, active, lease);
    let epoch = seen.next_epoch();
    let approves =
        |value: &&str| candidates.iter().any(|candidate| Approval::of(epoch, candidate, recorded).is_given_by(value));
    if let Some(value) = policy::annotation(seen).filter(approves) {
        return failover(seen, status, active, lease, Word::Approval(value));
    }
    let waiting = match candidates.first() {
        Some(best) => policy::ask(seen, hold, epoch, best, recorded),
        None => {
            let fenced = seen.standbys_of(active).find(|member| seen.is_fenced(&member.name));
            let fenced =
                fenced.map_or_else(String::new, |member| format!("; {}", fenced::left_out(seen, &member.name)));
            Waiting::stuck(
                "NoCandidate",
                format!(
                    "{active} is lost and no member answers that could take over from it; bring one of them back{fenced}"
                ),
            )
        }
    };
    match request {
        Some(request) => request.refuse(status, &waiting.text),
        None => Step::wait(waiting),
    }
}

/// Whether the old active itself is there to serve again, and needs a new reign for that: it gave its Lease back.
fn comes_back(seen: &Observation, status: &PairStatus, active: &str, lease: &LeaseSeen) -> bool {
    if seen.is_fenced(active) {
        return false;
    }
    let may_not_take_it = lease.released() || lease.epoch > status.epoch;
    let stays = seen.member(active).and_then(|member| member.pod.as_ref()).is_some_and(|pod| !pod.deleting);
    let able = seen.report(active).is_some_and(|report| {
        report.has_catalog
            && report.master_stopped
            && report.state != MemberState::Failed
            && report.head >= lease.last_op()
    });
    may_not_take_it && stays && able
}

/// Whether the active says itself that it cannot go on, although it holds its Lease, and another member could. Its Lease does
/// not run out then: as soon as the switch is recorded it is told to stand down.
fn has_failed(seen: &Observation, status: &PairStatus, active: &str) -> bool {
    let failed = |report: &MemberReport| report.state == MemberState::Failed;
    let here = seen
        .report(active)
        .is_some_and(|report| failed(report) && report.epoch == status.epoch && report.master_stopped);
    here && seen
        .standbys_of(active)
        .filter(|member| !seen.is_fenced(&member.name))
        .filter_map(|member| member.report())
        .any(|report| report.has_catalog && report.is_fit() && !failed(report))
}

/// By whose word a failover begins.
enum Word<'a> {
    /// Nobody's.
    None,
    /// A person asked for it.
    Request(&'a Request),
    /// A person approved it.
    Approval(&'a str),
}

fn failover(seen: &Observation, status: &PairStatus, active: &str, lease: &LeaseSeen, word: Word<'_>) -> Step {
    let epoch = seen.next_epoch();
    let over = lease.over(seen.lease_duration());
    let is_dead = over || seen.report(active).is_some_and(|report| report.master_stopped);
    let why = if lease.released() {
        let going = seen.member(active).and_then(|member| member.pod.as_ref()).is_some_and(|pod| pod.deleting);
        let failed = seen.report(active).filter(|report| report.state == MemberState::Failed);
        match failed.and_then(|report| report.message.as_deref()) {
            _ if going => format!("{active} released its Lease, its pod is being deleted"),
            Some(message) => format!("{active} released its Lease: {message}"),
            None => format!("{active} released its Lease"),
        }
    } else if lease.epoch > status.epoch {
        format!("somebody raised the Lease to epoch {}", lease.epoch)
    } else if !over {
        let message = seen.report(active).and_then(|report| report.message.as_deref());
        format!("{active} cannot go on: {}", message.unwrap_or("it does not say why"))
    } else if lease.holder.is_none() {
        format!("{active} did not take its Lease")
    } else {
        format!("{active} did not renew its Lease for {:.1} s", lease.unchanged_for.as_secs_f64())
    };
    let (request, approval) = match word {
        Word::None => (None, None),
        Word::Request(request) => (Some(request), None),
        Word::Approval(value) => (None, Some(value.to_owned())),
    };
    let switch = SwitchRecord {
        from: Some(active.to_owned()),
        request: request.map(|request| request.value.clone()),
        approval: approval.clone(),
        recorded_head: lease.last_op().or_else(|| seen.known_head(active)),
        recorded_head_final: lease.last_op().is_some(),
        sync: promise::of(status, lease),
        acknowledged_head: seen.known_acknowledged(active),
        lost_at: Some(seen.ago(lease.unchanged_for).into()),
        dead_at: is_dead.then(|| seen.now.into()),
        why: Some(why.clone()),
        ..SwitchRecord::new(SwitchKind::Failover, epoch, SwitchStep::Fencing, seen.now)
    };
    let mut status = PairStatus { switch: Some(switch), ..status.clone() };
    let message = format!("{active} is lost; failing over to epoch {epoch}");
    if let Some(request) = request {
        status.switchover = Some(request.accept(message.clone()));
    }
    if let Some(request) = approval {
        status.approval = Some(RequestAnswer { request, answer: Answer::Accepted, message });
    }
    Step::remember_and_tell(
        status,
        PairEvent::warning("FailoverStarted", format!("{why}; failing over to epoch {epoch}")),
    )
}
