//! `drill`: a planned switch and back, with times, and the history of it.

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::{
    Plugin,
    ask::{Outcome, Wish, ask, tell, unique},
    cluster::Cluster,
    exit::Exit,
    look::Look,
    requests::await_status,
    style::{Cell, Style, Tone, table},
    words::ago,
};
use crate::api::{
    Answer, KuduMasterPair, Phase, Receipt,
    names::{DRILLS_ANNOTATION, SWITCHOVER_ANY},
};

/// So many drills are kept.
const KEPT: usize = 10;

/// Switch over and back, and keep how long that took.
///
/// A pair that was never switched is a pair of which nobody knows whether it can. The drill begins only when the pair is Running and
/// a switch would be made; it switches, waits until every standby follows again, and switches back. Nothing is lost; clients wait twice
/// for about a second. The last ten drills are kept in the pair's annotation kudupair.io/drills.
#[derive(Args, Debug)]
pub(super) struct DrillArgs {
    /// The pair.
    pair: Option<String>,
    /// The member that is to serve in between. Default: the standby that is least behind.
    #[arg(long, value_name = "MEMBER", conflicts_with = "history")]
    to: Option<String>,
    /// Only show the drills that were made.
    #[arg(long)]
    history: bool,
    /// Wait so long for the end of each switch, and for the standbys after it.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// One drill, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drill {
    /// When it was begun.
    pub(super) at: Timestamp,
    /// The active, and who served in between.
    pub(super) from: String,
    /// The member that served in between.
    pub(super) to: String,
    /// The way there.
    pub(super) there: Leg,
    /// The way back.
    pub(super) back: Leg,
}

/// One of its switches, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Leg {
    epoch: i64,
    fence_seconds: String,
    replay_seconds: String,
    repoint_seconds: String,
    /// From the decision until the Service pointed at the new active.
    total_seconds: String,
    /// Until every standby followed it again.
    in_sync_seconds: String,
}

impl Leg {
    pub(super) fn of(receipt: &Receipt, in_sync: Duration) -> Self {
        let total = super::words::since(receipt.finished_at.0, receipt.started_at.0);
        Self {
            epoch: receipt.epoch,
            fence_seconds: receipt.fence_seconds.clone(),
            replay_seconds: receipt.replay_seconds.clone(),
            repoint_seconds: receipt.repoint_seconds.clone(),
            total_seconds: format!("{:.1}", total.as_secs_f64()),
            in_sync_seconds: format!("{:.1}", in_sync.as_secs_f64()),
        }
    }
}

/// The drills of this pair, the newest first; an annotation that somebody has spoilt counts as none.
pub(super) fn history(pair: &KuduMasterPair) -> Vec<Drill> {
    let kept = pair.annotations().get(DRILLS_ANNOTATION);
    kept.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

impl Plugin {
    pub(super) async fn drill(&self, cluster: &Cluster, args: &DrillArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        if args.history {
            let drills = history(&look.pair);
            self.print(&drills, |style| text(&drills, look.now, style))?;
            return Ok(Exit::Done);
        }
        let (from, to) = match ready(&look, args.to.as_deref()) {
            Ok(route) => route,
            Err(why) => {
                let refused = Outcome::refused(format!("no drill is begun: {why}"));
                return self.outcome(&refused);
            }
        };
        let patience = Duration::from_secs(args.timeout);
        tell(&format!("{to} is to take over from {from}, and then give back"));
        let there = match leg(cluster, &look, &to, patience).await? {
            Ok(there) => there,
            Err(outcome) => return self.outcome(&outcome),
        };
        let look = cluster.look(Some(&look.name())).await?;
        let back = match leg(cluster, &look, &from, patience).await? {
            Ok(back) => back,
            Err(outcome) => bail!(
                "{to} serves now, and {from} did not take over again ({}); when it can: kubectl kudupair switchover -n {} {} --to \
                 {from}",
                outcome.message,
                look.namespace(),
                look.name()
            ),
        };
        let drill = Drill { at: look.now, from, to, there, back };
        let drills: Vec<_> = std::iter::once(drill).chain(history(&look.pair)).take(KEPT).collect();
        cluster.annotate(&look.name(), DRILLS_ANNOTATION, &serde_json::to_string(&drills)?).await?;
        self.print(&drills.first(), |style| text(drills.get(..1).unwrap_or_default(), look.now, style))?;
        Ok(Exit::Done)
    }
}

/// From whom to whom the drill goes, or why it does not begin.
pub(super) fn ready(look: &Look, to: Option<&str>) -> Result<(String, String), String> {
    let status = look.status();
    let answer = look.switch_now(Some(to.unwrap_or(SWITCHOVER_ANY)));
    match (status.active, answer.to) {
        _ if !answer.possible => Err(answer.blockers.join("; ")),
        _ if status.phase != Some(Phase::Running) => {
            Err(format!("the pair is {:?} and would have to be Running", status.phase.unwrap_or(Phase::Pending)))
        }
        (Some(from), Some(to)) => Ok((from, to)),
        _ => Err("no member is active yet".to_owned()),
    }
}

/// One switch, and the wait until the pair is whole again; otherwise what came of it.
async fn leg(cluster: &Cluster, look: &Look, to: &str, patience: Duration) -> anyhow::Result<Result<Leg, Outcome>> {
    let begun = Instant::now();
    let outcome = ask(cluster, look, Wish::Switchover, &unique(to, look.now), patience).await?;
    let Some(receipt) = outcome.receipt.as_ref().filter(|_| outcome.answer == Some(Answer::Completed)) else {
        return Ok(Err(outcome));
    };
    tell(&outcome.message);
    let running = |status: &crate::api::PairStatus| (status.phase == Some(Phase::Running)).then_some(());
    if await_status(cluster, &look.name(), patience, running).await?.is_none() {
        bail!(
            "{to} serves now, but the standbys do not follow it after {} s; see: kubectl kudupair explain -n {} {}",
            patience.as_secs(),
            look.namespace(),
            look.name()
        );
    }
    Ok(Ok(Leg::of(receipt, begun.elapsed())))
}

/// Drills with their times.
pub(super) fn text(drills: &[Drill], now: Timestamp, style: Style) -> String {
    if drills.is_empty() {
        return "no drill was made yet\n".to_owned();
    }
    let names = ["DRILL", "WAY", "EPOCH", "FENCE", "REPLAY", "REPOINT", "TOTAL", "IN SYNC AFTER"];
    let mut rows = vec![names.map(|name| Cell(Tone::Strong, name.to_owned())).to_vec()];
    for drill in drills {
        let there = (format!("{} -> {}", drill.from, drill.to), &drill.there);
        let back = (format!("{} -> {}", drill.to, drill.from), &drill.back);
        for (first, (way, leg)) in [there, back].into_iter().enumerate() {
            let at = if first == 0 { ago(now, drill.at) } else { String::new() };
            let seconds = |text: &str| Cell::from(format!("{text} s"));
            rows.push(vec![
                at.into(),
                way.into(),
                leg.epoch.to_string().into(),
                seconds(&leg.fence_seconds),
                seconds(&leg.replay_seconds),
                seconds(&leg.repoint_seconds),
                seconds(&leg.total_seconds),
                seconds(&leg.in_sync_seconds),
            ]);
        }
    }
    table(style, "", &rows)
}
