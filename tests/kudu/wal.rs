//! Kudu's log files, as a real master writes and reads them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use kudu_pair::{
    cli::wal::{Outcome, WalArgs},
    wal::{Codec, Decoded, Decoder, LogEntry, LogSummary, OpId, OpType, Replicate, SYS_CATALOG_TABLET_ID},
    waldir::{LogAppender, LogTail, SegmentEnd, TailState, read_log, scan},
};

use crate::harness::{Home, PROMOTION_FLAGS, TabletServer, loopback, term_of, wait_for};

/// Flushes at once and often: what makes a raw copy of the log lose data.
const FLUSH_OFTEN: [&str; 2] = ["--flush_threshold_secs=1", "--maintenance_manager_polling_interval_ms=50"];

/// The operations of a log folder.
pub(crate) fn operations(dir: &Path) -> Vec<Replicate> {
    let mut operations = Vec::new();
    read_log(dir, |_, entry| {
        if let LogEntry::Replicate(replicate) = entry {
            operations.push(replicate.clone());
        }
    })
    .unwrap();
    operations
}

fn summary(dir: &Path) -> LogSummary {
    read_log(dir, |_, _| {}).unwrap().summary
}

/// Waits until the log shows all that was written as applied.
pub(crate) fn wait_until_applied(dir: &Path) {
    wait_for("all operations to be applied", || {
        scan(dir, |_, _| {}).is_ok_and(|log| log.summary.pending_ops() == 0 && log.summary.last.is_some())
    });
}

/// Ships what the standby lacks of a log: REPLICATE entries only. Returns their number.
pub(crate) fn ship(from: &Path, to: &Home) -> usize {
    let mut standby = LogAppender::open(&to.log()).unwrap();
    let mut tail = LogTail::open(from, standby.last());
    let mut shipped = 0;
    loop {
        let batch = tail.poll().unwrap();
        let operations: Vec<_> = batch
            .entries
            .into_iter()
            .filter_map(|entry| match entry {
                LogEntry::Replicate(replicate) => Some(replicate),
                LogEntry::Commit(_) => None,
            })
            .collect();
        standby.append(&operations).unwrap();
        shipped += operations.len();
        if batch.state != TailState::More {
            break;
        }
    }
    standby.sync().unwrap();
    to.raise_term(term_of(standby.durable()));
    shipped
}

/// Starts a standby as the active and waits until it has applied all that it holds.
pub(crate) fn promote(standby: &Home) -> crate::harness::Server {
    let head = summary(&standby.log()).last.unwrap();
    let server = standby.serve(&PROMOTION_FLAGS);
    let log = summary(&standby.log());
    assert!(log.has_applied(head), "{head} is not applied: {log:?}");
    let no_op = log.no_ops.last().unwrap();
    assert!(no_op.committed && no_op.id.term > head.term, "{no_op:?} does not follow {head}");
    server
}

