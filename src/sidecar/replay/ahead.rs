//! What of a replay in place is done while kudu-master still runs, so that clients do not wait for it: gap and log are read, and a
//! replay that would add nothing is told so without a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::Wanted;
use crate::{
    gap::{self, Gap, Plan, Sides},
    sidecar::gaps::GapStore,
    wal::{LogEntry, Replicate},
    waldir::scan,
};

/// A gap, and what the log of the kudu-master that runs had behind the diff-head when it was read.
#[derive(Debug)]
pub(in crate::sidecar) struct ReadAhead {
    pub(super) gap: Gap,
    pub(super) since: Gap,
    /// The plan, if it replays nothing.
    pub(super) adds_nothing: Option<Plan>,
}

/// By the gap's name. One that could not be read ahead is read when kudu-master is stopped; what is wrong with it is told then.
pub(in crate::sidecar) type Ahead = BTreeMap<String, ReadAhead>;

/// Reads gaps, and the log that they are to be added to, while kudu-master writes it.
///
/// What it writes meanwhile is behind what was read: a log at rest either continues it, or is read anew.
pub(super) fn read(store: &GapStore, log_folder: &Path, wanted: &[Wanted], held: Option<&BTreeSet<String>>) -> Ahead {
    let mut ops: Vec<Replicate> = Vec::new();
    let log = scan(log_folder, |_, entry| {
        if let LogEntry::Replicate(op) = entry {
            ops.push(op.clone());
        }
    });
    // A segment that was collected between two others leaves a hole, and operations behind it would seem to follow.
    if !log.is_ok_and(|log| log.damage.is_empty() && log.refusal.is_none()) {
        return Ahead::new();
    }
    let read = |wanted: &Wanted| {
        let gap = store.ops(&wanted.kept).ok()?;
        let since = gap::read(&ops, wanted.kept.diff_head).ok()?;
        let plan = gap::plan(Sides { gap: &gap, since: &since, held_tablets: held }).ok();
        let adds_nothing = plan.filter(|plan| plan.replayed().next().is_none());
        Some((wanted.kept.name.clone(), ReadAhead { gap, since, adds_nothing }))
    };
    wanted.iter().filter_map(read).collect()
}
