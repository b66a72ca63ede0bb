//! `status`: how a pair is, on one screen; and all pairs, one a line.

use std::{cmp::Reverse, fmt::Write as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use super::{
    look::{CONTROLLER_PODS, Look},
    style::{
        Cell, Style,
        Tone::{self, Attention, Bad, Good, Plain, Quiet, Strong},
        table,
    },
    words::{ago, bytes, milliseconds, operations, or_dash, span},
};
use crate::{
    api::{
        AcknowledgementMode, MemberState, MemberStatus, PairStatus, Phase, Receipt, Role, SwitchOutcome, SwitchRecord,
    },
    failover::{fenced, lease::LeaseSeen},
};

/// So many receipts are shown.
const RECEIPTS: usize = 3;

/// A pair as `-o json` and `-o yaml` give it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    namespace: String,
    name: String,
    paused: bool,
    /// For how long the status has been as it is.
    status_age_seconds: Option<u64>,
    /// Whether the controller would have written the status again by now if it ran.
    controller_silent: bool,
    lease: Option<LeaseReport>,
    switch_now: SwitchNow,
    status: PairStatus,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaseReport {
    holder: Option<String>,
    epoch: i64,
    renewed_milliseconds_ago: Option<u64>,
    duration_milliseconds: u64,
    over: bool,
    released: bool,
}

#[derive(Debug, Serialize)]
struct SwitchNow {
    possible: bool,
    to: Option<String>,
    blockers: Vec<String>,
}

/// What a program wants to know of a pair.
pub(crate) fn report(look: &Look) -> Report {
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let answer = look.switch_now(None);
    let duration = look.observation().lease_duration();
    Report {
        namespace: look.namespace(),
        name: look.name(),
        paused: look.pair.spec.paused,
        status_age_seconds: look.status_age().map(|age| age.as_secs()),
        controller_silent: look.controller_silent().is_some(),
        lease: look.lease_seen().map(|lease| LeaseReport {
            holder: lease.holder_member().map(str::to_owned),
            epoch: lease.epoch,
            renewed_milliseconds_ago: look.renewed_ago().map(millis),
            duration_milliseconds: millis(lease.duration.map_or(duration, |own| own.max(duration))),
            over: lease.over(duration),
            released: lease.released(),
        }),
        switch_now: SwitchNow { possible: answer.possible, to: answer.to, blockers: answer.blockers },
        status: look.status(),
    }
}

/// One pair on a screen.
pub(crate) fn text(look: &Look, style: Style) -> String {
    let status = look.status();
    let sections = [
        head(look, &status, style),
        members(look, &status, style),
        status.switch.as_ref().map(|switch| under_way(look, switch, style)).unwrap_or_default(),
        gaps(&status, style),
        receipts(look, &status, style),
        conditions(look, &status, style),
        switch_now(look, style),
    ];
    sections.iter().filter(|section| !section.is_empty()).cloned().collect::<Vec<_>>().join("\n")
}

fn phase(status: &PairStatus, style: Style) -> String {
    let Cell(tone, text) = phase_cell(status);
    style.paint(tone, &text)
}

/// The phase, and how good it is.
pub(crate) fn phase_cell(status: &PairStatus) -> Cell {
    let Some(phase) = status.phase else { return Cell(Attention, "not seen by a controller yet".to_owned()) };
    let tone = match phase {
        Phase::Running => Good,
        Phase::Down => Bad,
        _ => Attention,
    };
    Cell(tone, format!("{phase:?}"))
}

fn head(look: &Look, status: &PairStatus, style: Style) -> String {
    let mut text = format!(
        "{} in namespace {}: {}, epoch {}\n",
        style.paint(Strong, &look.name()),
        look.namespace(),
        phase(status, style),
        status.epoch
    );
    text.push_str(&table(style, "  ", &facts(look).map(|(name, value)| vec![Cell(Quiet, name.to_owned()), value])));
    for warning in silent_warning(look).into_iter().chain(paused_warning(look)) {
        let _ = writeln!(text, "{} {warning}", style.paint(Bad, "!"));
    }
    text
}

/// What is first to know of a pair.
pub(crate) fn facts(look: &Look) -> [(&'static str, Cell); 7] {
    let (spec, status) = (&look.pair.spec, look.status());
    let acknowledgement = &spec.replication.acknowledgement;
    let acknowledgement = match (acknowledgement.mode, acknowledgement.count) {
        (AcknowledgementMode::Any, Some(count)) => format!("Any {count}"),
        (mode, _) => format!("{mode:?}"),
    };
    let written = look.status_age().map_or_else(|| "never written".to_owned(), |age| format!("{} old", span(age)));
    [
        ("Active", Cell::from(status.active.clone().unwrap_or_else(|| "none yet".to_owned()))),
        ("Lease", lease(look)),
        ("Lag", lag(look, &status)),
        ("Kudu", spec.kudu.version.as_str().into()),
        ("Acknowledgement", acknowledgement.into()),
        ("Failover", format!("{:?}", spec.failover.mode).into()),
        ("Status", written.into()),
    ]
}

fn lag(look: &Look, status: &PairStatus) -> Cell {
    match (&status.lag, &status.lag_sampled_at) {
        (Some(lag), Some(at)) => Cell(Plain, format!("{lag}, measured {}", ago(look.now, at.0))),
        (Some(lag), None) => Cell(Attention, lag.clone()),
        (None, _) => "-".into(),
    }
}

/// That what is shown may be old.
pub(crate) fn silent_warning(look: &Look) -> Option<String> {
    let age = look.controller_silent()?;
    Some(format!(
        "The controller has written nothing for {}: it may be down. What is below is as old; the Lease was read just now. See its \
         pods: {CONTROLLER_PODS}",
        span(age)
    ))
}

/// That nothing is done for the pair.
pub(crate) fn paused_warning(look: &Look) -> Option<String> {
    look.pair.spec.paused.then(|| {
        format!(
            "The pair is paused: no failover, no switchover, no update. Go on with: kubectl kudupair resume -n {} {}",
            look.namespace(),
            look.name()
        )
    })
}

fn lease(look: &Look) -> Cell {
    let Some(lease) = look.lease_seen() else {
        return match look.lease {
            Some(_) => Cell(Bad, "cannot be read; see the controller's log".to_owned()),
            None => Cell(Attention, "there is none".to_owned()),
        };
    };
    let duration = look.observation().lease_duration();
    let duration = lease.duration.map_or(duration, |own| own.max(duration));
    lease_cell(&lease, duration, look.renewed_ago())
}

fn lease_cell(lease: &LeaseSeen, duration: std::time::Duration, renewed: Option<std::time::Duration>) -> Cell {
    let epoch = lease.epoch;
    match (lease.holder_member(), renewed, lease.last_op()) {
        (Some(holder), Some(renewed), _) if lease.over(duration) => Cell(
            Bad,
            format!(
                "over: {holder} did not renew it for {}, it lasts {} (epoch {epoch})",
                span(renewed),
                span(duration)
            ),
        ),
        (Some(holder), Some(renewed), _) => Cell(
            Plain,
            format!("held by {holder} for epoch {epoch}, renewed {} ago, lasts {}", span(renewed), span(duration)),
        ),
        (Some(holder), None, _) => Cell(Attention, format!("held by {holder} for epoch {epoch}, never renewed")),
        (None, _, Some(head)) => Cell(
            Attention,
            format!("released after epoch {epoch}: its holder's kudu-master is stopped, last operation {head}"),
        ),
        (None, ..) => Cell(Attention, format!("held by nobody, free for epoch {epoch}")),
    }
}

fn headings(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| Cell(Strong, (*name).to_owned())).collect()
}

fn members(look: &Look, status: &PairStatus, style: Style) -> String {
    if status.members.is_empty() {
        return String::new();
    }
    let mut rows = vec![headings(&["MEMBER", "ROLE", "STATE", "HEAD", "LAG", "SAMPLED", "TO REPLAY", "VERIFIED"])];
    rows.extend(status.members.iter().map(|member| member_row(look, member)));
    let mut text = table(style, "", &rows);
    for member in &status.members {
        if let Some(message) = &member.message {
            let _ = writeln!(text, "{} {}: {message}", style.paint(Attention, "!"), member.name);
        }
        if fenced::names(&look.pair).contains(&member.name.as_str()) {
            let unfence = format!("kubectl kudupair unfence -n {} {} {}", look.namespace(), member.name, look.name());
            let _ = writeln!(
                text,
                "{} {}: fenced, so it may not serve; {unfence}",
                style.paint(Attention, "!"),
                member.name
            );
        }
        if let Some(unfit) = member.unfit_log.as_ref().filter(|unfit| !unfit.replaced) {
            let _ = writeln!(text, "{} {}: its log is unfit: {}", style.paint(Bad, "!"), member.name, unfit.message);
        }
    }
    text
}

fn member_row(look: &Look, member: &MemberStatus) -> Vec<Cell> {
    let role = match member.role {
        Role::Active => Cell(Strong, "Active".to_owned()),
        role => format!("{role:?}").into(),
    };
    let tone = member_tone(member);
    let replay = match (member.pending_ops, member.predicted_replay_milliseconds) {
        (Some(ops), Some(time)) => format!("{}, {}", operations(ops), milliseconds(time)),
        (Some(ops), None) => operations(ops),
        _ => "-".to_owned(),
    };
    vec![
        member.name.as_str().into(),
        role,
        Cell(tone, format!("{:?}", member.state)),
        or_dash(member.head).into(),
        member_lag(member),
        or_dash(member.lag_sampled_at.as_ref().map(|at| ago(look.now, at.0))).into(),
        replay.into(),
        or_dash(member.verified_head).into(),
    ]
}

/// How good it is that a member is as it is.
pub(crate) fn member_tone(member: &MemberStatus) -> Tone {
    match member.state {
        MemberState::Serving | MemberState::Streaming => Good,
        MemberState::Failed | MemberState::Unreachable => Bad,
        _ => Attention,
    }
}

/// `0`, or how many operations, bytes and seconds.
pub(crate) fn member_lag(member: &MemberStatus) -> Cell {
    if member.role == Role::Active {
        return "-".into();
    }
    match member.lag_ops {
        None => Cell(Attention, "unknown".to_owned()),
        Some(0) => "0 operations".into(),
        Some(ops) => {
            let more = [member.lag_bytes.map(bytes), member.lag_milliseconds.map(milliseconds)];
            let parts: Vec<_> = std::iter::once(operations(ops)).chain(more.into_iter().flatten()).collect();
            parts.join(", ").into()
        }
    }
}

fn under_way(look: &Look, switch: &SwitchRecord, style: Style) -> String {
    let route = match (&switch.from, &switch.to) {
        (Some(from), Some(to)) => format!(" from {from} to {to}"),
        (Some(from), None) => format!(" from {from}"),
        (None, Some(to)) => format!(" to {to}"),
        (None, None) => String::new(),
    };
    let mut text = format!(
        "{} {:?}{route} to epoch {}, step {:?}, begun {}\n",
        style.paint(Strong, "UNDER WAY"),
        switch.kind,
        switch.epoch,
        switch.step,
        ago(look.now, switch.started_at.0)
    );
    if let Some(why) = &switch.why {
        let _ = writeln!(text, "  because: {why}");
    }
    if let Some(waiting) = &switch.waiting_for {
        let _ = writeln!(text, "  waits: {}", style.paint(Attention, waiting));
    }
    text
}

fn gaps(status: &PairStatus, style: Style) -> String {
    let open: Vec<_> = status.gaps.iter().filter(|gap| gap.is_open()).collect();
    if open.is_empty() {
        return String::new();
    }
    let mut rows = vec![headings(&["GAP", "MEMBER", "OPERATIONS", "STATE", "CHANGES"])];
    rows.extend(open.iter().map(|gap| {
        let more = (gap.more_changes > 0).then(|| format!("and {} more", gap.more_changes));
        let changes: Vec<_> = gap.changes.iter().cloned().chain(more).collect();
        vec![
            gap.name.as_str().into(),
            gap.member.as_str().into(),
            gap.ops.to_string().into(),
            Cell(Attention, format!("{:?}", gap.state)),
            changes.join(", ").into(),
        ]
    }));
    table(style, "", &rows)
}

/// What one receipt says in a few words.
pub(crate) fn receipt_row(look: &Look, receipt: &Receipt) -> Vec<Cell> {
    let outcome = match receipt.outcome {
        SwitchOutcome::Completed => "Completed".into(),
        SwitchOutcome::RolledBack => Cell(Attention, "RolledBack".to_owned()),
    };
    let lost = Cell(if receipt.ops_lost == "0" { Plain } else { Attention }, receipt.ops_lost.clone());
    let seconds = |text: &str| format!("{text} s");
    vec![
        ago(look.now, receipt.finished_at.0).into(),
        format!("{:?}", receipt.kind).into(),
        format!("{} -> {}", receipt.from.as_deref().unwrap_or("-"), receipt.to).into(),
        receipt.epoch.to_string().into(),
        outcome,
        lost,
        seconds(&receipt.detect_seconds).into(),
        seconds(&receipt.fence_seconds).into(),
        seconds(&receipt.replay_seconds).into(),
        seconds(&receipt.repoint_seconds).into(),
    ]
}

/// The names of what [`receipt_row`] gives.
pub(crate) fn receipt_headings() -> Vec<Cell> {
    headings(&["SWITCH", "KIND", "FROM -> TO", "EPOCH", "OUTCOME", "OPS LOST", "DETECT", "FENCE", "REPLAY", "REPOINT"])
}

fn receipts(look: &Look, status: &PairStatus, style: Style) -> String {
    if status.switches.is_empty() {
        return String::new();
    }
    let mut rows = vec![receipt_headings()];
    rows.extend(status.switches.iter().take(RECEIPTS).map(|receipt| receipt_row(look, receipt)));
    table(style, "", &rows)
}

/// How good it is that a condition is as it is.
pub(crate) fn tone_of(condition: &Condition) -> Tone {
    let good = match condition.type_.as_str() {
        "Switching" | "Paused" | "GapPending" | "Fenced" => "False",
        _ => "True",
    };
    match (condition.status.as_str(), condition.type_.as_str(), condition.reason.as_str()) {
        (status, ..) if status == good => Good,
        // As the spec asks for.
        (_, "Synchronous", "Async") | (_, "AutomaticFailover", "Off" | "Approval") => Plain,
        // Of a new pair.
        (_, "KillTimeKept", "NotMeasured") => Plain,
        ("Unknown", ..) => Attention,
        (_, "Ready", _) => Bad,
        _ => Attention,
    }
}

fn conditions(look: &Look, status: &PairStatus, style: Style) -> String {
    if status.conditions.is_empty() {
        return String::new();
    }
    let rank = |condition: &&Condition| match tone_of(condition) {
        Bad => 0,
        Attention => 1,
        _ => 2,
    };
    let mut ordered: Vec<_> = status.conditions.iter().collect();
    ordered.sort_by_key(rank);
    let mut rows = vec![headings(&["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"])];
    rows.extend(ordered.into_iter().map(|condition| {
        vec![
            condition.type_.as_str().into(),
            Cell(tone_of(condition), condition.status.clone()),
            span(super::words::since(look.now, condition.last_transition_time.0)).into(),
            condition.reason.as_str().into(),
            condition.message.as_str().into(),
        ]
    }));
    table(style, "", &rows)
}

fn switch_now(look: &Look, style: Style) -> String {
    let answer = look.switch_now(None);
    let title = style.paint(Strong, "A SWITCH NOW");
    match &answer.to {
        Some(to) if answer.possible => {
            format!("{title} would go to {}: kubectl kudupair switchover -n {} {}\n", to, look.namespace(), look.name())
        }
        _ => {
            let blockers: String = answer.blockers.iter().map(|blocker| format!("  - {blocker}\n")).collect();
            format!("{title} is {}:\n{blockers}", style.paint(Attention, "blocked"))
        }
    }
}

/// All pairs, those first that somebody has to look at.
pub(crate) fn list(looks: &[Look], with_namespace: bool, style: Style) -> String {
    let mut ordered: Vec<_> = looks.iter().collect();
    let key = |look: &&Look| {
        let urgent = match look.status().phase {
            Some(Phase::Down) => 3,
            Some(Phase::Running) => 0,
            Some(Phase::Degraded) | None => 1,
            Some(_) => 2,
        };
        (Reverse(urgent.max(u8::from(look.controller_silent().is_some()))), look.namespace(), look.name())
    };
    ordered.sort_by_cached_key(key);
    let mut names = vec!["PAIR", "PHASE", "ACTIVE", "EPOCH", "LAG", "SAMPLED", "RENEWED", "SWITCH NOW", "STATUS"];
    if with_namespace {
        names.insert(0, "NAMESPACE");
    }
    let mut rows = vec![headings(&names)];
    rows.extend(ordered.into_iter().map(|look| {
        let mut row = list_row(look);
        if with_namespace {
            row.insert(0, look.namespace().into());
        }
        row
    }));
    table(style, "", &rows)
}

fn list_row(look: &Look) -> Vec<Cell> {
    let status = look.status();
    let answer = look.switch_now(None);
    let switch = match answer.to {
        Some(to) if answer.possible => to.into(),
        _ => Cell(Attention, "blocked".to_owned()),
    };
    let over = look.lease_seen().is_none_or(|lease| lease.over(look.observation().lease_duration()));
    let renewed = or_dash(look.renewed_ago().map(|age| format!("{} ago", span(age))));
    let age = or_dash(look.status_age().map(|age| format!("{} old", span(age))));
    vec![
        look.name().into(),
        phase_cell(&status),
        or_dash(status.active).into(),
        status.epoch.to_string().into(),
        or_dash(status.lag).into(),
        or_dash(status.lag_sampled_at.map(|at| ago(look.now, at.0))).into(),
        Cell(if over { Bad } else { Plain }, renewed),
        switch,
        Cell(if look.controller_silent().is_some() { Bad } else { Plain }, age),
    ]
}
