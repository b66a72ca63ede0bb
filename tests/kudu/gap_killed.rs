//! A replay that is killed at any moment: of each table all is there or nothing, and the next one does the rest.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use kudu_pair::wal::Replicate;

use crate::{
    harness::{Home, PROMOTION_FLAGS, TabletServer, loopback, try_kudu, wait_for},
    wal::{operations, promote, wait_until_applied},
};

const TABLES: usize = 50;
const KILLS: u32 = 30;
/// After so many kills the real master is started on what came of one.
const STARTED_EVERY: u32 = 10;

fn gap_command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kudu-pair"));
    command.arg("gap").args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How many tables the plan has of each verdict.
fn verdicts(old: &Home, new: &Home) -> BTreeMap<String, usize> {
    let (gap, active) = (old.wal_root(), new.wal_root());
    let words = ["plan", gap.to_str().unwrap(), "--active", active.to_str().unwrap(), "-o", "json"];
    let output = gap_command(&words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = BTreeMap::new();
    for item in plan["items"].as_array().unwrap().iter().filter(|item| item["subject"]["what"] == "table") {
        *found.entry(item["verdict"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    found
}

fn replay(old: &Home, new: &Home) -> Command {
    gap_command(&["replay", old.wal_root().to_str().unwrap(), "--into", new.wal_root().to_str().unwrap()])
}

/// What was added to the log behind its first `before` operations.
fn added(home: &Home, before: usize) -> Vec<Replicate> {
    operations(&home.log()).split_off(before)
}

#[test]
fn a_replay_that_is_killed_at_any_moment_leaves_whole_tables_and_is_finished_by_the_next() {
    let old = Home::new(loopback());
    let master = old.serve(&[]);
    let tablets = TabletServer::start(&old);
    old.create_table("both", 2);
    wait_until_applied(&old.log());
    let new = Home::base_copy(&old);
    for number in 0..TABLES {
        old.create_table(&format!("only_{number:02}"), 2);
    }
    wait_until_applied(&old.log());
    master.kill();
    new.raise_term(2_000_000);
    let master = promote(&new);
    wait_for("the tablet server's return", || try_kudu(["cluster", "ksck", &new.address.to_string()]).status.success());
    wait_until_applied(&new.log());
    master.kill();
    let before = operations(&new.log()).len();
    assert_eq!(verdicts(&old, &new), BTreeMap::from([("replay".to_owned(), TABLES)]));

    // One that is left alone: how long it takes, and what it adds.
    let whole = new.clone_files();
    let begun = Instant::now();
    assert!(replay(&old, &whole).output().unwrap().status.success());
    let takes = begun.elapsed();
    let reference = added(&whole, before);
    assert_eq!(reference.len(), TABLES);

    let mut stopped_after = BTreeMap::<usize, u32>::new();
    for kill in 0..KILLS {
        let copy = new.clone_files();
        let mut running = replay(&old, &copy).spawn().unwrap();
        thread::sleep(Duration::from_micros(fastrand::u64(0..u64::try_from(takes.as_micros()).unwrap())));
        running.kill().unwrap();
        running.wait().unwrap();
        let (whole_tables, left) = {
            let found = verdicts(&old, &copy);
            let count = |verdict: &str| found.get(verdict).copied().unwrap_or_default();
            assert_eq!(found.values().sum::<usize>(), count("replay") + count("alreadyReplayed"), "{found:?}");
            (count("alreadyReplayed"), count("replay"))
        };
        assert_eq!(whole_tables + left, TABLES);
        *stopped_after.entry(whole_tables).or_default() += 1;

        // What is there is the beginning of what would have come; the next replay adds the rest, and another one nothing.
        assert_eq!(added(&copy, before), reference[..whole_tables]);
        assert!(replay(&old, &copy).output().unwrap().status.success());
        assert_eq!(added(&copy, before).len(), TABLES);
        assert!(replay(&old, &copy).output().unwrap().status.success());
        let log = operations(&copy.log());
        assert_eq!(log.len(), before + TABLES);
        assert_eq!(verdicts(&old, &copy), BTreeMap::from([("alreadyReplayed".to_owned(), TABLES)]));
        if kill % STARTED_EVERY == 0 {
            copy.raise_term(log.last().unwrap().id().term);
            let master = copy.serve(&PROMOTION_FLAGS);
            assert_eq!(copy.table("list", &[]).lines().count(), TABLES + 1);
            wait_for("ksck to find nothing", || {
                try_kudu(["cluster", "ksck", &copy.address.to_string()]).status.success()
            });
            master.kill();
        }
    }
    println!("one replay takes {takes:?}; killed after so many tables, so often: {stopped_after:?}");
    drop(tablets);
}

#[test]
fn a_log_on_which_a_master_runs_takes_no_replay() {
    let home = Home::new(loopback());
    // One folder for everything, as in a pair.
    let _master = home.serve(&[&format!("--fs_data_dirs={}", home.wal_root().display())]);
    let output = replay(&home, &home).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("a Kudu server runs on this folder"), "{said}");
}
