//! `kudu-pair wal`: looks into Kudu's log files, without Kudu and without changing a byte.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::{
    wal::{LogEntry, LogSummary, OpId, OpType, SYS_CATALOG_TABLET_ID},
    waldir::{
        LogScan, Place, ReadError, SegmentEnd, list_segments, scan, stopped_log_dir, tablet_wal_dir, wal_tablets,
    },
};

/// Look into the log of a kudu-master or a kudu-tserver.
///
/// Reads the log files themselves, so it works on a stopped server, on a copy of its files, and on a server that runs; it
/// opens them read-only and never changes anything.
///
/// DIR is a tablet's log folder, <fs_wal_dir>/wals/<tablet>, or an --fs_wal_dir, of which the log of the
/// system catalog is taken (all that a kudu-master knows) unless --tablet names another.
#[derive(Debug, Args)]
#[command(after_long_help = "\
An operation's name is its OpId, term.index: 3.4815 is operation 4815, written in term 3. REPLICATE is the operation \
itself, COMMIT the record that this server applied it; an operation without a COMMIT is pending and is applied at the \
next start. The end of a log that is in use, or whose server was killed, may be torn: a batch that was not wholly \
written. That is no damage.

Exit status: 0 no damage was found; 1 the log is damaged; 2 it could not be read (wrong usage, no such folder, \
encrypted by Kudu).

Examples:
  kudu-pair wal ls /var/lib/kudu/master
  kudu-pair wal dump /var/lib/kudu/master --from 3.4800
  kudu-pair wal verify --json /backup/wals/00000000000000000000000000000000")]
pub struct WalArgs {
    #[command(subcommand)]
    command: WalCommand,
}

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub enum WalCommand {
    /// Show the segments, and what the log holds: its first and last operation, its terms, what is pending.
    Ls(Log),
    /// Print one line for each entry: segment, offset, kind, OpId, operation, time, bytes.
    Dump {
        /// The log to read.
        #[command(flatten)]
        log: Log,
        /// Leave out entries of operations before this one: an index, or an OpId as term.index.
        #[arg(long, value_name = "OP")]
        from: Option<Bound>,
        /// Leave out entries of operations after this one: an index, or an OpId as term.index.
        #[arg(long, value_name = "OP")]
        to: Option<Bound>,
    },
    /// Check every checksum and rule, and name each damaged place.
    Verify(Log),
}

/// Which log, and how to print it.
#[derive(Debug, Args)]
pub struct Log {
    /// A tablet's log folder, or the --fs_wal_dir of a server.
    dir: PathBuf,
    /// With an --fs_wal_dir: the tablet whose log to read [default: the system catalog].
    #[arg(long)]
    tablet: Option<String>,
    /// Print JSON, for programs: one object; for `dump`, one object a line.
    #[arg(long)]
    json: bool,
}

/// One end of a range of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    term: Option<i64>,
    index: i64,
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(index) = text.parse() {
            return Ok(Self { term: None, index });
        }
        let id: OpId = text.parse().map_err(|_| "write an index (4815) or an OpId (3.4815)".to_owned())?;
        Ok(Self { term: Some(id.term), index: id.index })
    }
}

impl Bound {
    /// An operation as this bound compares it.
    fn key(self, id: OpId) -> OpId {
        OpId::new(self.term.map_or(0, |_| id.term), id.index)
    }

    fn id(self) -> OpId {
        OpId::new(self.term.unwrap_or(0), self.index)
    }
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The log was read, and nothing is wrong with it.
    Ok,
    /// The log is damaged.
    Damaged,
    /// The log could not be read.
    Unreadable,
}

