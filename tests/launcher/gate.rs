//! A launcher that was told to run kudu-master with the sync gate.

use std::{fs, os::unix::net::UnixListener, path::Path, process::Command};

use crate::harness::*;

fn install(place: &Place) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kudu-pair"));
    let status = program.arg("install").arg("--to").arg(place.path("kudu-pair")).status();
    assert!(status.expect("kudu-pair").success());
}

fn gate_args(place: &Place, library: &Path) -> Vec<String> {
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let socket = place.path("gate.sock");
    vec!["--sync-gate".to_owned(), text(library), "--sync-gate-socket".to_owned(), text(&socket)]
}

#[tokio::test]
async fn kudu_master_runs_with_the_gate_and_the_status_says_so() {
    let place = Place::new();
    install(&place);
    let library = place.path("libkudu_pair_sync_gate.so");
    let launcher = place.launch_gated(&gate_args(&place, &library)).await;
    let mut client = launcher.client().await;
    client.call(format_request("gen-1")).await.expect("formatted, without a gate");
    // Nobody answers the gate: kudu-master runs and does not come to serve.
    let _silent = UnixListener::bind(place.path("gate.sock")).expect("a socket");
    let status = client.call(start_request(1, "gen-1", FAR)).await.expect("started");
    assert!(status.sync_gate);
    let maps = fs::read_to_string(format!("/proc/{}/maps", pid(&status).as_raw_nonzero())).expect("a process");
    assert!(maps.contains("libkudu_pair_sync_gate.so"));
}

#[tokio::test]
async fn a_kudu_master_into_which_the_gate_was_not_loaded_is_killed() {
    let place = Place::new();
    let library = place.path("no-library.so");
    fs::write(&library, "not a library").expect("a file");
    let launcher = place.launch_gated(&gate_args(&place, &library)).await;
    let mut client = launcher.client().await;
    client.call(format_request("gen-1")).await.expect("formatted");
    let message = refused(client.call(start_request(1, "gen-1", FAR)).await);
    assert!(message.contains("was not loaded into it"), "{message}");
    for reign in place.reigns().chunks(2) {
        assert!(!lives(rustix::process::Pid::from_raw(reign[0].pid).expect("a pid")), "it runs without the gate");
    }
}
