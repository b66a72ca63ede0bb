//! The gaps that are kept on a member's volume, `gaps/<name>`: a segment with their operations, readable by Kudu's own tools and by
//! `kudu-pair gap`, and beside it `gap.json` with their anchors and what became of them.
//!
//! A gap is kept before anything else touches the log that it is in, and it counts when its folder has its name. Its operations
//! are never written again; what became of it is, as a whole.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    SidecarError,
    error::io,
    store::{sync_folder, write_durably},
};
use crate::{
    clock,
    failover::member::GapReport,
    gap::{self, Gap, KeptGap},
    volume::{Volume, disk},
    wal::{Codec, Footer, LogEntry, Replicate, SegmentHeader, encode},
    waldir::{SegmentPath, read_log, stopped_log_dir},
};

/// The folder of all gaps on the log volume.
const FOLDER: &str = "gaps";
/// The file with a gap's anchors.
const ANCHORS: &str = "gap.json";
/// How a gap's folder is called until it is whole.
const PARTIAL: &str = ".partial";
/// Permission bits: people read them.
const MODE: u32 = 0o644;
/// A batch of a segment is closed at this size.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The gaps of one volume.
#[derive(Debug, Clone)]
pub struct GapStore {
    volume: Arc<dyn Volume>,
    wal_dir: PathBuf,
}

/// Who found a gap, and beside whom.
#[derive(Debug, Clone, Copy)]
pub struct Finder<'a> {
    /// The pair.
    pub pair: &'a str,
    /// The member whose log it is in.
    pub member: &'a str,
    /// The active that does not have it.
    pub active: &'a str,
}

impl GapStore {
    /// The gaps below a log volume.
    #[must_use]
    pub fn new(wal_dir: &Path) -> Self {
        Self::on(disk(), wal_dir)
    }

    /// The same on a given volume.
    #[must_use]
    pub fn on(volume: Arc<dyn Volume>, wal_dir: &Path) -> Self {
        Self { volume, wal_dir: wal_dir.to_owned() }
    }

    /// Keeps what the log in `log_folder` has behind the diff-head of `found`; what is kept already stays as it is. When this returns,
    /// it is durable and was read back.
    ///
    /// # Errors
    /// When the log cannot be read, or the volume refuses. The log must not be touched then.
    pub fn keep(
        &self,
        log_folder: &Path,
        found: &GapReport,
        finder: Finder<'_>,
        max_bytes: u64,
    ) -> Result<Option<KeptGap>, SidecarError> {
        let (ops, header) = read_segments(log_folder)?;
        let gap = gap::read(&ops, found.diff_head).map_err(SidecarError::Gap)?;
        let new = (found.epoch, finder.active);
        let Some(kept) = KeptGap::found(&gap, finder.pair, finder.member, new, clock::unix_millis()) else {
            return Ok(None);
        };
        let all = self.all()?;
        if let Some(known) = all.iter().find(|known| known.name == kept.name) {
            return Ok(Some(known.clone()));
        }
        self.make_room(all, kept.bytes, max_bytes)?;
        let header = header.ok_or_else(|| SidecarError::GapNotKept { why: "its log has no segment".to_owned() })?;
        let segment = segment_bytes(&gap, &header)?;
        self.write(&kept, &segment, |read_back| {
            read_back.iter().map(Replicate::raw).eq(gap.ops.iter().map(|op| op.op.raw()))
        })?;
        Ok(Some(kept))
    }

    /// Keeps a gap that another member keeps too, given as its segment. When this returns, it is durable and was read back.
    ///
    /// # Errors
    /// When the segment is not what the anchors tell, there is no room, or the volume refuses.
    pub fn take(&self, kept: &KeptGap, segment: &[u8], max_bytes: u64) -> Result<(), SidecarError> {
        // The name becomes that of a folder.
        if kept.name != gap::kept::name(&kept.member, kept.head) || !is_plain(&kept.member) {
            return Err(SidecarError::GapNotKept { why: format!("{:?} is no name of a gap", kept.name) });
        }
        let all = self.all()?;
        if all.iter().any(|known| known.name == kept.name) {
            return Ok(());
        }
        self.make_room(all, kept.bytes, max_bytes)?;
        self.write(kept, segment, |read_back| is_described_by(read_back, kept))
    }

