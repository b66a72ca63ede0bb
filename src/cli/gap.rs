//! `kudu-pair gap`: what a lost active had alone, and what of it can be replayed. Reads files and changes nothing.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::json;

use crate::{
    catalog::CatalogError,
    gap::{Described, Gap, GapError, Plan, Sides, Verdict, describe, plan, read},
    wal::{LogEntry, OpId, Replicate, TermHistory},
    waldir::{ReadError, list_segments, read_log, stopped_log_dir, tablet_wal_dir},
};

/// Look at a gap: operations that a lost active had and its successor never got.
///
/// When a lost active comes back, its old log is kept below `quarantine/` on its volume, in a folder named after its
/// generation (`quarantine/gen-1`). These commands read such a folder and the new active's log. They open files read-only and
/// change nothing.
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
  kudu-pair gap show /var/lib/kudu/wal/quarantine/gen-1 --after 1000001.205
  kudu-pair gap plan /old/wal/quarantine/gen-1 --active /new/wal/gen-2 -o json")]
pub struct GapArgs {
    #[command(subcommand)]
    command: GapCommand,
}

/// What to do with a gap.
#[derive(Debug, Subcommand)]
pub enum GapCommand {
    /// List the logs that are in quarantine: their operations, and what is behind the diff-head.
    List {
        /// A volume with a `quarantine` folder, that folder, or one log in it.
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
        /// The log of the new active.
        #[arg(long, value_name = "DIR")]
        active: PathBuf,
        /// A file with the ids of all tablets that tablet servers hold, one a line, as `kudu remote_replica list` shows them: a
        /// table without its tablets is not replayed.
        #[arg(long, value_name = "FILE")]
        tablets: Option<PathBuf>,
        /// How to print.
        #[command(flatten)]
        output: Output,
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

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GapCommandError {
    /// The log cannot be listed or read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The folder is no log.
    #[error(
        "{0}: there are neither log segments (wal-000000001) nor a `wals` folder here: give a folder below `quarantine`, a \
         generation's folder, or a server's --fs_wal_dir"
    )]
    NoLog(PathBuf),
    /// There is no quarantine.
    #[error("{0}: there is no `quarantine` folder here, and no log: no gap was kept on this volume")]
    NoQuarantine(PathBuf),
    /// The log does not part there.
    #[error("{path}: {source}")]
    Part {
        /// The log.
        path: PathBuf,
        /// Why.
        source: GapError,
    },
    /// The two logs have nothing in common.
    #[error(
        "{gap} and {active} have no operation in common: one of them is another catalog's, or the active no longer keeps that \
         part of its log. Give segments that go further back, or --after"
    )]
    NothingInCommon {
        /// The old log.
        gap: PathBuf,
        /// The new one.
        active: PathBuf,
    },
    /// The two logs hold different operations under one name.
    #[error("{gap} and {active} have different operations named {op}: they are not logs of one pair")]
    Different {
        /// The old log.
        gap: PathBuf,
        /// The new one.
        active: PathBuf,
        /// The operation.
        op: OpId,
    },
    /// An operation cannot be read, so it is not known which table it is about.
    #[error("{gap} and {active}: there is no plan, since {source}")]
    Plan {
        /// The old log.
        gap: PathBuf,
        /// The new one.
        active: PathBuf,
        /// Why.
        source: CatalogError,
    },
    /// A file cannot be read.
    #[error("{path}: cannot read the ids of tablets: {source}")]
    Tablets {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

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
            GapCommand::List { dir, active, output } => list(dir, active.as_deref(), output.output, out),
            GapCommand::Show { gap, active, after, people, output } => {
                show(gap, active.as_deref(), *after, *people, output.output, out)
            }
            GapCommand::Plan { gap, active, tablets, output } => {
                show_plan(gap, active, tablets.as_deref(), output.output, out)
            }
        };
        match result {
            // Whoever reads the output (`head`) has seen enough.
            Err(GapCommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Ok),
            result => result,
        }
    }
}

/// A log that was read.
struct Log {
    path: PathBuf,
    ops: Vec<Replicate>,
}

impl Log {
    fn read(path: &Path) -> Result<Self, GapCommandError> {
        let dir = if path.join("wals").is_dir() { tablet_wal_dir(path, None) } else { path.to_owned() };
        let dir = stopped_log_dir(&dir);
        if list_segments(&dir)?.is_empty() {
            return Err(GapCommandError::NoLog(path.to_owned()));
        }
        let mut ops = Vec::new();
        read_log(&dir, |_, entry| {
            if let LogEntry::Replicate(op) = entry {
                ops.push(op.clone());
            }
        })?;
        Ok(Self { path: path.to_owned(), ops })
    }

