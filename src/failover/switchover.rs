//! Requests for a switchover: what they say, and what is answered.

use super::{
    action::{PairEvent, Step},
    bounds::MAX_LAG_OPS,
    observation::{MemberSeen, Observation},
    promise,
};
use crate::api::{
    Answer, MemberState, PairStatus, SwitchKind, SwitchRecord, SwitchStep, SwitchoverAnswer,
    names::{SWITCHOVER_ANNOTATION, SWITCHOVER_ANY},
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

    fn answer(&self, answer: Answer, message: impl Into<String>) -> SwitchoverAnswer {
        SwitchoverAnswer { request: self.value.clone(), answer, message: message.into() }
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
    pub(crate) fn accept(&self, message: impl Into<String>) -> SwitchoverAnswer {
        self.answer(Answer::Accepted, message)
    }
}

/// Answers a request in peace: a record of a planned switch, or a refusal that says what to do.
pub(crate) fn answer(seen: &Observation, status: &PairStatus, active: &str, request: &Request) -> Step {
    match target(seen, active, request.member()) {
        Ok(to) => {
            let mut planned = planned(seen, status, active, &to, Some(request.value.clone()));
            planned.switchover =
                Some(request.accept(format!("{to} takes over from {active} in epoch {}", status.epoch + 1)));
            let note = format!("{to} takes over from {active} in epoch {}, as annotated", status.epoch + 1);
            Step::remember_and_tell(planned, PairEvent::normal("SwitchoverStarted", note))
        }
        Err(why) => request.refuse(status, &why),
    }
}

/// The memory of a planned switch that begins now.
pub(crate) fn planned(
    seen: &Observation,
    status: &PairStatus,
    active: &str,
    to: &str,
    request: Option<String>,
) -> PairStatus {
    let switch = SwitchRecord {
        kind: SwitchKind::Switchover,
        epoch: seen.next_epoch(),
        step: SwitchStep::Fencing,
        from: Some(active.to_owned()),
        to: Some(to.to_owned()),
        tried: Vec::new(),
        request,
        gate: None,
        recorded_head: None,
        recorded_head_final: false,
        sync: seen.lease.as_ref().and_then(|lease| promise::of(status, lease)),
        lost_at: None,
        started_at: seen.now.into(),
        fenced_at: None,
        replayed_at: None,
        waiting_for: None,
    };
    PairStatus { switch: Some(switch), ..status.clone() }
}

/// The member that a planned switch goes to, or why it cannot be made and what to do.
pub(crate) fn target(seen: &Observation, active: &str, member: Option<&str>) -> Result<String, String> {
    let Some(name) = member else {
        return best_standby(seen, active);
    };
    if name == active {
        return Err(format!("{name} is the active already; name another member, or any"));
    }
    let member = seen.wanted_members().find(|member| member.name == name).ok_or_else(|| {
        format!("{name:?} is no member of this pair; name one of {}, or any", seen.wanted().join(", "))
    })?;
    fit(seen, member, active).map(|_| name.to_owned())
}

/// The standby that is least behind, or why none is fit.
pub(crate) fn best_standby(seen: &Observation, active: &str) -> Result<String, String> {
    let mut reasons = Vec::new();
    let mut best: Option<(i64, &str)> = None;
    for member in seen.standbys_of(active) {
        match fit(seen, member, active) {
            Ok(lag) if best.is_none_or(|(least, _)| lag < least) => best = Some((lag, &member.name)),
            Ok(_) => {}
            Err(why) => reasons.push(why),
        }
    }
    best.map(|(_, name)| name.to_owned()).ok_or_else(|| reasons.join("; "))
}

/// How far a member is behind when a planned switch may go to it, or why it may not and what to do.
fn fit(seen: &Observation, member: &MemberSeen, active: &str) -> Result<i64, String> {
    let name = &member.name;
    let Some(report) = member.report() else {
        return Err(format!("{name} does not answer; see its pod, and wait until it is Streaming"));
    };
    if report.state != MemberState::Streaming {
        return Err(format!("{name} is {:?} and would have to be Streaming; wait until it is", report.state));
    }
    match seen.lag(member, active) {
        None => Err(format!("how far {name} is behind is not known; wait until it and {active} answer")),
        Some(lag) if lag > MAX_LAG_OPS => Err(format!(
            "{name} is {lag} operations behind, at most {MAX_LAG_OPS} are allowed; wait until it has caught up"
        )),
        Some(lag) => Ok(lag),
    }
}
