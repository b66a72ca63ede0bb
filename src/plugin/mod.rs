//! `kubectl kudupair`: looks at pairs and asks their controller for things, by what the API server holds: objects, status and
//! annotations. It works as far as it can without the controller, and says when that seems to be down.
//!
//! Reading and asking is in [`cluster`] and [`ask`]; everything else is pure, from a [`look::Look`] to text.

mod ask;
mod cluster;
mod completion;
mod exit;
mod failover;
mod look;
mod status;
mod style;
#[cfg(test)]
mod tests;
mod words;

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

pub use exit::Exit;

use ask::{Outcome, Wish, ask, tell, unique};
use cluster::{Cluster, Reach};
use look::Look;
use style::Style;

use crate::api::{
    Answer, DryRunAnswer, PairStatus,
    names::{DRY_RUN_ANNOTATION, SWITCHOVER_ANY},
};

/// How often a watched pair is read.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// A controller that runs answers within a second.
const ANSWER: Duration = Duration::from_secs(15);
/// How often the status is read while an answer is awaited.
const EVERY: Duration = Duration::from_millis(250);

/// Look after Kudu master pairs.
///
/// A pair is an active kudu-master and one to four standbys that hold its log, behind one address. `status` shows how it is and
/// what would keep it from switching now; `switchover` lets another member serve, without loss; `failover` shows and gives the
/// approval that a pair asks for when its active is lost and the operator may not decide by itself.
///
/// Everything is read from, and asked for at, the Kubernetes API server: the pair's status, its Lease, and annotations that the
/// controller answers. With the controller down `status` still shows the last status, with its age, and who holds the Lease now.
#[derive(clap::Parser, Debug)]
#[command(
    name = "kubectl-kudupair",
    bin_name = "kubectl kudupair",
    version,
    after_long_help = after_help(),
)]
pub struct Plugin {
    #[command(flatten)]
    reach: Reach,
    /// How the answer is printed. Default: text for people.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", help_heading = cluster::HEADING)]
    output: Option<Output>,
    #[command(subcommand)]
    command: Command,
}

/// The end of `--help`.
fn after_help() -> String {
    format!(
        "PAIR may be left out where the namespace has only one.\n\n{}\n\nExamples:\n  \
         kubectl kudupair status                      # all pairs of the namespace, or the only one in full\n  \
         kubectl kudupair status demo -w              # watch it\n  \
         kubectl kudupair switchover demo --dry-run   # would it work?\n  \
         kubectl kudupair switchover demo --to demo-1\n  \
         kubectl kudupair failover demo               # what waits for me?",
        exit::HELP
    )
}

/// How an answer is printed.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

#[derive(Subcommand, Debug)]
enum Command {
    Status(StatusArgs),
    Switchover(SwitchoverArgs),
    Failover(FailoverArgs),
    /// Stop the operator from changing anything of a pair: no failover, no switchover, no update of objects.
    ///
    /// Masters that run go on, and the status is kept up to date. A lost active is not replaced until `resume`.
    Pause(PairArgs),
    /// Let the operator look after a paused pair again.
    Resume(PairArgs),
    Completion(completion::CompletionArgs),
    /// Completes a command line, as kubectl asks for it.
    #[command(name = completion::SUBCOMMAND, hide = true)]
    Complete(completion::CompleteArgs),
}

/// Show how pairs are.
///
/// With PAIR, or in a namespace with one pair: its members with role, state, head and lag with the age of the sample, the Lease,
/// a switch that is under way, the last receipts, the conditions (those first that somebody has to look at), and everything that
/// would keep a planned switch from being made now. Otherwise one line for each pair, the troubled ones first.
#[derive(Args, Debug)]
struct StatusArgs {
    /// The pair.
    pair: Option<String>,
    /// Show the pairs of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "pair")]
    all_namespaces: bool,
    /// Go on showing it, once a second, until interrupted.
    #[arg(short, long)]
    watch: bool,
}

/// Let another member serve, without loss.
///
/// The active stops and ships what is left of its log, the other member takes over with everything, and the address follows. Clients
/// wait for about a second. When the new one does not come to serve in time, the old one serves again (exit status 5). The request
/// is an annotation; one that nobody answers within 15 s is withdrawn.
#[derive(Args, Debug)]
struct SwitchoverArgs {
    /// The pair.
    pair: Option<String>,
    /// The member that is to serve. Default: the standby that is least behind.
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
    /// Only ask the controller whether it would do it now, and what stands in the way.
    #[arg(long)]
    dry_run: bool,
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
struct FailoverArgs {
    /// The pair.
    pair: Option<String>,
    /// Approve it; with a value only if that is still what is asked for.
    #[arg(long, value_name = "VALUE", num_args = 0..=1, require_equals = true)]
    approve: Option<Option<String>>,
    /// Wait so long for the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

#[derive(Args, Debug)]
struct PairArgs {
    /// The pair.
    pair: Option<String>,
}

impl Plugin {
    /// Does what was asked for.
    ///
    /// # Errors
    /// When it cannot be done; the text says what to do.
    pub fn run(self) -> anyhow::Result<Exit> {
        let done = match &self.command {
            Command::Completion(args) => args.print().map(|()| Exit::Done),
            _ => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.obey()),
        };
        match done {
            // Whoever reads has had enough.
            Err(error) if is_broken_pipe(&error) => Ok(Exit::Done),
            done => done,
        }
    }

