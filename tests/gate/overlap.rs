//! The real call and the way to the standbys go on at the same time: a sync takes as long as the longer of them, not both.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    desk::Desk,
    library::{self, install, log},
};

/// What each of them takes; far more than all else here, on a machine that is busy.
const SLOW: Duration = Duration::from_secs(3);

/// `dd` with the gate, whose real `fdatasync` is held up by the kernel for [`SLOW`] before it begins. What it calls is told in `calls`.
fn write_and_sync_slowly(folder: &Path, file: &Path) -> Command {
    let dd = library::write_and_sync(folder, file);
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", "trace=fdatasync", "-e"]);
    command.arg(format!("inject=fdatasync:delay_enter={}", SLOW.as_micros()));
    command.arg("-o").arg(folder.join("calls"));
    // Only for dd, not for the tracer.
    for (name, value) in dd.get_envs() {
        let value = value.expect("a value").to_string_lossy().into_owned();
        command.arg("-E").arg(format!("{}={value}", name.to_string_lossy()));
    }
    command.arg(dd.get_program()).args(dd.get_args());
    command
}

#[test]
fn the_real_call_and_the_way_to_the_standbys_overlap() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let desk = Desk::open(&folder.join("gate.sock"));
    desk.hold();
    let mut writer =
        write_and_sync_slowly(folder, &log(folder).join("wal-000000001")).spawn().unwrap_or_else(|error| {
            panic!("cannot run strace, of Debian's package strace; tests/gate/packages installs it: {error}")
        });
    let sync = desk.next();
    let told = Instant::now();
    let over = || fs::read_to_string(folder.join("calls")).is_ok_and(|calls| calls.contains("(DELAYED)"));
    assert!(!over(), "the sidecar is told only when the real call is over");
    // The standbys take as long as the disk.
    thread::sleep(SLOW);
    assert!(sync.permit());
    assert!(writer.wait().expect("strace").success());
    let took = told.elapsed();
    println!("the real call took {SLOW:?}, the standbys took {SLOW:?}, both together {took:?}");
    assert!(over(), "the real call was not held up");
    assert!(took < SLOW * 3 / 2, "one waits for the other: {took:?}");
}

#[test]
fn a_permit_does_not_stand_in_for_the_real_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let desk = Desk::open(&folder.join("gate.sock"));
    desk.hold();
    let mut writer = write_and_sync_slowly(folder, &log(folder).join("wal-000000001")).spawn().expect("strace");
    let sync = desk.next();
    let told = Instant::now();
    assert!(sync.permit());
    assert!(writer.wait().expect("strace").success());
    assert!(told.elapsed() >= SLOW / 2, "it returned before the real call did");
}
