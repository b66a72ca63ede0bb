//! Keeps segments of the active's log for its standbys, by a second name for each beside the generations.
//!
//! What to keep is decided by [`plan`](crate::replication::retention::plan); here are the files. The names are in a folder of the
//! reign, `held/<epoch>/`, with a list of the standbys that they are kept for, so that a restarted sidecar goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    SidecarError,
    board::Board,
    coordinator::Coordinator,
    error::io,
    shipping::{Shipping, blocking},
};
use crate::{
    replication::retention::{Limits, Segment, SegmentId, plan},
    volume::{Disk, Volume},
    wal::{OpId, TermHistory},
    waldir::{held, list_segments},
};

/// Pause between two looks. Kudu keeps a segment for seconds at least: it flushes what is in it first.
const ROUND_PAUSE: Duration = Duration::from_millis(50);
/// Where segments are kept, on the log volume.
const FOLDER: &str = "held";
/// Whom they are kept for.
const STANDBYS: &str = "standbys.json";
/// Of the volume, this part stays free, but no more than [`MOST_FREE_BYTES`].
const FREE_PART: u64 = 10;
/// See [`FREE_PART`].
const MOST_FREE_BYTES: u64 = 1024 * 1024 * 1024;

/// Where the segments of a reign are kept.
pub(super) fn folder(wal_dir: &Path, epoch: i64) -> PathBuf {
    wal_dir.join(FOLDER).join(epoch.to_string())
}

/// Lets go of everything that is kept, but for that of one reign.
pub(super) fn clear(wal_dir: &Path, but: Option<i64>) -> Result<(), SidecarError> {
    let parent = wal_dir.join(FOLDER);
    let entries = match fs::read_dir(&parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("list", &parent)(error)),
    };
    let spared = but.map(|epoch| folder(wal_dir, epoch));
    for entry in entries {
        let path = entry.map_err(io("list", &parent))?.path();
        if Some(&path) != spared.as_ref() {
            Disk.remove_folder(&path).map_err(io("remove", &path))?;
        }
    }
    Ok(())
}

/// Keeps segments while `shipping` is offered. When this returns, what an earlier run of the sidecar kept is known to it.
pub(super) async fn begin(
    shipping: &Arc<Shipping>,
    wal_dir: PathBuf,
    board: Arc<Board>,
    coordinator: Arc<Coordinator>,
) {
    let mut keeper = Keeper::new(wal_dir, shipping.epoch(), shipping.folder().to_owned());
    keeper = blocking(move || {
        keeper.load();
        keeper
    })
    .await;
    keeper = keeper.round(shipping, &board, &coordinator).await;
    let weak: Weak<Shipping> = Arc::downgrade(shipping);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(ROUND_PAUSE).await;
            let Some(shipping) = weak.upgrade().filter(|shipping| !shipping.has_ended()) else { return };
            keeper = keeper.round(&shipping, &board, &coordinator).await;
        }
    });
}

/// What is known of one reign's segments.
#[derive(Debug)]
struct Keeper {
    wal_dir: PathBuf,
    held: PathBuf,
    log: PathBuf,
    /// What each standby has on its disk, also of those that are away.
    standbys: BTreeMap<String, OpId>,
    /// Those that were connected when the list was last written.
    written: BTreeSet<String>,
    /// Those that were given up, for the log.
    given_up: BTreeSet<String>,
    /// What the segments hold that Kudu no longer writes to.
    histories: BTreeMap<SegmentId, Known>,
    /// Number of the next name: they are read in this order.
    next: u64,
    failed: bool,
}

/// What a file held when it was read; another file may get the number of one that was removed.
#[derive(Debug, Clone)]
struct Known {
    modified: (i64, i64),
    history: TermHistory,
}

/// A segment and its names.
#[derive(Debug)]
struct Seen {
    segment: Segment,
    live: Option<PathBuf>,
    held: Option<PathBuf>,
}

impl Keeper {
    fn new(wal_dir: PathBuf, epoch: i64, log: PathBuf) -> Self {
        Self {
            held: folder(&wal_dir, epoch),
            wal_dir,
            log,
            standbys: BTreeMap::new(),
            written: BTreeSet::new(),
            given_up: BTreeSet::new(),
            histories: BTreeMap::new(),
            next: 0,
            failed: false,
        }
    }

    /// Reads the list of standbys that an earlier run of the sidecar left. Without it nothing is kept until one registers.
    fn load(&mut self) {
        let read = fs::read(self.held.join(STANDBYS)).ok();
        self.standbys = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        self.written = self.standbys.keys().cloned().collect();
        let numbers = held::list(&self.held).unwrap_or_default();
        let last =
            numbers.iter().filter_map(|path| path.file_stem()?.to_str()?.split('-').next()?.parse::<u64>().ok()).max();
        self.next = last.map_or(0, |last| last.saturating_add(1));
    }

