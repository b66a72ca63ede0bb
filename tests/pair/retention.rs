//! A standby is away while the active's kudu-master collects its log.

use std::{fs, os::unix::fs::MetadataExt};

use kudu_pair::{wal::OpId, waldir::list_segments};

use crate::{
    kudu,
    member::Member,
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
};

/// Small segments, of which Kudu keeps no more than it needs itself.
const SMALL_SEGMENTS: [&str; 2] = ["--log_segment_size_bytes_for_tests=4096", "--log_min_segments_to_retain=1"];
/// So many segments are to be collected while the standby is away.
const COLLECTED: u64 = 5;

/// A pair of which b has gone away after it had everything. Returns what it had.
fn abandoned(retention_bytes: u64) -> (Pair, OpId) {
    let mut pair = Pair::new();
    for member in [&mut pair.a, &mut pair.b] {
        member.flags.extend(SMALL_SEGMENTS.map(str::to_owned));
        member.retention_bytes = retention_bytes;
    }
    pair.configure();
    pair.a.start();
    pair.b.start();
    pair.a.order(&["init"]);
    pair.a.wait_until("a serves", is_serving);
    pair.b.wait_until("b streams", is_streaming);
    pair.add_tablet_server();
    pair.client.create_table("before", 2);
    let common = wait_until_equal(&pair.a, &pair.b);
    pair.b.crash_sidecar();
    pair.a.wait_until("b is missed", |report| report.standbys.is_empty());
    (pair, common)
}

/// Changes the catalog until Kudu's own log begins behind `op`, by several segments.
fn collect(pair: &Pair, op: OpId) {
    let mut round = 0;
    let mut from = 0;
    kudu::wait_for("the collection of the log", || {
        let table = format!("meanwhile_{round}");
        pair.client.create_table(&table, 2);
        pair.client.table("set_comment", &[&table, &"what is written while nobody copies it ".repeat(4)]);
        round += 1;
        let first = first_segment(&pair.a);
        if from == 0 {
            from = first;
        }
        first >= from + COLLECTED && kept_by_kudu(&pair.a).is_some_and(|first| first.index > op.index + 1)
    });
}

fn first_segment(member: &Member) -> u64 {
    let segments = list_segments(&member.log_folder()).expect("a log");
    segments.first().map_or(0, |segment| segment.sequence_number)
}

/// The first operation that is still in Kudu's own log.
fn kept_by_kudu(member: &Member) -> Option<OpId> {
    kudu_pair::waldir::scan(&member.log_folder(), |_, _| {}).ok()?.summary.first
}

/// The files that are there for standbys alone, and what they take.
fn held(member: &Member) -> (usize, u64) {
    let mut found = (0, 0);
    for epoch in fs::read_dir(member.path("wal").join("held")).into_iter().flatten().flatten() {
        for file in fs::read_dir(epoch.path()).into_iter().flatten().flatten() {
            let Ok(metadata) = file.metadata() else { continue };
            if metadata.nlink() == 1 && file.path().extension().is_some_and(|extension| extension == "segment") {
                found = (found.0 + 1, found.1 + metadata.blocks() * 512);
            }
        }
    }
    found
}

/// b is started again and gets everything; returns the generations that it then has.
fn returned(pair: &mut Pair) -> Vec<String> {
    pair.b.start_sidecar();
    pair.b.wait_until("b streams", is_streaming);
    wait_until_equal(&pair.a, &pair.b);
    pair.b.generations()
}

/// b is promoted and has all that a had.
fn promote(pair: &mut Pair) {
    let before = pair.catalog();
    let head = wait_until_equal(&pair.a, &pair.b);
    pair.a.crash();
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.wait_until_served();
    pair.assert_catalog(&before);
    pair.check();
}

#[test]
fn a_standby_that_was_away_streams_on_after_log_collection() {
    let (mut pair, common) = abandoned(64 * 1024 * 1024);
    collect(&pair, common);
    let (files, bytes) = held(&pair.a);
    println!("{files} segments of {bytes} bytes are kept");
    assert!(files >= 2, "only {files} segments are kept");

    assert_eq!(returned(&mut pair), ["gen-1"], "b took another base");
    kudu::wait_for("nothing to be kept any more", || held(&pair.a).0 <= 1);
    promote(&mut pair);
}

#[test]
fn what_is_kept_outlives_crashes_of_the_actives_sidecar_and_master() {
    let (mut pair, common) = abandoned(64 * 1024 * 1024);
    collect(&pair, common);
    pair.a.crash_sidecar();
    pair.a.start_sidecar();
    pair.a.wait_until("a serves", is_serving);
    pair.a.crash_master();
    pair.wait_until_served();
    let collected = kept_by_kudu(&pair.a).expect("a log");
    assert!(collected.index > common.index + 1, "Kudu's own log begins at {collected} again");

    assert_eq!(returned(&mut pair), ["gen-1"], "b took another base");
    promote(&mut pair);
}

#[test]
fn beyond_the_cap_a_standby_takes_a_base() {
    let cap = 8192;
    let (mut pair, common) = abandoned(cap);
    collect(&pair, common);
    kudu::wait_for("what is kept to fit", || held(&pair.a).1 <= cap);
    assert_eq!(returned(&mut pair), ["gen-2"]);
    promote(&mut pair);
}
