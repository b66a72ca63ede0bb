//! The logs and gaps of a volume.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::json;

use super::{
    Format, GapCommandError, Outcome,
    log::{Log, clock_time},
};
use crate::{
    api::GapState,
    gap::describe,
    wal::{OpId, Replicate},
    waldir::list_segments,
};

/// One kept gap, or one log in quarantine.
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
    /// Of a kept gap: what became of it.
    state: Option<GapState>,
    /// Why it cannot be read.
    error: Option<String>,
}

pub(super) fn list(
    dir: &Path,
    active: Option<&Path>,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, GapCommandError> {
    let active = active.map(Log::read).transpose()?;
    let listed: Vec<_> = logs_in(dir)?.iter().map(|path| look_at(path, active.as_ref())).collect();
    if format == Format::Json {
        writeln!(out, "{:#}", json!(listed))?;
        return Ok(Outcome::Ok);
    }
    writeln!(
        out,
        "{:<16} {:<16} {:<27} {:<16} {:>6} {:>8}  {:<9}  PATH",
        "FIRST", "LAST", "WRITTEN", "DIFF-HEAD", "OPS", "CHANGES", "STATE"
    )?;
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for log in &listed {
        writeln!(
            out,
            "{:<16} {:<16} {:<27} {:<16} {:>6} {:>8}  {:<9}  {}",
            or_dash(log.first.map(|op| op.to_string())),
            or_dash(log.last.map(|op| op.to_string())),
            or_dash(log.written.clone()),
            or_dash(log.diff_head.map(|op| op.to_string())),
            or_dash(log.gap_ops.map(|ops| ops.to_string())),
            or_dash(log.changes.map(|changes| changes.to_string())),
            or_dash(log.state.map(|state| format!("{state:?}"))),
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
    if !list_segments(dir)?.is_empty() {
        return Ok(vec![dir.to_owned()]);
    }
    let below = ["gaps", "quarantine"].map(|name| dir.join(name));
    let mut parents: Vec<_> = below.iter().filter(|parent| parent.is_dir()).map(PathBuf::as_path).collect();
    if parents.is_empty() {
        parents.push(dir);
    }
    let mut logs = Vec::new();
    for parent in parents {
        for entry in fs::read_dir(parent)? {
            let path = entry?.path();
            if path.is_dir() && !list_segments(&path)?.is_empty() {
                logs.push(path);
            }
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
        state: None,
        error: None,
    };
    let result = Log::read(path).and_then(|log| {
        listed.first = log.ops.first().map(Replicate::id);
        listed.last = log.ops.last().map(Replicate::id);
        listed.written = log.ops.last().and_then(|op| clock_time(op.timestamp()));
        listed.state = log.kept.as_ref().map(|kept| kept.state);
        let diff_head = match (active, &log.kept) {
            (Some(active), _) => log.diff_head(active)?,
            (None, Some(kept)) => kept.diff_head.unwrap_or_default(),
            (None, None) => return Ok(()),
        };
        let gap = log.part(Some(diff_head))?;
        let by_people = describe(&gap).iter().flat_map(|op| &op.events).filter(|event| event.by_a_person()).count();
        (listed.diff_head, listed.gap_ops, listed.changes) = (Some(diff_head), Some(gap.ops.len()), Some(by_people));
        Ok(())
    });
    listed.error = result.err().map(|error| error.to_string());
    listed
}
