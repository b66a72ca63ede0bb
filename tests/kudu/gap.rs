//! Gaps that a real master leaves, replayed on its real successor.
//!
//! Every gap has each kind of change; the table below says what the new active did meanwhile, and what is expected of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use clap::Parser;
use kudu_pair::{
    cli::gap::{GapArgs, Outcome},
    gap::{
        ConflictReason, Event, Gap, Plan, Sides, Subject, SupersededReason, Verdict, describe, plan, read, renumber,
    },
    wal::{LogEntry, LogSummary, OpId, Replicate, TermHistory},
    waldir::{LogAppender, SegmentEnd, read_log, scan},
};

use crate::{
    harness::{Home, PROMOTION_FLAGS, Server, TabletServer, kudu, loopback, try_kudu, wait_for},
    wal::{operations, promote, wait_until_applied},
};

/// Rows that are written to a table which only the gap has.
const ROWS: u64 = 500;

/// What the new active did.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Nothing,
    CreatedOthers,
    TookTheNames,
    AlteredTheSame,
    DroppedThem,
    Restarted,
    SwitchedTwice,
}

/// The tables of the gap, by what was done to each.
const CREATED: &str = "g_created";
const LOADED: &str = "g_loaded";
const RENAMED: &str = "t_renamed";
const COLUMN_ADDED: &str = "t_column_added";
const COLUMN_DROPPED: &str = "t_column_dropped";
const DROPPED: &str = "t_dropped";
const RANGED: &str = "t_ranged";
const COMMENTED: &str = "t_commented";

/// Tables whose alteration by the new active Kudu does not finish while it has another idea of the tablets' version.
const HANGING: [&str; 5] = [COLUMN_ADDED, COLUMN_DROPPED, RANGED, COMMENTED, "t_to_be_renamed"];

/// What the new active calls the table that the gap drops.
const STILL_USED: &str = "n_still_used";

fn conflict(reason: ConflictReason) -> Option<Verdict> {
    Some(Verdict::Conflict { reason })
}

/// What is expected of a table. `None`: a conflict over its name, which holds an id.
fn expected(deed: Deed, table: &str) -> Option<Verdict> {
    match (deed, table) {
        (Deed::TookTheNames, CREATED | RENAMED) => None,
        (Deed::AlteredTheSame, RENAMED | COLUMN_ADDED | COLUMN_DROPPED | RANGED | COMMENTED) => {
            conflict(ConflictReason::AlteredOnBothSides)
        }
        (Deed::AlteredTheSame, DROPPED) => conflict(ConflictReason::DroppedHereAlteredThere),
        (Deed::DroppedThem, RENAMED | COLUMN_ADDED | COLUMN_DROPPED | RANGED | COMMENTED) => {
            conflict(ConflictReason::AlteredHereDroppedThere)
        }
        (Deed::DroppedThem, DROPPED) => Some(Verdict::Superseded { reason: SupersededReason::DroppedOnBothSides }),
        _ => Some(Verdict::Replay),
    }
}

fn ranged_table() -> serde_json::Value {
    serde_json::json!({
        "table_name": RANGED,
        "schema": {
            "columns": [{ "column_name": "id", "column_type": "INT32" }, { "column_name": "x", "column_type": "INT32" }],
            "key_column_names": ["id"],
        },
        "partition": {
            "range_partition": {
                "columns": ["id"],
                "range_bounds": [{
                    "lower_bound": { "bound_type": "inclusive", "bound_values": ["0"] },
                    "upper_bound": { "bound_type": "exclusive", "bound_values": ["10"] },
                }],
            },
        },
        "num_replicas": 1,
    })
}

/// A client's view of each table, by name.
fn view(home: &Home) -> BTreeMap<String, String> {
    let tables = home.catalog().into_iter();
    tables.map(|table| (table.lines().next().unwrap_or_default().to_owned(), table)).collect()
}

fn wait_for_tablet_server(home: &Home) {
    wait_for("the tablet server's return", || {
        !kudu(["tserver", "list", &home.address.to_string(), "--format=csv"]).trim().is_empty()
    });
}