impl Outcome {
    /// The exit status that says so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Damaged => 1,
            Self::Unreadable => 2,
        }
    }
}

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The log cannot be listed or read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The folder is neither a log nor the root of logs.
    #[error(
        "{dir}: there are neither log segments (wal-000000001) nor a `wals` folder here: give a tablet's log folder or a server's \
         --fs_wal_dir"
    )]
    NoLog {
        /// The folder.
        dir: PathBuf,
    },
    /// The root has no log of that tablet.
    #[error("{dir}: there is no log of tablet {tablet} here; --tablet can be one of: {}", known.join(", "))]
    NoTablet {
        /// The root.
        dir: PathBuf,
        /// The tablet that was asked for.
        tablet: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl WalArgs {
    /// Runs the command and prints to `out`.
    ///
    /// # Errors
    /// If there is no such log, or it cannot be read: exit status 2.
    pub fn run(&self, out: &mut dyn Write) -> Result<Outcome, WalError> {
        let result = match &self.command {
            WalCommand::Ls(log) => ls(log, out),
            WalCommand::Dump { log, from, to } => dump(log, *from, *to, out),
            WalCommand::Verify(log) => verify(log, out),
        };
        match result {
            // Whoever reads the output (`head`) has seen enough.
            Err(WalError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Ok),
            result => result,
        }
    }
}

impl Log {
    /// The folder that holds the log: that of an interrupted start, if there is one.
    fn folder(&self) -> Result<PathBuf, WalError> {
        Ok(stopped_log_dir(&self.log_folder()?))
    }

    /// The log folder that is meant.
    fn log_folder(&self) -> Result<PathBuf, WalError> {
        if self.dir.join("wals").is_dir() {
            let folder = tablet_wal_dir(&self.dir, self.tablet.as_deref());
            if stopped_log_dir(&folder).is_dir() {
                return Ok(folder);
            }
            let tablet = self.tablet.clone().unwrap_or_else(|| SYS_CATALOG_TABLET_ID.to_owned());
            return Err(WalError::NoTablet { dir: self.dir.clone(), tablet, known: wal_tablets(&self.dir)? });
        }
        if list_segments(&stopped_log_dir(&self.dir))?.is_empty() {
            return Err(WalError::NoLog { dir: self.dir.clone() });
        }
        Ok(self.dir.clone())
    }
}

fn outcome(log: &LogScan) -> Outcome {
    if log.refusal.is_some() {
        Outcome::Unreadable
    } else if log.damage.is_empty() {
        Outcome::Ok
    } else {
        Outcome::Damaged
    }
}

/// A damaged place, for JSON.
#[derive(Serialize)]
struct DamageReport<'a> {
    path: &'a Path,
    offset: u64,
    what: String,
}

fn report(dir: &Path, log: &LogScan) -> serde_json::Value {
    let damage: Vec<_> = log
        .damage
        .iter()
        .map(|damage| DamageReport { path: &damage.path, offset: damage.offset, what: damage.rule.to_string() })
        .collect();
    json!({
        "dir": dir,
        "segments": log.segments,
        "summary": log.summary,
        "pending_ops": log.summary.pending_ops(),
        "applied_through": log.summary.applied_through(),
        "damage": damage,
        "refusal": log.refusal.as_ref().map(|(path, why)| json!({ "path": path, "why": why.to_string() })),
        "vanished": log.vanished,
    })
}

/// Prints what is wrong, one line for each.
fn write_findings(dir: &Path, log: &LogScan, out: &mut dyn Write) -> io::Result<()> {
    if dir.extension().is_some_and(|extension| extension == "recovery") {
        writeln!(
            out,
            "note    {}: a start of Kudu is under way here, or was interrupted: this is the log it reads",
            dir.display()
        )?;
    }
    for damage in &log.damage {
        writeln!(out, "DAMAGE  {damage}")?;
    }
    if let Some((path, why)) = &log.refusal {
        writeln!(out, "REFUSED {}: {why}", path.display())?;
    }
    for segment in &log.segments {
        if let SegmentEnd::Torn { why } = &segment.end
            && !log.damage.iter().any(|damage| damage.path == segment.path)
        {
            let (path, at) = (segment.path.display(), segment.good_bytes);
            writeln!(
                out,
                "note    {path} at offset {at}: {why}; nothing follows, so the write was cut short: no damage"
            )?;
        }
    }
    for path in &log.vanished {
        writeln!(out, "note    {}: it was collected while the log was read", path.display())?;
    }
    Ok(())
}

