//! `explain`: why a pair is as it is, each rule with its numbers.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::{
    look::Look,
    status::tone_of,
    style::{Style, Tone},
    words::{milliseconds, operations, since, span},
};
use crate::{
    api::{FailoverMode, MemberState, MemberStatus, PairStatus, Role, SwitchKind, WhenDegraded},
    failover::{bounds::MAX_LAG_OPS, budget},
};

/// Whether a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Holds {
    Yes,
    No,
    Unknown,
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// One rule and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Check {
    holds: Holds,
    rule: String,
}

fn check(holds: impl Into<Holds>, rule: impl Into<String>) -> Check {
    Check { holds: holds.into(), rule: rule.into() }
}

/// `left < right`, or with another sign; unknown without `left`.
fn at_most(left: Option<i64>, right: i64, words: impl Fn(&str) -> String) -> Check {
    match left {
        Some(left) => check(left <= right, words(&left.to_string())),
        None => check(Holds::Unknown, words("unknown")),
    }
}

/// Rules that answer one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Question {
    question: String,
    checks: Vec<Check>,
}

/// Why a pair is as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Explanation {
    namespace: String,
    name: String,
    /// In one sentence.
    summary: String,
    questions: Vec<Question>,
}

/// Every rule that the state of a pair depends on.
pub(crate) fn explain(look: &Look) -> Explanation {
    let status = look.status();
    let active = status.active.as_deref();
    let mut questions = vec![fencing(look, &status)];
    if let Some(active) = active {
        questions.insert(0, serves(look, &status, active));
        questions.extend(standbys(&status, active).map(|standby| in_sync(look, &status, active, standby)));
    }
    questions.extend(under_way(look, &status));
    if let Some(active) = active {
        questions.push(without_a_person(look, &status, active));
    }
    questions.push(planned(look));
    questions.extend(troubles(&status));
    Explanation { namespace: look.namespace(), name: look.name(), summary: summary(look, &status), questions }
}

fn summary(look: &Look, status: &PairStatus) -> String {
    let phase = status.phase.map_or_else(|| "not seen by a controller yet".to_owned(), |phase| format!("{phase:?}"));
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let why = ready.map_or_else(String::new, |ready| format!(": {} ({})", ready.message, ready.reason));
    let old = look
        .controller_silent()
        .map(|age| format!("; but the status is {} old, and the controller may be down", span(age)));
    format!("{phase}{why}{}", old.unwrap_or_default())
}

fn standbys<'a>(status: &'a PairStatus, active: &'a str) -> impl Iterator<Item = &'a MemberStatus> {
    status.members.iter().filter(move |member| member.name != active)
}

fn of_spec(number: i32) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}

/// How long the Lease lasts: as the spec says, or longer when its holder took it for longer.
fn lease_duration(look: &Look) -> Duration {
    let duration = look.observation().lease_duration();
    look.lease_seen().and_then(|lease| lease.duration).map_or(duration, |own| own.max(duration))
}

fn serves(look: &Look, status: &PairStatus, active: &str) -> Question {
    let mut checks = Vec::new();
    match (look.lease_seen(), look.renewed_ago()) {
        (Some(lease), Some(renewed)) if lease.holder.is_some() => {
            let (duration, holder) = (lease_duration(look), lease.holder_member().unwrap_or_default());
            checks.push(check(holder == active, format!("the Lease's holder {holder} is the active {active}")));
            checks.push(check(
                renewed < duration,
                format!(
                    "{} since the Lease was renewed < {} that it lasts (spec.failover.leaseDurationMilliseconds)",
                    span(renewed),
                    span(duration)
                ),
            ));
        }
        (Some(lease), _) if lease.released() => {
            checks.push(check(false, "the Lease is held: it was given back, its last holder's kudu-master is stopped"));
        }
        (Some(_), _) => checks.push(check(false, "the Lease is held: nobody has taken it")),
        (None, _) => checks.push(check(false, "the Lease is held: there is none, or it cannot be read")),
    }
    if let Some(lease) = look.lease_seen() {
        let (of_lease, epoch) = (lease.epoch, status.epoch);
        checks.push(check(of_lease == epoch, format!("epoch {of_lease} of the Lease = {epoch} of the status")));
    }
    let member = status.members.iter().find(|member| member.name == active);
    checks.push(match member {
        Some(member) if member.state == MemberState::Unreachable => {
            let why = member.message.as_deref().unwrap_or("it does not answer the controller");
            check(Holds::Unknown, format!("the state of {active}: unknown = Serving; {why}"))
        }
        Some(member) => check(
            member.state == MemberState::Serving && member.role == Role::Active,
            format!("the state of {active}: {:?} = Serving", member.state),
        ),
        None => {
            check(Holds::Unknown, format!("the state of {active}: unknown = Serving; the status does not tell of it"))
        }
    });
    Question { question: format!("Does {active} serve?"), checks }
}