fn rows_of(home: &Home, table: &str) -> u64 {
    let text = home.table("scan", &[table, "--show_values=false"]);
    let count = text.lines().find_map(|line| line.strip_prefix("Total count ")).expect("a count");
    count.split_whitespace().next().unwrap().parse().unwrap()
}

fn load(home: &Home, table: &str, from: u64) {
    let words =
        [format!("--table_name={table}"), format!("--num_rows_per_thread={ROWS}"), format!("--seq_start={from}")];
    let address = home.address.to_string();
    kudu(["perf", "loadgen", &address, "--num_threads=1"].into_iter().chain(words.iter().map(String::as_str)));
}

fn history(ops: &[Replicate]) -> TermHistory {
    ops.iter().map(Replicate::id).collect()
}

/// The ids of all tablets that the tablet server holds, as its own files tell.
fn held(tablets: &TabletServer) -> BTreeSet<String> {
    tablets.tablet_ids().into_iter().collect()
}

/// Both sides of a gap, and the plan.
struct Planned {
    gap: Gap,
    plan: Plan,
    head: OpId,
    time: u64,
}

fn planned(old: &Home, new: &Home, held: &BTreeSet<String>) -> Planned {
    let (old, new) = (operations(&old.log()), operations(&new.log()));
    let diff_head = history(&new).diff_head(&history(&old)).expect("a diff-head");
    let (gap, since) = (read(&old, Some(diff_head)).unwrap(), read(&new, Some(diff_head)).unwrap());
    let plan = plan(Sides { gap: &gap, since: &since, held_tablets: Some(held) }).unwrap();
    let time = new.iter().map(Replicate::timestamp).max().unwrap();
    Planned { gap, plan, head: new.last().unwrap().id(), time }
}

impl Planned {
    fn operations(&self) -> Vec<Replicate> {
        renumber(&self.plan, &self.gap, self.head, 0, self.time).unwrap()
    }

    /// The verdicts on tables, by name.
    fn verdicts(&self) -> BTreeMap<String, Verdict> {
        let tables = self.plan.items.iter().filter(|item| matches!(item.subject, Subject::Table { .. }));
        tables.map(|item| (item.name.clone(), item.verdict.clone())).collect()
    }
}

/// Runs `kudu-pair gap`.
fn gap_command(args: &[&str]) -> (Outcome, String) {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        gap: GapArgs,
    }
    let mut out = Vec::new();
    let outcome = Cli::try_parse_from([&["gap"], args].concat()).unwrap().gap.run(&mut out).unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

/// Appends operations to the log of a stopped master, and starts it.
fn replay(home: &Home, operations: &[Replicate]) -> Server {
    let mut log = LogAppender::open(&home.log()).unwrap();
    log.append(operations).unwrap();
    log.sync().unwrap();
    let last = log.durable().unwrap();
    drop(log);
    home.raise_term(last.term);
    promote(home)
}

/// Cuts the log in the middle of the operation with which the table was made, as if the machine had died while writing it.
fn tear(home: &Home, table: &str) {
    let created = |op: &Replicate| {
        let gap = read(&operations(&home.log()), Some(OpId::new(op.id().term, op.id().index - 1))).unwrap();
        let events = describe(&gap).swap_remove(0).events;
        matches!(&events[..], [Event::CreateTable { table: name, .. }] if name == table)
    };
    let op = operations(&home.log()).into_iter().rfind(created).expect("the operation that made the table");
    let mut place = None;
    read_log(&home.log(), |at, entry| {
        if matches!(entry, LogEntry::Replicate(found) if found.id() == op.id()) {
            place = Some((at.path.to_owned(), at.offset));
        }
    })
    .unwrap();
    let (path, offset) = place.unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(offset + 60).unwrap();
    let log = scan(&home.log(), |_, _| {}).unwrap();
    assert!(matches!(log.segments.last().unwrap().end, SegmentEnd::Torn { .. }), "{log:?}");
}