fn ls(args: &Log, out: &mut dyn Write) -> Result<Outcome, WalError> {
    let dir = args.folder()?;
    let log = scan(&dir, |_, _| {})?;
    if args.json {
        writeln!(out, "{:#}", report(&dir, &log))?;
        return Ok(outcome(&log));
    }
    writeln!(out, "{}", dir.display())?;
    writeln!(
        out,
        "{:<14} {:>10} {:>10} {:>8} {:>8}  {:<14} {:<14} {:<5} END",
        "SEGMENT", "SIZE", "GOOD", "BATCHES", "ENTRIES", "FIRST", "LAST", "CODEC"
    )?;
    let id = |id: Option<OpId>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    for segment in &log.segments {
        let end = match &segment.end {
            SegmentEnd::Footer(_) => "closed",
            SegmentEnd::Zeros | SegmentEnd::Eof => "open",
            SegmentEnd::Torn { .. } => "torn",
            SegmentEnd::Blank => "blank",
            SegmentEnd::Unreadable => "unreadable",
        };
        writeln!(
            out,
            "{:<14} {:>10} {:>10} {:>8} {:>8}  {:<14} {:<14} {:<5} {end}",
            format!("wal-{:09}", segment.sequence_number),
            segment.size,
            segment.good_bytes,
            segment.batches,
            segment.entries,
            id(segment.first),
            id(segment.last),
            segment.codec().map_or_else(|| "-".to_owned(), |codec| codec.to_string()),
        )?;
    }
    write_summary(&log.summary, out)?;
    write_findings(&dir, &log, out)?;
    Ok(outcome(&log))
}

fn write_summary(summary: &LogSummary, out: &mut dyn Write) -> io::Result<()> {
    let id = |id: Option<OpId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    writeln!(
        out,
        "operations {} to {}; applied through {}",
        id(summary.first),
        id(summary.last),
        id(summary.applied_through())
    )?;
    writeln!(out, "pending {} ({} bytes)", summary.pending_ops(), summary.pending_bytes)?;
    for span in summary.history.spans() {
        let no_op = summary.no_ops.iter().find(|no_op| no_op.id.term == span.term);
        let began = match no_op {
            Some(no_op) if no_op.committed => format!("; its NO_OP {} is committed", no_op.id),
            Some(no_op) => format!("; its NO_OP {} is not committed", no_op.id),
            None => String::new(),
        };
        writeln!(out, "term {}: operations {} to {}{began}", span.term, span.first, span.last)?;
    }
    Ok(())
}

/// One entry, for `dump`.
#[derive(Serialize)]
struct Line {
    segment: String,
    offset: u64,
    kind: &'static str,
    op_id: OpId,
    op_type: String,
    /// Kudu's hybrid time, of a REPLICATE.
    timestamp: Option<u64>,
    /// The clock's part of it.
    time: Option<String>,
    bytes: usize,
}

impl Line {
    fn new(place: Place<'_>, entry: &LogEntry) -> Self {
        let (kind, op_id, op_type, timestamp): (_, _, OpType, _) = match entry {
            LogEntry::Replicate(entry) => ("REPLICATE", entry.id(), entry.op_type(), Some(entry.timestamp())),
            LogEntry::Commit(entry) => ("COMMIT", entry.committed(), entry.op_type(), None),
        };
        Self {
            segment: place.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            offset: place.offset,
            kind,
            op_id,
            op_type: op_type.to_string(),
            timestamp,
            time: timestamp.and_then(clock_time),
            bytes: entry.raw().len(),
        }
    }
}

/// The clock's part of a hybrid time: microseconds since 1970 above the lowest 12 bits.
fn clock_time(timestamp: u64) -> Option<String> {
    let micros = i64::try_from(timestamp >> 12).ok()?;
    jiff::Timestamp::from_microsecond(micros).ok().map(|time| format!("{time:.6}"))
}

