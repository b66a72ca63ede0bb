//! Appends operations to the log of a master that is stopped.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    AppendError, Damage, LogScan, Rule, SegmentEnd, SegmentPath, SegmentScan, folder::recovery_dir, scan,
    scan::Evidence,
};
use crate::wal::{Codec, DEFAULT_SEGMENT_BYTES, Footer, LogSummary, OpId, Replicate, SegmentHeader, encode};

/// A batch is closed at this size; one larger operation gets a batch of its own.
const BATCH_BYTES: usize = 1024 * 1024;
/// A new segment's name until its header is durable. Kudu looks only at names that begin with `wal`.
const PLACEHOLDER: &str = ".kudu-pair-newsegment.tmp";

/// A file that a new segment is written to. Real ones are files; tests have ones that fail.
pub trait SegmentFile: Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the system says; some of the bytes may have been written.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// What the system says; what is durable is then unknown.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// Creates the files of new segments.
pub trait SegmentStore: Send {
    /// Creates an empty file, in place of any that is there, with the given permission bits.
    ///
    /// # Errors
    /// What the system says.
    fn create(&mut self, path: &Path, mode: u32) -> io::Result<Box<dyn SegmentFile>>;
}

/// Files on disk.
struct Disk;

impl SegmentStore for Disk {
    fn create(&mut self, path: &Path, mode: u32) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        Ok(Box::new(file))
    }
}

