//! One pair on the page.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use serde::Serialize;

use super::{Seen, Urgency};
use crate::{
    api::{GapState, GapStatus, MemberState, MemberStatus, PairStatus, Receipt, Role, SwitchOutcome},
    failover::bounds::FRESH_MOMENTS,
    plugin::{
        Cell, Look, Tone, facts, member_lag, member_tone, milliseconds, operations, paused_warning, phase_cell,
        silent_warning, since, span, tone_of,
    },
};

/// A lag measured longer ago is no point of the plot: numbers in a status are written anew every [`FRESH_MOMENTS`], and once may be late.
const OLD_SAMPLE: Duration = Duration::from_secs(FRESH_MOMENTS.as_secs() * 2);

/// Words, and how good they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Words {
    urgency: Option<Urgency>,
    text: String,
}

impl From<Cell> for Words {
    fn from(Cell(tone, text): Cell) -> Self {
        Self { urgency: urgency_of(tone), text }
    }
}

fn words(urgency: impl Into<Option<Urgency>>, text: impl Into<String>) -> Words {
    Words { urgency: urgency.into(), text: text.into() }
}

fn urgency_of(tone: Tone) -> Option<Urgency> {
    match tone {
        Tone::Good => Some(Urgency::Good),
        Tone::Attention => Some(Urgency::Attention),
        Tone::Bad => Some(Urgency::Bad),
        Tone::Plain | Tone::Strong | Tone::Quiet => None,
    }
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Problem {
    urgency: Urgency,
    title: String,
    /// For how long.
    since: Option<String>,
    text: String,
}

fn problem(urgency: Urgency, title: impl Into<String>, text: impl Into<String>) -> Problem {
    Problem { urgency, title: title.into(), since: None, text: text.into() }
}

/// One member.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberRow {
    name: String,
    role: Role,
    state: Words,
    head: Option<String>,
    lag: Words,
    /// How old the lag is.
    sampled: Option<String>,
    replay: Option<String>,
}

/// A point of the plot, while there is a recent one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LagPoint {
    member: String,
    /// None: unknown.
    ops: Option<i64>,
}

/// A phase of a switch.
#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    seconds: f64,
}

/// One switch that ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SwitchRow {
    epoch: i64,
    kind: String,
    route: String,
    finished_at: String,
    ago: String,
    parts: Vec<Part>,
    outcome: Words,
    lost: Words,
    why: Option<String>,
}

/// A gap that waits.
#[derive(Debug, Serialize)]
struct GapRow {
    name: String,
    text: String,
    command: String,
}

/// The switch that is under way.
#[derive(Debug, Serialize)]
struct UnderWay {
    title: String,
    text: Vec<String>,
}

/// One pair.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PairCard {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) urgency: Urgency,
    phase: Words,
    epoch: i64,
    active: Option<String>,
    lag: Option<String>,
    /// In one sentence.
    summary: String,
    facts: Vec<(&'static str, Words)>,
    problems: Vec<Problem>,
    under_way: Option<UnderWay>,
    members: Vec<MemberRow>,
    lags: Vec<LagPoint>,
    gaps: Vec<GapRow>,
    switches: Vec<SwitchRow>,
    /// Whether a planned switch would be made now, and to whom.
    switch_now: Option<String>,
    /// What keeps one from it.
    blockers: Vec<String>,
    commands: Vec<String>,
}

impl PairCard {
    pub(super) fn of(seen: &Seen) -> Self {
        match seen {
            Seen::Pair(look) => of_look(look),
            Seen::Unreadable { namespace, name, error } => unreadable(namespace, name, error),
        }
    }
}

fn unreadable(namespace: &str, name: &str, error: &str) -> PairCard {
    let why = format!("Nothing is done for it until that is mended: {error}");
    let problem = problem(Urgency::Bad, "This pair cannot be read", why);
    PairCard {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        urgency: Urgency::Bad,
        phase: words(Urgency::Bad, "Unreadable"),
        epoch: 0,
        active: None,
        lag: None,
        summary: "its object is not what this controller knows".to_owned(),
        facts: Vec::new(),
        problems: vec![problem],
        under_way: None,
        members: Vec::new(),
        lags: Vec::new(),
        gaps: Vec::new(),
        switches: Vec::new(),
        switch_now: None,
        blockers: Vec::new(),
        commands: vec![format!("kubectl get kmp -n {namespace} {name} -o yaml")],
    }
}