    fn history(&self) -> TermHistory {
        self.ops.iter().map(Replicate::id).collect()
    }

    fn op(&self, id: OpId) -> Option<&Replicate> {
        self.ops.iter().find(|op| op.id() == id)
    }

    fn part(&self, after: Option<OpId>) -> Result<Gap, GapCommandError> {
        read(&self.ops, after).map_err(|source| GapCommandError::Part { path: self.path.clone(), source })
    }

    /// The last operation that this log and the new active's have in common.
    fn diff_head(&self, active: &Self) -> Result<OpId, GapCommandError> {
        let (gap, path) = (self.path.clone(), active.path.clone());
        let Some(op) = active.history().diff_head(&self.history()) else {
            return Err(GapCommandError::NothingInCommon { gap, active: path });
        };
        if self.op(op).map(Replicate::raw) != active.op(op).map(Replicate::raw) {
            return Err(GapCommandError::Different { gap, active: path, op });
        }
        Ok(op)
    }
}

/// One log in quarantine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    path: PathBuf,
    first: Option<OpId>,
    last: Option<OpId>,
    /// Time of the last operation.
    written: Option<String>,
    diff_head: Option<OpId>,
    /// Operations behind the diff-head.
    gap_ops: Option<usize>,
    /// What a person did among them.
    changes: Option<usize>,
    /// Why it cannot be read.
    error: Option<String>,
}

fn list(dir: &Path, active: Option<&Path>, format: Format, out: &mut dyn Write) -> Result<Outcome, GapCommandError> {
    let active = active.map(Log::read).transpose()?;
    let listed: Vec<_> = logs_in(dir)?.iter().map(|path| look_at(path, active.as_ref())).collect();
    if format == Format::Json {
        writeln!(out, "{:#}", json!(listed))?;
        return Ok(Outcome::Ok);
    }
    writeln!(
        out,
        "{:<16} {:<16} {:<27} {:<16} {:>6} {:>8}  PATH",
        "FIRST", "LAST", "WRITTEN", "DIFF-HEAD", "OPS", "CHANGES"
    )?;
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for log in &listed {
        writeln!(
            out,
            "{:<16} {:<16} {:<27} {:<16} {:>6} {:>8}  {}",
            or_dash(log.first.map(|op| op.to_string())),
            or_dash(log.last.map(|op| op.to_string())),
            or_dash(log.written.clone()),
            or_dash(log.diff_head.map(|op| op.to_string())),
            or_dash(log.gap_ops.map(|ops| ops.to_string())),
            or_dash(log.changes.map(|changes| changes.to_string())),
            log.path.display()
        )?;
        if let Some(error) = &log.error {
            writeln!(out, "  {error}")?;
        }
    }
    Ok(Outcome::Ok)
}

/// The folders of the logs that are meant.
fn logs_in(dir: &Path) -> Result<Vec<PathBuf>, GapCommandError> {
    let quarantine = dir.join("quarantine");
    let parent = if quarantine.is_dir() { quarantine } else { dir.to_owned() };
    if !list_segments(&parent)?.is_empty() {
        return Ok(vec![parent]);
    }
    let mut logs = Vec::new();
    for entry in fs::read_dir(&parent)? {
        let path = entry?.path();
        if path.is_dir() && !list_segments(&path)?.is_empty() {
            logs.push(path);
        }
    }
    logs.sort();
    if logs.is_empty() {
        return Err(GapCommandError::NoQuarantine(dir.to_owned()));
    }
    Ok(logs)
}

fn look_at(path: &Path, active: Option<&Log>) -> Listed {
    let mut listed = Listed {
        path: path.to_owned(),
        first: None,
        last: None,
        written: None,
        diff_head: None,
        gap_ops: None,
        changes: None,
        error: None,
    };
    let result = Log::read(path).and_then(|log| {
        listed.first = log.ops.first().map(Replicate::id);
        listed.last = log.ops.last().map(Replicate::id);
        listed.written = log.ops.last().and_then(|op| clock_time(op.timestamp()));
        let Some(active) = active else { return Ok(()) };
        let diff_head = log.diff_head(active)?;
        let gap = log.part(Some(diff_head))?;
        let by_people = describe(&gap).iter().flat_map(|op| &op.events).filter(|event| event.by_a_person()).count();
        (listed.diff_head, listed.gap_ops, listed.changes) = (Some(diff_head), Some(gap.ops.len()), Some(by_people));
        Ok(())
    });
    listed.error = result.err().map(|error| error.to_string());
    listed
}

/// The clock's part of a hybrid time.
fn clock_time(timestamp: u64) -> Option<String> {
    let micros = i64::try_from(timestamp >> 12).ok()?;
    jiff::Timestamp::from_microsecond(micros).ok().map(|time| format!("{time:.6}"))
}