impl SegmentFile for File {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// Appends operations to the log of a stopped master or of a standby.
///
/// It never touches a byte of an existing segment, except that it cuts a torn end off; what is appended goes to new
/// segments. After any failed write or flush it refuses to go on: what the file then holds is not known, and a
/// second `fdatasync` can claim success for data that the first one lost. Open the log again instead.
pub struct LogAppender {
    dir: PathBuf,
    /// Locked, and flushed when a segment was created.
    folder: File,
    store: Box<dyn SegmentStore>,
    summary: LogSummary,
    /// Header of the log's last segment: that of each new one is made from it.
    template: SegmentHeader,
    mode: u32,
    segment_bytes: u64,
    segment: Option<OpenSegment>,
    durable: Option<OpId>,
    folder_changed: bool,
    poisoned: bool,
}

struct OpenSegment {
    path: PathBuf,
    file: Box<dyn SegmentFile>,
    written: u64,
    footer: Footer,
}

impl std::fmt::Debug for LogAppender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogAppender")
            .field("dir", &self.dir)
            .field("last", &self.summary.last)
            .field("durable", &self.durable)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl LogAppender {
    /// Opens a log, reads it to its end and makes what it holds durable.
    ///
    /// A batch that was cut short at the end of the last segment is cut off, as Kudu ignores it too. What a start of Kudu
    /// that was interrupted moved away is taken back (see [`super::stopped_log_dir`]). No `kudu-master`
    /// may run on the log.
    ///
    /// # Errors
    /// If there is no log, or it is in use by another appender, encrypted, or damaged before its end. Nothing
    /// was changed then.
    pub fn open(dir: &Path) -> Result<Self, AppendError> {
        Self::open_durable(dir, None)
    }

    /// The same for a log that was appended to before: `acknowledged` is the last operation that was durable, as the
    /// caller's own records say.
    ///
    /// A power loss may lose an earlier one of two batches that were written and not flushed. Without
    /// `acknowledged` that looks like damage and is refused; with it, all behind that operation may go.
    ///
    /// # Errors
    /// As for [`Self::open`]; also if the log ends before `acknowledged`.
    pub fn open_durable(dir: &Path, acknowledged: Option<OpId>) -> Result<Self, AppendError> {
        Self::open_with(dir, acknowledged, Box::new(Disk))
    }

    /// The same, with another way to create the files of new segments.
    ///
    /// # Errors
    /// As for [`Self::open_durable`].
    pub fn open_with(
        dir: &Path,
        acknowledged: Option<OpId>,
        store: Box<dyn SegmentStore>,
    ) -> Result<Self, AppendError> {
        restore(dir)?;
        let folder = File::open(dir).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => AppendError::NoLog { path: dir.to_owned() },
            _ => AppendError::io(dir, "open the folder")(error),
        })?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(AppendError::Locked { path: dir.to_owned() });
            }
            Err(error) => return Err(AppendError::io(dir, "lock the folder")(error.into())),
        }
        let log = scan(dir, |_, _| {})?;
        let (segments, blank): (Vec<_>, Vec<_>) = log.segments.iter().partition(|segment| segment.header.is_some());
        let repair = check(&log, segments.last().copied(), acknowledged)?;
        let Some((last, template)) = segments.last().and_then(|last| Some((*last, last.header.clone()?))) else {
            return Err(AppendError::NoLog { path: dir.to_owned() });
        };
        if let Some(needed) = acknowledged
            && log.summary.last.is_none_or(|end| end.index < needed.index)
        {
            return Err(AppendError::LostAcknowledged {
                path: dir.to_owned(),
                acknowledged: needed,
                last: log.summary.last,
            });
        }
        if repair {
            truncate(&last.path, last.good_bytes)?;
        }
        for segment in &segments {
            // What was read may so far only be in memory; it is about to be reported as this log's content.
            let sync = File::open(&segment.path).and_then(|file| file.sync_all());
            sync.map_err(AppendError::io(&segment.path, "flush the segment"))?;
        }
        for segment in blank {
            // Never written to; and a segment without its header would stand between the last one and the next.
            fs::remove_file(&segment.path).map_err(AppendError::io(&segment.path, "remove the blank segment"))?;
        }
        let mode = fs::metadata(&last.path).map_err(AppendError::io(&last.path, "look at the segment"))?;
        folder.sync_all().map_err(AppendError::io(dir, "flush the folder"))?;
        Ok(Self {
            dir: dir.to_owned(),
            folder,
            store,
            template,
            mode: mode.permissions().mode() & 0o777,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            segment: None,
            durable: log.summary.last,
            summary: log.summary,
            folder_changed: false,
            poisoned: false,
        })
    }

    /// The size at which a new segment is begun; Kudu's default unless set.
    #[must_use]
    pub fn with_segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// What the log holds, with what was appended.
    #[must_use]
    pub fn summary(&self) -> &LogSummary {
        &self.summary
    }

    /// The last operation, durable or not.
    #[must_use]
    pub fn last(&self) -> Option<OpId> {
        self.summary.last
    }

    /// The last operation that is known to be durable.
    #[must_use]
    pub fn durable(&self) -> Option<OpId> {
        self.durable
    }

    /// Writes operations, which are not durable before [`Self::sync`].
    ///
    /// # Errors
    /// If they do not continue the log, or cannot be encoded: nothing was written then, and the appender can
    /// be used on. If a write fails it cannot.
    pub fn append(&mut self, operations: &[Replicate]) -> Result<(), AppendError> {
        self.check_poisoned()?;
        let mut last = self.summary.last;
        for operation in operations {
            let found = operation.id();
            if let Some(last) = last
                && (last.index.checked_add(1) != Some(found.index) || found.term < last.term)
            {
                return Err(AppendError::NotContiguous { path: self.dir.clone(), last, found });
            }
            last = Some(found);
        }
        let mut batches = Vec::new();
        for batch in batches_of(operations) {
            let bytes =
                encode::batch(Codec::None, batch.iter().map(Replicate::raw)).map_err(AppendError::encode(&self.dir))?;
            batches.push((batch, bytes));
        }
        for (batch, bytes) in batches {
            // Unset again when all of it worked.
            self.poisoned = true;
            self.write_batch(batch, &bytes)?;
            self.poisoned = false;
            batch.iter().for_each(|operation| self.summary.fold_replicate(operation));
        }
        Ok(())
    }

    /// Makes everything that was appended durable: one `fdatasync`, and one `fsync` of the folder if a segment is new.
    ///
    /// # Errors
    /// If a flush fails; the appender cannot be used any more then.
    pub fn sync(&mut self) -> Result<(), AppendError> {
        self.check_poisoned()?;
        self.poisoned = true;
        if let Some(segment) = &mut self.segment {
            segment.file.sync_data().map_err(AppendError::io(&segment.path, "flush the segment"))?;
        }
        if self.folder_changed {
            self.folder.sync_all().map_err(AppendError::io(&self.dir, "flush the folder"))?;
            self.folder_changed = false;
        }
        self.poisoned = false;
        self.durable = self.summary.last;
        Ok(())
    }

    fn check_poisoned(&self) -> Result<(), AppendError> {
        match self.poisoned {
            true => Err(AppendError::Poisoned { path: self.dir.clone() }),
            false => Ok(()),
        }
    }

    fn write_batch(&mut self, batch: &[Replicate], bytes: &[u8]) -> Result<(), AppendError> {
        let length = to_u64(bytes.len());
        let full = self.segment.as_ref().is_some_and(|segment| {
            segment.footer.entries > 0 && segment.written.saturating_add(length) > self.segment_bytes
        });
        if full {
            self.close_segment()?;
        }
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.create_segment()?,
        };
        let segment = self.segment.insert(segment);
        segment
            .file
            .write_all_at(bytes, segment.written)
            .map_err(AppendError::io(&segment.path, "write to the segment"))?;
        segment.written = segment.written.saturating_add(length);
        segment.footer.entries = segment.footer.entries.saturating_add(to_i64(batch.len()));
        let index = |operation: &Replicate| operation.id().index;
        segment.footer.min_replicate_index = segment.footer.min_replicate_index.or(batch.first().map(index));
        segment.footer.max_replicate_index = batch.last().map(index);
        Ok(())
    }

    /// Writes the footer and flushes, so that only a log's last segment can ever be torn.
    fn close_segment(&mut self) -> Result<(), AppendError> {
        let Some(mut segment) = self.segment.take() else {
            return Ok(());
        };
        let footer = encode::footer(&segment.footer);
        segment
            .file
            .write_all_at(&footer, segment.written)
            .and_then(|()| segment.file.sync_data())
            .map_err(AppendError::io(&segment.path, "close the segment"))
    }

    /// Creates the next segment under another name, and gives it its own when its header is durable: a crash
    /// never leaves a segment that Kudu would stumble over.
    fn create_segment(&mut self) -> Result<OpenSegment, AppendError> {
        let number = self.template.sequence_number().saturating_add(1);
        let header = self.template.with(number, Codec::None).map_err(AppendError::encode(&self.dir))?;
        let bytes = encode::segment_header(&header).map_err(AppendError::encode(&self.dir))?;
        let placeholder = self.dir.join(PLACEHOLDER);
        let path = SegmentPath::new(&self.dir, number).path;
        let mut file =
            self.store.create(&placeholder, self.mode).map_err(AppendError::io(&placeholder, "create the segment"))?;
        file.write_all_at(&bytes, 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| fs::rename(&placeholder, &path))
            .map_err(AppendError::io(&path, "create the segment"))?;
        self.folder_changed = true;
        self.template = header;
        let footer = Footer { entries: 0, min_replicate_index: None, max_replicate_index: None, closed_micros: None };
        Ok(OpenSegment { path, file, written: to_u64(bytes.len()), footer })
    }
}

