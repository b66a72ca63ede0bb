//! The launcher: runs kudu-master only while its sidecar's lease is good, and Kudu's own tools on its behalf.
//!
//! It is process 1 of the container that has Kudu's programs, and answers its sidecar on a Unix socket ([`protocol`]).
//!
//! # What holds, whatever hangs or dies
//!
//! **No kudu-master of a launcher serves after its deadline plus the time that a kill takes.** Six things hold it up, and
//! none of them trusts another:
//!
//! 1. [`guard`]: a plain thread that sleeps on a boot-time timer and kills by itself. It does no other I/O, logs nothing and
//!    takes no lock that is held across I/O, so neither a blocked log, a hung disk nor a busy runtime delays it.
//! 2. [`second_guard`]: a process of its own, with its own timer, for a launcher that stands still as a whole. The launcher
//!    replaces one that died or stands still, and kills kudu-master when it cannot.
//! 3. kudu-master's code is executed only after both guards have its process: a child first is our own `launcher-exec`,
//!    which waits for a byte that is sent once they are armed ([`exec`]).
//! 4. The kernel kills every child when the launcher dies (`PDEATHSIG`, set by `launcher-exec`).
//! 5. [`machine`] never starts past the deadline, never moves a deadline backwards, never obeys an epoch below the highest
//!    that it has seen. It keeps that number in memory only: when the launcher is gone, so is what it ran, and the
//!    sidecar persists its own epoch before it obeys it. One number in one place is easier to repair than two.
//! 6. One launcher at a time works on a volume ([`volumes::VolumeLock`]).
//!
//! What is left: when launcher, second guard and kudu-master all stand still (a frozen pod) and go on after the deadline, the
//! guards' timers are over and to kill is the first that they do; but the kernel may let kudu-master run first, for as long as
//! it takes until one of two waking processes gets a processor.
//!
//! The master that [`format`] runs for a moment to make a new catalog is no exception: it listens on a loopback port that
//! nobody knows, and has an identity that nobody else has.
//!
//! # What a sidecar needs to know
//!
//! - `Start` is answered when the process runs, not when it serves. While a reign is on, ask `Status` for crashes: `starts`
//!   counts, and `Stopped` with `CrashLoop` says that the launcher gave up; then give the Lease up.
//! - `Format`, `CopyBase` and `SetTerm` are done one after another, beside a running master. Hanging up cancels what
//!   this connection asked for, and a cancelled one leaves nothing: a restarted sidecar can simply ask again.
//! - On SIGTERM or SIGINT kudu-master is killed at once (it has no graceful stop) and the launcher goes on answering, so that the sidecar
//!   can read `Stopped` with `Ending`, ship the rest of the log and release the Lease. The launcher leaves when it gets
//!   `Exit`, when the last client hung up after having been told of the death, or after [`machine::ENDING_GRACE`].
//! - With `--sync-gate` kudu-master runs only with the sync gate in it ([`gate`]); the status says so.
//! - It must run as the same user: Kudu makes its files for their owner alone.
//! - When the socket does not answer, kudu-master may still run, until its deadline plus the kill time.

mod alarm;
pub mod catalog;
pub mod child;
pub mod client;
pub mod copy;
pub mod exec;
pub mod flags;
pub mod format;
pub mod gate;
pub mod guard;
pub mod jobs;
pub mod keeper;
pub mod machine;
pub mod output;
pub mod pbc;
pub mod protocol;
pub mod reigns;
pub mod restart;
pub mod second_guard;
pub mod server;
pub mod term;
pub mod tools;
pub mod volumes;
pub mod words;
