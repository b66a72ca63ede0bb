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
