//! The system catalog's operations, as a real master writes them.

use std::{collections::BTreeSet, time::Duration};

use kudu_pair::{
    catalog::{Change, CreatingTablets, EntryType, changes},
    clock::unix_millis,
    wal::{LogEntry, Replicate},
    waldir::scan,
};

use crate::harness::{Home, TabletServer, loopback, wait_for};

/// Longer than any test runs.
const EVER: Duration = Duration::from_secs(3600);

fn operations(home: &Home) -> Vec<Replicate> {
    let mut operations = Vec::new();
    // Kudu is writing to it.
    let _ = scan(&home.log(), |_, entry| {
        if let LogEntry::Replicate(replicate) = entry {
            operations.push(replicate.clone());
        }
    });
    operations
}

fn is_creating(home: &Home) -> bool {
    let mut tablets = CreatingTablets::default();
    operations(home).iter().for_each(|op| tablets.fold(op));
    tablets.any_younger_than(EVER, Duration::from_millis(unix_millis()))
}

#[test]
fn every_operation_of_a_real_catalog_is_read() {
    let home = Home::new(loopback());
    let _master = home.serve(&[]);
    let _tablets = TabletServer::start(&home);
    home.create_table("kept", 4);
    home.create_table("dropped", 2);
    home.table("delete", &["dropped"]);
    let mut ids = BTreeSet::new();
    for op in operations(&home) {
        for row in changes(&op).unwrap() {
            let sets = row.change != Change::Delete;
            if sets && matches!(row.entry_type, EntryType::Table | EntryType::Tablet) {
                ids.insert((row.entry_type, row.id));
            }
        }
    }
    let count = |wanted| ids.iter().filter(|(entry_type, _)| *entry_type == wanted).count();
    assert_eq!((count(EntryType::Table), count(EntryType::Tablet)), (2, 6), "{ids:?}");
}

#[test]
fn a_table_is_being_created_until_its_tablet_servers_have_answered() {
    let home = Home::new(loopback());
    let _master = home.serve(&["--tablet_creation_timeout_ms=1000"]);
    let tablets = TabletServer::start(&home);
    home.create_table("first", 2);
    wait_for("all tablets to run", || !is_creating(&home));
    // The master goes on to believe in it for a while, and chooses it.
    drop(tablets);
    assert!(!home.try_create_table("second", 2), "nobody is there to make its tablets");
    assert!(is_creating(&home));
    let _tablets = TabletServer::start(&home);
    wait_for("all tablets to run again", || !is_creating(&home));
}