#[test]
fn a_tail_delivers_each_operation_once_over_roll_collection_and_restart() {
    let home = Home::new(loopback());
    let small_segments = ["--log_segment_size_bytes_for_tests=65536", "--log_min_segments_to_retain=1"];
    let master = home.serve(&[&FLUSH_OFTEN[..], &small_segments].concat());
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (dir, stop) = (home.log(), stop.clone());
        thread::spawn(move || {
            let mut tail = LogTail::open(&dir, None);
            let (mut entries, mut polls, mut torn, mut most_polls) = (Vec::new(), 0_u64, 0_u64, 0);
            loop {
                let stopping = stop.load(Ordering::SeqCst);
                let batch = tail.poll().unwrap();
                polls += 1;
                if let TailState::Torn { polls, .. } = batch.state {
                    torn += 1;
                    most_polls = most_polls.max(polls);
                }
                let idle = batch.entries.is_empty();
                entries.extend(batch.entries);
                if idle && stopping {
                    println!("{polls} polls, {torn} met a torn end, the longest for {most_polls} in a row");
                    return entries;
                }
                if idle {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        })
    };
    let tablets = TabletServer::start(&home);
    for number in 0..15 {
        home.create_table(&format!("before_{number}"), 8);
    }
    home.table("rename_table", &["before_0", "renamed_0"]);
    // Flushed and collected, so that the restart rewrites less than was delivered.
    thread::sleep(Duration::from_secs(3));
    master.kill();
    let before = operations(&home.log());
    // No more flushes: what this start rewrites stays.
    let master = home.serve(&small_segments);
    for number in 0..15 {
        home.create_table(&format!("after_{number}"), 8);
    }
    home.table("rename_table", &["after_0", "renamed_1"]);
    home.table("delete", &["before_1"]);
    wait_until_applied(&home.log());
    drop(tablets);
    master.kill();
    stop.store(true, Ordering::SeqCst);
    let entries = reader.join().unwrap();

    let mut delivered = Vec::new();
    let mut commits = Vec::new();
    for entry in &entries {
        match entry {
            LogEntry::Replicate(replicate) => delivered.push(replicate.clone()),
            LogEntry::Commit(commit) => commits.push(commit.committed()),
        }
    }
    // Once each, in order, without a gap, from the log's very first operation.
    for (index, replicate) in (1..).zip(&delivered) {
        assert_eq!(replicate.id().index, index);
    }
    assert!(delivered.len() > 30 * 10, "only {} operations", delivered.len());
    // Each applied once.
    let mut unique = commits.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), commits.len());
    assert_eq!(commits.len(), delivered.len());
    // The same as the files, byte for byte, on both sides of the restart: Kudu rewrites REPLICATE entries as they were.
    let after = operations(&home.log());
    for found in [&before, &after] {
        let start = usize::try_from(found[0].id().index).unwrap() - 1;
        assert_eq!(found[..], delivered[start..start + found.len()]);
    }
    assert_eq!(after.last(), delivered.last());
    let rewritten = after.iter().filter(|operation| operation.id().term == 1).count();
    assert!(rewritten > 0, "the restart rewrote nothing: this test shows nothing");
    // The same as Kudu's own tool says.
    let dump =
        home.tool(&["local_replica", "dump", "wals", SYS_CATALOG_TABLET_ID, "--print_entries=id", "--noprint_meta"]);
    let by_tool: Vec<OpId> = dump
        .lines()
        .filter(|line| line.contains("REPLICATE"))
        .map(|line| line.split_once('@').unwrap().0.trim().parse().unwrap())
        .collect();
    assert_eq!(by_tool, after.iter().map(Replicate::id).collect::<Vec<_>>());
    println!(
        "{} operations delivered once; {} were left in the files, {rewritten} of them rewritten by the restart byte for byte",
        delivered.len(),
        after.len()
    );
}

/// Which entries a restart of Kudu writes with other bytes: no REPLICATE, but many a COMMIT.
#[test]
fn a_restart_changes_commits_and_never_replicates() {
    let home = Home::new(loopback());
    let master = home.serve(&FLUSH_OFTEN);
    let _tablets = TabletServer::start(&home);
    for number in 0..5 {
        home.create_table(&format!("table_{number}"), 4);
    }
    thread::sleep(Duration::from_secs(2));
    wait_until_applied(&home.log());
    master.kill();
    let read = || {
        let (mut replicates, mut commits) = (BTreeMap::new(), BTreeMap::new());
        read_log(&home.log(), |_, entry| match entry {
            LogEntry::Replicate(replicate) => drop(replicates.insert(replicate.id(), replicate.raw().clone())),
            LogEntry::Commit(commit) => drop(commits.insert(commit.committed(), commit.raw().clone())),
        })
        .unwrap();
        (replicates, commits)
    };
    let (replicates, commits) = read();
    home.serve(&[]).kill();
    home.serve(&[]).kill();
    let (replicates_after, commits_after) = read();
    for (id, raw) in &replicates {
        assert_eq!(replicates_after.get(id), Some(raw), "{id}");
    }
    let changed = commits.iter().filter(|(id, raw)| commits_after.get(id) != Some(raw)).count();
    println!("{} REPLICATE entries the same; {changed} of {} COMMIT entries changed", replicates.len(), commits.len());
}

