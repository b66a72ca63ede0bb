//! Appends operations to the log of a master that is stopped.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    AppendError, Damage, LogScan, Rule, SegmentEnd, SegmentPath, SegmentScan, folder::recovery_dir, scan,
    scan::Evidence,
};
use crate::{
    volume::{Volume, VolumeFile, disk},
    wal::{Codec, DEFAULT_SEGMENT_BYTES, Footer, LogEntry, LogSummary, OpId, Replicate, SegmentHeader, encode},
};

/// A batch is closed at this size, which is that of Kudu's own largest groups; one larger operation gets a batch of its own.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// What is read of a segment at once when it is written again.
const CHUNK_BYTES: usize = 256 * 1024;
/// A new segment's name until its header is durable. Kudu looks only at names that begin with `wal`.
const PLACEHOLDER: &str = ".kudu-pair-newsegment.tmp";

/// Appends operations to the log of a stopped master or of a standby.
///
/// It changes no byte of an existing segment, except that it cuts a torn end off; what is appended goes to new
/// segments. After any failed write or flush it refuses to go on: what the file then holds is not known, and a
/// second `fdatasync` can claim success for data that the first one lost. Open the log again instead.
///
/// Nothing is written behind a batch that is not durable. So whatever a power loss takes, it is an end of the log: a batch
/// that is damaged and has another one behind it was damaged after it had been acknowledged.
pub struct LogAppender {
    dir: PathBuf,
    /// Kept open because it is locked.
    _folder: File,
    volume: Arc<dyn Volume>,
    summary: LogSummary,
    /// Header of the log's last segment: that of each new one is made from it.
    template: SegmentHeader,
    mode: u32,
    segment_bytes: u64,
    batch_bytes: usize,
    segment: Option<OpenSegment>,
    durable: Option<OpId>,
    folder_changed: bool,
    poisoned: bool,
}

