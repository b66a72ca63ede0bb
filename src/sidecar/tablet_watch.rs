//! While a gap waits, looks again and again at which tablets the tablet servers hold: a replay happens where no kudu-master runs that
//! could be asked then.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::{gap::KeptGap, tablet_servers::held_tablets};

/// Pause between two looks at whether there is something to ask for.
const PAUSE: Duration = Duration::from_secs(1);
/// A reign that was seen to serve for so long is known to every tablet server that runs: they send heartbeats once a second, as a
/// rule. A look before would miss those that are not known yet.
const SETTLED: Duration = Duration::from_secs(10);
/// How often is asked.
const EVERY: Duration = Duration::from_secs(15);
/// How long each server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What was seen longer ago does not count.
const MAX_AGE: Duration = Duration::from_secs(120);

/// The tablets that tablet servers held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    seen: Instant,
    tablets: Arc<BTreeSet<String>>,
}

impl Held {
    /// Seen just now.
    pub(super) fn now(tablets: BTreeSet<String>) -> Self {
        Self { seen: Instant::now(), tablets: Arc::new(tablets) }
    }

    /// The ids, unless they were seen too long ago.
    pub(super) fn fresh(&self) -> Option<Arc<BTreeSet<String>>> {
        (self.seen.elapsed() < MAX_AGE).then(|| Arc::clone(&self.tablets))
    }
}

/// Keeps the board up to date until `stop`.
pub(super) async fn keep(board: Arc<Board>, stop: CancellationToken) {
    let mut serves: Option<(String, Instant)> = None;
    let mut asked: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
        let (waits, master) = {
            let facts = board.facts();
            (facts.gaps.iter().any(KeptGap::is_open), facts.serving_master())
        };
        serves = match (master, serves) {
            (Some(master), Some((known, since))) if known == master => Some((known, since)),
            (master, _) => master.map(|master| (master, Instant::now())),
        };
        let due = asked.is_none_or(|asked| asked.elapsed() >= EVERY);
        let Some((master, _)) = serves.as_ref().filter(|(_, since)| waits && due && since.elapsed() >= SETTLED) else {
            continue;
        };
        asked = Some(Instant::now());
        match held_tablets(master, PATIENCE).await {
            Ok(tablets) => board.facts().held = Some(Held::now(tablets)),
            Err(error) => tracing::info!(%error, "whether tablet servers hold the tablets of a gap is not known"),
        }
    }
}
