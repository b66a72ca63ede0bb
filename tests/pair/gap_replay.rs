//! What only a lost active had comes back where that member serves again, once, and in one piece though it is killed.

use std::{thread, time::Duration};

use kudu_pair::{api::GapState, failover::member::MemberReport};

use crate::{
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
    switchover::switch,
};

/// Member a was lost with these tables, and follows b; b made `only_b` meanwhile. The gap's name.
fn with_gap(pair: &mut Pair, tables: &[String]) -> String {
    pair.client.create_table("both", 2);
    wait_until_equal(&pair.a, &pair.b);
    pair.b.crash_sidecar();
    for table in tables {
        pair.client.create_table(table, 2);
    }
    pair.catalog();
    pair.a.crash();
    pair.b.start_sidecar();
    pair.b.wait_until("its log is seen", |report| report.head.is_some());
    pair.b.order(&["promote"]);
    pair.wait_until_served();
    pair.b.wait_until("b serves", is_serving);
    assert_eq!(pair.tables(), ["both"]);
    pair.client.create_table("only_b", 2);
    pair.a.start();
    pair.a.order(&["follow", "--link", &pair.b.link(), "--rpc", &pair.b.rpc]);
    let report = pair.a.wait_until("a streams", is_streaming);
    let [gap] = &report.gaps[..] else { panic!("{:?}", report.gaps) };
    assert_eq!((gap.state, gap.changes.len()), (GapState::Pending, tables.len().min(20)));
    gap.name.clone()
}

fn is_replayed(report: &MemberReport) -> bool {
    report.gaps.iter().all(|gap| gap.state == GapState::Replayed)
}

fn expected(tables: &[String]) -> Vec<String> {
    let mut all: Vec<_> = tables.iter().cloned().chain(["both".to_owned(), "only_b".to_owned()]).collect();
    all.sort();
    all
}

#[test]
fn a_gap_is_replayed_in_place_and_only_once() {
    let mut pair = Pair::running();
    let tables = ["only_a_1", "only_a_2"].map(str::to_owned);
    let gap = with_gap(&mut pair, &tables);
    switch(&pair, &pair.b, &pair.a);
    assert_eq!(pair.tables(), ["both", "only_b"], "nobody asked for a replay yet");
    pair.a.order(&["replay-gap", &gap]);
    let report = pair.a.wait_until("the replay", is_replayed);
    println!("{:#?}", report.gaps);
    assert_eq!((report.epoch, report.gaps[0].new_epoch), (3, 2));
    pair.wait_until_served();
    assert_eq!(pair.tables(), expected(&tables));
    let (first, last) = report.gaps[0].replayed.expect("operations that were added");
    assert_eq!(last.index - first.index, 1, "one for each table");

    pair.client.create_table("afterwards", 2);
    wait_until_equal(&pair.a, &pair.b);
    let catalog = pair.catalog();
    switch(&pair, &pair.a, &pair.b);
    pair.assert_catalog(&catalog);
    switch(&pair, &pair.b, &pair.a);
    pair.assert_catalog(&catalog);
    let report = pair.a.status();
    assert_eq!((report.gaps.len(), report.gaps[0].replayed), (1, Some((first, last))));
    pair.check();
}

#[test]
fn a_gap_that_a_standby_keeps_is_handed_to_the_active_and_replayed_there() {
    let mut pair = Pair::running();
    let tables = ["only_a_1", "only_a_2"].map(str::to_owned);
    let gap = with_gap(&mut pair, &tables);
    pair.a.order(&["replay-gap", &gap]);
    let of_a = pair.a.wait_until("what became of it", is_replayed).gaps;
    let of_b = pair.b.wait_until("b serves on", |report| is_serving(report) && is_replayed(report)).gaps;
    println!("{of_b:#?}");
    assert_eq!((&of_a[0].replayed, &of_a[0].outcome), (&of_b[0].replayed, &of_b[0].outcome));
    assert_eq!((of_b[0].member.as_str(), pair.b.status().epoch), ("a", 2), "no switch");
    let replayed = of_b[0].replayed.expect("operations that were added");
    pair.wait_until_served();
    assert_eq!(pair.tables(), expected(&tables));

    pair.client.create_table("afterwards", 2);
    wait_until_equal(&pair.b, &pair.a);
    let catalog = pair.catalog();
    switch(&pair, &pair.b, &pair.a);
    pair.assert_catalog(&catalog);
    assert_eq!(pair.a.status().gaps[0].replayed, Some(replayed), "nothing is added again");
    pair.check();
}

/// A replayed table without tablets could be used by nobody.
#[test]
fn a_table_whose_tablets_are_gone_from_the_tablet_servers_is_not_replayed() {
    let mut pair = Pair::running();
    let gap = with_gap(&mut pair, &["gone".to_owned()]);
    let tablets = pair.lose_replicas("gone");
    assert_eq!(tablets.len(), 2);
    // Until the standby has asked the tablet servers: it does so once its active has served for a while.
    thread::sleep(Duration::from_secs(28));
    let master = pair.b.running_master();
    pair.a.order(&["replay-gap", &gap]);
    let conflict = |report: &MemberReport| report.gaps.iter().all(|gap| gap.state == GapState::Conflict);
    let report = pair.a.wait_until("the conflict", conflict);
    let outcome = report.gaps[0].outcome.join("\n");
    assert!(outcome.contains("conflict: gone") && outcome.contains(&tablets[0]), "{outcome}");
    assert!(master.is_some() && pair.b.running_master() == master, "nothing is added, so nobody has to wait");
    pair.wait_until_served();
    assert_eq!(pair.tables(), ["both", "only_b"]);
    pair.check();
}

