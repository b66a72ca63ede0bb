//! What a table creation costs a client: Kudu alone, an asynchronous pair, Kudu's own Raft; one long-lived Java client
//! creates on each in turn.

use std::{collections::BTreeMap, path::Path, process::Command};

use crate::{
    kudu::{self, Home, Server, TabletServer},
    member::MASTER_FLAGS,
    pair::Pair,
    stats::Row,
};

const FSYNC: &str = "--log_force_fsync_all=true";

/// Kudu without us: one master or three.
struct Alone {
    masters: Vec<Home>,
    _servers: Vec<Server>,
    _tablets: TabletServer,
}

impl Alone {
    fn start(masters: usize, fsync: bool) -> Self {
        let masters: Vec<_> = (0..masters).map(|_| Home::new(kudu::loopback())).collect();
        let all = addresses(&masters);
        let peers = format!("--master_addresses={all}");
        let mut flags = MASTER_FLAGS.to_vec();
        flags.extend(fsync.then_some(FSYNC));
        flags.extend((masters.len() > 1).then_some(peers.as_str()));
        let servers = masters.iter().map(|master| master.spawn(&flags)).collect();
        let tablets = TabletServer::start_for(&all);
        Self { masters, _servers: servers, _tablets: tablets }
    }
}

fn addresses(masters: &[Home]) -> String {
    masters.iter().map(|master| master.address.to_string()).collect::<Vec<_>>().join(",")
}

/// Runs the client on all arms.
pub(crate) fn run(tables: usize) -> Row {
    let jar = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/target/kudu-pair-client.jar");
    assert!(jar.is_file(), "{} is not there: run `make test-client` first", jar.display());
    let (alone, alone_fsync, raft) = (Alone::start(1, false), Alone::start(1, true), Alone::start(3, true));
    let pair = Pair::running();
    let arms = [
        ("Kudu alone", addresses(&alone.masters)),
        ("pair, Async", pair.client.address.to_string()),
        ("Kudu alone, fsync", addresses(&alone_fsync.masters)),
        ("Kudu's Raft, 3 masters, fsync", addresses(&raft.masters)),
    ];
    let mut command = Command::new("java");
    command.arg("-jar").arg(jar).args(["latency", "--rounds", &tables.to_string()]);
    for (number, (_, masters)) in arms.iter().enumerate() {
        command.arg(format!("--cluster={number}={masters}"));
    }
    let output = command.output().expect("java");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let milliseconds: BTreeMap<usize, Vec<f64>> = serde_json::from_slice(&output.stdout).expect("the client's JSON");
    Row {
        title: "Creating a table of 8 tablets, seen by a client",
        unit: "ms",
        target: "Async at most 1.03 × Kudu alone",
        arms: arms
            .iter()
            .zip(milliseconds.into_values())
            .map(|((name, _), each)| ((*name).to_owned(), each.into_iter().collect()))
            .collect(),
    }
}
