//! `kudu-pair gap`: what a lost active had alone, and what of it can be replayed.

mod error;
mod list;
mod log;
mod plan;
mod replay;
mod show;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand, ValueEnum};

pub use error::GapCommandError;

use crate::wal::OpId;

/// Look at a gap: operations that a lost active had and its successor never got.
///
/// When a lost active comes back, they are kept below `gaps/` on its log's volume, and its whole old log below `quarantine/` in a
/// folder named after its generation. These commands read such a folder and the new active's log. All but `replay` and `discard` open files
/// read-only and change nothing.
///
/// A log is given as its folder of segments (wal-000000001), or as a generation's folder or an --fs_wal_dir, with `wals` in it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
An operation's name is its OpId, term.index. The diff-head is the last operation at which both logs agree; the gap is what \
the old log has behind it. `show` tells each operation as what a person did (CREATE TABLE sales, 8 tablets) or what Kudu did by \
itself (a tablet's leader moved). `plan` says for each table what would become of it:

  replay           the new active has not touched the table, its name or its tablets since the diff-head
  alreadyReplayed  this gap was replayed before
  superseded       there is nothing to do: newer reports, the same change on both sides, keys of an earlier reign
  conflict         a person has to choose; the plan says between what, and what each choice would do

A plan is computed from the two logs alone: the same logs give the same plan.

Exit status: 0 done, and no conflict; 1 the plan has conflicts; 2 a log could not be read or the two do not meet.

Examples:
  kudu-pair gap list /var/lib/kudu/wal
  kudu-pair gap show /var/lib/kudu/wal/gaps/demo-0-1000001.208
  kudu-pair gap show /var/lib/kudu/wal/quarantine/gen-1 --after 1000001.205
  kudu-pair gap plan /old/wal/gaps/demo-0-1000001.208 --active /new/wal/gen-2 -o json
  kudu-pair gap replay /old/wal/gaps/demo-0-1000001.208 --into /new/wal/gen-2")]
pub struct GapArgs {
    #[command(subcommand)]
    command: GapCommand,
}

/// What to do with a gap.
#[derive(Debug, Subcommand)]
pub enum GapCommand {
    /// List the gaps that are kept and the logs in quarantine: their operations, and what is behind the diff-head.
    List {
        /// A volume with a `gaps` or `quarantine` folder, such a folder, or one log in it.
        dir: PathBuf,
        /// The log of the new active, to tell where the diff-head is.
        #[arg(long, value_name = "DIR")]
        active: Option<PathBuf>,
        /// How to print.
        #[command(flatten)]
        output: Output,
    },
    /// Tell each operation as what a person or Kudu did.
    Show {
        /// The old active's log.
        gap: PathBuf,
        /// The log of the new active: only what is behind the diff-head is shown.
        #[arg(long, value_name = "DIR", conflicts_with = "after")]
        active: Option<PathBuf>,
        /// Show only what is behind this operation [default: the whole log].
        #[arg(long, value_name = "OPID")]
        after: Option<OpId>,
        /// Leave out what Kudu did by itself.
        #[arg(long)]
        people: bool,
        /// How to print.
        #[command(flatten)]
        output: Output,
    },
    /// Say for each table whether the gap's operations can be replayed, why, and what each choice would do.
    Plan {
        /// The old active's log.
        gap: PathBuf,
        /// The log of the new active [default: the log in use on the volume of a kept gap, whose member follows the active].
        #[arg(long, value_name = "DIR")]
        active: Option<PathBuf>,
        /// A file with the ids of all tablets that tablet servers hold, one a line, as `kudu remote_replica list` shows them: a
        /// table without its tablets is not replayed.
        #[arg(long, value_name = "FILE")]
        tablets: Option<PathBuf>,
        /// The pair's master, whose tablet servers are asked for that: HOST:PORT. When one of them does not answer, the plan is made without.
        #[arg(long, value_name = "ADDRESS", conflicts_with = "tablets")]
        master: Option<String>,
        /// How to print.
        #[command(flatten)]
        output: Output,
    },
    /// Add what can be replayed behind the head of a stopped master's log. In a pair its member does that when it serves again.
    Replay {
        /// The kept gap, or the old active's log.
        gap: PathBuf,
        /// The folder of the stopped master: its generation's, or its --fs_wal_dir.
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
    },
    /// Mark a kept gap as given up. Its files stay. In a pair use the annotation kudupair.io/gap.
    Discard {
        /// A folder below `gaps`.
        gap: PathBuf,
    },
}

