//! Requests for a switchover: what they say, and what is answered.

use super::{
    action::{PairEvent, Step},
    bounds::MAX_LAG_OPS,
    fenced,
    observation::{MemberSeen, Observation},
    promise,
};
use crate::api::{
    Answer, DryRunAnswer, MemberState, PairStatus, RequestAnswer, SwitchKind, SwitchRecord, SwitchStep,
    names::{DRY_RUN_ANNOTATION, SWITCHOVER_ANNOTATION, SWITCHOVER_ANY},
};

/// A request as it stands in the annotation: `any` or a member's name, and perhaps `@` and something that makes it new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The whole value, which is answered once.
    pub value: String,
    member: Option<String>,
}

impl Request {
    /// Reads the annotation's value; whether the member exists is asked later.
    pub fn parse(value: &str) -> Self {
        let target = value.split_once('@').map_or(value, |(target, _)| target).trim();
        Self { value: value.to_owned(), member: (target != SWITCHOVER_ANY).then(|| target.to_owned()) }
    }

    /// The member that was asked for; none for any.
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// The request of this pair that has not been answered yet.
    pub fn pending(seen: &Observation, status: &PairStatus) -> Option<Self> {
        let value = seen.pair.metadata.annotations.as_ref()?.get(SWITCHOVER_ANNOTATION)?;
        let answered = status.switchover.as_ref().map(|answer| answer.request.as_str());
        (answered != Some(value) && !value.is_empty()).then(|| Self::parse(value))
    }

    fn answer(&self, answer: Answer, message: impl Into<String>) -> RequestAnswer {
        RequestAnswer { request: self.value.clone(), answer, message: message.into() }
    }

    /// The answer that nothing is done, and the event that tells it.
    pub(crate) fn refuse(&self, status: &PairStatus, why: &str) -> Step {
        let message = format!("{why}; then ask again with a new value, which anything after @ makes, as in any@2");
        let event =
            PairEvent::warning("SwitchoverRefused", format!("{SWITCHOVER_ANNOTATION} {:?}: {message}", self.value));
        let switchover = Some(self.answer(Answer::Refused, message));
        Step::remember_and_tell(PairStatus { switchover, ..status.clone() }, event)
    }

    /// Records that it is being done.
    pub(crate) fn accept(&self, message: impl Into<String>) -> RequestAnswer {
        self.answer(Answer::Accepted, message)
    }
}

/// Answers a request in peace: a record of a planned switch, or a refusal that says what to do.
pub(crate) fn answer(seen: &Observation, status: &PairStatus, active: &str, request: &Request) -> Step {
    match target(seen, active, request.member()) {
        Ok(to) => {
            let mut planned = planned(seen, status, active, &to, "as annotated", Some(request.value.clone()));
            planned.switchover =
                Some(request.accept(format!("{to} takes over from {active} in epoch {}", status.epoch + 1)));
            let note = format!("{to} takes over from {active} in epoch {}, as annotated", status.epoch + 1);
            Step::remember_and_tell(planned, PairEvent::normal("SwitchoverStarted", note))
        }
        Err(why) => request.refuse(status, &why.join("; ")),
    }
}

/// The memory of a planned switch that begins now.
pub(crate) fn planned(
    seen: &Observation,
    status: &PairStatus,
    active: &str,
    to: &str,
    why: &str,
    request: Option<String>,
) -> PairStatus {
    let switch = SwitchRecord {
        from: Some(active.to_owned()),
        to: Some(to.to_owned()),
        request,
        sync: seen.lease.as_ref().and_then(|lease| promise::of(status, lease)),
        acknowledged_head: seen.known_acknowledged(active),
        why: Some(why.to_owned()),
        ..SwitchRecord::new(SwitchKind::Switchover, seen.next_epoch(), SwitchStep::Fencing, seen.now)
    };
    PairStatus { switch: Some(switch), ..status.clone() }
}

/// The member that a planned switch goes to, or everything that stands in its way and what to do.
pub(crate) fn target(seen: &Observation, active: &str, member: Option<&str>) -> Result<String, Vec<String>> {
    let Some(name) = member else {
        return best_standby(seen, active);
    };
    if name == active {
        return Err(vec![format!("{name} is the active already; name another member, or any")]);
    }
    let member = seen.wanted_members().find(|member| member.name == name);
    let member = member.ok_or_else(|| vec![no_member(seen, name)])?;
    fit(seen, member, active).map(|_| name.to_owned())
}