fn of_look(look: &Look) -> PairCard {
    let status = look.status();
    let (namespace, name) = (look.namespace(), look.name());
    let problems = problems(look, &status);
    let worst = problems.iter().map(|problem| problem.urgency).max();
    let phase = Words::from(phase_cell(&status));
    // One that is not as it should be is the first problem.
    let good = |condition: &&Condition| condition.type_ == "Ready" && tone_of(condition) == Tone::Good;
    let ready = status.conditions.iter().find(good);
    let answer = look.switch_now(None);
    // The head of the card and the table of members say these.
    let facts = facts(look).into_iter().filter(|(name, _)| !matches!(*name, "Active" | "Lag"));
    PairCard {
        urgency: worst.into_iter().chain(phase.urgency).max().unwrap_or(Urgency::Good),
        phase,
        epoch: status.epoch,
        active: status.active.clone(),
        lag: status.lag.clone(),
        summary: ready.map_or_else(String::new, |ready| ready.message.clone()),
        facts: facts.map(|(name, cell)| (name, cell.into())).collect(),
        problems,
        under_way: under_way(look, &status),
        members: status.members.iter().map(|member| member_row(look, member)).collect(),
        lags: status.members.iter().filter_map(|member| lag_point(look, &status, member)).collect(),
        gaps: status.gaps.iter().filter(|gap| gap.is_open()).map(|gap| gap_row(look, gap)).collect(),
        switches: status.switches.iter().map(|receipt| switch_row(look, receipt)).collect(),
        switch_now: answer.to.filter(|_| answer.possible),
        blockers: answer.blockers,
        commands: ["status", "explain"].map(|what| format!("kubectl kudupair {what} -n {namespace} {name}")).to_vec(),
        namespace,
        name,
    }
}

/// Everything that somebody should look at, the worst first.
fn problems(look: &Look, status: &PairStatus) -> Vec<Problem> {
    let silent = silent_warning(look).map(|text| problem(Urgency::Bad, "The status is old", text));
    let paused = paused_warning(look).map(|text| problem(Urgency::Attention, "Paused", text));
    let conditions = status.conditions.iter().filter_map(|condition| {
        let urgency = urgency_of(tone_of(condition)).filter(|urgency| *urgency > Urgency::Good)?;
        // Said by the warning, with the command; and what is under way has its own place.
        if matches!(condition.type_.as_str(), "Paused" | "Switching") {
            return None;
        }
        let title = format!("{} is {}: {}", condition.type_, condition.status, condition.reason);
        let since = Some(span(since(look.now, condition.last_transition_time.0)));
        Some(Problem { since, ..problem(urgency, title, &condition.message) })
    });
    let members = status.members.iter().flat_map(|member| {
        let urgency = urgency_of(member_tone(member)).unwrap_or(Urgency::Attention).max(Urgency::Attention);
        let message = member.message.as_ref();
        let message = message.map(|text| problem(urgency, format!("{} is {:?}", member.name, member.state), text));
        let unfit = member.unfit_log.as_ref().filter(|unfit| !unfit.replaced);
        let unfit =
            unfit.map(|unfit| problem(Urgency::Bad, format!("The log of {} is unfit", member.name), &unfit.message));
        message.into_iter().chain(unfit)
    });
    let mut problems: Vec<_> = silent.into_iter().chain(paused).chain(conditions).chain(members).collect();
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.urgency));
    problems
}

fn under_way(look: &Look, status: &PairStatus) -> Option<UnderWay> {
    let switch = status.switch.as_ref()?;
    let route = route(switch.from.as_deref(), switch.to.as_deref());
    let begun = span(since(look.now, switch.started_at.0));
    let title = format!("{:?} {route}, epoch {}: {:?}, begun {begun} ago", switch.kind, switch.epoch, switch.step);
    let because = switch.why.iter().map(|why| format!("Because: {why}"));
    let waits = switch.waiting_for.iter().map(|waits| format!("Waits: {waits}"));
    Some(UnderWay { title, text: because.chain(waits).collect() })
}