#[test]
fn an_active_that_is_killed_while_it_replays_what_a_standby_handed_over_has_all_of_it_in_the_end() {
    let mut pair = Pair::running();
    let tables: Vec<_> = (0..12).map(|number| format!("only_a_{number:02}")).collect();
    let gap = with_gap(&mut pair, &tables);
    pair.a.order(&["replay-gap", &gap]);
    for round in 0_u64..4 {
        thread::sleep(Duration::from_millis(round * 60));
        pair.b.crash();
        pair.b.start();
        pair.b.wait_until("its log is seen", |report| report.head.is_some());
        pair.b.order(&["promote"]);
        pair.wait_until_served();
        pair.b.wait_until("b serves", is_serving);
        let there = pair.tables().iter().filter(|table| table.starts_with("only_a")).count();
        println!("killed {} ms after that: {there} tables, {:?}", round * 60, pair.b.status().gaps);
        pair.a.order(&["follow", "--link", &pair.b.link(), "--rpc", &pair.b.rpc]);
        pair.a.wait_until("a streams", is_streaming);
    }
    pair.a.wait_until("the replay", is_replayed);
    pair.wait_until_served();
    assert_eq!(pair.tables(), expected(&tables));
    wait_until_equal(&pair.b, &pair.a);
    pair.check();
}

#[test]
fn a_gap_that_is_given_up_stays_where_it_is() {
    let mut pair = Pair::running();
    let gap = with_gap(&mut pair, &["only_a".to_owned()]);
    pair.a.order(&["discard-gap", &gap]);
    let given_up = |report: &MemberReport| report.gaps.iter().all(|gap| gap.state == GapState::Discarded);
    pair.a.wait_until("the gap is given up", given_up);
    switch(&pair, &pair.b, &pair.a);
    assert_eq!(pair.tables(), ["both", "only_b"]);
    assert!(pair.a.path("wal").join("gaps").join(&gap).join("wal-000000001").exists());
    pair.check();
}

#[test]
fn a_member_that_is_killed_while_it_replays_goes_on_in_its_next_reign() {
    let mut pair = Pair::running();
    let tables: Vec<_> = (0..12).map(|number| format!("only_a_{number:02}")).collect();
    let gap = with_gap(&mut pair, &tables);
    switch(&pair, &pair.b, &pair.a);
    for round in 0_u64.. {
        pair.a.order(&["replay-gap", &gap]);
        thread::sleep(Duration::from_millis(round * 15));
        pair.a.crash();
        pair.a.start();
        pair.a.wait_until("its log is seen", |report| report.head.is_some());
        pair.a.order(&["promote"]);
        pair.wait_until_served();
        let report = pair.a.wait_until("a serves", is_serving);
        let there = pair.tables().iter().filter(|table| table.starts_with("only_a")).count();
        println!("killed {} ms after the request: {there} tables, {:?}", round * 15, report.gaps[0].state);
        pair.b.order(&["follow", "--link", &pair.a.link(), "--rpc", &pair.a.rpc]);
        pair.b.wait_until("b streams", is_streaming);
        if report.gaps[0].state != GapState::Pending {
            break;
        }
        assert_eq!(there, 0, "a part of it, and nobody knows");
    }
    pair.a.wait_until("the replay", is_replayed);
    assert_eq!(pair.tables(), expected(&tables));
    wait_until_equal(&pair.a, &pair.b);
    pair.check();
}

#[test]
fn a_conflict_is_mended_by_a_person_and_the_rest_replayed_then() {
    let mut pair = Pair::running();
    let gap = with_gap(&mut pair, &["sales".to_owned(), "free".to_owned()]);
    pair.client.create_table("sales", 2);
    wait_until_equal(&pair.b, &pair.a);
    switch(&pair, &pair.b, &pair.a);
    pair.a.order(&["replay-gap", &gap]);
    let report =
        pair.a.wait_until("the conflict", |report| report.gaps.iter().all(|gap| gap.state == GapState::Conflict));
    let outcome = report.gaps[0].outcome.join("\n");
    assert!(outcome.contains("conflict: sales") && outcome.contains("replayed: free"), "{outcome}");
    pair.wait_until_served();
    assert_eq!(pair.tables(), ["both", "free", "only_b", "sales"]);

    pair.client.table("rename_table", &["sales", "sales_of_b"]);
    pair.a.order(&["replay-gap", &gap]);
    pair.a.wait_until("the replay", is_replayed);
    pair.wait_until_served();
    assert_eq!(pair.tables(), ["both", "free", "only_b", "sales", "sales_of_b"]);
    wait_until_equal(&pair.a, &pair.b);
    pair.check();
}

/// What kept a table from being replayed could still be lost with the active, and the gap would be needed then.
#[test]
fn a_gap_with_nothing_to_add_is_settled_once_every_standby_has_what_decided_so() {
    let mut pair = Pair::running();
    let gap = with_gap(&mut pair, &["sales".to_owned()]);
    switch(&pair, &pair.b, &pair.a);
    wait_until_equal(&pair.a, &pair.b);
    pair.b.freeze_sidecar();
    pair.client.create_table("sales", 2);
    pair.a.order(&["replay-gap", &gap]);
    pair.a.wait_until("the plan", |report| report.gaps[0].state == GapState::Replaying);
    // Some looks later it still waits.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(pair.a.status().gaps[0].state, GapState::Replaying);
    pair.b.wake_sidecar();
    pair.a.wait_until("the conflict", |report| report.gaps[0].state == GapState::Conflict);
    pair.check();
}
