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
