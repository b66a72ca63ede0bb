//! The record of when a kudu-master ran: `reigns.jsonl` on the volume of the log.
//!
//! One JSON document a line, appended:
//!
//! ```json
//! {"event":"started","instance":"…","epoch":7,"generation":"gen-3","pid":42,"unixMillis":1700000000000,"bootNs":1234567890}
//! ```
//!
//! `started` is written before the program is executed and `ended` after it was reaped, so the interval between them
//! contains all of its life; a `started` without its `ended` means that the launcher died, and with it the master, before the
//! launcher's next line. The records of a pair's members together show that no two epochs overlapped. It is for people and tests:
//! nothing is decided by it, and a record that cannot be written does not stop a master.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// Name of the record.
pub const FILE: &str = "reigns.jsonl";
/// Name of the older record, which is replaced at each rotation.
pub const OLD_FILE: &str = "reigns.old.jsonl";
/// Size at which the record is rotated, in bytes: some thousands of starts.
const ROTATE_AT: u64 = 1024 * 1024;

/// One line of the record.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Reign {
    /// What happened.
    pub event: ReignEvent,
    /// The run of the launcher.
    pub instance: String,
    /// The reign.
    pub epoch: i64,
    /// What it ran on.
    pub generation: String,
    /// Process id.
    pub pid: i32,
    /// Wall clock.
    pub unix_millis: u64,
    /// Boot-time clock.
    pub boot_ns: u64,
}

/// What happened to a kudu-master.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum ReignEvent {
    /// It is about to be executed.
    Started,
    /// It is dead and reaped.
    Ended,
}

/// The record of one volume.
#[derive(Debug, Clone)]
pub struct Reigns {
    folder: PathBuf,
}

impl Reigns {
    /// The record in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Appends a line.
    pub fn append(&self, reign: &Reign) -> io::Result<()> {
        let path = self.folder.join(FILE);
        if fs::metadata(&path).is_ok_and(|file| file.len() >= ROTATE_AT) {
            fs::rename(&path, self.folder.join(OLD_FILE))?;
        }
        let mut line = serde_json::to_vec(reign)?;
        line.push(b'\n');
        OpenOptions::new().create(true).append(true).open(&path)?.write_all(&line)
    }
}