/// That a request names nobody of this pair.
pub(crate) fn no_member(seen: &Observation, name: &str) -> String {
    format!("{name:?} is no member of this pair; name one of {}, or any", seen.wanted().join(", "))
}

/// The standby that is least behind, or why none is fit.
pub(crate) fn best_standby(seen: &Observation, active: &str) -> Result<String, Vec<String>> {
    let mut reasons = Vec::new();
    let mut best: Option<(i64, &str)> = None;
    for member in seen.standbys_of(active) {
        match fit(seen, member, active) {
            Ok(lag) if best.is_none_or(|(least, _)| lag < least) => best = Some((lag, &member.name)),
            Ok(_) => {}
            Err(why) => reasons.extend(why),
        }
    }
    best.map(|(_, name)| name.to_owned()).ok_or(reasons)
}

/// How far a member is behind when a planned switch may go to it, or everything that keeps it from that and what to do.
fn fit(seen: &Observation, member: &MemberSeen, active: &str) -> Result<i64, Vec<String>> {
    let name = &member.name;
    let mut why = Vec::new();
    if seen.is_fenced(name) {
        why.push(fenced::left_out(seen, name));
    }
    if member.pod.as_ref().is_some_and(|pod| pod.deleting) {
        why.push(format!("{name}'s pod is being deleted; wait until its next one is Streaming"));
    }
    let Some(report) = member.report() else {
        why.push(format!("{name} does not answer; see its pod, and wait until it is Streaming"));
        return Err(why);
    };
    if let Some(unfit) = report.unfit.as_ref().filter(|_| !report.is_fit()) {
        let message = &unfit.message;
        why.push(format!(
            "the log of {name} was found unfit ({message}); wait until it has taken a new base and is Streaming"
        ));
    }
    if report.state != MemberState::Streaming {
        why.push(format!("{name} is {:?} and would have to be Streaming; wait until it is", report.state));
    }
    let lag = seen.lag(member, active);
    match lag {
        None => why.push(format!("how far {name} is behind is not known; wait until it and {active} answer")),
        Some(lag) if lag > MAX_LAG_OPS => why.push(format!(
            "{name} is {lag} operations behind, at most {MAX_LAG_OPS} are allowed; wait until it has caught up"
        )),
        Some(_) => {}
    }
    lag.filter(|_| why.is_empty()).ok_or(why)
}

/// The answer to a question that is not answered yet: whether a planned switch could be made, and all that stands in its way.
pub(crate) fn dry_run(seen: &Observation, status: &PairStatus) -> Option<DryRunAnswer> {
    let value = seen.pair.metadata.annotations.as_ref()?.get(DRY_RUN_ANNOTATION).filter(|value| !value.is_empty())?;
    if status.switchover_dry_run.as_ref().is_some_and(|answer| answer.request == *value) {
        return None;
    }
    let request = Request::parse(value);
    let mut blockers = Vec::new();
    if seen.pair.spec.paused {
        blockers.push("spec.paused is true, so nothing is done; set it to false".to_owned());
    }
    if let Some(switch) = &status.switch {
        blockers.push(format!("a {:?} to epoch {} is under way; wait until it has ended", switch.kind, switch.epoch));
    }
    let to = match status.active.as_deref() {
        None => {
            blockers.push("no member is active yet; wait until the pair is Running".to_owned());
            None
        }
        Some(active) => {
            let lease = seen.lease.as_ref();
            if lease.is_none_or(|lease| lease.over(seen.lease_duration()) || lease.epoch != status.epoch) {
                blockers.push(format!("{active} is lost; it takes a failover, see the condition Ready"));
            }
            target(seen, active, request.member()).map_err(|why| blockers.extend(why)).ok()
        }
    };
    let possible = blockers.is_empty();
    let message = match (&to, possible) {
        (Some(to), true) => format!("yes: {to} would take over in epoch {}; nothing was done", seen.next_epoch()),
        _ => format!("no: {}", blockers.join("; ")),
    };
    Some(DryRunAnswer { request: request.value, possible, to: to.filter(|_| possible), blockers, message })
}