fn route(from: Option<&str>, to: Option<&str>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (Some(from), None) => format!("{from} → not chosen yet"),
        (None, Some(to)) => format!("→ {to}"),
        (None, None) => String::new(),
    }
}

fn member_row(look: &Look, member: &MemberStatus) -> MemberRow {
    let ago = |at: &MicroTime| span(since(look.now, at.0));
    let replay = member.pending_ops.map(|ops| match member.predicted_replay_milliseconds {
        Some(time) => format!("{}, {}", operations(ops), milliseconds(time)),
        None => operations(ops),
    });
    MemberRow {
        name: member.name.clone(),
        role: member.role,
        state: words(urgency_of(member_tone(member)), format!("{:?}", member.state)),
        head: member.head.map(|head| head.to_string()),
        lag: member_lag(member).into(),
        sampled: member.lag_sampled_at.as_ref().filter(|_| member.role != Role::Active).map(ago),
        replay,
    }
}

/// Nothing of a member that is, or last was, the active.
fn lag_point(look: &Look, status: &PairStatus, member: &MemberStatus) -> Option<LagPoint> {
    let is_active = status.active.as_ref() == Some(&member.name) || member.role == Role::Active;
    let sampled = member.lag_sampled_at.as_ref().map(|at| since(look.now, at.0));
    let known = member.state != MemberState::Unreachable && sampled.is_some_and(|ago| ago < OLD_SAMPLE);
    (!is_active).then(|| LagPoint { member: member.name.clone(), ops: member.lag_ops.filter(|_| known) })
}

fn switch_row(look: &Look, receipt: &Receipt) -> SwitchRow {
    let parts = [
        ("detect", &receipt.detect_seconds),
        ("fence", &receipt.fence_seconds),
        ("replay", &receipt.replay_seconds),
        ("repoint", &receipt.repoint_seconds),
    ];
    let parts = parts.into_iter().filter_map(|(name, seconds)| Some(Part { name, seconds: seconds.parse().ok()? }));
    let lost = match receipt.ops_lost.as_str() {
        "0" => words(None, "no operation lost"),
        "unknown" => words(Urgency::Attention, "unknown how many operations were lost"),
        "1" => words(Urgency::Attention, "1 operation lost"),
        lost => words(Urgency::Attention, format!("{lost} operations lost")),
    };
    let outcome = match receipt.outcome {
        SwitchOutcome::Completed => words(None, "completed"),
        SwitchOutcome::RolledBack => words(Urgency::Attention, "rolled back"),
    };
    SwitchRow {
        epoch: receipt.epoch,
        kind: format!("{:?}", receipt.kind),
        route: route(receipt.from.as_deref(), Some(&receipt.to)),
        finished_at: format!("{:.0}", receipt.finished_at.0),
        ago: format!("{} ago", span(since(look.now, receipt.finished_at.0))),
        parts: parts.collect(),
        outcome,
        lost,
        why: receipt.why.clone(),
    }
}

fn gap_row(look: &Look, gap: &GapStatus) -> GapRow {
    let more = (gap.more_changes > 0).then(|| format!("and {} more", gap.more_changes));
    let changes: Vec<_> = gap.changes.iter().cloned().chain(more).collect();
    let what = match gap.state {
        GapState::Pending => "waits",
        GapState::Replaying => "is being replayed",
        GapState::Conflict => "has a conflict that a person has to choose about",
        GapState::Replayed => "was replayed",
        GapState::Discarded => "was given up",
    };
    let changes = if changes.is_empty() { String::new() } else { format!(": {}", changes.join(", ")) };
    GapRow {
        name: gap.name.clone(),
        text: format!("{} that only {} had, {what}{changes}", operations(gap.ops), gap.member),
        command: format!("kubectl kudupair gap plan -n {} {} {}", look.namespace(), gap.name, look.name()),
    }
}
