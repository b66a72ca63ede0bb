//! A standby whose log is not the active's, or is damaged, finds that out by itself, says so, and takes a new base.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use kudu_pair::{
    api::LogFault,
    failover::member::MemberReport,
    wal::{LogEntry, OpId},
    waldir::read_log,
};

use crate::{
    member::Member,
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
};

/// Length of what precedes the entries of a batch.
const BATCH_HEADER: usize = 16;

/// An operation that names a table, in the segment and the batch that hold it.
struct Found {
    op: OpId,
    segment: PathBuf,
    batch: usize,
    raw: Vec<u8>,
}

fn find(log: &Path, name: &str) -> Found {
    let mut found = None;
    read_log(log, |place, entry| {
        if let LogEntry::Replicate(op) = entry
            && op.raw().windows(name.len()).any(|bytes| bytes == name.as_bytes())
        {
            found.get_or_insert_with(|| Found {
                op: op.id(),
                segment: place.path.to_owned(),
                batch: usize::try_from(place.offset).expect("a small segment"),
                raw: op.raw().to_vec(),
            });
        }
    })
    .expect("a log");
    found.expect("an operation that names the table")
}

/// Changes one letter of a table's name where an operation creates it, on the disk of a member whose log is not compressed.
/// With `sound`, all checksums are as they should be. Returns the operation.
fn alter(member: &Member, name: &str, sound: bool) -> OpId {
    let Found { op, segment, batch, raw } = find(&member.log_on_disk(), name);
    let mut bytes = fs::read(&segment).expect("a segment");
    let length = u32::from_le_bytes(bytes[batch..batch + 4].try_into().expect("four bytes")) as usize;
    let entries = batch + BATCH_HEADER..batch + BATCH_HEADER + length;
    let position = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).position(|found| found == wanted);
    let entry = position(&bytes[entries.clone()], &raw).expect("an operation that is not compressed");
    let letter = entries.start + entry + position(&raw, name.as_bytes()).expect("the name");
    bytes[letter] ^= 1;
    if sound {
        let checksum = crc32c::crc32c(&bytes[entries.clone()]);
        bytes[batch + 8..batch + 12].copy_from_slice(&checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[batch..batch + 12]);
        bytes[batch + 12..batch + 16].copy_from_slice(&checksum.to_le_bytes());
    }
    let file = OpenOptions::new().write(true).open(&segment).expect("a segment");
    file.write_all_at(&bytes[batch..entries.end], batch as u64).expect("written");
    println!("{op} in {} was altered", segment.display());
    op
}

/// Whether a new base has taken the place of a log that was found unfit for this reason, and the stream goes on.
fn is_replaced(fault: LogFault) -> impl Fn(&MemberReport) -> bool {
    move |report| {
        let replaced = report.unfit.as_ref().is_some_and(|unfit| unfit.replaced && unfit.fault == fault);
        replaced && is_streaming(report)
    }
}

fn verified(report: &MemberReport) -> Option<OpId> {
    report.verified.map(|verified| verified.head)
}

/// Waits until b's files hold, up to the head, what a's log holds.
fn wait_until_verified(pair: &Pair) -> OpId {
    let head = wait_until_equal(&pair.a, &pair.b);
    pair.b.wait_until("everything is compared", |report| verified(report) == Some(head));
    head
}

/// What is left of an unfit log, and that the new one is whole: b serves from it, and has everything.
fn check_replaced(pair: &mut Pair, report: &MemberReport) {
    println!("{:?}", report.unfit);
    let unfit = report.unfit.as_ref().expect("an unfit log");
    let [kept] = &pair.b.quarantined()[..] else { panic!("{:?}", pair.b.quarantined()) };
    assert!(kept.ends_with(&unfit.generation), "{kept:?}");
    pair.client.create_table("afterwards", 2);
    let head = wait_until_verified(pair);
    let catalog = pair.catalog();
    pair.a.crash();
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.wait_until_served();
    pair.b.wait_until("b serves", is_serving);
    pair.assert_catalog(&catalog);
    pair.check();
}

#[test]
fn an_operation_that_was_altered_while_the_standby_was_away_is_found() {
    let mut pair = Pair::running();
    pair.client.create_table("before", 2);
    pair.client.create_table("find_me", 2);
    wait_until_verified(&pair);
    pair.b.crash_sidecar();
    let altered = alter(&pair.b, "find_me", true);
    pair.b.start_sidecar();
    let report = pair.b.wait_until("its log is replaced", is_replaced(LogFault::Differs));
    let unfit = report.unfit.as_ref().expect("an unfit log");
    assert!(unfit.message.contains("other bytes"), "{}", unfit.message);
    assert!(pair.b.sidecar_log().contains("the log of this member is unfit"));
    assert!(report.head >= Some(altered));
    check_replaced(&mut pair, &report);
}

#[test]
fn an_operation_that_was_altered_under_the_stream_is_found() {
    let mut pair = Pair::running();
    wait_until_verified(&pair);
    // What was compared already is not compared again, so this has to be quicker than the next comparison.
    let mut number = 0;
    let report = loop {
        let name = format!("find_me_{number}");
        pair.client.create_table(&name, 2);
        wait_until_equal(&pair.a, &pair.b);
        let altered = alter(&pair.b, &name, true);
        let before = pair.b.status();
        if verified(&before) < Some(altered) || before.unfit.is_some() {
            break pair.b.wait_until("its log is replaced", is_replaced(LogFault::Differs));
        }
        number += 1;
        assert!(number < 20, "no operation was altered before it was compared");
    };
    check_replaced(&mut pair, &report);
}

#[test]
fn a_standby_with_a_damaged_log_takes_a_new_base() {
    let mut pair = Pair::running();
    pair.client.create_table("find_me", 2);
    pair.client.create_table("behind_it", 2);
    wait_until_equal(&pair.a, &pair.b);
    pair.b.crash_sidecar();
    alter(&pair.b, "find_me", false);
    pair.b.start_sidecar();
    let report = pair.b.wait_until("its log is replaced", is_replaced(LogFault::Damaged));
    check_replaced(&mut pair, &report);
}

#[test]
fn a_damaged_log_stays_where_it_is_while_no_active_gives_a_base() {
    let mut pair = Pair::running();
    pair.client.create_table("find_me", 2);
    pair.client.create_table("behind_it", 2);
    wait_until_equal(&pair.a, &pair.b);
    pair.b.crash_sidecar();
    pair.a.crash();
    alter(&pair.b, "find_me", false);
    pair.b.start_sidecar();
    let report = pair.b.wait_until("the damage is found", |report| report.unfit.is_some());
    assert_eq!(report.unfit.map(|unfit| (unfit.fault, unfit.replaced)), Some((LogFault::Damaged, false)));
    let refused = pair.b.refused(&["promote"]);
    assert!(refused.contains("found unfit") && refused.contains("--unfit"), "{refused}");
    assert_eq!(pair.b.generations(), ["gen-1"]);
    assert!(pair.b.quarantined().is_empty());

    // The active comes back, and gives one.
    pair.a.start();
    pair.a.order(&["promote"]);
    let report = pair.b.wait_until("its log is replaced", is_replaced(LogFault::Damaged));
    assert_eq!(pair.b.generations().len(), 1);
    check_replaced(&mut pair, &report);
}