struct OpenSegment {
    path: PathBuf,
    file: Box<dyn VolumeFile>,
    written: u64,
    /// Whether something was written since the last flush.
    unflushed: bool,
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
        Self::open_on(disk(), dir, acknowledged)
    }

    /// The same as [`Self::open`], and hands each operation of the log to `visit`, in order: who needs both reads it once.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_reading(dir: &Path, visit: impl FnMut(&Replicate)) -> Result<Self, AppendError> {
        Self::open_with(disk(), dir, None, visit)
    }

    /// The same on a given volume.
    ///
    /// # Errors
    /// As for [`Self::open_durable`].
    pub fn open_on(volume: Arc<dyn Volume>, dir: &Path, acknowledged: Option<OpId>) -> Result<Self, AppendError> {
        Self::open_with(volume, dir, acknowledged, |_| {})
    }

    fn open_with(
        volume: Arc<dyn Volume>,
        dir: &Path,
        acknowledged: Option<OpId>,
        mut visit: impl FnMut(&Replicate),
    ) -> Result<Self, AppendError> {
        restore(&*volume, dir)?;
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
        let log = scan(dir, |_, entry| {
            if let LogEntry::Replicate(op) = entry {
                visit(op);
            }
        })?;
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
        for segment in segments.iter().filter(|segment| segment.path != last.path) {
            // What was read may so far only be in memory; it is about to be reported as this log's content.
            volume.sync_file(&segment.path).map_err(AppendError::io(&segment.path, "flush the segment"))?;
        }
        rewrite(&*volume, last, repair)?;
        for segment in blank {
            // Never written to; and a segment without its header would stand between the last one and the next.
            volume.remove_file(&segment.path).map_err(AppendError::io(&segment.path, "remove the blank segment"))?;
        }
        let mode = fs::metadata(&last.path).map_err(AppendError::io(&last.path, "look at the segment"))?;
        volume.sync_folder(dir).map_err(AppendError::io(dir, "flush the folder"))?;
        Ok(Self {
            dir: dir.to_owned(),
            _folder: folder,
            volume,
            template,
            mode: mode.permissions().mode() & 0o777,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            batch_bytes: BATCH_BYTES,
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

    /// The size at which a batch is closed; 4 MiB unless set.
    #[must_use]
    pub fn with_batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
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
        for batch in batches_of(operations, self.batch_bytes) {
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
            segment.flush()?;
        }
        if self.folder_changed {
            self.volume.sync_folder(&self.dir).map_err(AppendError::io(&self.dir, "flush the folder"))?;
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
        segment.flush()?;
        segment.write(bytes)?;
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
        segment.flush()?;
        segment.write(&encode::footer(&segment.footer))?;
        segment.flush()
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
            self.volume.create(&placeholder, self.mode).map_err(AppendError::io(&placeholder, "create the segment"))?;
        file.write_all_at(&bytes, 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| self.volume.rename(&placeholder, &path))
            .map_err(AppendError::io(&path, "create the segment"))?;
        self.folder_changed = true;
        self.template = header;
        let footer = Footer { entries: 0, min_replicate_index: None, max_replicate_index: None, closed_micros: None };
        Ok(OpenSegment { path, file, written: to_u64(bytes.len()), unflushed: false, footer })
    }
}

impl OpenSegment {
    fn write(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        self.unflushed = true;
        self.file.write_all_at(bytes, self.written).map_err(AppendError::io(&self.path, "write to the segment"))?;
        self.written = self.written.saturating_add(to_u64(bytes.len()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), AppendError> {
        if self.unflushed {
            self.file.sync_data().map_err(AppendError::io(&self.path, "flush the segment"))?;
            self.unflushed = false;
        }
        Ok(())
    }
}

/// Takes back what an interrupted start of Kudu left: its next start would throw `dir` away and read the recovery folder, and
/// with `dir` all that is appended to it. See [`super::stopped_log_dir`].
fn restore(volume: &dyn Volume, dir: &Path) -> Result<(), AppendError> {
    let recovery = recovery_dir(dir);
    if !recovery.is_dir() {
        return Ok(());
    }
    // Killed between the two steps, this starts over: the recovery folder is still there.
    match volume.remove_folder(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(AppendError::io(dir, "remove the unfinished log of an interrupted start")(error));
        }
        _ => {}
    }
    volume.rename(&recovery, dir).map_err(AppendError::io(&recovery, "take the log of an interrupted start back"))?;
    let parent = dir.parent().unwrap_or(dir);
    volume.sync_folder(parent).map_err(AppendError::io(parent, "flush the folder"))
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

/// Makes the good part of the last segment durable, and cuts off what is behind it if it has to be.
///
/// Each byte is written once more, as it is. A flush alone would not do: if one failed before, the system holds what it could
/// not write for written, shows it to every reader, and lets the next flush succeed.
fn rewrite(volume: &dyn Volume, segment: &SegmentScan, cut: bool) -> Result<(), AppendError> {
    let again = || -> io::Result<()> {
        let old = File::open(&segment.path)?;
        let mut file = volume.open(&segment.path)?;
        if cut {
            file.set_len(segment.good_bytes)?;
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while let Some(left) = segment.good_bytes.checked_sub(offset).filter(|left| *left > 0) {
            let length = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let bytes = chunk.get_mut(..length).unwrap_or_default();
            old.read_exact_at(bytes, offset)?;
            file.write_all_at(bytes, offset)?;
            offset = offset.saturating_add(to_u64(length));
        }
        file.sync_data()
    };
    again().map_err(AppendError::io(&segment.path, "write the segment once more"))
}

/// Groups operations so that each group makes a batch of moderate size.
fn batches_of(operations: &[Replicate], batch_bytes: usize) -> Vec<&[Replicate]> {
    let mut batches = Vec::new();
    let mut rest = operations;
    while !rest.is_empty() {
        let mut bytes = 0_usize;
        let fit = rest.iter().take_while(|operation| {
            bytes = bytes.saturating_add(operation.raw().len());
            bytes <= batch_bytes
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
mod tests;
