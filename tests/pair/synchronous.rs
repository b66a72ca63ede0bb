//! A pair whose clients wait for its standbys.

use std::process::Child;

use kudu_pair::{api::SyncRecord, failover::member::MemberReport};

use crate::{
    kudu::{self, Home, TabletServer},
    member::{Member, PAIR},
    pair::{is_serving, is_streaming},
    reigns,
};

/// Members that serve at one address, one after another, with a tablet server and a client.
pub(crate) struct Group {
    pub(crate) members: Vec<Member>,
    /// Which one serves.
    pub(crate) active: usize,
    pub(crate) client: Home,
    _tablets: TabletServer,
}

impl Group {
    /// So many members that wait for each other as `replication` says; the first one serves, the others stream.
    pub(crate) fn running(members: usize, replication: &serde_json::Value) -> Self {
        let client = Home::new(kudu::loopback());
        let rpc = client.address.to_string();
        let names = ["a", "b", "c"].into_iter().take(members);
        let mut members: Vec<_> = names.map(|name| Member::new(name, &rpc)).collect();
        for member in &mut members {
            member.make_synchronous(replication);
        }
        for (number, member) in members.iter().enumerate() {
            let others: Vec<_> = members.iter().filter(|other| other.name != member.name).collect();
            member.configure(PAIR, &others, (number > 0).then(|| &members[0]));
        }
        for member in &mut members {
            member.start();
        }
        // Nothing is acknowledged before the standbys are there, and they can come only once the catalog is.
        members[0].order(&["init"]);
        members[0].wait_until("a serves", is_serving);
        for member in &members[1..] {
            member.wait_until("a standby streams", is_streaming);
        }
        let tablets = TabletServer::start(&client);
        let group = Self { members, active: 0, client, _tablets: tablets };
        group.wait_until_in_sync();
        group
    }

    pub(crate) fn active(&self) -> &Member {
        &self.members[self.active]
    }

    /// Waits until the record names every standby.
    pub(crate) fn wait_until_in_sync(&self) {
        let others = self.members.len() - 1;
        self.active().wait_until("every standby is in the record", |report| {
            report.sync.as_ref().is_some_and(|record| record.members.len() == others && !record.degraded)
        });
    }

    /// A client that creates a table and waits for it as long as it takes.
    fn create(&self, name: &str) -> Child {
        let table = Home::plain_table(name, 2).to_string();
        kudu::program("kudu")
            .args(["table", "create", &self.client.address.to_string(), &table, "--timeout_ms=120000"])
            .spawn()
            .expect("kudu")
    }

    pub(crate) fn check(&self) {
        let members: Vec<_> = self.members.iter().collect();
        println!("{} lives of a kudu-master, one at a time", reigns::assert_one_master_at_a_time(&members));
    }
}

fn record(report: &MemberReport) -> SyncRecord {
    report.sync.clone().unwrap_or_else(|| panic!("no record: {report:#?}"))
}

#[test]
fn block_acknowledges_nothing_while_a_standby_is_away() {
    let mut group = Group::running(2, &serde_json::json!({ "acknowledgement": { "mode": "All" } }));
    group.client.create_table("before", 2);
    let head = group.active().status().head;
    group.members[1].crash();
    let mut client = group.create("held");
    group.members[0].wait_until("the operation is in the log", |report| report.head > head);
    // What is there can be read; what is held back cannot.
    assert_eq!(group.client.table("list", &[]).trim(), "before");
    assert_eq!(client.try_wait().expect("kudu"), None, "it is acknowledged without the standby");
    // The sidecar's death changes nothing for the gate, and a new one makes no promise of its own.
    group.members[0].crash_sidecar();
    group.members[0].start_sidecar();
    group.members[0].wait_until("a serves", is_serving);
    assert_eq!(group.client.table("list", &[]).trim(), "before");
    assert_eq!(client.try_wait().expect("kudu"), None, "it is acknowledged without the standby");
    group.members[1].start();
    assert!(client.wait().expect("kudu").success());
    group.wait_until_in_sync();
    assert_eq!(record(&group.active().status()).quorum, 1);
    group.check();
}

#[test]
fn degrade_acknowledges_after_the_timeout_and_says_so_until_the_standby_is_back() {
    let replication = serde_json::json!({
        "acknowledgement": { "mode": "All" }, "whenUnavailable": "Degrade", "timeoutMilliseconds": 1000
    });
    let mut group = Group::running(2, &replication);
    group.members[1].crash();
    group.client.create_table("alone", 2);
    let alone = record(&group.active().status());
    assert!(alone.degraded && alone.quorum == 0 && alone.members.is_empty(), "{alone:?}");
    let kept = std::fs::read(group.active().path("wal/sync-record.json")).expect("a record");
    assert_eq!(serde_json::from_slice::<SyncRecord>(&kept).expect("a record"), alone);
    group.members[1].start();
    group.wait_until_in_sync();
    group.client.create_table("together", 2);
    let together = record(&group.active().status());
    assert!(!together.degraded && together.quorum == 1, "{together:?}");
    group.check();
}

#[test]
fn degrade_does_not_wait_for_the_end_of_a_silent_standbys_stream() {
    let replication = serde_json::json!({
        "acknowledgement": { "mode": "All" }, "whenUnavailable": "Degrade", "timeoutMilliseconds": 1000
    });
    let group = Group::running(2, &replication);
    for round in 0..4 {
        // It keeps its connection and says nothing more, as behind a network that swallows everything.
        group.members[1].freeze_sidecar();
        group.client.create_table(&format!("alone-{round}"), 2);
        let alone = record(&group.active().status());
        assert!(alone.degraded && alone.members.is_empty(), "{alone:?}");
        assert!(!group.active().sidecar_log().contains("nothing was heard for"), "it waited for the stream's end");
        group.members[1].wake_sidecar();
        group.wait_until_in_sync();
    }
    group.check();
}

#[test]
fn a_master_that_crashes_opens_again_without_its_standby_and_acknowledges_nothing() {
    let mut group = Group::running(2, &serde_json::json!({ "acknowledgement": { "mode": "All" } }));
    group.client.create_table("before", 2);
    group.members[1].crash();
    let term = group.active().status().head.expect("an operation").term;
    group.active().crash_master();
    group.members[0].wait_until("a new term", |report| report.applied_head.is_some_and(|head| head.term > term));
    kudu::wait_for("an answer", || {
        kudu::try_kudu(["table", "list", &group.client.address.to_string(), "--timeout_ms=3000"]).status.success()
    });
    assert_eq!(group.client.table("list", &[]).trim(), "before");
    assert!(!group.client.try_create_table("held", 2), "it is acknowledged without the standby");
    group.members[1].start();
    group.wait_until_in_sync();
    group.client.create_table("after", 2);
    group.check();
}
