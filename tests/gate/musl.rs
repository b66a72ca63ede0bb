//! The library in a program with another C library than that of Kudu's own binaries: an image may have any.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    desk::Desk,
    library::{self, install, log},
};

/// Writes to a file and calls `fdatasync`; ends with the error number.
const PROGRAM: &str = "
    #include <errno.h>
    #include <fcntl.h>
    #include <unistd.h>
    int main(int count, char **arguments) {
        int file = open(arguments[1], O_RDWR | O_CREAT, 0644);
        if (file < 0 || write(file, \"x\", 1) != 1) return 100;
        return fdatasync(file) == 0 ? 0 : errno;
    }
";
/// The error numbers of Linux.
const EIO: i32 = 5;
const EINVAL: i32 = 22;

/// The program, linked with musl, with the gate preloaded.
fn write_and_sync(folder: &Path, file: &Path) -> Command {
    let program = folder.join("write-and-sync");
    if !program.exists() {
        compile(&program);
    }
    let mut command = Command::new(program);
    command.arg(file);
    library::preload(&mut command, folder);
    command
}

fn compile(program: &Path) {
    let mut compiler = Command::new("musl-gcc");
    compiler.args(["-x", "c", "-", "-o"]).arg(program).stdin(Stdio::piped());
    let mut compiler = compiler.spawn().unwrap_or_else(|error| {
        panic!("cannot run musl-gcc, of Debian's package musl-tools; tests/gate/packages installs it: {error}")
    });
    compiler.stdin.take().expect("a pipe").write_all(PROGRAM.as_bytes()).expect("musl-gcc");
    assert!(compiler.wait().expect("musl-gcc").success(), "musl-gcc failed");
}

#[test]
fn under_musl_a_sync_returns_after_the_permit() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let gate = install(folder);
    let desk = Desk::open(&folder.join("gate.sock"));
    desk.hold();
    let mut writer = write_and_sync(folder, &log(folder).join("wal-000000003")).spawn().expect("the program");
    let sync = desk.next();
    assert_eq!(sync.segment, 3);
    let files = mapped(writer.id());
    assert!(files.contains(&gate), "{files:?}");
    let has = |name: &str| files.iter().any(|file| file.file_name().is_some_and(|found| found == name));
    assert!(has("libc.so") && !has("libc.so.6"), "it does not run under musl: {files:?}");
    assert_eq!(writer.try_wait().expect("the program"), None, "the sync returned without a permit");
    assert!(sync.permit());
    assert!(writer.wait().expect("the program").success());
}

#[test]
fn under_musl_a_sync_that_fails_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    install(folder);
    let desk = Desk::open(&folder.join("gate.sock"));
    let mut untold = write_and_sync(folder, &log(folder).join("wal-000000001"));
    let status = untold.env_remove("KUDU_PAIR_SYNC_GATE").status().expect("the program");
    assert_eq!(status.code(), Some(EIO));
    // A pipe cannot be synced.
    let pipe = log(folder).join("wal-000000002");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    desk.hold();
    assert_eq!(write_and_sync(folder, &pipe).status().expect("the program").code(), Some(EINVAL));
}

/// The files that a process has mapped.
fn mapped(pid: u32) -> Vec<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("a process");
    maps.lines().filter_map(|line| line.split_whitespace().nth(5)).map(PathBuf::from).collect()
}