    /// The segment with a gap's operations.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn segment(&self, kept: &KeptGap) -> Result<Vec<u8>, SidecarError> {
        let path = SegmentPath::new(&self.folder().join(&kept.name), 1).path;
        fs::read(&path).map_err(io("read", &path))
    }

    /// Removes gaps about which nobody has to decide any more, the oldest first, until there is room for so many bytes more.
    fn make_room(&self, all: Vec<KeptGap>, bytes: u64, max_bytes: u64) -> Result<(), SidecarError> {
        let mut taken: u64 = all.iter().map(|gap| gap.bytes).fold(bytes, u64::saturating_add);
        for gap in all.iter().filter(|gap| !gap.is_open()) {
            if taken <= max_bytes {
                break;
            }
            tracing::info!(gap = gap.name, state = ?gap.state, "a gap is removed, since another one needs its room");
            let folder = self.folder().join(&gap.name);
            self.volume.remove_folder(&folder).map_err(io("remove", &folder))?;
            taken = taken.saturating_sub(gap.bytes);
        }
        if taken <= max_bytes {
            return Ok(());
        }
        let open = all.into_iter().filter(KeptGap::is_open).map(|gap| gap.name).collect();
        Err(SidecarError::NoRoomForGap { bytes, max_bytes, open })
    }

    fn write(
        &self,
        kept: &KeptGap,
        segment: &[u8],
        is_whole: impl Fn(&[Replicate]) -> bool,
    ) -> Result<(), SidecarError> {
        let parent = self.folder();
        let folder = parent.join(&kept.name);
        let partial = parent.join(format!("{}{PARTIAL}", kept.name));
        for made in [&parent, &partial] {
            self.volume.create_folder(made).map_err(io("create", made))?;
        }
        // The folder of all gaps must not be one that a loss of power can still take.
        sync_folder(&*self.volume, &self.wal_dir)?;
        let path = SegmentPath::new(&partial, 1).path;
        let mut file = self.volume.create(&path, MODE).map_err(io("create", &path))?;
        file.write_all_at(segment, 0).map_err(io("write", &path))?;
        file.sync_data().map_err(io("fsync", &path))?;
        drop(file);
        let (read_back, _) = read_segments(&partial)?;
        if !is_whole(&read_back) {
            return Err(SidecarError::GapNotKept {
                why: "other operations were read back than were written".to_owned(),
            });
        }
        Self::describe_on(&*self.volume, &partial, kept)?;
        self.volume.rename(&partial, &folder).map_err(io("rename", &partial))?;
        sync_folder(&*self.volume, &parent)
    }

    /// All gaps that are kept, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read: none is passed over.
    pub fn all(&self) -> Result<Vec<KeptGap>, SidecarError> {
        let parent = self.folder();
        let entries = match fs::read_dir(&parent) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("list", &parent)(error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.map_err(io("list", &parent))?.file_name().to_string_lossy().into_owned();
            if name.ends_with(PARTIAL) {
                continue;
            }
            let folder = parent.join(name);
            let kept = Self::anchors(&folder)?;
            all.push(kept.ok_or_else(|| io("read", &folder.join(ANCHORS))(ErrorKind::NotFound.into()))?);
        }
        all.sort_by_key(|kept| (kept.kept_unix_milliseconds, kept.head));
        Ok(all)
    }

    /// The anchors in a gap's folder; none in one that is no gap's.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn anchors(folder: &Path) -> Result<Option<KeptGap>, SidecarError> {
        let path = folder.join(ANCHORS);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| io("read", &path)(error.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("read", &path)(error)),
        }
    }

    /// The operations of a gap.
    ///
    /// # Errors
    /// When its segment cannot be read.
    pub fn ops(&self, kept: &KeptGap) -> Result<Gap, SidecarError> {
        let (ops, _) = read_segments(&self.folder().join(&kept.name))?;
        gap::read(&ops, kept.diff_head).map_err(SidecarError::Gap)
    }

    /// Writes down what became of a gap.
    ///
    /// # Errors
    /// When the volume refuses; then the old state stands.
    pub fn update(&self, kept: &KeptGap) -> Result<(), SidecarError> {
        Self::describe_on(&*self.volume, &self.folder().join(&kept.name), kept)
    }

    /// Writes down what became of the gap in a folder.
    ///
    /// # Errors
    /// As for [`Self::update`].
    pub fn describe(folder: &Path, kept: &KeptGap) -> Result<(), SidecarError> {
        Self::describe_on(&*disk(), folder, kept)
    }

    fn describe_on(volume: &dyn Volume, folder: &Path, kept: &KeptGap) -> Result<(), SidecarError> {
        // The type has no map and no failing serializer, the only errors that serde_json has here.
        write_durably(volume, &folder.join(ANCHORS), &serde_json::to_vec_pretty(kept).unwrap_or_default())
    }

    fn folder(&self) -> PathBuf {
        self.wal_dir.join(FOLDER)
    }
}

