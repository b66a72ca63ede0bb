//! The disk of the active's log stalls: writes fail nothing and do not end.

use std::{process::Command, time::Instant};

use kudu_pair::api::MemberState;

use crate::{
    member::lives,
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
};

/// A file system that is frozen while this is there.
struct Frozen(std::path::PathBuf);

impl Frozen {
    fn begin(path: std::path::PathBuf) -> Self {
        run("--freeze", &path);
        Self(path)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        run("--unfreeze", &self.0);
    }
}

fn run(what: &str, path: &std::path::Path) {
    let status = Command::new("fsfreeze").arg(what).arg(path).status().expect("fsfreeze, of Debian's util-linux");
    assert!(status.success(), "fsfreeze {what}: {status}; these tests need root");
}

#[test]
fn an_active_whose_disk_stalls_gives_its_reign_up_when_a_standby_streams() {
    let mut pair = Pair::new();
    pair.a.use_block_disk(300);
    pair.begin();
    pair.client.create_table("before", 2);
    let before = pair.catalog();
    let head = wait_until_equal(&pair.a, &pair.b);
    let master = pair.a.running_master().expect("a kudu-master");

    let frozen = Frozen::begin(pair.a.path("wal"));
    let begin = Instant::now();
    let report = pair.a.wait_until("a gives up", |report| report.state == MemberState::Failed);
    println!("stalled until a gives up: {:?}: {:?}", begin.elapsed(), report.message);
    assert!(report.message.expect("a message").contains("has taken no write"));
    assert!(!lives(master), "its kudu-master goes on");
    // A thread of it that waits for the disk keeps its port until it can end; in a cluster each member has an address of its own.
    drop(frozen);
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.b.wait_until("b serves", is_serving);
    pair.wait_until_served();
    println!("stalled until a client is answered: {:?}", begin.elapsed());
    pair.assert_catalog(&before);
    assert!(!is_serving(&pair.a.status()), "it began its reign again");
    pair.a.order(&["follow", "--link", &pair.b.link(), "--rpc", &pair.b.rpc]);
    wait_until_equal(&pair.b, &pair.a);
    pair.check();
}

#[test]
fn an_active_whose_disk_stalls_alone_stays_and_says_so() {
    let mut pair = Pair::new();
    pair.a.use_block_disk(300);
    pair.begin();
    pair.b.crash();
    let epoch = pair.a.status().epoch;
    let frozen = Frozen::begin(pair.a.path("wal"));
    let says = |report: &kudu_pair::failover::member::MemberReport| {
        report.message.as_ref().is_some_and(|message| message.contains("no standby streams"))
    };
    pair.a.wait_until("a says so", says);
    drop(frozen);
    let report = pair.a.wait_until("a is well again", |report| is_serving(report) && report.message.is_none());
    assert_eq!(report.epoch, epoch);
    pair.b.start();
    pair.b.wait_until("b streams", is_streaming);
    pair.client.create_table("after", 2);
    wait_until_equal(&pair.a, &pair.b);
    pair.check();
}
