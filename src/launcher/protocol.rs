//! What sidecar and launcher say to each other over their Unix socket: one JSON document a line, one [`Reply`] for each
//! [`Request`], in order.
//!
//! Times are readings of the kernel's boot-time clock (`CLOCK_BOOTTIME`, nanoseconds), which both containers of a pod share:
//! it never steps, and it counts while the machine sleeps.

use serde::{Deserialize, Serialize};

/// Name of a generation: one folder of log, metadata and data blocks below the volumes, as in `gen-3`.
pub type Generation = String;

/// What a sidecar asks of its launcher.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(tag = "request", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// How is it?
    Status,
    /// Run kudu-master on a generation as the active of `epoch`, until `deadline_boot_ns`. Refused while one of another epoch or
    /// generation runs, when the deadline has passed, and for an epoch below the highest one ever asked for.
    Start {
        /// The reign.
        epoch: i64,
        /// What it runs on.
        generation: Generation,
        /// When kudu-master is killed unless the lease is renewed; absent without a lease (`--coordinator manual`).
        deadline_boot_ns: Option<u64>,
    },
    /// Move the deadline of the reign that runs. Refused when nothing of that epoch is running.
    Renew {
        /// The reign.
        epoch: i64,
        /// The new deadline; never moved backwards.
        deadline_boot_ns: Option<u64>,
    },
    /// Kill kudu-master; answered when it is dead and reaped, so that its files are at rest.
    Stop,
    /// Format a new, empty catalog in a generation that does not exist yet.
    Format {
        /// The folder to make.
        generation: Generation,
        /// Kudu's uuid, shared by all members of a pair.
        uuid: String,
    },
    /// Copy a base from a running kudu-master into a generation that does not exist yet. A failed copy leaves nothing.
    CopyBase {
        /// The folder to make.
        generation: Generation,
        /// Kudu's uuid, shared by all members of a pair.
        uuid: String,
        /// RPC address of the active's kudu-master, `host:port`.
        from: String,
        /// How much is read from it in a second at most; without it, or with a Kudu that cannot, as fast as it goes.
        #[serde(default)]
        bytes_per_second: Option<u64>,
    },
    /// Raise the term in the catalog's consensus metadata, so that kudu-master accepts the log that was appended.
    SetTerm {
        /// Where.
        generation: Generation,
        /// The new term.
        term: i64,
    },
    /// End the launcher, kudu-master first. Answered before it ends.
    Exit,
}

/// The launcher's answer.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub enum Reply {
    /// Done; this is how it is now.
    Done(LauncherStatus),
    /// Not done, and nothing half-done stays.
    Refused {
        /// Why, and what to do.
        message: String,
    },
}

/// How a launcher is.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LauncherStatus {
    /// Random name of this run of the launcher; a new one after each start of its container.
    pub instance: String,
    /// Whether kudu-master runs with the sync gate, so that its sidecar must permit what it acknowledges.
    #[serde(default)]
    pub sync_gate: bool,
    /// Address to which kudu-master binds its RPC, `host:port`.
    #[serde(default)]
    pub rpc_bind: Option<String>,
    /// What kudu-master does.
    pub master: MasterState,
}

/// What kudu-master does under a launcher.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum MasterState {
    /// It was never started by this launcher.
    Idle,
    /// It runs, or is being restarted in place.
    Running {
        /// The reign that it serves.
        epoch: i64,
        /// What it runs on.
        generation: Generation,
        /// Process id; absent for the moments between a crash and the restart.
        pid: Option<i32>,
        /// How often it was started in this reign; above 1 it crashed and was restarted in place.
        starts: u32,
        /// When it will be killed unless the lease is renewed.
        deadline_boot_ns: Option<u64>,
    },
    /// It is dead and reaped.
    Stopped {
        /// The reign that it served.
        epoch: i64,
        /// Why.
        reason: StopReason,
        /// How long the kill took, from signal to reaped, in microseconds.
        kill_micros: u64,
        /// The last lines that it wrote to its standard error or FATAL log, for the reader of a status.
        last_words: Option<String>,
    },
}

/// Why kudu-master is no longer running.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// It was asked to.
    Asked,
    /// The lease was not renewed in time.
    LeaseOver,
    /// It crashed more often than it is restarted in place.
    CrashLoop,
    /// The launcher is ending.
    Ending,
}