/// The rule on which everything rests.
fn fencing(look: &Look, status: &PairStatus) -> Question {
    let spec = &look.pair.spec.failover;
    let [deadline, kill, margin, lease] = [
        spec.renew_deadline_milliseconds,
        spec.kill_time_milliseconds,
        spec.clock_margin_milliseconds,
        spec.lease_duration_milliseconds,
    ]
    .map(i64::from);
    let sum = deadline + kill + margin;
    let mut checks = vec![check(
        sum < lease,
        format!(
            "{deadline} ms renewDeadline + {kill} ms killTime + {margin} ms clockMargin = {sum} ms < {lease} ms leaseDuration"
        ),
    )];
    let measured = status.members.iter().filter_map(|member| Some((member, member.kill_milliseconds?)));
    checks.extend(measured.map(|(member, took)| {
        let rule = format!("{took} ms that the last kill took at {} <= {kill} ms killTimeMilliseconds", member.name);
        check(took <= kill, rule)
    }));
    Question {
        question: "Is an active that cannot renew its Lease dead before another one can take it?".to_owned(),
        checks,
    }
}

fn in_sync(look: &Look, status: &PairStatus, active: &str, standby: &MemberStatus) -> Question {
    let name = &standby.name;
    let mut checks = vec![check(
        standby.state == MemberState::Streaming,
        format!("the state of {name}: {:?} = Streaming", standby.state),
    )];
    let head = |name: &str| status.members.iter().find(|member| member.name == name)?.head;
    let heads = || Some((head(active)?.index - standby.head?.index).max(0));
    let behind = standby.lag_ops.or_else(heads).filter(|_| standby.state != MemberState::Unreachable);
    checks.push(at_most(behind, MAX_LAG_OPS, |lag| format!("{lag} operations behind <= {MAX_LAG_OPS}")));
    if let Some(unfit) = &standby.unfit_log {
        let rule = format!("its log is the active's, or was replaced since: {}", unfit.message);
        checks.push(check(unfit.replaced, rule));
    }
    if let Some(predicted) = standby.predicted_replay_milliseconds {
        let most = i64::from(look.pair.spec.replication.refresh.replay_milliseconds);
        let rule = format!(
            "{} that a promotion is predicted to replay <= {} (spec.replication.refresh.replayMilliseconds)",
            milliseconds(predicted),
            milliseconds(most)
        );
        checks.push(check(predicted <= most, rule));
    }
    if let Some(message) = &standby.message {
        checks.push(check(Holds::Unknown, format!("it says: {message}")));
    }
    Question { question: format!("Is {name} in sync?"), checks }
}

fn under_way(look: &Look, status: &PairStatus) -> Option<Question> {
    let switch = status.switch.as_ref()?;
    let begun = since(look.now, switch.started_at.0);
    let mut checks = Vec::new();
    if switch.kind == SwitchKind::Switchover {
        let most = of_spec(look.pair.spec.failover.switchover_timeout_milliseconds);
        checks.push(check(
            begun < most,
            format!(
                "{} since it was begun < {} (spec.failover.switchoverTimeoutMilliseconds)",
                span(begun),
                span(most)
            ),
        ));
    }
    checks.push(match &switch.waiting_for {
        Some(waiting) => check(Holds::Unknown, format!("step {:?}: {waiting}", switch.step)),
        None => check(Holds::Yes, format!("step {:?}, begun {} ago, waits for nothing", switch.step, span(begun))),
    });
    let question = format!("Does the {:?} to epoch {} go on?", switch.kind, switch.epoch);
    Some(Question { question, checks })
}