    /// Looks once, and does what is to be done. An error is logged, not handed on: the reign does not depend on it.
    async fn round(mut self, shipping: &Shipping, board: &Board, coordinator: &Coordinator) -> Self {
        let connected: BTreeMap<_, _> =
            board.facts().standbys.iter().map(|(member, facts)| (member.clone(), facts.replicate_head)).collect();
        self.standbys.retain(|member, _| coordinator.is_member(member));
        self.standbys.extend(connected.clone());
        let cap_bytes = coordinator.retention_bytes();
        let (keeper, result) = blocking(move || {
            let result = self.keep(connected.into_keys().collect(), cap_bytes);
            (self, result)
        })
        .await;
        self = keeper;
        match result {
            Ok(history) => {
                shipping.keeps(history);
                self.failed = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(%error, "no segments are kept for standbys that are away; they will take a base");
                }
            }
        }
        self
    }

    /// Returns what the kept segments hold.
    fn keep(&mut self, connected: BTreeSet<String>, cap_bytes: u64) -> Result<TermHistory, SidecarError> {
        let seen = self.look()?;
        let space = rustix::fs::statvfs(&self.wal_dir).map_err(|error| io("look at", &self.wal_dir)(error.into()))?;
        let total = space.f_blocks.saturating_mul(space.f_frsize);
        let floor_bytes = (total / FREE_PART).min(MOST_FREE_BYTES);
        let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
        let segments: Vec<_> = seen.values().map(|seen| seen.segment.clone()).collect();
        let plan = plan(&segments, &self.standbys, free_bytes, Limits { cap_bytes, floor_bytes });
        if !plan.link.is_empty() {
            Disk.create_folder(&self.held).map_err(io("create", &self.held))?;
        }
        for seen in plan.link.iter().filter_map(|id| seen.get(id)) {
            self.link(seen)?;
        }
        for path in plan.release.iter().filter_map(|id| seen.get(id)?.held.as_ref()) {
            Disk.remove_file(path).map_err(io("remove", path))?;
        }
        for member in &plan.given_up {
            self.standbys.remove(member);
            if cap_bytes > 0 && !self.given_up.contains(member) {
                tracing::warn!(
                    member,
                    cap_bytes,
                    free_bytes,
                    floor_bytes,
                    "what this standby lacks is too much to keep; it will take a base"
                );
            }
        }
        self.given_up = plan.given_up;
        if self.written != connected && self.held.is_dir() {
            self.write_standbys()?;
            self.written = connected;
        }
        let mut kept: Vec<_> =
            seen.values().filter(|seen| seen.held.is_some()).filter_map(|seen| seen.segment.history.as_ref()).collect();
        kept.sort_by_key(|history| history.first());
        Ok(kept.into_iter().fold(TermHistory::default(), |all, next| next.preceded_by(&all)))
    }

    /// Gives a segment a second name.
    fn link(&mut self, seen: &Seen) -> Result<(), SidecarError> {
        let Some(live) = &seen.live else { return Ok(()) };
        let path = self.held.join(format!("{:020}-{}.segment", self.next, seen.segment.id));
        self.next = self.next.saturating_add(1);
        match Disk.link(live, &path) {
            // Kudu has removed it, or moved it away for a start, since it was seen.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            linked => linked.map_err(io("link", live)),
        }
    }

    fn write_standbys(&self) -> Result<(), SidecarError> {
        let (path, partial) = (self.held.join(STANDBYS), self.held.join("standbys.partial"));
        // A map from names to texts can always be written. Not flushed: without it a standby takes a base, and that is all.
        let bytes = serde_json::to_vec(&self.standbys).unwrap_or_default();
        fs::write(&partial, bytes).map_err(io("write", &partial))?;
        Disk.rename(&partial, &path).map_err(io("rename", &partial))
    }

    /// The segments that are there.
    fn look(&mut self) -> Result<BTreeMap<SegmentId, Seen>, SidecarError> {
        let mut seen: BTreeMap<SegmentId, Seen> = BTreeMap::new();
        let live = list_segments(&self.log).unwrap_or_default();
        let newest = live.last().map(|segment| segment.sequence_number);
        let mut known = BTreeMap::new();
        for segment in live {
            let Some(metadata) = metadata(&segment.path)? else { continue };
            let closed = Some(segment.sequence_number) != newest;
            let history = if closed { self.history(&segment.path, &metadata, &mut known)? } else { None };
            let segment_seen =
                Segment { id: metadata.ino(), history, bytes: taken(&metadata), live: true, held: false };
            seen.insert(metadata.ino(), Seen { segment: segment_seen, live: Some(segment.path), held: None });
        }
        for path in held::list(&self.held)? {
            let Some(metadata) = metadata(&path)? else { continue };
            if let Some(seen) = seen.get_mut(&metadata.ino()) {
                seen.segment.held = true;
                seen.held = Some(path);
                continue;
            }
            let history = self.history(&path, &metadata, &mut known)?.unwrap_or_default();
            // Under another name still, as while Kudu writes its log anew, it takes no space of ours.
            let live = metadata.nlink() > 1;
            let segment =
                Segment { id: metadata.ino(), history: Some(history), bytes: taken(&metadata), live, held: true };
            seen.insert(metadata.ino(), Seen { segment, live: None, held: Some(path) });
        }
        self.histories = known;
        Ok(seen)
    }

    /// What a segment holds that nobody writes to any more; read once.
    fn history(
        &self,
        path: &Path,
        metadata: &Metadata,
        known: &mut BTreeMap<SegmentId, Known>,
    ) -> Result<Option<TermHistory>, SidecarError> {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let history = match self.histories.get(&metadata.ino()).filter(|known| known.modified == modified) {
            Some(known) => known.history.clone(),
            None => match held::history(path)? {
                Some(history) => history,
                None => return Ok(None),
            },
        };
        known.insert(metadata.ino(), Known { modified, history: history.clone() });
        Ok(Some(history))
    }
}

/// Bytes that a file takes on its volume: Kudu allocates more than it has written.
fn taken(metadata: &Metadata) -> u64 {
    metadata.blocks().saturating_mul(512)
}

/// None: it is no longer there.
fn metadata(path: &Path) -> Result<Option<Metadata>, SidecarError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("look at", path)(error)),
    }
}
