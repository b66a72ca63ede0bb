//! `kubectl kudupair`: looks at pairs and asks their controller for things, by what the API server holds: objects, status and
//! annotations. It works as far as it can without the controller, and says when that seems to be down.
//!
//! Reading and asking is in [`cluster`] and [`ask`]; everything else is pure, from a [`look::Look`] to text.

mod ask;
mod cluster;
mod completion;
mod drill;
mod exit;
mod explain;
mod failover;
mod fence;
mod gap;
mod logs;
mod look;
mod redact;
mod report;
mod requests;
mod status;
mod style;
mod tar;
#[cfg(test)]
pub(crate) mod tests;
mod watch;
mod words;

use std::io::{self, Write as _};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

pub use exit::Exit;
// What the controller's page says in the same words.
pub(crate) use look::Look;
pub(crate) use status::{facts, member_lag, member_tone, paused_warning, phase_cell, silent_warning, tone_of};
pub(crate) use style::{Cell, Tone};
pub(crate) use words::{milliseconds, operations, since, span};

use cluster::{Cluster, Reach};
use requests::{FailoverArgs, SwitchoverArgs};
use style::Style;
use watch::StatusArgs;

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
    /// Say why a pair is as it is: each rule with its numbers.
    ///
    /// Whether the active serves, whether an active that cannot renew its Lease is dead before another one can take it, whether each
    /// standby is in sync, whether a lost active would be replaced without a person, whether a planned switch would be begun now:
    /// each with the inequalities that decide it, by what the status and the Lease tell.
    Explain(PairArgs),
    Switchover(SwitchoverArgs),
    Failover(FailoverArgs),
    /// Stop the operator from changing anything of a pair: no failover, no switchover, no update of objects.
    ///
    /// Masters that run go on, and the status is kept up to date. A lost active is not replaced until `resume`.
    Pause(PairArgs),
    /// Let the operator look after a paused pair again.
    Resume(PairArgs),
    /// Keep a member from serving until it is unfenced.
    ///
    /// The member stays a standby: it goes on to receive the log and to confirm, but no switch and no failover lets it serve. The active
    /// hands over first, by a planned switch, and serves on while nobody else can. The last member that may serve cannot be fenced.
    Fence(fence::FenceArgs),
    /// Let a fenced member serve again when a switch chooses it.
    Unfence(fence::UnfenceArgs),
    Gap(gap::GapArgs),
    Logs(logs::LogsArgs),
    Drill(drill::DrillArgs),
    Report(report::ReportArgs),
    Completion(completion::CompletionArgs),
    /// Completes a command line, as kubectl asks for it.
    #[command(name = completion::SUBCOMMAND, hide = true)]
    Complete(completion::CompleteArgs),
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
            Command::Explain(args) => {
                let explanation = explain::explain(&cluster.look(args.pair.as_deref()).await?);
                self.print(&explanation, |style| explanation.text(style))?;
                Ok(Exit::Done)
            }
            Command::Switchover(args) if args.dry_run => self.dry_run(&cluster, args).await,
            Command::Switchover(args) => self.switchover(&cluster, args).await,
            Command::Failover(args) => self.failover(&cluster, args).await,
            Command::Pause(args) => self.pause(&cluster, args, true).await,
            Command::Resume(args) => self.pause(&cluster, args, false).await,
            Command::Fence(args) => self.fence(&cluster, args).await,
            Command::Unfence(args) => self.unfence(&cluster, args).await,
            Command::Gap(args) => self.gap(&cluster, args).await,
            Command::Logs(args) => self.logs(&cluster, args).await,
            Command::Drill(args) => self.drill(&cluster, args).await,
            Command::Report(args) => self.report(&cluster, args).await,
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
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