/// How to print.
#[derive(Debug, Args)]
pub struct Output {
    /// For people, or for programs.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text.
    Text,
    /// One JSON value.
    Json,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and nobody is needed.
    Ok,
    /// The plan has conflicts.
    Conflicts,
}

impl Outcome {
    /// The exit status that says so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Conflicts => 1,
        }
    }
}

/// The exit status when a log could not be read.
pub const UNREADABLE: u8 = 2;

impl GapArgs {
    /// Runs the command, prints to `out`, says on the standard error what went wrong, and returns the exit status.
    pub fn run_and_tell(&self, out: &mut dyn Write) -> u8 {
        match self.run(out) {
            Ok(outcome) => outcome.exit_code(),
            Err(error) => {
                eprintln!("kudu-pair: {error}");
                UNREADABLE
            }
        }
    }

    /// Runs the command and prints to `out`.
    ///
    /// # Errors
    /// If a log cannot be read, or the logs do not meet: exit status [`UNREADABLE`].
    pub fn run(&self, out: &mut dyn Write) -> Result<Outcome, GapCommandError> {
        let result = match &self.command {
            GapCommand::List { dir, active, output } => list::list(dir, active.as_deref(), output.output, out),
            GapCommand::Show { gap, active, after, people, output } => {
                show::show(gap, active.as_deref(), *after, *people, output.output, out)
            }
            GapCommand::Plan { gap, active, tablets, master, output } => {
                let held = match (tablets, master) {
                    (Some(file), _) => Some(plan::tablet_ids(file)?),
                    (None, Some(master)) => plan::ask_for_tablets(master),
                    (None, None) => None,
                };
                plan::show_plan(gap, active.as_deref(), held.as_ref(), output.output, out)
            }
            GapCommand::Replay { gap, into } => replay::replay(gap, into, out),
            GapCommand::Discard { gap } => replay::discard(gap, out),
        };
        match result {
            // Whoever reads the output (`head`) has seen enough.
            Err(GapCommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Ok),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::waldir::{list_segments, testkit::FakeKudu};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        gap: GapArgs,
    }

    fn run(args: &[&str]) -> (Result<Outcome, GapCommandError>, String) {
        let cli = Cli::try_parse_from([&["gap"], args].concat()).unwrap();
        let mut out = Vec::new();
        let outcome = cli.gap.run(&mut out);
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn wrong_folders_are_explained() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let said = |args: &[&str]| run(args).0.unwrap_err().to_string();
        assert!(said(&["list", path]).contains("no gap was kept on this volume"));
        assert!(said(&["show", path]).contains("give a folder below `quarantine`"));
        assert!(said(&["plan", path, "--active", path]).starts_with(path));
        assert!(said(&["list", "/nonexistent"]).contains("/nonexistent"));
    }

    #[test]
    fn logs_in_quarantine_are_listed() {
        let mut kudu = FakeKudu::start();
        kudu.ops(4);
        let volume = tempfile::tempdir().unwrap();
        let kept = volume.path().join("quarantine/gen-1");
        fs::create_dir_all(&kept).unwrap();
        for segment in list_segments(&kudu.dir).unwrap() {
            fs::copy(&segment.path, kept.join(segment.path.file_name().unwrap())).unwrap();
        }
        let (last, dir) = (kudu.ids().last().unwrap().to_string(), volume.path().to_str().unwrap().to_owned());
        let (outcome, out) = run(&["list", &dir]);
        assert_eq!(outcome.unwrap(), Outcome::Ok);
        assert!(out.contains(&last) && out.contains("quarantine/gen-1"), "{out}");
        let (_, out) = run(&["list", &dir, "--active", kudu.dir.to_str().unwrap(), "-o", "json"]);
        let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&listed[0]["gapOps"], &listed[0]["diffHead"]), (&json!(0), &json!(last)));
        let gone = run(&["show", kept.to_str().unwrap(), "--after", "9.9"]).0.unwrap_err().to_string();
        assert!(gone.contains("there is no operation 9.9 in this log"), "{gone}");
    }
}
