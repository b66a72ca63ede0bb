//! A standby's log: groups of operations are appended, made durable and acknowledged.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kudu_pair::{
    sidecar::SidecarError,
    wal::SYS_CATALOG_TABLET_ID,
    waldir::{AppendError, LogAppender, SegmentPath, stopped_log_dir},
};
use rstest::rstest;

use crate::{
    engine::{Promises, Scenario, end_everywhere, fail_everywhere},
    log::{end_of_log, op_id, operations, segment, write_log},
    volume::TestVolume,
};

/// The log ends here before the work begins.
const BEFORE: i64 = 3;
/// Ends of the groups that are sent.
const GROUPS: [i64; 4] = [4, 7, 9, 15];

/// What is on the disk before.
#[derive(Debug, Clone, Copy)]
enum Log {
    /// A log that a crash of Kudu left, with nothing of the next operation.
    Whole,
    /// One with a part of the next batch.
    Torn,
    /// One in allocated space, as Kudu has it.
    Allocated,
    /// One whose next segment has no header yet.
    Blank,
    /// One that a start of Kudu moved away, and a part of the new one.
    Interrupted,
}

fn folder(root: &Path) -> PathBuf {
    root.join("wals").join(SYS_CATALOG_TABLET_ID)
}

/// Opens the log as a member does, which then reports its head.
pub(crate) fn open(volume: &TestVolume, folder: &Path, promises: &mut Promises) -> Result<LogAppender, SidecarError> {
    let log = LogAppender::open_on(Arc::new(volume.clone()), folder, None)?;
    assert!(log.last() >= promises.head, "the log ends at {:?} after {:?} was promised", log.last(), promises.head);
    promises.head = log.durable();
    // Small, so that one group takes several batches and segments.
    Ok(log.with_segment_bytes(700).with_batch_bytes(150))
}

/// Appends what is left of the groups, and acknowledges each.
pub(crate) fn append(
    volume: &TestVolume,
    log: &mut LogAppender,
    groups: &[i64],
    promises: &mut Promises,
) -> Result<(), SidecarError> {
    for end in groups {
        let last = log.last().map_or(0, |last| last.index);
        if last < *end {
            if let Err(error) = log.append(&operations(last, *end)).and_then(|()| log.sync()) {
                for again in [log.sync(), log.append(&operations(last, *end))] {
                    assert!(matches!(again, Err(AppendError::Poisoned { .. })), "{again:?} after {error}");
                }
                return Err(error.into());
            }
            acknowledge(volume)?;
            promises.head = log.durable();
        }
    }
    Ok(())
}

/// Stands for the message to the active: an end of the process comes before or after it.
pub(crate) fn acknowledge(volume: &TestVolume) -> Result<(), SidecarError> {
    volume.step("acknowledge").map_err(|source| SidecarError::Link { peer: "the active".to_owned(), source })
}

impl Scenario for Log {
    fn prepare(&self, root: &Path) {
        let folder = folder(root);
        write_log(&folder, BEFORE);
        let last = SegmentPath::new(&folder, 1).path;
        let whole = fs::read(&last).expect("a segment");
        let next = segment(SYS_CATALOG_TABLET_ID, 1, &operations(0, BEFORE + 1));
        match self {
            Self::Whole => {}
            Self::Torn => fs::write(last, &next[..whole.len() + 25]).expect("a segment"),
            Self::Allocated => fs::write(last, [whole, vec![0; 2048]].concat()).expect("a segment"),
            Self::Blank => fs::write(SegmentPath::new(&folder, 2).path, [0; 64]).expect("a segment"),
            Self::Interrupted => {
                fs::rename(&folder, folder.with_extension("recovery")).expect("a folder");
                write_log(&folder, BEFORE - 2);
            }
        }
    }

    fn work(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(), SidecarError> {
        let mut log = open(volume, &folder(volume.root()), promises)?;
        append(volume, &mut log, &GROUPS, promises)
    }

    fn restart(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(), SidecarError> {
        let folder = folder(volume.root());
        // What a member reports of itself before it opens the log for appending.
        let seen = end_of_log(&stopped_log_dir(&folder));
        assert!((BEFORE..=GROUPS[GROUPS.len() - 1]).contains(&seen), "{seen}");
        let log = open(volume, &folder, promises)?;
        assert_eq!(log.last(), Some(op_id(seen)), "the log has another end than was reported");
        assert_eq!(end_of_log(&folder), seen);
        Ok(())
    }
}

#[test]
fn appends_end_anywhere() {
    end_everywhere(&Log::Whole);
}

#[test]
fn appends_fail_anywhere() {
    fail_everywhere(&Log::Whole);
}

#[rstest]
#[case(Log::Torn)]
#[case(Log::Allocated)]
#[case(Log::Blank)]
#[case(Log::Interrupted)]
fn what_a_crash_left_is_continued_wherever_that_ends_or_fails(#[case] log: Log) {
    end_everywhere(&log);
    fail_everywhere(&log);
}
