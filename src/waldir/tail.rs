//! Follows the log of a running `kudu-master`.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Damage, ReadError, Rule, TailError, list_segments, scan::Evidence, segment::SegmentReader};
use crate::wal::{Commit, Decoded, LogEntry, OpDigest, OpId, Replicate, TermHistory, Torn};

/// Segments held open ahead of the one that is read, so that log collection cannot take them away.
/// At 8 MiB each the reader may fall this far behind without needing a new base.
const MOST_OPEN_SEGMENTS: usize = 64;
/// Kudu commits a little out of order; a gap wider than this cannot be.
const MOST_EARLY_COMMITS: usize = 1 << 16;

/// How much one [`LogTail::poll`] does, and what is remembered.
#[derive(Debug, Clone, Copy)]
pub struct TailLimits {
    /// Most entries that one poll returns.
    pub entries: usize,
    /// Most bytes of entries that one poll reads; a larger single entry is still returned.
    pub bytes: usize,
    /// Digests of this many delivered operations are kept, to prove after a restart of Kudu that the
    /// rewritten log still holds them.
    pub digests: usize,
}

impl Default for TailLimits {
    fn default() -> Self {
        Self { entries: 4096, bytes: 4 * 1024 * 1024, digests: 4096 }
    }
}

/// Where a poll stopped, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailState {
    /// At the end of what is written.
    CaughtUp,
    /// At a limit: poll again at once.
    More,
    /// There is no log folder, or no segment in it: Kudu did not start yet, or is just moving its old log away.
    NoLog,
    /// At bytes that are no batch. While Kudu writes, this passes; if it stays, the log is damaged, and Kudu
    /// itself will refuse it at its next start.
    Torn {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        why: Torn,
        /// For how many polls in a row, this one included.
        polls: u32,
    },
}

