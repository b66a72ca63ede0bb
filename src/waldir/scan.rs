//! Reads a whole log and holds it against the rules that Kudu will hold it against.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{ReadError, SegmentPath, list_segments, segment::SegmentReader};
use crate::wal::{Batch, Codec, DecodeError, Decoded, Footer, LogEntry, LogSummary, OpId, SegmentHeader, Torn};

/// How often a segment's torn end is read again before it counts: the log may be in use.
const TORN_RETRIES: u32 = 3;

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The segment's file.
    pub path: &'a Path,
    /// Offset of the batch that holds the entry.
    pub offset: u64,
}

/// A rule of the format that a log breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// The bytes cannot be decoded.
    #[error("{0}")]
    Undecodable(DecodeError),
    /// Bytes that are no batch, where no unfinished write explains them.
    #[error("{torn}, and {evidence}: the segment is damaged here")]
    Torn {
        /// What is wrong with the bytes.
        torn: Torn,
        /// Why it is no unfinished write.
        evidence: Evidence,
    },
    /// Allocated space in the middle of a segment.
    #[error("there are only zeros here, and {0}: batches were lost")]
    Hole(Evidence),
    /// The footer's count is not that of the entries.
    #[error("the footer counts {footer} entries, but the segment has {found}: entries were lost")]
    EntryCount {
        /// The footer's number.
        footer: i64,
        /// The entries that were read.
        found: u64,
    },
    /// The header names another place in the log than the file does.
    #[error(
        "the header says segment {header}, the file name says {file}: the file was renamed or its header is damaged"
    )]
    SequenceNumber {
        /// The header's number.
        header: u64,
        /// The file name's number.
        file: u64,
    },
    /// The header names another tablet than the segment before it, or the folder.
    #[error("the segment belongs to tablet {found}, not to {expected}")]
    Tablet {
        /// The tablet of the folder.
        expected: String,
        /// The tablet of the header.
        found: String,
    },
    /// A segment is missing.
    #[error("segment {after} is followed by {found}: the segments between them are missing, and Kudu will not start")]
    MissingSegment {
        /// The last segment before the gap.
        after: u64,
        /// The segment after it.
        found: u64,
    },
    /// An operation is missing, or they are out of order.
    #[error("operation {last} is followed by {found}: the index must grow by one and the term must not fall")]
    Order {
        /// The operation before.
        last: OpId,
        /// The one that does not fit.
        found: OpId,
    },
    /// A COMMIT for an operation that is not in the log, though it should be.
    #[error("there is a COMMIT for {0}, which is not in the log before it: Kudu will not start")]
    OrphanCommit(OpId),
}

/// What shows that bytes are damaged, and not just the end of a write that was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Evidence {
    /// Another segment follows.
    #[error("this is not the log's last segment")]
    NotLast,
    /// A valid batch header follows.
    #[error("a valid batch header follows at offset {0}")]
    BatchBehind(u64),
    /// The segment was closed.
    #[error("the segment was closed by a footer")]
    Closed,
}

/// A broken rule, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// Which rule.
    pub rule: Rule,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: {}", self.path.display(), self.offset, self.rule)
    }
}

/// How a segment ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum SegmentEnd {
    /// With a footer: it was closed.
    Footer(Footer),
    /// With allocated zeros: it is in use, or its writer was killed.
    Zeros,
    /// After a whole batch, without a footer.
    Eof,
    /// Inside a batch: a write was cut short, which Kudu forgives at the end of a log.
    Torn {
        /// What is wrong with the bytes there.
        why: Torn,
    },
    /// Before its header was written: Kudu skips it.
    Blank,
    /// With something that cannot be decoded; see the damage or the refusal.
    Unreadable,
}

/// What is in one segment.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentScan {
    /// Its place in the log, from the file's name.
    pub sequence_number: u64,
    /// Its file.
    pub path: PathBuf,
    /// Size of the file, allocated zeros included.
    pub size: u64,
    /// Where its good part ends.
    pub good_bytes: u64,
    /// Number of batches.
    pub batches: u64,
    /// Number of entries.
    pub entries: u64,
    /// The first operation in it.
    pub first: Option<OpId>,
    /// The last operation in it.
    pub last: Option<OpId>,
    /// How it ends.
    pub end: SegmentEnd,
    /// Its header, if it has one.
    #[serde(skip)]
    pub header: Option<SegmentHeader>,
}

impl SegmentScan {
    /// How its batches are compressed, if it has a header.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        self.header.as_ref().map(SegmentHeader::codec)
    }
}

