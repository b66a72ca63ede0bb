//! How long one long-lived Java client waits for a new table: with a pair, with Kudu alone, and with Kudu's own Raft.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    client::java,
    kudu::{self, Home, Server, TabletServer},
    member::{Member, PAIR},
    pair::{is_serving, is_streaming},
    stats::{Better, Row, Trials},
};

/// Tables that do not count, on each cluster: Java's first ones are slow.
const WARM_UP: usize = 20;
/// What makes a master sync its log before it acknowledges.
const SYNCED: &str = "--log_force_fsync_all=true";
/// What undoes the flags with which tests make a pair's master flush at once: Kudu's defaults, which the others have.
const LIKE_THE_OTHERS: [&str; 2] = ["--flush_threshold_secs=120", "--maintenance_manager_polling_interval_ms=250"];

/// A cluster with a tablet server of its own.
struct Cluster {
    /// Addresses of its masters.
    masters: String,
    _tablets: TabletServer,
    _servers: Vec<Server>,
    _members: Vec<Member>,
    _homes: Vec<Home>,
}

impl Cluster {
    /// One master.
    fn alone(flags: &[&str]) -> Self {
        let home = Home::new(kudu::loopback());
        let server = home.serve(flags);
        Self {
            masters: home.address.to_string(),
            _tablets: TabletServer::start(&home),
            _servers: vec![server],
            _members: Vec::new(),
            _homes: vec![home],
        }
    }

    /// Three masters that agree by Raft.
    fn raft(flags: &[&str]) -> Self {
        let homes: Vec<_> = (0..3).map(|_| Home::new(kudu::loopback())).collect();
        let addresses: Vec<_> = homes.iter().map(|home| home.address.to_string()).collect();
        let masters = addresses.join(",");
        let all = format!("--master_addresses={masters}");
        let flags = [&[all.as_str()], flags].concat();
        let servers = homes.iter().map(|home| home.spawn(&flags)).collect();
        kudu::wait_for("a leader", || kudu::try_kudu(["table", "list", &masters]).status.success());
        Self {
            _tablets: TabletServer::start_for(&masters),
            _servers: servers,
            _members: Vec::new(),
            _homes: homes,
            masters,
        }
    }

    /// A pair with one standby, or none; it waits for it as `replication` says, if that is given.
    fn pair(standbys: usize, replication: Option<&serde_json::Value>) -> Self {
        let home = Home::new(kudu::loopback());
        let masters = home.address.to_string();
        let mut members = ["a", "b"].map(|name| Member::new(name, &masters));
        for member in &mut members {
            member.flags = LIKE_THE_OTHERS.map(str::to_owned).into();
            if let Some(replication) = replication {
                member.make_synchronous(replication);
            }
        }
        let [active, standby] = &mut members;
        active.configure(PAIR, &[standby], None);
        standby.configure(PAIR, &[active], Some(active));
        active.start();
        active.order(&["init"]);
        active.wait_until("it serves", is_serving);
        if standbys > 0 {
            standby.start();
            standby.wait_until("it streams", is_streaming);
        }
        if replication.is_some() {
            active.wait_until("it waits for its standby", |report| {
                report.sync.as_ref().is_some_and(|record| record.quorum == 1)
            });
        }
        Self {
            _tablets: TabletServer::start(&home),
            _servers: Vec::new(),
            _members: members.into(),
            _homes: vec![home],
            masters,
        }
    }
}

/// Creates so many tables on each cluster, in turn.
pub(crate) fn run(rounds: usize) -> Vec<Row> {
    let all = json!({ "acknowledgement": { "mode": "All" } });
    let clusters = [
        ("alone", Cluster::alone(&[])),
        ("lone", Cluster::pair(0, None)),
        ("async", Cluster::pair(1, None)),
        ("raft", Cluster::raft(&[SYNCED])),
        ("alone-synced", Cluster::alone(&[SYNCED])),
        ("all", Cluster::pair(1, Some(&all))),
    ];
    let mut took = create(&clusters, rounds);
    let mut arm = |name: &str, title: &str| (title.to_owned(), took.remove(name).unwrap_or_default());
    vec![
        Row {
            title: "Creating a table, masters without fsync",
            unit: "ms",
            better: Better::Lower,
            target: "a pair in Async at most 1.03 × Kudu alone",
            arms: vec![
                arm("alone", "Kudu alone"),
                arm("lone", "pair, its standby away"),
                arm("async", "pair, Async, one standby"),
            ],
        },
        Row {
            title: "Creating a table, masters with fsync",
            unit: "ms",
            better: Better::Lower,
            target: "a pair in All at most 1 × Kudu's own Raft",
            arms: vec![
                arm("raft", "Kudu's own Raft, three masters"),
                arm("alone-synced", "Kudu alone"),
                arm("all", "pair, All, one standby"),
            ],
        },
    ]
}

/// Lets the Java client create them. Returns the milliseconds that each one took.
fn create(clusters: &[(&str, Cluster)], rounds: usize) -> BTreeMap<String, Trials> {
    let mut java = java();
    java.args(["latency", "--buckets=2"]);
    java.arg(format!("--rounds={rounds}")).arg(format!("--warm-up={WARM_UP}"));
    for (name, cluster) in clusters {
        java.arg(format!("--cluster={name}={}", cluster.masters));
    }
    let output = java.output().expect("java");
    assert!(output.status.success(), "{java:?}: {}", String::from_utf8_lossy(&output.stderr));
    let took: BTreeMap<String, Vec<f64>> = serde_json::from_slice(&output.stdout).expect("what the client says");
    took.into_iter().map(|(name, took)| (name, took.into_iter().collect())).collect()
}
