//! What is told of an active that serves, or served, without the API server ([`failsafe`](super::failsafe)).

use jiff::Timestamp;

use super::{
    action::{PairEvent, Step},
    member::StayReport,
    observation::Observation,
};
use crate::api::{PairStatus, Stay};

/// The stay of an active that still cannot reach the API server, although the controller can.
pub(crate) fn under_way<'a>(seen: &'a Observation, active: &str) -> Option<&'a StayReport> {
    seen.report(active)?.stay.as_ref().filter(|stay| !stay.over)
}

/// The memory with a stay that has ended, told once.
pub(crate) fn note(seen: &Observation, status: &PairStatus, active: &str) -> Option<Step> {
    let ended = seen.report(active)?.stay.as_ref().filter(|stay| stay.over)?;
    let since = i64::try_from(ended.since_unix_milliseconds).ok()?;
    let since = Timestamp::from_millisecond(since).ok()?;
    let seconds = format!("{:.1}", std::time::Duration::from_millis(ended.milliseconds).as_secs_f64());
    let stay = Stay { member: active.to_owned(), since: since.into(), seconds };
    if status.last_stay.as_ref().is_some_and(|last| last.member == stay.member && last.since == stay.since) {
        return None;
    }
    let note = format!(
        "{active} served for {} s without the API server: every other member had pledged not to take over",
        stay.seconds
    );
    let status = PairStatus { last_stay: Some(stay), ..status.clone() };
    Some(Step::remember_and_tell(status, PairEvent::warning("ServedWithoutApiServer", note)))
}
