//! The first life of each child: our own program under the name `launcher-exec`, which becomes the real one when it may.
//!
//! A process can ask the kernel to be killed with its parent only by itself, between fork and exec, where Rust allows no safe
//! code. So the child is first this small program, which
//!
//! 1. asks for that,
//! 2. makes sure that its parent is still the launcher, since what was asked for does not see a death in the past,
//! 3. waits on its standard input for the byte that says "the guard watches you", and
//! 4. executes the real program, which keeps what was asked for.
//!
//! There is no moment in which a dead launcher leaves a child alone: before 2 that ends it, and after 1 the kernel does.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "launcher-exec";
/// What the launcher writes when the child may go on.
pub const GO: &[u8] = b"g";

/// Becomes `program` once the launcher with process id `launcher` allows it; returns only why not.
pub fn become_program(launcher: i32, program: &Path, args: &[String]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    if getppid() != Pid::from_raw(launcher) {
        return io::Error::other("the launcher that started this is dead");
    }
    if let Err(error) = io::stdin().read_exact(&mut [0]) {
        return error;
    }
    Command::new(program).args(args).stdin(Stdio::null()).exec()
}
