//! The library by itself, in a program that syncs one file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::desk::Desk;

const CATALOG: &str = "00000000000000000000000000000000";

/// The library as `kudu-pair install` writes it.
pub(crate) fn install(folder: &Path) -> PathBuf {
    let program = folder.join("kudu-pair");
    let status = Command::new(env!("CARGO_BIN_EXE_kudu-pair")).arg("install").arg("--to").arg(&program).status();
    assert!(status.expect("kudu-pair").success());
    folder.join("libkudu_pair_sync_gate.so")
}

/// Lets a program run with the library, and ask at a socket in the same folder.
pub(crate) fn preload(command: &mut Command, folder: &Path) {
    command
        .env("LD_PRELOAD", folder.join("libkudu_pair_sync_gate.so"))
        .env("KUDU_PAIR_SYNC_GATE", folder.join("gate.sock"));
}

/// `dd`, which writes one block and calls `fdatasync`.
pub(crate) fn write_and_sync(folder: &Path, file: &Path) -> Command {
    let mut command = Command::new("dd");
    command
        .args(["if=/dev/zero", "bs=512", "count=1", "conv=fdatasync,notrunc", "status=none"])
        .arg(format!("of={}", file.display()))
        .stderr(Stdio::piped());
    preload(&mut command, folder);
    command
}

/// The folder of the catalog's log.
pub(crate) fn log(folder: &Path) -> PathBuf {
    let log = folder.join("wals").join(CATALOG);
    fs::create_dir_all(&log).expect("a folder");
    log
}

#[track_caller]
fn succeeds(mut command: Command) {
    let Output { status, stderr, .. } = command.output().expect("dd");
    assert!(status.success() && stderr.is_empty(), "{status}: {}", String::from_utf8_lossy(&stderr));
}

#[test]
fn only_the_live_log_of_the_catalog_is_held_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let log = log(folder);
    // Nobody is there to ask: whoever asks waits for ever.
    succeeds(write_and_sync(folder, &folder.join("wal-000000001")));
    succeeds(write_and_sync(folder, &log.join(".tmp.newsegmentAbCdEf")));
    succeeds(write_and_sync(folder, &log.join("index.000000001")));
    let other = folder.join("wals/0123456789abcdef0123456789abcdef");
    fs::create_dir_all(&other).expect("a folder");
    succeeds(write_and_sync(folder, &other.join("wal-000000001")));
    let recovery = folder.join(format!("wals/{CATALOG}.recovery"));
    fs::create_dir(&recovery).expect("a folder");
    succeeds(write_and_sync(folder, &recovery.join("wal-000000001")));
    succeeds(write_and_sync(folder, &log.join("wal-000000001")));
}

#[test]
fn a_sync_returns_after_the_permit_and_asks_whoever_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let segment = log(folder).join("wal-000000012");
    let mut writer = write_and_sync(folder, &segment).spawn().expect("dd");
    // The first sidecar comes late and dies.
    let first = Desk::open(&folder.join("gate.sock"));
    first.hold();
    let sync = first.next();
    assert_eq!(sync.segment, 12);
    drop(sync);
    let second = Desk::open(&folder.join("gate.sock"));
    second.hold();
    first.hang_up();
    let sync = second.next();
    assert_eq!(writer.try_wait().expect("dd"), None, "the sync returned without a permit");
    assert!(sync.permit());
    assert!(writer.wait().expect("dd").success());
    assert_eq!(fs::metadata(&segment).expect("a segment").len(), 512);
}

#[test]
fn a_sync_that_fails_says_so_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    // A pipe cannot be synced.
    let segment = log(folder).join("wal-000000001");
    assert!(Command::new("mkfifo").arg(&segment).status().expect("mkfifo").success());
    let _reader = fs::File::options().read(true).write(true).open(&segment).expect("a pipe");
    let desk = Desk::open(&folder.join("gate.sock"));
    desk.hold();
    let output = write_and_sync(folder, &segment).output().expect("dd");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("Invalid argument"), "{}: {said}", output.status);
    desk.next();
}

/// A program that renames a folder and says why when it cannot.
fn rename(folder: &Path, from: &Path, to: &Path) -> Output {
    let mut command = Command::new("python3");
    command.args(["-c", "import os, sys; os.rename(sys.argv[1], sys.argv[2])"]).arg(from).arg(to);
    preload(&mut command, folder);
    command.output().expect("python3")
}

#[test]
fn the_old_log_goes_only_once_the_new_one_is_on_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let log = log(folder);
    let [recovery, gone] = ["recovery", "recovery-1"].map(|name| log.with_extension(name));
    fs::create_dir(&recovery).expect("a folder");
    succeeds(write_and_sync(folder, &log.join("wal-000000001")));
    // A pipe cannot be synced.
    let segment = log.join("wal-000000002");
    assert!(Command::new("mkfifo").arg(&segment).status().expect("mkfifo").success());
    let pipe = fs::File::options().read(true).write(true).open(&segment).expect("a pipe");
    let output = rename(folder, &recovery, &gone);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("Invalid argument"), "{}: {said}", output.status);
    assert!(recovery.exists() && !gone.exists(), "the old log is gone and the new one is not on the disk");
    drop(pipe);
    fs::remove_file(&segment).expect("a pipe");
    let output = rename(folder, &recovery, &gone);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!recovery.exists() && gone.exists());
}

/// However Kudu ends the rewriting of its log.
#[test]
fn the_first_sync_of_the_live_log_makes_up_for_those_that_were_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let log = log(folder);
    let recovery = log.with_extension("recovery");
    fs::create_dir(&recovery).expect("a folder");
    // A pipe cannot be synced.
    let segment = log.join("wal-000000002");
    assert!(Command::new("mkfifo").arg(&segment).status().expect("mkfifo").success());
    let _pipe = fs::File::options().read(true).write(true).open(&segment).expect("a pipe");
    let _permits = Desk::open(&folder.join("gate.sock"));
    let script = "import os, sys; fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY); os.fdatasync(fd); \
                  os.rmdir(sys.argv[2]); os.fdatasync(fd)";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(log.join("wal-000000001")).arg(&recovery);
    preload(&mut command, folder);
    let output = command.output().expect("python3");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!recovery.exists(), "the first sync is not left out: {said}");
    assert!(!output.status.success() && said.contains("Invalid argument"), "{}: {said}", output.status);
}

#[test]
fn other_folders_are_renamed_as_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let log = log(folder);
    fs::write(log.join("wal-000000001"), b"").expect("a file");
    // How Kudu begins to rewrite its log.
    let recovery = log.with_extension("recovery");
    assert!(rename(folder, &log, &recovery).status.success());
    assert!(recovery.join("wal-000000001").exists());
    let [one, other] = ["wals/0123456789abcdef0123456789abcdef.recovery", "elsewhere"].map(|name| folder.join(name));
    fs::create_dir(&one).expect("a folder");
    assert!(rename(folder, &one, &other).status.success());
    let output = rename(folder, &one, &other);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("No such file"), "{said}");
}

#[test]
fn a_gate_that_was_not_told_whom_to_ask_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let mut command = write_and_sync(folder, &log(folder).join("wal-000000001"));
    let output = command.env_remove("KUDU_PAIR_SYNC_GATE").output().expect("dd");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("Input/output error"), "{}: {said}", output.status);
}