/// The gap: each kind of change, and half an operation at its end.
fn make_gap(home: &Home) -> BTreeMap<String, String> {
    home.create_table(CREATED, 2);
    home.create_table(LOADED, 2);
    load(home, LOADED, 0);
    home.table("rename_table", &["t_to_be_renamed", RENAMED]);
    home.table("add_column", &[COLUMN_ADDED, "added", "INT32"]);
    home.table("delete_column", &[COLUMN_DROPPED, "name"]);
    home.table("delete", &[DROPPED]);
    home.table("add_range_partition", &[RANGED, "[10]", "[20]"]);
    home.table("drop_range_partition", &[RANGED, "[0]", "[10]"]);
    home.table("set_comment", &[COMMENTED, "what it is"]);
    wait_until_applied(&home.log());
    let left = view(home);
    home.create_table("g_torn", 2);
    wait_until_applied(&home.log());
    left
}

fn act(home: &Home, deed: Deed) {
    match deed {
        Deed::Nothing | Deed::Restarted | Deed::SwitchedTwice => {}
        Deed::CreatedOthers => {
            home.create_table("n_one", 2);
            home.table("rename_table", &["t_bystander", "n_bystander"]);
        }
        Deed::TookTheNames => {
            home.create_table(CREATED, 2);
            home.create_table(RENAMED, 2);
        }
        Deed::AlteredTheSame => {
            // They are recorded, and go on after the tool has given up.
            let address = home.address.to_string();
            let alter = |command: &str, rest: &[&str]| {
                try_kudu(["table", command, address.as_str()].iter().chain(rest).chain(&["--timeout_ms=3500"]))
            };
            for table in HANGING {
                alter("add_column", &[table, "other", "INT64"]);
            }
            alter("rename_table", &[DROPPED, STILL_USED]);
        }
        Deed::DroppedThem => {
            for table in [COLUMN_ADDED, COLUMN_DROPPED, RANGED, COMMENTED, "t_to_be_renamed", DROPPED] {
                home.table("delete", &[table]);
            }
        }
    }
    wait_until_applied(&home.log());
}

/// The name that a table of the gap had before it.
fn name_before(table: &str) -> &str {
    if table == RENAMED { "t_to_be_renamed" } else { table }
}