fn show(
    gap: &Path,
    active: Option<&Path>,
    after: Option<OpId>,
    people: bool,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, GapCommandError> {
    let log = Log::read(gap)?;
    let after = match active {
        Some(active) => Some(log.diff_head(&Log::read(active)?)?),
        None => after,
    };
    let mut described = describe(&log.part(after)?);
    if people {
        for op in &mut described {
            op.events.retain(crate::gap::Event::by_a_person);
        }
        described.retain(|op| !op.events.is_empty());
    }
    if format == Format::Json {
        let ops: Vec<_> = described.iter().map(with_time).collect();
        writeln!(out, "{:#}", json!({ "after": after, "ops": ops }))?;
        return Ok(Outcome::Ok);
    }
    for op in &described {
        let time = clock_time(op.timestamp).unwrap_or_else(|| "-".to_owned());
        for event in &op.events {
            writeln!(out, "{:<16} {time:<27}  {event}", op.op_id.to_string())?;
        }
    }
    Ok(Outcome::Ok)
}

/// An operation as JSON, with each event's text beside its fields.
fn with_time(op: &Described) -> serde_json::Value {
    let events: Vec<_> = op
        .events
        .iter()
        .map(|event| {
            let mut fields = json!(event);
            if let Some(fields) = fields.as_object_mut() {
                fields.insert("text".to_owned(), json!(event.to_string()));
                fields.insert("byAPerson".to_owned(), json!(event.by_a_person()));
            }
            fields
        })
        .collect();
    json!({ "opId": op.op_id, "time": clock_time(op.timestamp), "timestamp": op.timestamp, "events": events })
}

fn show_plan(
    gap: &Path,
    active: &Path,
    tablets: Option<&Path>,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, GapCommandError> {
    let (old, new) = (Log::read(gap)?, Log::read(active)?);
    let diff_head = old.diff_head(&new)?;
    let held = tablets.map(tablet_ids).transpose()?;
    let (gap_ops, since) = (old.part(Some(diff_head))?, new.part(Some(diff_head))?);
    let made = plan(Sides { gap: &gap_ops, since: &since, held_tablets: held.as_ref() })
        .map_err(|source| GapCommandError::Plan { gap: gap.to_owned(), active: active.to_owned(), source })?;
    match format {
        Format::Json => writeln!(out, "{:#}", json!(made))?,
        Format::Text => write_plan(&made, held.is_some(), out)?,
    }
    let conflicts = made.items.iter().any(|item| matches!(item.verdict, Verdict::Conflict { .. }));
    Ok(if conflicts { Outcome::Conflicts } else { Outcome::Ok })
}

/// All words of a file that are ids of tablets: 32 hexadecimal digits.
fn tablet_ids(path: &Path) -> Result<BTreeSet<String>, GapCommandError> {
    let text = fs::read_to_string(path).map_err(|source| GapCommandError::Tablets { path: path.to_owned(), source })?;
    let words = text.split(|character: char| !character.is_ascii_hexdigit());
    Ok(words.filter(|word| word.len() == 32).map(str::to_owned).collect())
}

fn write_plan(made: &Plan, tablets_known: bool, out: &mut dyn Write) -> io::Result<()> {
    let id = |id: Option<OpId>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    writeln!(
        out,
        "diff-head {}; the gap goes on to {}, the new active to {}",
        id(made.diff_head),
        id(made.gap_head),
        id(made.active_head)
    )?;
    if !made.catalog_known {
        writeln!(
            out,
            "note: neither log goes back to the first operation, so not every table's earlier state is known"
        )?;
    }
    if !tablets_known {
        writeln!(out, "note: not checked whether tablet servers still hold the tablets (--tablets)")?;
    }
    for item in &made.items {
        let verdict = match &item.verdict {
            Verdict::Replay => "REPLAY",
            Verdict::AlreadyReplayed => "DONE",
            Verdict::Superseded { .. } => "SUPERSEDED",
            Verdict::Conflict { .. } => "CONFLICT",
        };
        writeln!(out, "\n{verdict:<10}  {}", item.name)?;
        for event in &item.here {
            writeln!(out, "  gap         {event}")?;
        }
        for event in &item.there {
            writeln!(out, "  new active  {event}")?;
        }
        writeln!(out, "  why         {}", item.why)?;
        if matches!(item.verdict, Verdict::Replay | Verdict::Conflict { .. }) {
            writeln!(out, "  if replayed   {}", item.choices.replay)?;
            writeln!(out, "  if kept       {}", item.choices.keep)?;
            writeln!(out, "  if discarded  {}", item.choices.discard)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::waldir::testkit::FakeKudu;

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
