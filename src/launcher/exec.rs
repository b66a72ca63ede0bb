//! The first life of each child: our own program under the name `launcher-exec`, which becomes the real one when it may.
//!
//! A process can ask the kernel to be killed with its parent only by itself, between fork and exec, where Rust allows no safe
//! code. So the child is first this small program. It asks for that, waits on its standard input for the byte that says "the guard
//! watches you", and only then executes the real program, which keeps what was asked for. If the launcher dies before, the
//! byte never comes and the end of the input ends it: there is no moment in which a child can be left alone.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Signal, set_parent_process_death_signal};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "launcher-exec";
/// What the launcher writes when the child may go on.
pub const GO: &[u8] = b"g";

/// Becomes `program` once the launcher allows it; returns only why not.
pub fn become_program(program: &Path, args: &[String]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    if let Err(error) = io::stdin().read_exact(&mut [0]) {
        return error;
    }
    Command::new(program).args(args).stdin(Stdio::null()).exec()
}