/// What one poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailBatch {
    /// New entries, in the order of the log.
    pub entries: Vec<LogEntry>,
    /// Why there are no more.
    pub state: TailState,
}

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
    dir: PathBuf,
    limits: TailLimits,
    folder: Option<File>,
    /// The segment that is read, and those behind it.
    segments: VecDeque<SegmentReader>,
    newest: Option<u64>,
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
        Self {
            dir: dir.to_owned(),
            limits,
            folder: None,
            segments: VecDeque::new(),
            newest: None,
            delivered: Delivered::new(after),
            ready: VecDeque::new(),
            torn: None,
        }
    }

    /// The last operation that was read, whether or not a poll has returned it yet.
    #[must_use]
    pub fn last(&self) -> Option<OpId> {
        self.delivered.last
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
        if !self.find_folder()? {
            return Ok(TailState::NoLog);
        }
        self.find_segments()?;
        let mut seen = 0_usize;
        // An earlier poll stopped at a limit with bytes in hand, behind which more may have been written since.
        let mut stale = self.segments.front().is_some_and(SegmentReader::is_ahead);
        while self.ready.len() < self.limits.entries && seen < self.limits.bytes {
            // Known before the read: if there is a next segment, Kudu had finished this one by then.
            let finished = self.segments.len() > 1;
            let Some(segment) = self.segments.front_mut() else {
                return Ok(TailState::NoLog);
            };
            match segment.next()? {
                Decoded::Header(_) | Decoded::NeedMore(_) => continue,
                Decoded::Batch(batch) => {
                    let path = segment.path().to_owned();
                    for entry in batch.entries {
                        seen = seen.saturating_add(entry.raw().len());
                        if self.delivered.accept(&self.dir, &path, batch.offset, &entry, self.limits.digests)? {
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
        let Some(segment) = self.segments.front_mut() else {
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
            self.segments.pop_front();
            return Ok(None);
        }
        self.find_segments()?;
        if self.segments.len() > 1 {
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

    /// Holds the folder open; if another one took its place, starts over in it. False: there is none.
    fn find_folder(&mut self) -> Result<bool, TailError> {
        let Some(at_path) = self.folder_metadata()? else {
            return Ok(false);
        };
        if let Some(folder) = &self.folder {
            let held = folder.metadata().map_err(ReadError::io(&self.dir, "look at the folder"))?;
            if is_same(&held, &at_path) {
                return Ok(true);
            }
            self.start_over();
        }
        // Replaced once more in between: the next poll will see that.
        self.folder = match File::open(&self.dir) {
            Ok(folder) => Some(folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(ReadError::io(&self.dir, "open the folder")(error).into()),
        };
        Ok(true)
    }

    /// Forgets where it is in the log, but not what was delivered.
    fn start_over(&mut self) {
        self.segments.clear();
        self.delivered.begun = false;
        self.newest = None;
        self.torn = None;
    }

    /// Opens the segments that are new.
    fn find_segments(&mut self) -> Result<(), TailError> {
        let listed = match list_segments(&self.dir) {
            Ok(listed) => listed,
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut opened = Vec::new();
        for segment in listed {
            if self.newest.is_some_and(|newest| segment.sequence_number <= newest) {
                continue;
            }
            if self.segments.len().saturating_add(opened.len()) >= MOST_OPEN_SEGMENTS {
                break;
            }
            match SegmentReader::open(segment) {
                Ok(reader) => opened.push(reader),
                // Collected, or moved away with the whole folder.
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error.into()),
            }
        }
        // If the folder was replaced meanwhile, these segments belong to another log: the next poll starts over.
        if opened.is_empty() || !self.is_folder_same()? {
            return Ok(());
        }
        self.newest = opened.last().map(SegmentReader::sequence_number);
        self.segments.extend(opened);
        Ok(())
    }

    fn is_folder_same(&self) -> Result<bool, TailError> {
        let Some(folder) = &self.folder else {
            return Ok(false);
        };
        let held = folder.metadata().map_err(ReadError::io(&self.dir, "look at the folder"))?;
        Ok(self.folder_metadata()?.is_some_and(|at_path| is_same(&held, &at_path)))
    }

    fn folder_metadata(&self) -> Result<Option<Metadata>, TailError> {
        match fs::metadata(&self.dir) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReadError::io(&self.dir, "look at the folder")(error).into()),
        }
    }
}

fn is_same(left: &Metadata, right: &Metadata) -> bool {
    (left.dev(), left.ino()) == (right.dev(), right.ino())
}

/// What was delivered, so that each entry is delivered once.
#[derive(Debug)]
struct Delivered {
    last: Option<OpId>,
    history: TermHistory,
    /// The last operations and their digests, in order.
    recent: VecDeque<(OpId, OpDigest)>,
    /// All COMMITs up to this index were delivered, or belong to operations before the start.
    commits_through: Option<i64>,
    /// COMMITs delivered out of order, after that index.
    early_commits: BTreeSet<i64>,
    /// Whether an operation was read since the log was last read from its start.
    begun: bool,
}

impl Delivered {
    fn new(after: Option<OpId>) -> Self {
        Self {
            last: after,
            history: after.into_iter().collect(),
            recent: VecDeque::new(),
            commits_through: after.map(|id| id.index),
            early_commits: BTreeSet::new(),
            begun: false,
        }
    }

    /// Whether an entry is new; an error if it contradicts what was delivered.
    fn accept(
        &mut self,
        dir: &Path,
        path: &Path,
        offset: u64,
        entry: &LogEntry,
        digests: usize,
    ) -> Result<bool, TailError> {
        match entry {
            LogEntry::Replicate(replicate) => self.accept_replicate(dir, replicate, digests),
            LogEntry::Commit(commit) => self.accept_commit(dir, path, offset, commit),
        }
    }

    fn accept_replicate(&mut self, dir: &Path, replicate: &Replicate, digests: usize) -> Result<bool, TailError> {
        let found = replicate.id();
        self.begun = true;
        let diverged = |delivered| TailError::Diverged { path: dir.to_owned(), delivered, found };
        if let Some(last) = self.last {
            let needed = last.index.saturating_add(1);
            if found.index > needed {
                return Err(TailError::Gone { path: dir.to_owned(), needed, first_available: found });
            }
            if found.index < needed {
                return match self.contradiction(replicate) {
                    Some(delivered) => Err(diverged(delivered)),
                    None => Ok(false),
                };
            }
            if found.term < last.term {
                return Err(diverged(last));
            }
        }
        self.last = Some(found);
        self.history.record(found);
        self.commits_through.get_or_insert(found.index.saturating_sub(1));
        if self.recent.len() >= digests {
            self.recent.pop_front();
        }
        if digests > 0 {
            self.recent.push_back((found, OpDigest::of(replicate)));
        }
        Ok(true)
    }

    /// The operation that was delivered in place of this one, if another was.
    fn contradiction(&self, replicate: &Replicate) -> Option<OpId> {
        let found = replicate.id();
        let at = self.recent.partition_point(|(id, _)| id.index < found.index);
        match self.recent.get(at) {
            Some((id, digest)) if id.index == found.index => {
                (*id != found || *digest != OpDigest::of(replicate)).then_some(*id)
            }
            _ => match self.history.term_at(found.index) {
                Some(term) => (term != found.term).then(|| OpId::new(term, found.index)),
                // Before all that is known of: only that terms never fall.
                None => self.history.first().filter(|first| found.term > first.term),
            },
        }
    }

    fn accept_commit(&mut self, dir: &Path, path: &Path, offset: u64, commit: &Commit) -> Result<bool, TailError> {
        let id = commit.committed();
        let Some(through) = &mut self.commits_through else {
            // Before the first operation of the log: a COMMIT that outlived it.
            return Ok(false);
        };
        if id.index <= *through || self.early_commits.contains(&id.index) {
            return Ok(false);
        }
        if let Some(last) = self.last.filter(|last| id.index > last.index && !self.begun) {
            // Its operation was collected with the segment before, and with it the one that is needed.
            let needed = last.index.saturating_add(1);
            return Err(TailError::Gone { path: dir.to_owned(), needed, first_available: id });
        }
        if self.last.is_none_or(|last| id.index > last.index) {
            let rule = Rule::OrphanCommit(id);
            return Err(ReadError::Damaged(Damage { path: path.to_owned(), offset, rule }).into());
        }
        self.early_commits.insert(id.index);
        let full = self.early_commits.len() > MOST_EARLY_COMMITS;
        while let Some(&first) = self.early_commits.first()
            && (full_gap(full, self.early_commits.len()) || through.checked_add(1) == Some(first))
        {
            *through = first;
            self.early_commits.pop_first();
        }
        Ok(true)
    }
}

/// True while the set of early COMMITs has to be cut down, whatever the gap before it.
fn full_gap(full: bool, early: usize) -> bool {
    full && early >= MOST_EARLY_COMMITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::waldir::{SegmentPath, testkit::FakeKudu};

    /// Everything that is there now.
    fn drain(tail: &mut LogTail) -> Vec<LogEntry> {
        let mut entries = Vec::new();
        loop {
            let batch = tail.poll().unwrap();
            entries.extend(batch.entries);
            if batch.state != TailState::More {
                return entries;
            }
        }
    }

    fn ids(entries: &[LogEntry]) -> Vec<OpId> {
        entries
            .iter()
            .filter_map(|entry| match entry {
                LogEntry::Replicate(replicate) => Some(replicate.id()),
                LogEntry::Commit(_) => None,
            })
            .collect()
    }

    #[test]
    fn follows_a_log_from_before_its_folder_exists() {
        let mut kudu = FakeKudu::start();
        let mut early = LogTail::open(&kudu.dir.with_file_name("none"), None);
        assert_eq!(early.poll().unwrap().state, TailState::NoLog);
        let mut tail = LogTail::open(&kudu.dir, None);
        assert_eq!(drain(&mut tail), kudu.entries());
        kudu.ops(3);
        kudu.roll();
        kudu.ops(3);
        assert_eq!(drain(&mut tail), kudu.entries()[2..]);
        assert_eq!(tail.poll().unwrap(), TailBatch { entries: vec![], state: TailState::CaughtUp });
        assert_eq!(tail.last(), Some(kudu.last()));
    }

    #[test]
    fn delivers_only_what_comes_after() {
        let mut kudu = FakeKudu::start();
        kudu.ops(9);
        let mut tail = LogTail::open(&kudu.dir, Some(OpId::new(1, 7)));
        assert_eq!(drain(&mut tail), kudu.entries()[14..]);
    }

    #[test]
    fn returns_no_more_than_the_limits() {
        let mut kudu = FakeKudu::start();
        kudu.ops(9);
        let limits = TailLimits { entries: 3, ..TailLimits::default() };
        let mut tail = LogTail::with_limits(&kudu.dir, None, limits);
        let batch = tail.poll().unwrap();
        assert_eq!((batch.entries.len(), batch.state), (3, TailState::More));
        assert_eq!(drain(&mut tail), kudu.entries()[3..]);
        let limits = TailLimits { bytes: 1, ..TailLimits::default() };
        let mut tail = LogTail::with_limits(&kudu.dir, None, limits);
        assert_eq!(tail.poll().unwrap().entries.len(), 1);
    }

    #[test]
    fn a_torn_read_passes() {
        let mut kudu = FakeKudu::start();
        let mut tail = LogTail::open(&kudu.dir, None);
        drain(&mut tail);
        let rest = kudu.half_op(20);
        for expected in 1..=3 {
            let TailState::Torn { polls, .. } = tail.poll().unwrap().state else { panic!() };
            assert_eq!(polls, expected);
        }
        rest(&mut kudu);
        assert_eq!(ids(&drain(&mut tail)), [kudu.last()]);
    }

    #[test]
    fn log_collection_does_not_take_what_was_seen() {
        let mut kudu = FakeKudu::start();
        let limits = TailLimits { entries: 1, ..TailLimits::default() };
        let mut tail = LogTail::with_limits(&kudu.dir, None, limits);
        for _ in 0..5 {
            kudu.ops(3);
            kudu.roll();
        }
        let mut entries = tail.poll().unwrap().entries;
        kudu.collect();
        kudu.ops(1);
        entries.extend(drain(&mut tail));
        assert_eq!(entries, kudu.entries());
    }

    #[test]
    fn what_was_collected_before_is_gone() {
        let mut kudu = FakeKudu::start();
        kudu.ops(5);
        kudu.roll();
        kudu.ops(5);
        kudu.collect();
        let mut tail = LogTail::open(&kudu.dir, Some(OpId::new(1, 3)));
        let error = tail.poll().unwrap_err();
        assert!(
            matches!(error, TailError::Gone { needed: 4, first_available, .. } if first_available == OpId::new(1, 7)),
            "{error}"
        );
        // The whole log from its first operation on is still to be had.
        assert_eq!(ids(&drain(&mut LogTail::open(&kudu.dir, None))), kudu.ids()[6..]);
    }

    #[test]
    fn a_commit_that_outlived_its_operation_says_that_it_is_gone() {
        use crate::wal::tests::{commit, replicate};
        let mut kudu = FakeKudu::start();
        kudu.ops(5);
        kudu.entry(replicate(OpId::new(1, 7), 3, b""));
        kudu.roll();
        kudu.entry(commit(OpId::new(1, 7)));
        kudu.collect();
        let mut tail = LogTail::open(&kudu.dir, Some(OpId::new(1, 3)));
        for _ in 0..2 {
            assert!(matches!(tail.poll(), Err(TailError::Gone { needed: 4, .. })));
        }
        // Whoever has the operation goes on.
        let mut tail = LogTail::open(&kudu.dir, Some(OpId::new(1, 7)));
        kudu.ops(1);
        assert_eq!(ids(&drain(&mut tail)), [OpId::new(1, 8)]);
    }

    #[test]
    fn a_restart_delivers_only_what_is_new() {
        let mut kudu = FakeKudu::start();
        kudu.ops(100);
        let mut tail = LogTail::open(&kudu.dir, None);
        let mut entries = drain(&mut tail);
        kudu.restart(0);
        kudu.ops(5);
        entries.extend(drain(&mut tail));
        assert_eq!(entries, kudu.entries());
        assert_eq!(kudu.last().term, 2);
    }

    #[test]
    fn operations_lost_in_a_restart_are_a_divergence() {
        let mut kudu = FakeKudu::start();
        kudu.ops(10);
        let delivered = kudu.last();
        let mut tail = LogTail::open(&kudu.dir, None);
        drain(&mut tail);
        kudu.restart(4);
        let error = tail.poll().unwrap_err();
        let TailError::Diverged { delivered: was, found, .. } = error else { panic!("{error}") };
        assert_eq!((was.term, found.term), (1, 2));
        assert_eq!(found.index, delivered.index - 1);
        assert!(matches!(LogTail::open(&kudu.dir, Some(delivered)).poll(), Err(TailError::Diverged { .. })));
    }

    #[test]
    fn other_content_at_the_same_place_is_a_divergence() {
        let mut kudu = FakeKudu::start();
        kudu.ops(2);
        let mut tail = LogTail::open(&kudu.dir, None);
        drain(&mut tail);
        kudu.log[2] = crate::wal::tests::replicate(OpId::new(1, 2), 3, b"something else");
        kudu.restart(0);
        for _ in 0..2 {
            let error = tail.poll().unwrap_err();
            assert!(matches!(error, TailError::Diverged { delivered, found, .. } if delivered == found), "{error}");
        }
    }

    #[test]
    fn good_entries_before_an_error_in_the_same_batch_are_delivered_and_the_error_stays() {
        use crate::wal::{Codec, encode, tests::replicate};
        let mut kudu = FakeKudu::start();
        let mut tail = LogTail::open(&kudu.dir, None);
        drain(&mut tail);
        let [good, gap, after] = [2, 9, 10].map(|index| replicate(OpId::new(1, index), 3, b""));
        kudu.put(&encode::batch(Codec::Lz4, [&good, &gap]).unwrap());
        kudu.put(&encode::batch(Codec::Lz4, [&after]).unwrap());
        assert_eq!(ids(&tail.poll().unwrap().entries), [OpId::new(1, 2)]);
        for _ in 0..2 {
            assert!(matches!(tail.poll(), Err(TailError::Gone { needed: 3, .. })));
        }
    }

    #[test]
    fn damage_before_the_last_segment_is_an_error() {
        let mut kudu = FakeKudu::start();
        let at = kudu.written();
        kudu.ops(2);
        kudu.roll();
        crate::waldir::testkit::flip(&SegmentPath::new(&kudu.dir, 1).path, at + 17);
        let mut tail = LogTail::open(&kudu.dir, None);
        assert_eq!(tail.poll().unwrap().entries, kudu.entries()[..2]);
        let error = tail.poll().unwrap_err().to_string();
        assert!(error.contains("wal-000000001 at offset") && error.contains("not the log's last"), "{error}");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ops(usize),
        Half(usize),
        Roll,
        Collect,
        Restart,
        Poll,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1..20_usize).prop_map(Step::Ops),
            2 => (0..100_usize).prop_map(Step::Half),
            2 => Just(Step::Roll),
            1 => Just(Step::Restart),
            1 => Just(Step::Collect),
            4 => Just(Step::Poll),
        ];
        prop::collection::vec(step, 1..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        /// Whatever Kudu does between two polls, each entry comes once, and in the log's order.
        #[test]
        fn delivers_each_entry_once_and_in_order(steps in steps(), most in 1..50_usize, digests in 0..40_usize) {
            let mut kudu = FakeKudu::start();
            let limits = TailLimits { entries: most, digests, ..TailLimits::default() };
            let mut tail = LogTail::with_limits(&kudu.dir, None, limits);
            let mut entries = Vec::new();
            let mut expected = 0;
            for step in steps {
                match step {
                    Step::Ops(count) => kudu.ops(count),
                    Step::Half(cut) => {
                        let rest = kudu.half_op(cut);
                        entries.extend(tail.poll().unwrap().entries);
                        rest(&mut kudu);
                    }
                    Step::Roll => kudu.roll(),
                    // What was seen stays readable, whatever is collected.
                    Step::Collect => {
                        entries.extend(tail.poll().unwrap().entries);
                        kudu.collect();
                    }
                    Step::Restart => {
                        entries.extend(drain(&mut tail));
                        kudu.restart(0);
                    }
                    Step::Poll => entries.extend(tail.poll().unwrap().entries),
                }
                prop_assert!(entries.len() >= expected);
                expected = entries.len();
            }
            entries.extend(drain(&mut tail));
            prop_assert_eq!(entries, kudu.entries());
        }
    }
}
