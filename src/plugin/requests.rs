//! What is asked of the controller: `switchover`, `failover`, `pause`, `resume`.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{
    PairArgs, Plugin,
    ask::{Outcome, Wish, ask, unique},
    cluster::Cluster,
    exit::Exit,
    failover,
    look::CONTROLLER_PODS,
};
use crate::api::{
    DryRunAnswer, PairStatus,
    names::{DRY_RUN_ANNOTATION, SWITCHOVER_ANY},
};

/// A controller that runs answers within a second.
const ANSWER: Duration = Duration::from_secs(15);
/// How often the status is read while an answer is awaited.
const EVERY: Duration = Duration::from_millis(250);

/// Let another member serve, without loss.
///
/// The active stops and ships what is left of its log, the other member takes over with everything, and the address follows. Clients
/// wait for about a second. When the new one does not come to serve in time, the old one serves again (exit status 5). The request
/// is an annotation; one that nobody answers within 15 s is withdrawn.
#[derive(Args, Debug)]
pub(super) struct SwitchoverArgs {
    /// The pair.
    pair: Option<String>,
    /// The member that is to serve. Default: the standby that is least behind.
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
    /// Only ask the controller whether it would do it now, and what stands in the way.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Wait so long for the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Show the failover that waits for a person's approval, and approve it.
///
/// A pair asks for approval when its active is lost and `spec.failover.mode` is `Approval` or `Off`, when more would be lost than
/// `maxLossOps` and `maxLossSeconds` allow, or after too many failovers within an hour. Without --approve nothing is changed: who
/// would take over and what that loses is shown (exit status 3 when nothing waits). An approval holds for that epoch, that member and
/// no greater loss.
#[derive(Args, Debug)]
pub(super) struct FailoverArgs {
    /// The pair.
    pair: Option<String>,
    /// Approve it; with a value only if that is still what is asked for.
    #[arg(long, value_name = "VALUE", num_args = 0..=1, require_equals = true)]
    approve: Option<Option<String>>,
    /// Wait so long for the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl Plugin {
    pub(super) async fn switchover(&self, cluster: &Cluster, args: &SwitchoverArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let value = unique(args.to.as_deref().unwrap_or(SWITCHOVER_ANY), look.now);
        let outcome = ask(cluster, &look, Wish::Switchover, &value, Duration::from_secs(args.timeout)).await?;
        self.outcome(&outcome)
    }

    pub(super) fn outcome(&self, outcome: &Outcome) -> anyhow::Result<Exit> {
        self.print(outcome, |_| outcome.text())?;
        Ok(outcome.exit())
    }

    pub(super) async fn dry_run(&self, cluster: &Cluster, args: &SwitchoverArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let value = unique(args.to.as_deref().unwrap_or(SWITCHOVER_ANY), look.now);
        cluster.annotate(&look.name(), DRY_RUN_ANNOTATION, &value).await?;
        let patience = ANSWER.min(Duration::from_secs(args.timeout));
        let answered = |status: &PairStatus| status.switchover_dry_run.clone().filter(|answer| answer.request == value);
        let (answer, exit) = match await_status(cluster, &look.name(), patience, answered).await? {
            Some(answer) if answer.possible => (answer, Exit::Done),
            Some(answer) => (answer, Exit::No),
            None => (look.switch_now(args.to.as_deref()), Exit::NoAnswer),
        };
        self.print(&answer, |_| dry_run_text(&answer, exit == Exit::NoAnswer))?;
        Ok(exit)
    }

    pub(super) async fn failover(&self, cluster: &Cluster, args: &FailoverArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let proposal = match failover::proposal(&look) {
            Ok(proposal) => proposal,
            Err(why) => return self.outcome(&Outcome::refused(why)),
        };
        let Some(approved) = &args.approve else {
            let shown = Outcome {
                request: proposal.value.clone(),
                answer: None,
                message: proposal.message.clone(),
                receipt: None,
                overdue: false,
            };
            self.print(&shown, |_| proposal.text(&look))?;
            return Ok(Exit::Done);
        };
        if let Some(approved) = approved.as_ref().filter(|approved| **approved != proposal.value) {
            let why = format!("{approved} is not what is asked for now, which is {}; look at it again", proposal.value);
            return self.outcome(&Outcome::refused(why));
        }
        let patience = Duration::from_secs(args.timeout);
        let outcome = ask(cluster, &look, proposal.wish, &proposal.value, patience).await?;
        self.outcome(&outcome)
    }

    pub(super) async fn pause(&self, cluster: &Cluster, args: &PairArgs, paused: bool) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let name = look.name();
        let changed = cluster.set_paused(&name, paused).await?;
        let generation = changed.metadata.generation;
        let seen = |status: &PairStatus| (status.observed_generation >= generation).then_some(());
        let seen = await_status(cluster, &name, ANSWER, seen).await?.is_some();
        let said = Said { name: name.clone(), paused, seen_by_controller: seen };
        self.print(&said, |_| said.text())?;
        Ok(if seen { Exit::Done } else { Exit::NoAnswer })
    }
}

/// What `pause` and `resume` print.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    pub(super) name: String,
    pub(super) paused: bool,
    pub(super) seen_by_controller: bool,
}

impl Said {
    pub(super) fn text(&self) -> String {
        let what = if self.paused {
            "is paused: no failover, no switchover, no update; masters that run go on"
        } else {
            "goes on: the operator looks after it again"
        };
        let seen = if self.seen_by_controller {
            String::new()
        } else {
            format!(
                ". The controller has not taken notice within {} s and will when it runs; see its pods: {}",
                ANSWER.as_secs(),
                CONTROLLER_PODS
            )
        };
        format!("{} {what}{seen}\n", self.name)
    }
}

/// The answer to a dry run for people.
pub(super) fn dry_run_text(answer: &DryRunAnswer, by_the_status_alone: bool) -> String {
    let mut text = match &answer.to {
        Some(to) if answer.possible => format!("yes: {to} would take over; nothing was done\n"),
        _ => format!("no:\n{}", answer.blockers.iter().map(|why| format!("  - {why}\n")).collect::<String>()),
    };
    if by_the_status_alone {
        text.push_str(&format!(
            "The controller did not answer within {} s; this is what its last status tells. See its pods: {}\n",
            ANSWER.as_secs(),
            CONTROLLER_PODS
        ));
    }
    text
}

/// Reads the status until it tells what is wanted; none when it does not in time.
pub(super) async fn await_status<T>(
    cluster: &Cluster,
    name: &str,
    patience: Duration,
    wanted: impl Fn(&PairStatus) -> Option<T>,
) -> anyhow::Result<Option<T>> {
    let begun = std::time::Instant::now();
    loop {
        let pair = cluster.pair(Some(name)).await?;
        if let Some(found) = pair.status.as_ref().and_then(&wanted) {
            return Ok(Some(found));
        }
        if begun.elapsed() >= patience {
            return Ok(None);
        }
        tokio::time::sleep(EVERY).await;
    }
}
