//! The gate in kudu-master.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use kudu_pair::{wal::LogSummary, waldir::read_log};

use crate::{
    desk::Desk,
    kudu::{self, Home},
    library::install,
};

/// A master that runs with the gate.
struct Gated {
    home: Home,
    process: Child,
}

impl Gated {
    fn socket(home: &Home) -> PathBuf {
        home.path().join("gate.sock")
    }

    /// Starts one on these files.
    fn start(home: Home) -> Self {
        let process = Self::command(&home).spawn().expect("kudu-master");
        Self { home, process }
    }

    fn command(home: &Home) -> Command {
        let mut command = kudu::program("kudu-master");
        command
            .args(["--unlock_experimental_flags", "--unlock_unsafe_flags", "--time_source=system_unsync"])
            .args(["--ipki_server_key_size=1024", "--webserver_enabled=false", "--log_force_fsync_all=true"])
            .args(["--catalog_manager_check_ts_count_for_create_table=false"])
            .arg(format!("--rpc_bind_addresses={}", home.address))
            .args(home.fs_flags())
            .env("LD_PRELOAD", install(home.path()))
            .env("KUDU_PAIR_SYNC_GATE", Self::socket(home))
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.path().join("stderr")).expect("a log"));
        command
    }

    fn wait_until_serving(&self) {
        let address = self.home.address.to_string();
        kudu::wait_for("the master's first answer", || {
            std::net::TcpStream::connect(self.home.address).is_ok()
                && kudu::try_kudu(["table", "list", &address]).status.success()
        });
    }

    fn kill(mut self) -> Home {
        self.process.kill().expect("a process");
        self.process.wait().expect("a process");
        self.home
    }

    fn log(&self) -> LogSummary {
        read_log(&self.home.log(), |_, _| {}).expect("a log").summary
    }

    /// A client that creates a table.
    fn create(&self, name: &str) -> Child {
        let table = serde_json::json!({
            "table_name": name,
            "schema": {
                "columns": [{ "column_name": "id", "column_type": "INT64" }],
                "key_column_names": ["id"],
            },
            "partition": { "hash_partitions": [{ "columns": ["id"], "num_buckets": 2 }] },
            "num_replicas": 1,
        });
        kudu::program("kudu")
            .args(["table", "create", &self.home.address.to_string(), &table.to_string()])
            .args(["--timeout_ms=120000"])
            .stdout(Stdio::null())
            .spawn()
            .expect("kudu")
    }
}

/// A new catalog, and the desk that its master asks.
fn begin() -> (Gated, Desk) {
    let home = Home::new(kudu::loopback());
    let desk = Desk::open(&Gated::socket(&home));
    let master = Gated::start(home);
    master.wait_until_serving();
    (master, desk)
}

#[test]
fn an_operation_is_in_the_log_before_the_permit_and_acknowledged_after_it() {
    let (master, desk) = begin();
    let before = master.log().last.expect("an operation");
    desk.hold();
    let mut client = master.create("held");
    let sync = desk.next();
    let log = master.log();
    assert!(log.last > Some(before), "what the sync covers is not in the log yet");
    assert!(log.last_committed <= Some(before), "it is applied without a permit");
    assert_eq!(client.try_wait().expect("kudu"), None, "it is acknowledged without a permit");
    // A sidecar that dies changes nothing.
    drop(sync);
    let sync = desk.next();
    assert_eq!(client.try_wait().expect("kudu"), None, "it is acknowledged without a permit");
    assert!(sync.permit());
    desk.release();
    kudu::wait_for("the table", || !master.home.table("list", &[]).is_empty());
    // Without a tablet server the client waits for the tablets, not for the master.
    drop(client.kill());
    drop(client.wait());
    drop(master.kill());
}

#[test]
fn a_start_is_not_held_back_before_the_new_term_is_opened() {
    let (master, desk) = begin();
    for number in 0..5 {
        let mut client = master.create(&format!("table{number}"));
        kudu::wait_for("the table", || master.home.table("list", &[]).contains(&format!("table{number}")));
        drop(client.kill());
        drop(client.wait());
    }
    let old = master.log();
    desk.hold();
    let master = Gated::start(master.kill());
    let no_op = loop {
        let sync = desk.next();
        let log = master.log();
        let no_op = *log.no_ops.last().expect("a NO_OP");
        assert!(log.last >= old.last, "asked before the log was rewritten: {log:?}");
        if log.last > old.last {
            assert_eq!(log.last, Some(no_op.id), "there is an operation before the term is open: {log:?}");
            assert!(!no_op.committed, "the term is open without a permit");
            assert!(sync.permit());
            break no_op;
        }
        // Kudu syncs the whole log once when it has rewritten it.
        sync.permit();
    };
    desk.release();
    master.wait_until_serving();
    assert!(master.home.table("list", &[]).contains("table4"));
    kudu::wait_for("the new term", || master.log().no_ops.iter().any(|one| one.id == no_op.id && one.committed));
    drop(master.kill());
}

/// What the dynamic loader says of each symbol that it binds for kudu-master.
#[test]
fn kudu_syncs_and_renames_through_the_gate() {
    let (master, _desk) = begin();
    let home = master.kill();
    let bindings = home.path().join("bindings");
    let mut command = Gated::command(&home);
    command.env("LD_DEBUG", "bindings").env("LD_DEBUG_OUTPUT", &bindings);
    let mut process = command.spawn().expect("kudu-master");
    let told = bindings.with_extension(process.id().to_string());
    let is_bound = |symbol: &str| {
        let text = fs::read_to_string(&told).unwrap_or_default();
        let symbol = format!("`{symbol}'");
        text.lines()
            .any(|line| line.contains("libkudu_util.so") && line.contains("sync_gate.so") && line.contains(&symbol))
    };
    for symbol in ["rename", "fdatasync"] {
        kudu::wait_for(symbol, || is_bound(symbol));
    }
    process.kill().expect("a process");
    process.wait().expect("a process");
}