/// What is in a log.
#[derive(Debug, Default)]
pub struct LogScan {
    /// Its segments, in order.
    pub segments: Vec<SegmentScan>,
    /// What they hold together.
    pub summary: LogSummary,
    /// What is wrong with it.
    pub damage: Vec<Damage>,
    /// What is sound but cannot be read (encryption, another codec).
    pub refusal: Option<(PathBuf, DecodeError)>,
    /// Segments that were listed and then collected before they were read.
    pub vanished: Vec<PathBuf>,
}

/// Reads a log to its end, over any damage, and hands each entry to `visit`.
///
/// The log may be in use: segments that vanish are passed over, an unfinished end is not damage.
///
/// # Errors
/// Only if the system refuses to list or read; what is wrong with the log is part of the result.
pub fn scan(dir: &Path, mut visit: impl FnMut(Place<'_>, &LogEntry)) -> Result<LogScan, ReadError> {
    let segments = list_segments(dir)?;
    let mut scanner = Scanner { log: LogScan::default(), tablet: tablet_of(dir), visit: &mut visit };
    let last = segments.iter().rev().find(|segment| !is_blank(segment)).map(|segment| segment.sequence_number);
    for segment in segments {
        let is_last = last.is_none_or(|last| segment.sequence_number >= last);
        match SegmentReader::open(segment.clone()) {
            Ok(reader) => scanner.segment(reader, is_last)?,
            Err(error) if error.is_gone() => scanner.log.vanished.push(segment.path),
            Err(error) => return Err(error),
        }
    }
    Ok(scanner.log)
}

/// Reads a log that must be sound: the same as [`scan()`], but damage and refusals are errors.
///
/// # Errors
/// If the log is damaged, of a kind that cannot be read, or the system refuses.
pub fn read_log(dir: &Path, visit: impl FnMut(Place<'_>, &LogEntry)) -> Result<LogScan, ReadError> {
    let log = scan(dir, visit)?;
    log.into_sound()
}

impl LogScan {
    /// Itself, if nothing is wrong with it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn into_sound(mut self) -> Result<Self, ReadError> {
        if let Some((path, source)) = self.refusal.take() {
            return Err(ReadError::Decode { path, source });
        }
        match self.damage.is_empty() {
            true => Ok(self),
            false => Err(ReadError::Damaged(self.damage.swap_remove(0))),
        }
    }
}

/// True for a segment whose header was never wholly written, as a crash may leave behind the log's last one.
fn is_blank(segment: &SegmentPath) -> bool {
    SegmentReader::open(segment.clone())
        .and_then(|mut reader| reader.next())
        .is_ok_and(|first| !matches!(first, Decoded::Header(_)))
}

/// The tablet's identity, where the folder is named after it.
fn tablet_of(dir: &Path) -> Option<String> {
    let name = dir.file_name()?.to_str()?;
    // Also `<tablet>.recovery`.
    let name = name.get(..32)?;
    name.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| name.to_owned())
}

struct Scanner<'a> {
    log: LogScan,
    tablet: Option<String>,
    visit: &'a mut dyn FnMut(Place<'_>, &LogEntry),
}

