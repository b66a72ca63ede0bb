//! What one poll of a tail may do, and what it found.

use std::path::PathBuf;

use crate::wal::{LogEntry, Torn};

/// How much one [`LogTail::poll`](super::LogTail::poll) does, and what is remembered.
#[derive(Debug, Clone, Copy)]
pub struct TailLimits {
    /// Most entries that one poll returns.
    pub entries: usize,
    /// Most bytes of entries that one poll reads; a larger single entry is still returned.
    pub bytes: usize,
    /// Digests of this many delivered operations are kept, to prove after a restart of Kudu that the
    /// rewritten log still holds them.
    pub digests: usize,
}

impl Default for TailLimits {
    fn default() -> Self {
        Self { entries: 4096, bytes: 4 * 1024 * 1024, digests: 4096 }
    }
}

/// Where a poll stopped, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailState {
    /// At the end of what is written.
    CaughtUp,
    /// At a limit: poll again at once.
    More,
    /// There is no log folder, or no segment in it: Kudu did not start yet, or is just moving its old log away.
    NoLog,
    /// At bytes that are no batch. While Kudu writes, this passes; if it stays, the log is damaged, and Kudu
    /// itself will refuse it at its next start.
    Torn {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        why: Torn,
        /// For how many polls in a row, this one included.
        polls: u32,
    },
}

/// What one poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailBatch {
    /// New entries, in the order of the log.
    pub entries: Vec<LogEntry>,
    /// Why there are no more.
    pub state: TailState,
}