fn round(deed: Deed) {
    let old = Home::new(loopback());
    let master = old.serve(&[]);
    let tablets = TabletServer::start(&old);
    for table in ["t_to_be_renamed", COLUMN_ADDED, COLUMN_DROPPED, DROPPED, COMMENTED, "t_bystander"] {
        old.create_table(table, 2);
    }
    old.create_table_from(&ranged_table());
    wait_until_applied(&old.log());
    let mut new = Home::base_copy(&old);
    let left = make_gap(&old);
    master.kill();
    tear(&old, "g_torn");

    new.raise_term(2_000_000);
    let mut master = promote(&new);
    wait_for_tablet_server(&new);
    act(&new, deed);
    match deed {
        Deed::Restarted => {
            master.kill();
            master = new.serve(&[]);
            new.create_table("n_after_restart", 2);
        }
        Deed::SwitchedTwice => {
            let next = Home::base_copy(&new);
            master.kill();
            next.raise_term(3_000_000);
            master = promote(&next);
            wait_for_tablet_server(&next);
            next.create_table("n_third_reign", 2);
            new = next;
        }
        _ => {}
    }
    wait_until_applied(&new.log());
    let before = view(&new);
    master.kill();

    let found = planned(&old, &new, &held(&tablets));
    let verdicts = found.verdicts();
    for table in [CREATED, LOADED, RENAMED, COLUMN_ADDED, COLUMN_DROPPED, DROPPED, RANGED, COMMENTED] {
        let verdict = verdicts.get(table).unwrap_or_else(|| panic!("{deed:?}: no verdict on {table}: {verdicts:#?}"));
        match expected(deed, table) {
            Some(expected) => assert_eq!(*verdict, expected, "{deed:?}: {table}"),
            None => assert!(
                matches!(verdict, Verdict::Conflict { reason: ConflictReason::NameTaken { name, .. } } if name == table),
                "{deed:?}: {table}: {verdict:?}"
            ),
        }
    }
    let (outcome, text) =
        gap_command(&["plan", old.wal_root().to_str().unwrap(), "--active", new.wal_root().to_str().unwrap()]);
    println!("{deed:?}\n{text}");
    let conflicts = verdicts.values().any(|verdict| matches!(verdict, Verdict::Conflict { .. }));
    assert_eq!(outcome, if conflicts { Outcome::Conflicts } else { Outcome::Ok });

    // What clients are to see: of each table that is replayed what the old active had, else what the new one has.
    let mut wanted = before;
    for (table, verdict) in &verdicts {
        if *verdict == Verdict::Replay {
            wanted.remove(name_before(table));
            if let Some(seen) = left.get(table) {
                wanted.insert(table.clone(), seen.clone());
            }
        }
    }
    let operations = found.operations();
    println!("{} operations in the gap, {} to replay it", found.gap.ops.len(), operations.len());
    let master = replay(&new, &operations);
    wait_for_tablet_server(&new);
    if matches!(deed, Deed::AlteredTheSame) {
        // Kudu goes on with what it had not finished: the tablets are ahead of the new active's version by the gap's alteration.
        wanted = wanted
            .into_iter()
            .map(|(name, seen)| if HANGING.contains(&name.as_str()) { (name, String::new()) } else { (name, seen) })
            .collect();
    }
    let shown = || {
        let hangs = |name: &str| matches!(deed, Deed::AlteredTheSame) && HANGING.contains(&name);
        view(&new)
            .into_iter()
            .map(|(name, seen)| if hangs(&name) { (name, String::new()) } else { (name, seen) })
            .collect::<BTreeMap<_, _>>()
    };
    wait_for("the tables of both reigns", || shown() == wanted);
    if matches!(deed, Deed::AlteredTheSame) {
        let seen = view(&new);
        let gaps_own = |text: &str| ["added INT32", "what it is"].iter().any(|word| text.contains(word));
        assert!(HANGING.iter().all(|table| !gaps_own(&seen[*table])), "{seen:#?}");
    }
    assert_eq!(rows_of(&new, LOADED), ROWS);
    load(&new, LOADED, 10 * ROWS);
    assert_eq!(rows_of(&new, LOADED), 2 * ROWS);
    // Of a table that the gap dropped and the new active still uses the tablet server has deleted the tablets.
    let unsound =
        |table: &str| matches!(deed, Deed::AlteredTheSame) && (table == STILL_USED || HANGING.contains(&table));
    let sound = wanted.keys().map(String::as_str).filter(|table| !unsound(table)).collect::<Vec<_>>().join(",");
    wait_for("ksck to find nothing", || {
        try_kudu(["cluster", "ksck", &new.address.to_string(), &format!("--tables={sound}")]).status.success()
    });
    new.create_table("afterwards", 2);
    wait_until_applied(&new.log());
    master.kill();

    // A second replay has nothing to do.
    let again = planned(&old, &new, &held(&tablets));
    assert_eq!(again.operations(), [], "{:#?}", again.plan);
    for (table, verdict) in again.verdicts() {
        if verdicts[&table] == Verdict::Replay {
            assert_ne!(verdict, Verdict::Replay, "{deed:?}: {table}");
            assert!(!matches!(verdict, Verdict::Conflict { .. }), "{deed:?}: {table}: {verdict:?}");
        }
    }
    // And the log that has the replay starts again.
    let _master = new.serve(&PROMOTION_FLAGS);
    assert_eq!(summary(&new).last.map(|last| last.term > found.head.term + 1), Some(true));
}

fn summary(home: &Home) -> LogSummary {
    scan(&home.log(), |_, _| {}).unwrap().summary
}

#[test]
fn a_gap_is_replayed_when_the_new_active_did_nothing() {
    round(Deed::Nothing);
}

#[test]
fn a_gap_is_replayed_when_the_new_active_created_others() {
    round(Deed::CreatedOthers);
}

#[test]
fn a_gap_is_replayed_but_for_names_that_the_new_active_took() {
    round(Deed::TookTheNames);
}

#[test]
fn a_gap_is_replayed_but_for_tables_that_the_new_active_altered() {
    round(Deed::AlteredTheSame);
}

#[test]
fn a_gap_is_replayed_but_for_tables_that_the_new_active_dropped() {
    round(Deed::DroppedThem);
}

#[test]
fn a_gap_is_replayed_after_a_restart_of_the_new_active() {
    round(Deed::Restarted);
}

#[test]
fn a_gap_is_replayed_after_another_switch() {
    round(Deed::SwitchedTwice);
}