/// The flush trap: after a flush the active's COMMITs speak of stores that a standby does not have.
/// With each codec: the log is read as it is written, shipped, and a standby that was promoted on it reads it again.
#[test]
fn a_log_of_every_codec_that_kudu_writes_is_read_and_promoted() {
    for (flag, codec) in
        [("NO_COMPRESSION", Codec::None), ("SNAPPY", Codec::Snappy), ("LZ4", Codec::Lz4), ("ZLIB", Codec::Zlib)]
    {
        let active = Home::new(loopback());
        let flags = [format!("--log_compression_codec={flag}")];
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let master = active.serve(&flags);
        let _tablets = TabletServer::start(&active);
        let standby = Home::base_copy(&active);
        for number in 0..3 {
            active.create_table(&format!("table_{number}"), 4);
        }
        let expected = active.catalog();
        let mut decoder = Decoder::new();
        decoder.feed(&fs::read(active.log().join("wal-000000001")).unwrap());
        let Decoded::Header(header) = decoder.step(false).unwrap() else { panic!("no header first") };
        assert_eq!(header.codec(), codec);
        assert!(ship(&active.log(), &standby) > 0);
        master.kill();
        let promoted = promote(&standby);
        assert_eq!(standby.catalog(), expected, "{flag}");
        promoted.kill();
    }
}

fn flush_trap(restart: bool) {
    let home = Home::new(loopback());
    let mut master = home.serve(&FLUSH_OFTEN);
    let _tablets = TabletServer::start(&home);
    for number in 0..6 {
        home.create_table(&format!("table_{number}"), 3);
    }
    let standby = Home::base_copy(&home);
    let base = summary(&standby.log()).last.unwrap();
    home.table("rename_table", &["table_0", "renamed"]);
    thread::sleep(Duration::from_secs(3));
    if restart {
        master.kill();
        master = home.serve(&FLUSH_OFTEN);
        // The tablet server has to be back before the next create.
        thread::sleep(Duration::from_millis(500));
    }
    home.table("delete", &["table_1"]);
    home.table("add_column", &["table_2", "added", "INT32"]);
    home.table("delete_column", &["table_3", "name"]);
    home.create_table("created", 2);
    home.table("rename_table", &["table_4", "renamed_after_flush"]);
    wait_until_applied(&home.log());
    let expected = home.catalog();
    master.kill();
    let shipped = ship(&home.log(), &standby);
    assert!(shipped > 10);
    let start = Instant::now();
    let _master = promote(&standby);
    let served = start.elapsed();
    assert_eq!(standby.catalog(), expected);
    standby.create_table("after_promotion", 2);
    println!(
        "base at {base}, {shipped} operations shipped, serving {served:.2?} after its start; {} tables equal",
        expected.len()
    );
}

#[test]
fn shipping_only_replicates_over_a_flush_is_exact() {
    flush_trap(false);
}

#[test]
fn shipping_only_replicates_over_a_flush_and_a_restart_is_exact() {
    flush_trap(true);
}

#[test]
fn more_than_64_mb_pending_are_promoted_with_the_two_limits_lifted() {
    let home = Home::new(loopback());
    let master = home.serve(&[]);
    let _tablets = TabletServer::start(&home);
    // A cell of the catalog may have 64 KiB. A wide table with long comments comes near: an altered one is there twice.
    let columns: Vec<_> = (0..90)
        .map(|number| {
            serde_json::json!({
                "column_name": format!("column_{number:03}"),
                "column_type": "INT64",
                "is_nullable": number > 0,
                "comment": format!("{number:03}").repeat(80),
            })
        })
        .collect();
    home.create_table_from(&serde_json::json!({
        "table_name": "wide",
        "schema": { "columns": columns, "key_column_names": ["column_000"] },
        "partition": { "hash_partitions": [{ "columns": ["column_000"], "num_buckets": 2 }] },
        "num_replicas": 1,
    }));
    let standby = Home::base_copy(&home);
    home.table("rename_table", &["wide", "renamed"]);
    wait_until_applied(&home.log());
    let expected = home.catalog();
    master.kill();
    ship(&home.log(), &standby);
    // The rename again and again: each writes the whole row, and all leave the same.
    let rename = operations(&home.log()).into_iter().max_by_key(|operation| operation.raw().len()).unwrap();
    assert_eq!(rename.op_type(), OpType::Write);
    let rename =
        operations(&home.log()).into_iter().rfind(|operation| operation.raw().len() * 2 > rename.raw().len()).unwrap();
    let mut log = LogAppender::open(&standby.log()).unwrap();
    let mut last = operations(&standby.log()).pop().unwrap();
    while log.summary().pending_bytes < 80 << 20 {
        let id = OpId::new(last.id().term, last.id().index + 1);
        last = rename.renumbered(id, last.timestamp() + 1).unwrap();
        log.append(std::slice::from_ref(&last)).unwrap();
    }
    log.sync().unwrap();
    let (pending, bytes) = (log.summary().pending_ops(), log.summary().pending_bytes);
    drop(log);
    // Without the two flags it does not start: this is why they are set.
    let plain = standby.clone_files();
    let mut refused = plain.spawn(&[]);
    wait_for("the refusal of a start without the limits lifted", || !refused.is_running());
    assert!(refused.said().contains("memory pressure"), "{}", refused.said());
    let start = Instant::now();
    let _master = promote(&standby);
    println!("{pending} pending operations of {} MiB: serving {:.2?} after its start", bytes >> 20, start.elapsed());
    assert_eq!(standby.catalog(), expected);
}