fn dump(args: &Log, from: Option<Bound>, to: Option<Bound>, out: &mut dyn Write) -> Result<Outcome, WalError> {
    let dir = args.folder()?;
    let mut written = Ok(());
    let log = scan(&dir, |place, entry| {
        let line = Line::new(place, entry);
        let wanted = from.is_none_or(|from| from.key(line.op_id) >= from.id())
            && to.is_none_or(|to| to.key(line.op_id) <= to.id());
        if wanted && written.is_ok() {
            written = write_line(&line, args.json, out);
        }
    })?;
    written?;
    if args.json {
        for damage in &log.damage {
            writeln!(out, "{}", json!({ "damage": damage.to_string() }))?;
        }
        if let Some((path, why)) = &log.refusal {
            writeln!(out, "{}", json!({ "refusal": format!("{}: {why}", path.display()) }))?;
        }
    } else {
        write_findings(&dir, &log, out)?;
    }
    Ok(outcome(&log))
}

fn write_line(line: &Line, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{}", json!(line));
    }
    let Line { segment, offset, kind, op_id, op_type, time, bytes, .. } = line;
    let time = time.as_deref().unwrap_or("-");
    writeln!(out, "{segment} {offset:>9} {kind:<9} {op_id:<16} {op_type:<16} {time:<27} {bytes:>8}")
}

fn verify(args: &Log, out: &mut dyn Write) -> Result<Outcome, WalError> {
    let dir = args.folder()?;
    let log = scan(&dir, |_, _| {})?;
    let outcome = outcome(&log);
    if args.json {
        writeln!(out, "{:#}", report(&dir, &log))?;
        return Ok(outcome);
    }
    write_findings(&dir, &log, out)?;
    let summary = &log.summary;
    let (segments, entries) = (log.segments.len(), summary.replicates.saturating_add(summary.commits));
    match outcome {
        Outcome::Ok => writeln!(out, "ok: {segments} segments, {entries} entries, every checksum and rule holds")?,
        Outcome::Damaged => writeln!(
            out,
            "damaged: {} places; {entries} entries of {segments} segments can be read. Keep a copy of the folder. A standby's log is \
             replaced by a new base copy; for an active's, promote a standby",
            log.damage.len()
        )?,
        Outcome::Unreadable => writeln!(out, "not checked")?,
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        wal: WalArgs,
    }

    fn run(args: &[&str]) -> (Result<Outcome, WalError>, String) {
        let cli = Cli::try_parse_from([&["wal"], args].concat()).unwrap();
        let mut out = Vec::new();
        let outcome = cli.wal.run(&mut out);
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn bounds_compare_by_index_or_by_op_id() {
        let bound: Bound = "7".parse().unwrap();
        assert!(bound.key(OpId::new(1, 7)) >= bound.id() && bound.key(OpId::new(9, 6)) < bound.id());
        let bound: Bound = "2.7".parse().unwrap();
        assert!(bound.key(OpId::new(3, 1)) >= bound.id() && bound.key(OpId::new(1, 9)) < bound.id());
        assert!("x".parse::<Bound>().is_err());
    }

    #[test]
    fn wrong_folders_are_explained() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert!(run(&["ls", path]).0.unwrap_err().to_string().contains("give a tablet's log folder"));
        let tablet = dir.path().join("wals").join("0123456789abcdef0123456789abcdef");
        std::fs::create_dir_all(tablet).unwrap();
        let error = run(&["ls", path]).0.unwrap_err().to_string();
        assert!(error.contains("can be one of: 0123456789abcdef0123456789abcdef"), "{error}");
    }

    #[test]
    fn an_encrypted_log_cannot_be_checked() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = b"kuduenc\x00".to_vec();
        bytes.resize(4096, 0x5a);
        std::fs::write(dir.path().join("wal-000000001"), bytes).unwrap();
        let (outcome, out) = run(&["verify", dir.path().to_str().unwrap()]);
        assert_eq!(outcome.unwrap().exit_code(), 2);
        assert!(out.contains("REFUSED") && out.contains("--encrypt_data_at_rest"), "{out}");
    }
}