/// Takes back what an interrupted start of Kudu left: its next start would throw `dir` away and read the recovery folder, and
/// with `dir` all that is appended to it. See [`super::stopped_log_dir`].
fn restore(dir: &Path) -> Result<(), AppendError> {
    let recovery = recovery_dir(dir);
    if !recovery.is_dir() {
        return Ok(());
    }
    // Killed between the two steps, this starts over: the recovery folder is still there.
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(AppendError::io(dir, "remove the unfinished log of an interrupted start")(error));
        }
        _ => {}
    }
    fs::rename(&recovery, dir).map_err(AppendError::io(&recovery, "take the log of an interrupted start back"))?;
    let parent = dir.parent().unwrap_or(dir);
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(AppendError::io(parent, "flush the folder"))
}

/// Whether the end of the last segment has to be cut off; an error if the log is not fit to be continued.
fn check(log: &LogScan, last: Option<&SegmentScan>, acknowledged: Option<OpId>) -> Result<bool, AppendError> {
    if let Some((path, source)) = &log.refusal {
        let error = super::ReadError::Decode { path: path.clone(), source: source.clone() };
        return Err(error.into());
    }
    for damage in &log.damage {
        if !last.is_some_and(|last| is_unflushed_end(damage, last, log, acknowledged)) {
            return Err(AppendError::Damaged(damage.clone()));
        }
    }
    let torn = last.is_some_and(|last| matches!(last.end, SegmentEnd::Torn { .. }));
    Ok(torn || !log.damage.is_empty())
}