/// Runs `kudu-pair wal`.
fn wal_command(args: &[&str]) -> (Outcome, String) {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        wal: WalArgs,
    }
    let mut out = Vec::new();
    let outcome = Cli::try_parse_from([&["wal"], args].concat()).unwrap().wal.run(&mut out).unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

#[test]
fn an_encrypted_log_is_refused_with_advice() {
    let home = Home::new(loopback());
    home.serve(&["--encrypt_data_at_rest=true"]).kill();
    let advice = "run the masters of a pair without --encrypt_data_at_rest";
    let error = LogTail::open(&home.log(), None).poll().unwrap_err().to_string();
    assert!(error.contains(advice), "{error}");
    let error = LogAppender::open(&home.log()).unwrap_err().to_string();
    assert!(error.contains(advice), "{error}");
    let (outcome, out) = wal_command(&["verify", home.wal_root().to_str().unwrap()]);
    assert_eq!(outcome, Outcome::Unreadable);
    assert!(out.contains(advice), "{out}");
}

#[test]
fn verify_finds_a_flipped_bit_in_a_real_segment() {
    let home = Home::new(loopback());
    let master = home.serve(&[]);
    let tablets = TabletServer::start(&home);
    home.create_table("table", 4);
    let root = home.wal_root();
    let root = root.to_str().unwrap();
    // Also while it runs.
    assert_eq!(wal_command(&["verify", root]).0, Outcome::Ok);
    drop(tablets);
    master.kill();
    let (outcome, out) = wal_command(&["verify", root]);
    assert_eq!(outcome, Outcome::Ok, "{out}");
    let (outcome, out) = wal_command(&["ls", root]);
    assert_eq!(outcome, Outcome::Ok);
    assert!(out.contains("wal-000000001") && out.contains("its NO_OP 1.1 is committed"), "{out}");
    let (_, out) = wal_command(&["dump", root, "--from", "1.2", "--to", "3"]);
    assert!(out.lines().all(|line| line.contains(" 1.2 ") || line.contains(" 1.3 ")), "{out}");
    assert_eq!(out.lines().count(), 4, "{out}");

    let segment = scan(&home.log(), |_, _| {}).unwrap().segments.remove(0);
    assert_eq!(segment.end, SegmentEnd::Zeros);
    let file = fs::File::options().read(true).write(true).open(&segment.path).unwrap();
    for at in [segment.good_bytes / 3, segment.good_bytes / 2, segment.good_bytes * 2 / 3] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let (outcome, out) = wal_command(&["verify", root]);
        assert_eq!(outcome, Outcome::Damaged, "{out}");
        assert!(out.contains("DAMAGE") && out.contains("wal-000000001 at offset"), "{out}");
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(wal_command(&["verify", root]).0, Outcome::Ok);
}