fn without_a_person(look: &Look, status: &PairStatus, active: &str) -> Question {
    let spec = &look.pair.spec.failover;
    let mut checks = vec![
        check(spec.mode == FailoverMode::Automatic, format!("spec.failover.mode {:?} = Automatic", spec.mode)),
        check(!look.pair.spec.paused, format!("spec.paused {} = false", look.pair.spec.paused)),
    ];
    let budget = budget::of(status, spec.failovers_per_hour, look.now);
    let next = budget.until.map_or_else(String::new, |until| format!("; the next one is made from {until:.0} on"));
    let rule =
        format!("{} failovers within an hour, of {} (failoversPerHour){next}", budget.used, spec.failovers_per_hour);
    checks.push(check(budget.until.is_none(), rule));
    match &status.sync {
        Some(sync) if sync.quorum > 0 => {
            let members: Vec<_> = sync.members.iter().map(String::as_str).collect();
            let rule = format!(
                "each acknowledged operation is on {} of {}: {} > 0",
                operations_on(sync.quorum),
                members.join(", "),
                sync.quorum
            );
            checks.push(check(true, rule));
        }
        Some(_) => checks.push(check(
            spec.when_degraded == WhenDegraded::Promote,
            format!(
                "the active may be the only one that has what it acknowledged (0 standbys have to have it), so \
                 spec.failover.whenDegraded {:?} = Promote",
                spec.when_degraded
            ),
        )),
        None => {
            for standby in standbys(status, active) {
                checks.extend(loss(look, status, active, standby));
            }
        }
    }
    Question { question: "Would a lost active be replaced without a person?".to_owned(), checks }
}

fn operations_on(quorum: i32) -> String {
    if quorum == 1 { "the disk of 1".to_owned() } else { format!("the disks of {quorum}") }
}

/// What a failover to this standby would lose, against the bounds.
fn loss(look: &Look, status: &PairStatus, active: &str, standby: &MemberStatus) -> Vec<Check> {
    let spec = &look.pair.spec.failover;
    let name = &standby.name;
    let head = status.members.iter().find(|member| member.name == active).and_then(|member| member.head);
    let lacks = head.zip(standby.head).map(|(head, own)| (head.index - own.index).max(0));
    let level = standby.caught_up_at.as_ref().map(|at| since(look.now, at.0));
    let over = look.lease_seen().is_some_and(|lease| lease.over(look.observation().lease_duration()));
    // An active that is lost now is dead when its Lease is over at the latest.
    let until_dead = if over { Duration::ZERO } else { lease_duration(look) };
    let window = level.map(|level| level.saturating_add(until_dead));
    let (most, seconds) = (spec.max_loss_ops, spec.max_loss_seconds);
    let proven = if most == 0 { ", which allows only a loss that is proven to be none" } else { "" };
    let lacks = match lacks {
        Some(lacks) => check(
            lacks <= most && most > 0,
            format!("{name} lacks {} of what was heard <= {most} (maxLossOps){proven}", operations(lacks)),
        ),
        None => check(Holds::Unknown, format!("{name} lacks an unknown number of operations <= {most} (maxLossOps)")),
    };
    let allowed = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let age = match (level, window) {
        (Some(level), Some(window)) => check(
            window <= allowed,
            format!(
                "{} since {name} is known to have had everything + {} until the active is dead = {} <= {seconds} s (maxLossSeconds)",
                span(level),
                span(until_dead),
                span(window)
            ),
        ),
        _ => {
            check(Holds::Unknown, format!("unknown since when {name} lacks something <= {seconds} s (maxLossSeconds)"))
        }
    };
    vec![lacks, age]
}

fn planned(look: &Look) -> Question {
    let answer = look.switch_now(None);
    let checks = match answer.to {
        Some(to) if answer.possible => vec![check(true, format!("it would go to {to}"))],
        _ => answer.blockers.into_iter().map(|blocker| check(false, blocker)).collect(),
    };
    Question { question: "Would a planned switch be begun now?".to_owned(), checks }
}

/// The conditions that somebody has to look at.
fn troubles(status: &PairStatus) -> Option<Question> {
    // Ready is the summary.
    let others = status.conditions.iter().filter(|one| one.type_ != "Ready");
    let wrong = others.filter(|one| matches!(tone_of(one), Tone::Bad | Tone::Attention));
    let checks: Vec<_> = wrong
        .map(|one| {
            let holds = if one.status == "Unknown" { Holds::Unknown } else { Holds::No };
            check(holds, format!("{} is {} ({}): {}", one.type_, one.status, one.reason, one.message))
        })
        .collect();
    (!checks.is_empty()).then(|| Question { question: "Is everything else as it should be?".to_owned(), checks })
}

impl Explanation {
    /// For people.
    pub(crate) fn text(&self, style: Style) -> String {
        let mut text =
            format!("{} in namespace {} is {}\n", style.paint(Tone::Strong, &self.name), self.namespace, self.summary);
        for Question { question, checks } in &self.questions {
            let _ = writeln!(text, "\n{}", style.paint(Tone::Strong, question));
            for Check { holds, rule } in checks {
                let mark = match holds {
                    Holds::Yes => style.paint(Tone::Good, "yes"),
                    Holds::No => style.paint(Tone::Bad, "no "),
                    Holds::Unknown => style.paint(Tone::Attention, "?  "),
                };
                let _ = writeln!(text, "  {mark}  {rule}");
            }
        }
        text
    }
}
