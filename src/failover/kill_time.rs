//! Whether kills took as long as the spec says that they take at most: two masters never run at once only if they do.

use super::{
    action::PairEvent,
    observation::Observation,
    overview::{Said, said},
};
use crate::api::{MemberStatus, PairStatus};

/// The condition's type.
const CONDITION: &str = "KillTimeKept";
/// Its reason, and that of the event, when a kill took longer.
const EXCEEDED: &str = "KillTimeExceeded";

/// The condition that says it.
pub(super) fn condition(seen: &Observation, status: &PairStatus) -> Said {
    let bound = bound(seen);
    let slowest = status.members.iter().filter_map(|member| Some((member.kill_milliseconds?, member)));
    match slowest.max_by_key(|(took, _)| *took) {
        None => Said::unknown(CONDITION, "NotMeasured", "no kudu-master was killed yet"),
        Some((took, member)) if took > bound => said(CONDITION, false, EXCEEDED, exceeded(member, took, bound)),
        Some((took, member)) => {
            said(CONDITION, true, "Kept", format!("{}: {took} ms, of {bound} ms that it may take", member.name))
        }
    }
}

/// The event of a kill that took too long, once for each.
pub(super) fn news(seen: &Observation, before: &PairStatus, after: &PairStatus) -> Vec<PairEvent> {
    let bound = bound(seen);
    let known = |name: &str| before.members.iter().find(|known| known.name == name)?.kill_milliseconds;
    let late = |member: &MemberStatus| {
        let took = member.kill_milliseconds.filter(|took| *took > bound)?;
        (known(&member.name) != Some(took)).then(|| PairEvent::warning(EXCEEDED, exceeded(member, took, bound)))
    };
    after.members.iter().filter_map(late).collect()
}

fn bound(seen: &Observation) -> i64 {
    seen.pair.spec.failover.kill_time_milliseconds.into()
}

fn exceeded(member: &MemberStatus, took: i64, bound: i64) -> String {
    format!(
        "the last kill of kudu-master of {} took {took} ms, longer than spec.failover.killTimeMilliseconds ({bound}); a Lease \
         that ran out meanwhile would have let another member begin: raise it, with leaseDurationMilliseconds, or see why the node is slow",
        member.name
    )
}