    async fn obey(&self) -> anyhow::Result<Exit> {
        if let Command::Complete(args) = &self.command {
            let cluster = Cluster::reach(&self.reach.typed(args.words())).await;
            return args.print(cluster.ok()).await.map(|()| Exit::Done);
        }
        let cluster = Cluster::reach(&self.reach).await?;
        match &self.command {
            Command::Status(args) => self.status(&cluster, args).await,
            Command::Switchover(args) if args.dry_run => self.dry_run(&cluster, args).await,
            Command::Switchover(args) => self.switchover(&cluster, args).await,
            Command::Failover(args) => self.failover(&cluster, args).await,
            Command::Pause(args) => self.pause(&cluster, args, true).await,
            Command::Resume(args) => self.pause(&cluster, args, false).await,
            Command::Completion(_) | Command::Complete(_) => Ok(Exit::Done),
        }
    }

    /// Prints it as text or as the format asked for.
    fn print(&self, value: &impl Serialize, text: impl FnOnce(Style) -> String) -> anyhow::Result<()> {
        let text = match self.output {
            None => text(Style::of_stdout()),
            Some(Output::Json) => serde_json::to_string_pretty(value)? + "\n",
            Some(Output::Yaml) => serde_yaml::to_string(value)?,
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    async fn status(&self, cluster: &Cluster, args: &StatusArgs) -> anyhow::Result<Exit> {
        let mut shown = false;
        loop {
            match self.status_once(cluster, args, shown).await {
                Ok(()) => shown = true,
                // One that was shown goes on being watched, whatever happens to the network.
                Err(error) if shown && !is_broken_pipe(&error) => tell(&format!("{error:#}; trying again")),
                Err(error) => return Err(error),
            }
            if !args.watch {
                return Ok(Exit::Done);
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }

    async fn status_once(&self, cluster: &Cluster, args: &StatusArgs, again: bool) -> anyhow::Result<()> {
        let looks = match &args.pair {
            Some(name) => vec![cluster.look(Some(name)).await?],
            None => cluster.looks(args.all_namespaces).await?,
        };
        let one = match looks.as_slice() {
            [look] if !args.all_namespaces => Some(look),
            [] if !args.all_namespaces => {
                // Says what to name instead.
                cluster.pair(None).await?;
                None
            }
            _ => None,
        };
        if args.watch && self.output.is_none() {
            self.begin_frame(again)?;
        }
        match one {
            Some(look) => self.print(&status::report(look), |style| status::text(look, style)),
            None => self.print(&looks.iter().map(status::report).collect::<Vec<_>>(), |style| {
                status::list(&looks, args.all_namespaces, style)
            }),
        }
    }

    /// On a terminal each look takes the place of the one before; elsewhere it comes behind it.
    fn begin_frame(&self, again: bool) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            out.write_all(b"\x1b[H\x1b[2J\x1b[3J")?;
        } else if again {
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    async fn switchover(&self, cluster: &Cluster, args: &SwitchoverArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let value = unique(args.to.as_deref().unwrap_or(SWITCHOVER_ANY), look.now);
        let outcome = ask(cluster, &look, Wish::Switchover, &value, Duration::from_secs(args.timeout)).await?;
        self.outcome(&outcome)
    }

    fn outcome(&self, outcome: &Outcome) -> anyhow::Result<Exit> {
        self.print(outcome, |_| outcome.text())?;
        Ok(outcome.exit())
    }

    async fn dry_run(&self, cluster: &Cluster, args: &SwitchoverArgs) -> anyhow::Result<Exit> {
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

    async fn failover(&self, cluster: &Cluster, args: &FailoverArgs) -> anyhow::Result<Exit> {
        let look = cluster.look(args.pair.as_deref()).await?;
        let refused =
            |message: String| Outcome { request: String::new(), answer: Some(Answer::Refused), message, receipt: None };
        let proposal = match failover::proposal(&look) {
            Ok(proposal) => proposal,
            Err(why) => return self.outcome(&refused(why)),
        };
        let Some(approved) = &args.approve else {
            let shown = Outcome {
                request: proposal.value.clone(),
                answer: None,
                message: proposal.message.clone(),
                receipt: None,
            };
            self.print(&shown, |_| proposal.text(&look))?;
            return Ok(Exit::Done);
        };
        if let Some(approved) = approved.as_ref().filter(|approved| **approved != proposal.value) {
            let why = format!("{approved} is not what is asked for now, which is {}; look at it again", proposal.value);
            return self.outcome(&refused(why));
        }
        let patience = Duration::from_secs(args.timeout);
        let outcome = ask(cluster, &look, proposal.wish, &proposal.value, patience).await?;
        self.outcome(&outcome)
    }

    async fn pause(&self, cluster: &Cluster, args: &PairArgs, paused: bool) -> anyhow::Result<Exit> {
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
struct Said {
    name: String,
    paused: bool,
    seen_by_controller: bool,
}

impl Said {
    fn text(&self) -> String {
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
                look::CONTROLLER_PODS
            )
        };
        format!("{} {what}{seen}\n", self.name)
    }
}

/// The answer to a dry run for people.
fn dry_run_text(answer: &DryRunAnswer, by_the_status_alone: bool) -> String {
    let mut text = match &answer.to {
        Some(to) if answer.possible => format!("yes: {to} would take over; nothing was done\n"),
        _ => format!("no:\n{}", answer.blockers.iter().map(|why| format!("  - {why}\n")).collect::<String>()),
    };
    if by_the_status_alone {
        text.push_str(&format!(
            "The controller did not answer within {} s; this is what its last status tells. See its pods: {}\n",
            ANSWER.as_secs(),
            look::CONTROLLER_PODS
        ));
    }
    text
}

/// Reads the status until it tells what is wanted; none when it does not in time.
async fn await_status<T>(
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

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