/// True for damage that a power loss explains, and that lies behind all that was ever acknowledged.
fn is_unflushed_end(damage: &Damage, last: &SegmentScan, log: &LogScan, acknowledged: Option<OpId>) -> bool {
    let lost_write = matches!(
        damage.rule,
        Rule::Torn { evidence: Evidence::BatchBehind(_), .. } | Rule::Hole(Evidence::BatchBehind(_))
    );
    let behind = acknowledged.zip(log.summary.last).is_some_and(|(acknowledged, end)| end.index >= acknowledged.index);
    lost_write && behind && damage.path == last.path && damage.offset == last.good_bytes
}

fn truncate(path: &Path, length: u64) -> Result<(), AppendError> {
    let cut = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    };
    cut().map_err(AppendError::io(path, "cut the torn end off"))
}

/// Groups operations so that each group makes a batch of moderate size.
fn batches_of(operations: &[Replicate]) -> Vec<&[Replicate]> {
    let mut batches = Vec::new();
    let mut rest = operations;
    while !rest.is_empty() {
        let mut bytes = 0_usize;
        let fit = rest.iter().take_while(|operation| {
            bytes = bytes.saturating_add(operation.raw().len());
            bytes <= BATCH_BYTES
        });
        let (batch, others) = rest.split_at(fit.count().max(1));
        batches.push(batch);
        rest = others;
    }
    batches
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn to_i64(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use proptest::prelude::*;

    use super::*;
    use crate::{
        wal::{SYS_CATALOG_TABLET_ID, tests::replicate},
        waldir::{
            read_log,
            testkit::{FakeKudu, flip},
        },
    };

    fn operations(after: OpId, count: i64) -> Vec<Replicate> {
        (1..=count)
            .map(|step| replicate(OpId::new(after.term, after.index + step), 3, format!("appended {step}").as_bytes()))
            .map(|raw| Replicate::from_raw(raw).unwrap())
            .collect()
    }

    fn read(dir: &Path) -> Vec<Replicate> {
        let mut operations = Vec::new();
        read_log(dir, |_, entry| {
            if let crate::wal::LogEntry::Replicate(replicate) = entry {
                operations.push(replicate.clone());
            }
        })
        .unwrap();
        operations
    }

    /// A folder with a stopped master's log.
    fn stopped(count: usize) -> FakeKudu {
        let mut kudu = FakeKudu::start();
        kudu.ops(count);
        kudu.kill();
        kudu
    }

    #[test]
    fn appends_behind_what_is_there() {
        let kudu = stopped(5);
        let more = operations(kudu.last(), 7);
        let mut log = LogAppender::open(&kudu.dir).unwrap();
        assert_eq!((log.last(), log.durable()), (Some(kudu.last()), Some(kudu.last())));
        log.append(&more[..3]).unwrap();
        log.append(&[]).unwrap();
        log.append(&more[3..]).unwrap();
        assert_eq!((log.last(), log.durable()), (Some(more[6].id()), Some(kudu.last())));
        log.sync().unwrap();
        assert_eq!(log.durable(), Some(more[6].id()));
        assert_eq!(log.summary().pending_ops(), 7);
        drop(log);
        assert_eq!(read(&kudu.dir), [kudu.replicates(), more].concat());
        let log = scan(&kudu.dir, |_, _| {}).unwrap();
        assert_eq!(log.segments.len(), 2);
        assert_eq!(log.segments[1].header.as_ref().unwrap().tablet_id(), SYS_CATALOG_TABLET_ID);
        assert_eq!(log.segments[1].codec(), Some(Codec::None));
    }

    #[test]
    fn begins_a_new_segment_when_one_is_full() {
        let kudu = stopped(1);
        let more = operations(kudu.last(), 40);
        let mut log = LogAppender::open(&kudu.dir).unwrap().with_segment_bytes(500);
        for operation in &more {
            log.append(std::slice::from_ref(operation)).unwrap();
        }
        log.sync().unwrap();
        drop(log);
        assert_eq!(read(&kudu.dir), [kudu.replicates(), more].concat());
        let segments = scan(&kudu.dir, |_, _| {}).unwrap().segments;
        assert!(segments.len() > 4);
        let appended = &segments[1..segments.len() - 1];
        assert!(appended.iter().all(|segment| matches!(segment.end, SegmentEnd::Footer(_)) && segment.size < 600));
    }

    #[test]
    fn refuses_what_does_not_continue_the_log() {
        let kudu = stopped(5);
        let last = kudu.last();
        let mut log = LogAppender::open(&kudu.dir).unwrap();
        for wrong in [OpId::new(1, last.index), OpId::new(1, last.index + 2), OpId::new(0, last.index + 1)] {
            let operation = Replicate::from_raw(replicate(wrong, 3, b"")).unwrap();
            let error = log.append(&[operation]).unwrap_err();
            assert!(matches!(error, AppendError::NotContiguous { .. }), "{error}");
            assert!(error.to_string().contains(&format!("{wrong} cannot follow {last}")), "{error}");
        }
        // A refusal is not a failure: the log goes on.
        let good = operations(OpId::new(9, last.index), 1);
        log.append(&good).unwrap();
        log.sync().unwrap();
    }

    #[test]
    fn a_second_appender_is_locked_out() {
        let kudu = stopped(1);
        let first = LogAppender::open(&kudu.dir).unwrap();
        assert!(matches!(LogAppender::open(&kudu.dir), Err(AppendError::Locked { .. })));
        drop(first);
        LogAppender::open(&kudu.dir).unwrap();
    }

    #[test]
    fn nothing_to_append_to_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("none")] {
            assert!(matches!(LogAppender::open(&path), Err(AppendError::NoLog { .. })));
        }
    }

    #[test]
    fn a_blank_segment_gives_its_place_up() {
        for blank in [vec![], vec![0; 4096], b"kudulogf".to_vec(), b"kudulogf\x40\0\0\0".to_vec()] {
            let kudu = stopped(3);
            fs::write(SegmentPath::new(&kudu.dir, 2).path, &blank).unwrap();
            let more = operations(kudu.last(), 2);
            let mut log = LogAppender::open(&kudu.dir).unwrap();
            log.append(&more).unwrap();
            log.sync().unwrap();
            assert_eq!(read(&kudu.dir), [kudu.replicates(), more].concat());
        }
    }

    #[test]
    fn damage_before_the_end_is_refused_and_left_alone() {
        let mut kudu = FakeKudu::start();
        let at = kudu.written();
        kudu.ops(3);
        flip(&kudu.last_segment(), at + 17);
        let before = fs::read(kudu.last_segment()).unwrap();
        let error = LogAppender::open(&kudu.dir).unwrap_err();
        assert!(matches!(&error, AppendError::Damaged(damage) if damage.offset == at), "{error}");
        assert!(error.to_string().ends_with("take a new base copy"), "{error}");
        // Acknowledged operations are behind the damage.
        assert!(LogAppender::open_durable(&kudu.dir, Some(OpId::new(1, 2))).is_err());
        assert_eq!(fs::read(kudu.last_segment()).unwrap(), before);
        // Nothing behind the damage was ever acknowledged: a power loss did this.
        let log = LogAppender::open_durable(&kudu.dir, Some(OpId::new(1, 1))).unwrap();
        assert_eq!(log.last(), Some(OpId::new(1, 1)));
        assert_eq!(read(&kudu.dir).len(), 1);
    }

    #[test]
    fn lost_acknowledged_operations_are_named() {
        let kudu = stopped(3);
        let error = LogAppender::open_durable(&kudu.dir, Some(OpId::new(1, 9))).unwrap_err().to_string();
        assert!(error.contains("1.9 was acknowledged, but the log ends at 1.4"), "{error}");
    }

    #[test]
    fn the_log_of_an_interrupted_start_is_taken_back() {
        let kudu = stopped(5);
        let recovery = recovery_dir(&kudu.dir);
        fs::rename(&kudu.dir, &recovery).unwrap();
        for unfinished in [true, false] {
            if unfinished {
                let other = stopped(1);
                fs::create_dir(&kudu.dir).unwrap();
                fs::copy(other.last_segment(), kudu.last_segment()).unwrap();
            }
            assert_eq!(crate::waldir::stopped_log_dir(&kudu.dir), recovery);
            let log = LogAppender::open(&kudu.dir).unwrap();
            assert_eq!(log.last(), Some(kudu.last()));
            assert_eq!(crate::waldir::stopped_log_dir(&kudu.dir), kudu.dir);
            fs::rename(&kudu.dir, &recovery).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        /// Wherever a crash cut the log, all batches before it stay, and the log can be continued.
        #[test]
        fn any_cut_can_be_continued(cut in any::<prop::sample::Index>(), padded in any::<bool>()) {
            let kudu = stopped(6);
            let path = kudu.last_segment();
            let start = encode::segment_header(&crate::wal::tests::header(1, 3)).unwrap().len();
            let first_batch = scan(&kudu.dir, |_, _| {}).unwrap();
            prop_assert_eq!(first_batch.damage.len(), 0);
            let whole = fs::read(&path).unwrap();
            let end = usize::try_from(kudu.written()).unwrap();
            let cut = start + cut.index(end - start);
            let mut bytes = whole[..cut].to_vec();
            if padded {
                bytes.resize(whole.len(), 0);
            }
            fs::write(&path, bytes).unwrap();
            let mut log = LogAppender::open(&kudu.dir).unwrap();
            let last = log.last().unwrap_or(OpId::new(1, 0));
            let more = operations(last, 3);
            log.append(&more).unwrap();
            log.sync().unwrap();
            drop(log);
            let kept = usize::try_from(last.index).unwrap();
            prop_assert_eq!(read(&kudu.dir), [kudu.replicates()[..kept].to_vec(), more].concat());
        }
    }

    /// Files of which the n-th write or flush fails.
    struct FailingStore {
        calls: Arc<AtomicUsize>,
        fail_at: usize,
        error: io::ErrorKind,
    }

    struct FailingFile {
        file: File,
        calls: Arc<AtomicUsize>,
        fail_at: usize,
        error: io::ErrorKind,
    }

    impl FailingFile {
        fn tick(&self) -> io::Result<()> {
            match self.calls.fetch_add(1, Ordering::Relaxed) == self.fail_at {
                true => Err(self.error.into()),
                false => Ok(()),
            }
        }
    }

    impl SegmentStore for FailingStore {
        fn create(&mut self, path: &Path, _: u32) -> io::Result<Box<dyn SegmentFile>> {
            let Self { calls, fail_at, error } = self;
            Ok(Box::new(FailingFile {
                file: File::create(path)?,
                calls: calls.clone(),
                fail_at: *fail_at,
                error: *error,
            }))
        }
    }

    impl SegmentFile for FailingFile {
        fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
            if let Err(error) = self.tick() {
                // A full disk takes a part.
                FileExt::write_all_at(&self.file, &bytes[..bytes.len() / 2], offset)?;
                return Err(error);
            }
            FileExt::write_all_at(&self.file, bytes, offset)
        }

        fn sync_data(&mut self) -> io::Result<()> {
            self.tick()
        }
    }

    #[test]
    fn after_any_failure_only_a_new_start_helps() {
        // Header write and flush, batch write, flush, batch write, flush.
        for fail_at in 0..6 {
            for (error, full) in [(io::ErrorKind::StorageFull, true), (io::ErrorKind::Other, false)] {
                let kudu = stopped(2);
                let more = operations(kudu.last(), 4);
                let calls = Arc::new(AtomicUsize::new(0));
                let store = FailingStore { calls: calls.clone(), fail_at, error };
                let mut log = LogAppender::open_with(&kudu.dir, None, Box::new(store)).unwrap();
                let mut durable = kudu.last();
                let failure = [&more[..2], &more[2..]]
                    .iter()
                    .find_map(|operations| {
                        let result = log.append(operations).and_then(|()| log.sync());
                        if result.is_ok() {
                            durable = operations[1].id();
                        }
                        result.err()
                    })
                    .expect("one call fails");
                assert_eq!(matches!(failure, AppendError::DiskFull { .. }), full, "{failure}");
                assert_eq!(log.durable(), Some(durable));
                let made = calls.load(Ordering::Relaxed);
                assert!(matches!(log.append(&more), Err(AppendError::Poisoned { .. })));
                assert!(matches!(log.sync(), Err(AppendError::Poisoned { .. })));
                assert_eq!(calls.load(Ordering::Relaxed), made, "nothing is tried again");
                drop(log);
                let mut log = LogAppender::open_durable(&kudu.dir, Some(durable)).unwrap();
                let next = usize::try_from(log.last().unwrap().index - kudu.last().index).unwrap();
                log.append(&more[next..]).unwrap();
                log.sync().unwrap();
                assert_eq!(read(&kudu.dir), [kudu.replicates(), more].concat());
            }
        }
    }
}
