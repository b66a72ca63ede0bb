//! The command line and the socket, as a person or a stray program meets them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Command,
};

use kudu_pair::launcher::{
    client::{LauncherClient, LauncherError},
    gate,
    protocol::Request,
};

use crate::harness::*;

fn fails(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_reserved_flag_is_refused_with_its_name_its_value_and_the_rule() {
    let message = fails(&mut Place::new().command(&["--fs-wal-dir=/elsewhere"]));
    assert!(message.contains("--fs_wal_dir (given as '--fs-wal-dir=/elsewhere') cannot be set"), "{message}");
    assert!(message.contains("Give the folders with --wal-dir and --data-dir"), "{message}");
}

#[test]
fn a_folder_without_kudu_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kudu-pair"));
    command
        .arg("launcher")
        .arg("--socket")
        .arg(folder.path().join("s"))
        .arg("--wal-dir")
        .arg(folder.path().join("wal"));
    let message = fails(command.arg("--kudu-bin-dir").arg(folder.path()));
    assert!(message.contains(&format!("are not in {}", folder.path().display())), "{message}");
}

#[tokio::test]
async fn one_launcher_at_a_time_and_nobody_there_are_told_apart() {
    let place = Place::new();
    assert!(matches!(LauncherClient::connect(place.socket()).await, Err(LauncherError::NotThere { .. })));
    let launcher = place.launch().await;
    assert_eq!(fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(fails(&mut place.command(&[])).contains("another launcher works on"));
    // The second one has not taken the socket away.
    launcher.client().await.call(Request::Status).await.unwrap();
}

#[tokio::test]
async fn nonsense_is_answered_and_the_next_request_still_is() {
    let place = Place::new();
    let _launcher = place.launch().await;
    let mut socket = UnixStream::connect(place.socket()).unwrap();
    socket.write_all(b"{\"request\":\"dance\"}\n{\"request\":\"status\"}\n{\"request\":\"status\"}\n").unwrap();
    let lines: Vec<String> = BufReader::new(socket.try_clone().unwrap()).lines().take(3).map(Result::unwrap).collect();
    assert!(lines[0].contains("refused") && lines[0].contains("dance"), "{}", lines[0]);
    assert!(lines[1].contains("idle") && lines[1] == lines[2], "{lines:?}");
}

#[test]
fn the_program_installs_itself() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("kudu-pair");
    fs::write(&to, "an older one").unwrap();
    assert!(
        Command::new(env!("CARGO_BIN_EXE_kudu-pair")).arg("install").arg("--to").arg(&to).status().unwrap().success()
    );
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(Command::new(&to).arg("--version").status().unwrap().success());
    let mut there: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["kudu-pair", gate::LIBRARY], "the program, the sync gate, and nothing half-done");
}