#[test]
fn a_torn_end_is_cut_off_and_kudu_starts_on_what_is_appended() {
    let home = Home::new(loopback());
    let master = home.serve(&[]);
    let _tablets = TabletServer::start(&home);
    for number in 0..4 {
        home.create_table(&format!("table_{number}"), 2);
    }
    wait_until_applied(&home.log());
    let expected = home.catalog();
    master.kill();
    let torn = home.clone_files();
    // Cut in the middle of an operation well before the end, as if the rest had never been written.
    let mut offsets = Vec::new();
    read_log(&torn.log(), |place, entry| {
        if matches!(entry, LogEntry::Replicate(_)) {
            offsets.push(place.offset);
        }
    })
    .unwrap();
    let at = offsets[offsets.len() / 2];
    let segment = scan(&torn.log(), |_, _| {}).unwrap().segments.remove(0);
    fs::File::options().write(true).open(&segment.path).unwrap().set_len(at + 40).unwrap();
    let before = scan(&torn.log(), |_, _| {}).unwrap();
    assert!(matches!(before.segments[0].end, SegmentEnd::Torn { .. }));
    let shipped = ship(&home.log(), &torn);
    assert_eq!(fs::metadata(&segment.path).unwrap().len(), at);
    let _master = promote(&torn);
    assert_eq!(torn.catalog(), expected);
    println!("cut at {at} of {}, {shipped} operations appended behind the cut", segment.good_bytes);
}

/// A master that is killed while it starts leaves a part of its log that looks whole; its next start throws that away.
#[test]
fn appending_after_an_interrupted_start_is_not_lost() {
    let home = Home::new(loopback());
    let master = home.serve(&[]);
    let _tablets = TabletServer::start(&home);
    home.create_table("first", 2);
    wait_until_applied(&home.log());
    let standby = Home::base_copy(&home);
    home.create_table("second", 2);
    wait_until_applied(&home.log());
    let expected = home.catalog();
    master.kill();
    // As a start leaves it that is killed in the middle of writing the log anew.
    let whole = fs::read(standby.log().join("wal-000000001")).unwrap();
    fs::rename(standby.log(), standby.log().with_extension("recovery")).unwrap();
    fs::create_dir(standby.log()).unwrap();
    fs::write(standby.log().join("wal-000000001"), &whole[..whole.len() / 2]).unwrap();
    assert!(ship(&home.log(), &standby) > 0);
    let _master = promote(&standby);
    assert_eq!(standby.catalog(), expected);
}

/// Terms are `epoch × 1,000,000 + restarts`, so that no OpId is ever used by two reigns.
#[test]
fn a_jump_of_the_term_is_taken_and_kept_over_restarts() {
    let home = Home::new(loopback());
    let master = home.serve(&[]);
    let _tablets = TabletServer::start(&home);
    home.create_table("first", 2);
    wait_until_applied(&home.log());
    // The standby of the first reign, and the old active as it rejoins.
    let standby = Home::base_copy(&home);
    home.create_table("second", 2);
    wait_until_applied(&home.log());
    master.kill();
    ship(&home.log(), &standby);

    standby.raise_term(3_000_000);
    let master = promote(&standby);
    assert_eq!(term_of(summary(&standby.log()).last), 3_000_001);
    wait_for("the tablet server's return", || {
        !crate::harness::kudu(["tserver", "list", &standby.address.to_string(), "--format=csv"]).trim().is_empty()
    });
    standby.create_table("third", 2);
    standby.table("rename_table", &["first", "renamed"]);
    wait_until_applied(&standby.log());
    master.kill();
    let master = standby.serve(&[]);
    assert_eq!(term_of(summary(&standby.log()).last), 3_000_002);
    standby.table("delete", &["second"]);
    wait_until_applied(&standby.log());
    let expected = standby.catalog();
    master.kill();

    // Log-only rejoin: the old active's log continues with the new reign's operations.
    let old_head = summary(&home.log()).last;
    let head = summary(&standby.log()).history.diff_head(&summary(&home.log()).history);
    assert_eq!(head, old_head, "the old active has no gap");
    let shipped = ship(&standby.log(), &home);
    home.raise_term(4_000_000);
    let _master = promote(&home);
    let log = summary(&home.log());
    assert_eq!(term_of(log.last), 4_000_001);
    assert_eq!(home.catalog(), expected);
    println!("rejoined at {head:?} with {shipped} operations; terms {:?}", log.history.spans());
}