impl Scanner<'_> {
    fn segment(&mut self, mut reader: SegmentReader, is_last: bool) -> Result<(), ReadError> {
        let mut found = SegmentScan {
            sequence_number: reader.sequence_number(),
            path: reader.path().to_owned(),
            size: reader.size()?,
            good_bytes: 0,
            batches: 0,
            entries: 0,
            first: None,
            last: None,
            end: SegmentEnd::Unreadable,
            header: None,
        };
        let mut retries = 0;
        loop {
            match reader.next() {
                Ok(Decoded::Header(header)) => self.header(&mut found, header),
                Ok(Decoded::Batch(batch)) => self.batch(&mut found, &batch),
                Ok(Decoded::Torn(_)) if is_last && retries < TORN_RETRIES => {
                    retries = retries.saturating_add(1);
                    reader.rewind();
                }
                Ok(end) => {
                    found.end = self.end(&reader, &found, end, is_last)?;
                    break;
                }
                Err(ReadError::Decode { path, source }) if !source.is_damage() => {
                    self.log.refusal.get_or_insert((path, source));
                    break;
                }
                Err(ReadError::Decode { source, .. }) => {
                    self.damage(&found.path, reader.decoder().offset(), Rule::Undecodable(source));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        found.good_bytes = reader.decoder().offset();
        self.log.segments.push(found);
        Ok(())
    }

    fn header(&mut self, found: &mut SegmentScan, header: SegmentHeader) {
        let file = found.sequence_number;
        if header.sequence_number() != file {
            let rule = Rule::SequenceNumber { header: header.sequence_number(), file };
            self.damage(&found.path, 0, rule);
        }
        let tablet = self.tablet.get_or_insert_with(|| header.tablet_id().to_owned());
        if tablet != header.tablet_id() {
            let rule = Rule::Tablet { expected: tablet.clone(), found: header.tablet_id().to_owned() };
            self.damage(&found.path, 0, rule);
        }
        let before = self.log.segments.iter().rev().find(|segment| segment.header.is_some());
        if let Some(after) = before.map(|segment| segment.sequence_number)
            && after.checked_add(1) != Some(file)
        {
            self.damage(&found.path, 0, Rule::MissingSegment { after, found: file });
        }
        found.header = Some(header);
    }

    fn batch(&mut self, found: &mut SegmentScan, batch: &Batch) {
        found.batches = found.batches.saturating_add(1);
        for entry in &batch.entries {
            found.entries = found.entries.saturating_add(1);
            let orphans = self.log.summary.orphan_commits;
            if let LogEntry::Replicate(replicate) = entry {
                let id = replicate.id();
                found.first = found.first.or(Some(id));
                found.last = Some(id);
                // An index may go back (Raft's overwrite, in a higher term), but never jump ahead.
                if let Some(last) = self.log.summary.last
                    && (id.term < last.term
                        || id.index > last.index.saturating_add(1)
                        || (id.index <= last.index && id.term == last.term))
                {
                    self.damage(&found.path, batch.offset, Rule::Order { last, found: id });
                }
            }
            self.log.summary.fold(entry);
            if let LogEntry::Commit(commit) = entry
                && self.log.summary.orphan_commits != orphans
            {
                self.damage(&found.path, batch.offset, Rule::OrphanCommit(commit.committed()));
            }
            (self.visit)(Place { path: &found.path, offset: batch.offset }, entry);
        }
    }

    fn end(
        &mut self,
        reader: &SegmentReader,
        found: &SegmentScan,
        end: Decoded,
        is_last: bool,
    ) -> Result<SegmentEnd, ReadError> {
        let offset = reader.decoder().offset();
        let torn = match end {
            Decoded::Footer(footer) => {
                if u64::try_from(footer.entries) != Ok(found.entries) {
                    let rule = Rule::EntryCount { footer: footer.entries, found: found.entries };
                    self.damage(&found.path, offset, rule);
                }
                return Ok(SegmentEnd::Footer(footer));
            }
            Decoded::End => {
                return Ok(if offset == 0 { SegmentEnd::Blank } else { SegmentEnd::Eof });
            }
            Decoded::Tail => None,
            Decoded::Torn(torn) => Some(torn),
            Decoded::Header(_) | Decoded::Batch(_) | Decoded::NeedMore(_) => {
                return Ok(SegmentEnd::Unreadable);
            }
        };
        // As Kudu does: an end without a footer is an unfinished write, unless something valid comes after it.
        let evidence = if let Some(at) = reader.batch_header_behind()? {
            Some(Evidence::BatchBehind(at))
        } else if reader.ends_closed()? {
            Some(Evidence::Closed)
        } else {
            // Kudu forgives this in any segment, but nothing that writes a log leaves it in any but the last.
            (torn.is_some() && !is_last).then_some(Evidence::NotLast)
        };
        if let Some(evidence) = evidence {
            let rule = torn.map_or(Rule::Hole(evidence), |torn| Rule::Torn { torn, evidence });
            self.damage(&found.path, offset, rule);
        }
        Ok(match torn {
            Some(why) => SegmentEnd::Torn { why },
            None if offset == 0 => SegmentEnd::Blank,
            None => SegmentEnd::Zeros,
        })
    }

    fn damage(&mut self, path: &Path, offset: u64, rule: Rule) {
        self.log.damage.push(Damage { path: path.to_owned(), offset, rule });
    }
}

impl From<SegmentScan> for SegmentPath {
    fn from(scan: SegmentScan) -> Self {
        Self { sequence_number: scan.sequence_number, path: scan.path }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::{
        wal::tests::{commit, replicate},
        waldir::testkit::{FakeKudu, flip},
    };

    fn scanned(kudu: &FakeKudu) -> LogScan {
        scan(&kudu.dir, |_, _| {}).unwrap()
    }

    #[test]
    fn reads_all_entries_of_all_segments() {
        let mut kudu = FakeKudu::start();
        kudu.ops(10);
        kudu.roll();
        kudu.ops(5);
        let mut entries = Vec::new();
        let log = read_log(&kudu.dir, |place, entry| {
            assert!(place.offset > 0);
            entries.push(entry.clone());
        })
        .unwrap();
        assert_eq!(entries, kudu.entries());
        assert_eq!(log.summary.last, Some(kudu.last()));
        assert!(matches!(log.segments[0].end, SegmentEnd::Footer(_)));
        assert_eq!(log.segments[1].end, SegmentEnd::Zeros);
        assert_eq!((log.segments[1].first, log.segments[1].entries), (Some(OpId::new(1, 12)), 10));
    }

    #[test]
    fn a_torn_end_is_no_damage() {
        let mut kudu = FakeKudu::start();
        kudu.ops(3);
        drop(kudu.half_op(30));
        let log = scanned(&kudu);
        assert_eq!(log.damage, []);
        assert!(matches!(log.segments[0].end, SegmentEnd::Torn { why: Torn::BatchChecksum }));
        assert_eq!(log.summary.last, Some(kudu.last()));
    }

    #[test]
    fn a_blank_last_segment_is_no_damage() {
        let mut kudu = FakeKudu::start();
        kudu.ops(3);
        drop(kudu.half_op(30));
        for blank in [&[][..], &[0; 4096]] {
            fs::write(SegmentPath::new(&kudu.dir, 2).path, blank).unwrap();
            let log = scanned(&kudu);
            assert_eq!(log.damage, []);
            assert_eq!(log.segments[1].end, SegmentEnd::Blank);
        }
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let rules = |kudu: &FakeKudu| {
            let log = scanned(kudu);
            let paths = log.segments.iter().map(|segment| segment.path.clone()).collect::<Vec<_>>();
            log.damage
                .into_iter()
                .map(|damage| (paths.iter().position(|path| *path == damage.path).unwrap(), damage.rule))
                .collect::<Vec<_>>()
        };
        // A bit flips in a closed segment, and in the open one with batches behind it.
        let mut kudu = FakeKudu::start();
        kudu.ops(3);
        let middle = kudu.written();
        kudu.ops(3);
        kudu.roll();
        kudu.ops(2);
        flip(&SegmentPath::new(&kudu.dir, 1).path, middle + 20);
        let found = rules(&kudu);
        assert!(matches!(found[0], (0, Rule::Torn { torn: Torn::BatchChecksum, evidence: Evidence::BatchBehind(_) })));
        // A whole batch becomes zeros.
        let mut kudu = FakeKudu::start();
        let at = kudu.written();
        kudu.ops(1);
        let after = kudu.written();
        kudu.ops(1);
        let file = File::options().write(true).open(kudu.last_segment()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![0; usize::try_from(after - at).unwrap()], at).unwrap();
        assert_eq!(rules(&kudu), [(0, Rule::Hole(Evidence::BatchBehind(after)))]);
        // A segment is missing.
        let mut kudu = FakeKudu::start();
        kudu.roll();
        kudu.ops(1);
        kudu.roll();
        fs::remove_file(SegmentPath::new(&kudu.dir, 2).path).unwrap();
        assert_eq!(rules(&kudu), [(1, Rule::MissingSegment { after: 1, found: 3 })]);
        // A segment has another's name.
        let mut kudu = FakeKudu::start();
        kudu.roll();
        fs::rename(SegmentPath::new(&kudu.dir, 2).path, SegmentPath::new(&kudu.dir, 3).path).unwrap();
        assert!(rules(&kudu).contains(&(1, Rule::SequenceNumber { header: 2, file: 3 })));
        // Operations jump ahead, and a COMMIT has no operation.
        let mut kudu = FakeKudu::start();
        kudu.entry(replicate(OpId::new(1, 5), 3, b""));
        kudu.entry(commit(OpId::new(1, 4)));
        assert_eq!(
            rules(&kudu),
            [
                (0, Rule::Order { last: OpId::new(1, 1), found: OpId::new(1, 5) }),
                (0, Rule::OrphanCommit(OpId::new(1, 4))),
            ]
        );
    }

    #[test]
    fn an_encrypted_log_is_refused_not_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = b"kuduenc\x00".to_vec();
        bytes.resize(4096, 0x5a);
        fs::write(SegmentPath::new(dir.path(), 1).path, bytes).unwrap();
        let log = scan(dir.path(), |_, _| {}).unwrap();
        assert_eq!(log.damage, []);
        let error = log.into_sound().unwrap_err().to_string();
        assert!(error.contains("wal-000000001: the file is encrypted by Kudu"), "{error}");
    }
}