/// The operations of a log at rest, without those that a later term has overwritten, and the header of its last segment.
pub(super) fn read_segments(folder: &Path) -> Result<(Vec<Replicate>, Option<SegmentHeader>), SidecarError> {
    let mut ops = Vec::new();
    let log = read_log(&stopped_log_dir(folder), |_, entry| {
        if let LogEntry::Replicate(op) = entry {
            ops.push(op.clone());
        }
    });
    let header = log?.segments.into_iter().rev().find_map(|segment| segment.header);
    Ok((ops, header))
}

/// Whether a name cannot lead out of the folder that it is to be in.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether these are the operations that a gap's anchors tell of, without holes.
fn is_described_by(ops: &[Replicate], kept: &KeptGap) -> bool {
    let bytes = ops.iter().map(|op| u64::try_from(op.raw().len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
    let indexes = ops.iter().map(|op| op.id().index);
    let first = kept.diff_head.map_or(1, |head| head.index.saturating_add(1));
    u64::try_from(ops.len()) == Ok(kept.ops)
        && bytes == kept.bytes
        && indexes.eq(first..=kept.head.index)
        && ops.last().map(Replicate::id) == Some(kept.head)
}

fn segment_bytes(gap: &Gap, header: &SegmentHeader) -> Result<Vec<u8>, SidecarError> {
    let not_kept = |error: &dyn std::fmt::Display| SidecarError::GapNotKept { why: error.to_string() };
    let header = header.with(1, Codec::None).map_err(|error| not_kept(&error))?;
    let mut bytes = encode::segment_header(&header).map_err(|error| not_kept(&error))?;
    let mut rest = gap.ops.as_slice();
    while !rest.is_empty() {
        let mut size = 0_usize;
        let fit = rest.iter().take_while(|op| {
            size = size.saturating_add(op.op.raw().len());
            size <= BATCH_BYTES
        });
        let (batch, others) = rest.split_at(fit.count().max(1));
        let batch = encode::batch(Codec::None, batch.iter().map(|op| op.op.raw())).map_err(|error| not_kept(&error))?;
        bytes.extend_from_slice(&batch);
        rest = others;
    }
    let index = |op: Option<&gap::GapOp>| op.map(|op| op.id().index);
    bytes.extend_from_slice(&encode::footer(&Footer {
        entries: i64::try_from(gap.ops.len()).unwrap_or(i64::MAX),
        min_replicate_index: index(gap.ops.first()),
        max_replicate_index: index(gap.ops.last()),
        closed_micros: None,
    }));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::GapState, wal::OpId, waldir::testkit::FakeKudu};

    const MAX: u64 = 1 << 20;
    const FINDER: Finder<'_> = Finder { pair: "demo", member: "demo-0", active: "demo-1" };

    fn found(diff_head: OpId) -> GapReport {
        GapReport { epoch: 2, ops: 1, diff_head: Some(diff_head), own_head: None }
    }

    #[test]
    fn a_gap_is_kept_as_it_is_and_only_once() {
        let mut kudu = FakeKudu::start();
        kudu.ops(40);
        let diff_head = kudu.last();
        kudu.ops(30);
        let volume = tempfile::tempdir().unwrap();
        let store = GapStore::new(volume.path());
        assert_eq!(store.all().unwrap(), vec![]);
        let kept = store.keep(&kudu.dir, &found(diff_head), FINDER, MAX).unwrap().unwrap();
        assert_eq!(kept.name, format!("demo-0-{}", kudu.last()));
        assert_eq!((kept.ops, kept.diff_head, kept.head), (30, Some(diff_head), kudu.last()));
        assert_eq!((kept.new_epoch, kept.new_active.as_str(), kept.state), (2, "demo-1", GapState::Pending));
        let ops: Vec<_> = store.ops(&kept).unwrap().ops.iter().map(|op| op.op.clone()).collect();
        assert_eq!(ops, kudu.replicates()[41..]);

        let decided = KeptGap { state: GapState::Discarded, ..kept };
        store.update(&decided).unwrap();
        assert_eq!(store.keep(&kudu.dir, &found(diff_head), FINDER, MAX).unwrap().unwrap(), decided);
        assert_eq!(store.all().unwrap(), vec![decided]);
    }

    #[test]
    fn a_log_without_a_gap_keeps_none_and_one_that_does_not_part_there_is_an_error() {
        let kudu = FakeKudu::start();
        let volume = tempfile::tempdir().unwrap();
        let store = GapStore::new(volume.path());
        assert_eq!(store.keep(&kudu.dir, &found(kudu.last()), FINDER, MAX).unwrap(), None);
        store.keep(&kudu.dir, &found(OpId::new(7, 9)), FINDER, MAX).unwrap_err();
        assert_eq!(store.all().unwrap(), vec![]);
    }

    #[test]
    fn what_a_crash_left_half_done_is_done_again() {
        let mut kudu = FakeKudu::start();
        let diff_head = kudu.last();
        kudu.ops(3);
        let volume = tempfile::tempdir().unwrap();
        let name = format!("gaps/demo-0-{}.partial", kudu.last());
        fs::create_dir_all(volume.path().join(&name)).unwrap();
        fs::write(volume.path().join(&name).join("wal-000000001"), b"half").unwrap();
        let store = GapStore::new(volume.path());
        assert_eq!(store.all().unwrap(), vec![]);
        store.keep(&kudu.dir, &found(diff_head), FINDER, MAX).unwrap().unwrap();
        assert_eq!(store.all().unwrap().len(), 1);
    }

    #[test]
    fn another_member_takes_a_whole_gap_once_and_no_other_bytes() {
        let mut kudu = FakeKudu::start();
        let diff_head = kudu.last();
        kudu.ops(30);
        let (of_a, of_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (GapStore::new(of_a.path()), GapStore::new(of_b.path()));
        let kept = a.keep(&kudu.dir, &found(diff_head), FINDER, MAX).unwrap().unwrap();
        let segment = a.segment(&kept).unwrap();

        let cut = segment.get(..segment.len() / 2).unwrap();
        let refused = [
            b.take(&kept, cut, MAX),
            b.take(&KeptGap { ops: 31, ..kept.clone() }, &segment, MAX),
            b.take(&KeptGap { diff_head: None, ..kept.clone() }, &segment, MAX),
            b.take(&KeptGap { name: format!("../{}", kept.name), ..kept.clone() }, &segment, MAX),
            b.take(&kept, &segment, kept.bytes - 1),
        ];
        assert!(refused.iter().all(Result::is_err), "{refused:?}");
        assert_eq!(b.all().unwrap(), vec![]);

        b.take(&kept, &segment, MAX).unwrap();
        assert_eq!(b.all().unwrap(), vec![kept.clone()]);
        assert_eq!(b.segment(&kept).unwrap(), segment);
        let decided = KeptGap { state: GapState::Replayed, ..kept.clone() };
        b.update(&decided).unwrap();
        b.take(&kept, &segment, MAX).unwrap();
        assert_eq!(b.all().unwrap(), vec![decided], "what became of it here stands");
    }

    #[test]
    fn there_is_room_for_what_was_not_decided_and_no_more_is_kept_than_may_be() {
        let volume = tempfile::tempdir().unwrap();
        let store = GapStore::new(volume.path());
        let keep = |ops: usize, max: u64| {
            let mut kudu = FakeKudu::start();
            let diff_head = kudu.last();
            kudu.ops(ops);
            store.keep(&kudu.dir, &found(diff_head), FINDER, max)
        };
        let names = || store.all().unwrap().into_iter().map(|gap| gap.name).collect::<Vec<_>>();
        let first = keep(3, MAX).unwrap().unwrap();
        let room = first.bytes * 2;
        let refused = keep(9, room).unwrap_err().to_string();
        assert!(refused.contains("spec.switchBack.maxMebibytes") && refused.contains(&first.name), "{refused}");
        assert_eq!(names(), std::slice::from_ref(&first.name));

        store.update(&KeptGap { state: GapState::Replayed, ..first }).unwrap();
        let second = keep(5, room).unwrap().unwrap();
        assert_eq!(names(), [second.name], "the one that was replayed made room");
    }
}
