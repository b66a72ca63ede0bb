//! What would become of each table.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use super::{Format, GapCommandError, Outcome, log::Log};
use crate::{
    gap::{Plan, Sides, Verdict, plan},
    replication::Anchors,
    sidecar::store::CONTROL_FILE,
    tablet_servers::held_tablets,
    wal::OpId,
};

/// How long each server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn show_plan(
    gap: &Path,
    active: Option<&Path>,
    held: Option<&BTreeSet<String>>,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, GapCommandError> {
    let active = &active.map_or_else(|| log_in_use(gap), |active| Ok(active.to_owned()))?;
    let (old, new) = (Log::read(gap)?, Log::read(active)?);
    let diff_head = old.diff_head(&new)?;
    let (gap_ops, since) = (old.part(Some(diff_head))?, new.part(Some(diff_head))?);
    let made = plan(Sides { gap: &gap_ops, since: &since, held_tablets: held })
        .map_err(|source| GapCommandError::Plan { gap: gap.to_owned(), active: active.to_owned(), source })?;
    match format {
        Format::Json => writeln!(out, "{:#}", json!(made))?,
        Format::Text => write_plan(&made, held.is_some(), out)?,
    }
    Ok(if has_conflicts(&made) { Outcome::Conflicts } else { Outcome::Ok })
}

/// All words of a file that are ids of tablets: 32 hexadecimal digits.
pub(super) fn tablet_ids(path: &Path) -> Result<BTreeSet<String>, GapCommandError> {
    let text = fs::read_to_string(path).map_err(|source| GapCommandError::Tablets { path: path.to_owned(), source })?;
    let words = text.split(|character: char| !character.is_ascii_hexdigit());
    Ok(words.filter(|word| word.len() == 32).map(str::to_owned).collect())
}

/// What the tablet servers of a master say that they hold; none, and why on the standard error, when one of them does not.
pub(super) fn ask_for_tablets(master: &str) -> Option<BTreeSet<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let held = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(held_tablets(master, PATIENCE)).map_err(|error| error.to_string()));
    held.inspect_err(|error| eprintln!("kudu-pair: {error}")).ok()
}

/// The generation in use on the volume of a kept gap.
fn log_in_use(gap: &Path) -> Result<PathBuf, GapCommandError> {
    let unknown = || GapCommandError::NoActive(gap.to_owned());
    let wal_dir = gap.parent().and_then(Path::parent).ok_or_else(unknown)?;
    let bytes = fs::read(wal_dir.join(CONTROL_FILE)).map_err(|_| unknown())?;
    let anchors = Anchors::decode(&bytes).map_err(|_| unknown())?;
    anchors.generation.map(|generation| wal_dir.join(generation)).ok_or_else(unknown)
}

/// Whether a person has to choose.
pub(super) fn has_conflicts(made: &Plan) -> bool {
    made.items.iter().any(|item| matches!(item.verdict, Verdict::Conflict { .. }))
}

pub(super) fn write_plan(made: &Plan, tablets_known: bool, out: &mut dyn Write) -> io::Result<()> {
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
        writeln!(out, "note: not checked whether tablet servers still hold the tablets (--master, --tablets)")?;
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
