//! What is said of the standbys' logs: whether their files hold what the active's log holds.

use std::time::Duration;

use super::{
    action::PairEvent,
    bounds::VERIFICATION_OVERDUE,
    member::MemberReport,
    observation::{MemberSeen, Observation},
    overview::{Said, said},
};
use crate::api::{LogFault, MemberState, MemberStatus, PairStatus, UnfitLog};

/// The condition's type. Its message changes with each comparison while it is true.
pub(super) const CONDITION: &str = "ReplicaVerified";

/// The condition that says it.
pub(super) fn condition(seen: &Observation, status: &PairStatus) -> Said {
    let Some(active) = status.active.as_deref() else {
        return Said::unknown(CONDITION, "NotInitialized", "no member is active yet");
    };
    let unfit = |member: &&MemberStatus| member.name != active && seen.is_wanted(&member.name);
    let unfit = status.members.iter().filter(unfit).find_map(|member| Some((member, in_use(member)?)));
    if let Some((member, unfit)) = unfit {
        let text = format!(
            "{}: {}; it takes a new base by itself when the active gives one, and is not promoted before; its log is kept in \
             quarantine/{} then",
            member.name, unfit.message, unfit.generation
        );
        return said(CONDITION, false, reason(unfit.fault), text);
    }
    let mut equal = Vec::new();
    for member in seen.standbys_of(active) {
        match verified(member) {
            Ok(text) => equal.push(text),
            Err(why) => return Said::unknown(CONDITION, "NotCompared", format!("{} {why}", member.name)),
        }
    }
    said(CONDITION, true, "Equal", format!("equal to the active's log, as read back from files: {}", equal.join("; ")))
}

/// What was compared of a standby, or why that is not enough.
fn verified(member: &MemberSeen) -> Result<String, &'static str> {
    let report = member.report().ok_or("does not answer")?;
    if report.state != MemberState::Streaming {
        return Err("does not stream, so its log cannot be compared");
    }
    let verified = report.verified.ok_or("has nothing compared yet")?;
    let ago = Duration::from_millis(verified.milliseconds_ago);
    if is_overdue(report, ago) {
        return Err("has had nothing compared for a minute, though there is something new; see its sidecar's log");
    }
    Ok(format!("{} from {} to {}, {} s before", member.name, verified.from, verified.head, ago.as_secs()))
}

fn is_overdue(report: &MemberReport, ago: Duration) -> bool {
    let all = report.verified.map(|verified| verified.head) == report.head;
    !all && ago >= VERIFICATION_OVERDUE
}

fn in_use(member: &MemberStatus) -> Option<&UnfitLog> {
    member.unfit_log.as_ref().filter(|unfit| !unfit.replaced)
}

fn reason(fault: LogFault) -> &'static str {
    match fault {
        LogFault::Differs => "DigestMismatch",
        LogFault::Damaged => "LogDamaged",
    }
}

/// The alarms that a status tells and the one before did not, and the end of those.
pub(super) fn news(before: &PairStatus, after: &PairStatus) -> Vec<PairEvent> {
    after.members.iter().filter_map(|member| news_of(before, member)).collect()
}

fn news_of(before: &PairStatus, member: &MemberStatus) -> Option<PairEvent> {
    let unfit = member.unfit_log.as_ref()?;
    let known =
        before.members.iter().find(|known| known.name == member.name).and_then(|known| known.unfit_log.as_ref());
    let same = |known: &&UnfitLog| known.generation == unfit.generation && known.epoch == unfit.epoch;
    let (name, message) = (&member.name, &unfit.message);
    match (known.filter(same), unfit.replaced) {
        (None, _) => {
            let then = if unfit.replaced { "it has taken a new base" } else { "it takes a new base" };
            Some(PairEvent::warning(reason(unfit.fault), format!("the log of {name} is unfit: {message}; {then}")))
        }
        (Some(known), true) if !known.replaced => {
            let note = format!("{name} has taken a new base; its unfit log is in quarantine/{}", unfit.generation);
            Some(PairEvent::normal("LogReplaced", note))
        }
        _ => None,
    }
}
