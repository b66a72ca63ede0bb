//! Follows the log of a running `kudu-master`.

mod batch;
mod delivered;
mod place;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

pub use self::batch::{TailBatch, TailLimits, TailState};
use self::{
    delivered::Delivered,
    place::{Folder, Place},
};
use super::{Damage, ReadError, Rule, TailError, scan::Evidence};
use crate::wal::{Decoded, LogEntry, OpId};

/// Follows a log that is being written, over segment roll, log collection and Kudu's restarts.
///
/// Each REPLICATE after the starting point is delivered once, in order, without a gap; each COMMIT of those
/// operations once, in the order of the log. Bytes are delivered as soon as Kudu has written them, which is before
/// it flushes them, if it does at all.
///
/// Kudu moves its log away at each start and writes it anew. The tail notices by the folder's identity (device and
/// inode; it keeps the old folder open so that the number is not used again), reads the new log from its
/// start, and passes over what it delivered before, holding it against the digests that it kept. After a power
/// loss, operations that were delivered may be missing there: that is [`TailError::Diverged`].
#[derive(Debug)]
pub struct LogTail {
    limits: TailLimits,
    place: Place,
    delivered: Delivered,
    /// Decoded and not yet returned.
    ready: VecDeque<LogEntry>,
    torn: Option<(PathBuf, u64, u32)>,
}

impl LogTail {
    /// A tail of the log folder `dir`, which need not exist yet.
    ///
    /// `after`: the last operation that the caller has; `None`: from the log's first operation on.
    #[must_use]
    pub fn open(dir: &Path, after: Option<OpId>) -> Self {
        Self::with_limits(dir, after, TailLimits::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(dir: &Path, after: Option<OpId>, limits: TailLimits) -> Self {
        Self { limits, place: Place::new(dir), delivered: Delivered::new(after), ready: VecDeque::new(), torn: None }
    }

    /// The last operation that was read, whether or not a poll has returned it yet.
    #[must_use]
    pub fn last(&self) -> Option<OpId> {
        self.delivered.last()
    }

    /// Reads what is new, up to the limits.
    ///
    /// # Errors
    /// [`TailError::Gone`] and [`TailError::Diverged`] stay: take a new base, or compare the logs anew, and open a new
    /// tail. After [`TailError::Read`] poll again: the log is read from its start, and nothing is delivered twice.
    pub fn poll(&mut self) -> Result<TailBatch, TailError> {
        let state = match self.fill() {
            Ok(state) => state,
            Err(error) => {
                // Reading from the log's start again meets the same error again, and all checks with it.
                self.start_over();
                if self.ready.is_empty() {
                    return Err(error);
                }
                // What was read before the error is good: deliver it first.
                TailState::More
            }
        };
        let mut entries = Vec::new();
        let mut bytes = 0_usize;
        while let Some(entry) = self.ready.front() {
            bytes = bytes.saturating_add(entry.raw().len());
            if entries.len() >= self.limits.entries || (bytes > self.limits.bytes && !entries.is_empty()) {
                break;
            }
            entries.extend(self.ready.pop_front());
        }
        let state = if self.ready.is_empty() { state } else { TailState::More };
        Ok(TailBatch { entries, state })
    }

    /// Reads batches until there are enough entries or none left.
    fn fill(&mut self) -> Result<TailState, TailError> {
        if !self.ready.is_empty() {
            return Ok(TailState::More);
        }
        match self.place.look()? {
            Folder::Absent => return Ok(TailState::NoLog),
            Folder::Held => {}
            Folder::Other => {
                self.start_over();
                if !self.place.open_folder()? {
                    return Ok(TailState::NoLog);
                }
            }
        }
        self.place.find_segments()?;
        let mut seen = 0_usize;
        // An earlier poll stopped at a limit with bytes in hand, behind which more may have been written since.
        let mut stale = self.place.is_ahead();
        while self.ready.len() < self.limits.entries && seen < self.limits.bytes {
            // Known before the read: if there is a next segment, Kudu had finished this one by then.
            let finished = self.place.has_next();
            let Some(segment) = self.place.segment() else {
                return Ok(TailState::NoLog);
            };
            match segment.next()? {
                Decoded::Header(_) | Decoded::NeedMore(_) => continue,
                Decoded::Batch(batch) => {
                    let path = segment.path().to_owned();
                    for entry in batch.entries {
                        seen = seen.saturating_add(entry.raw().len());
                        let dir = self.place.dir();
                        if self.delivered.accept(dir, &path, batch.offset, &entry, self.limits.digests)? {
                            self.ready.push_back(entry);
                        }
                    }
                    continue;
                }
                _ if stale => {
                    stale = false;
                    segment.rewind();
                }
                end => {
                    if let Some(state) = self.at_end(&end, finished)? {
                        return Ok(state);
                    }
                }
            }
        }
        Ok(TailState::More)
    }

    /// What to do at the end of what a segment holds. `None`: go on reading.
    fn at_end(&mut self, end: &Decoded, finished: bool) -> Result<Option<TailState>, TailError> {
        let Some(segment) = self.place.segment() else {
            return Ok(Some(TailState::NoLog));
        };
        // What was read past the last batch may have changed by now.
        segment.rewind();
        let (path, offset) = (segment.path().to_owned(), segment.decoder().offset());
        if finished {
            if let Decoded::Torn(torn) = *end {
                let rule = Rule::Torn { torn, evidence: Evidence::NotLast };
                return Err(ReadError::Damaged(Damage { path, offset, rule }).into());
            }
            self.place.advance();
            return Ok(None);
        }
        self.place.find_segments()?;
        if self.place.has_next() {
            // A next segment appeared after the read: read the rest of this one first.
            return Ok(None);
        }
        Ok(Some(match *end {
            Decoded::Torn(why) => {
                let polls = match &self.torn {
                    Some((old_path, old_offset, polls)) if (old_path, *old_offset) == (&path, offset) => {
                        polls.saturating_add(1)
                    }
                    _ => 1,
                };
                self.torn = Some((path.clone(), offset, polls));
                TailState::Torn { path, offset, why, polls }
            }
            _ => {
                self.torn = None;
                TailState::CaughtUp
            }
        }))
    }

    /// Forgets where it is in the log, but not what was delivered.
    fn start_over(&mut self) {
        self.place.forget();
        self.delivered.read_again();
        self.torn = None;
    }
}

#[cfg(test)]
mod tests;
