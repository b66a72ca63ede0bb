//! What can go wrong with a log folder: each message names the place, the rule and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Damage;
use crate::wal::{DecodeError, OpId, encode::EncodeError};

/// A log that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused a file operation.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A segment is damaged or of a kind that is not supported.
    #[error("{path}: {source}")]
    Decode {
        /// The segment.
        path: PathBuf,
        /// What is wrong.
        source: DecodeError,
    },
    /// The log breaks a rule of the format.
    #[error("{0}")]
    Damaged(Damage),
}

impl ReadError {
    /// For `map_err`: adds what was tried, and on what.
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// True if the bytes are at fault, and not the system or the kind of the log.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Io { .. } => false,
            Self::Decode { source, .. } => source.is_damage(),
            Self::Damaged(_) => true,
        }
    }

    /// True if the file or folder was not there, as happens when Kudu collects or moves its log.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Why a running master's log cannot be followed any further.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The next operation was already removed from the log (log GC).
    #[error(
        "{path}: operation {needed} is needed next, but the log now starts at {first_available}: \
         the master has collected it; take a new base copy"
    )]
    Gone {
        /// The log folder.
        path: PathBuf,
        /// Index of the operation that is needed.
        needed: i64,
        /// The first operation that is there, or that is known from a COMMIT that outlived it.
        first_available: OpId,
    },
    /// The log holds something else than what was delivered before.
    #[error(
        "{path}: the log has operation {found} where {delivered} was delivered: the master lost operations that a \
         standby may hold; compare the logs again and take a new base where they differ"
    )]
    Diverged {
        /// The log folder.
        path: PathBuf,
        /// What was delivered at that index, or before it.
        delivered: OpId,
        /// What is there now. If the two are equal, their content differs.
        found: OpId,
    },
}

/// Why operations cannot be appended to a log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The existing log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The folder has no segment to continue from.
    #[error("{path}: there is no log to append to: take a base copy first")]
    NoLog {
        /// The log folder.
        path: PathBuf,
    },
    /// Another process appends to the same log.
    #[error("{path}: another process has this log open for appending: stop it first")]
    Locked {
        /// The log folder.
        path: PathBuf,
    },
    /// The existing log is damaged before its end.
    #[error("{0}; nothing was changed: keep this folder for inspection and take a new base copy")]
    Damaged(Damage),
    /// The operations do not continue the log.
    #[error("{path}: {found} cannot follow {last}: the next operation must have index {} and a term of at least {}",
        .last.index.saturating_add(1), .last.term)]
    NotContiguous {
        /// The log folder.
        path: PathBuf,
        /// The log's last operation.
        last: OpId,
        /// The operation that was to be appended.
        found: OpId,
    },
    /// The log ends before an operation that was acknowledged as durable.
    #[error("{path}: operation {acknowledged} was acknowledged, but the log ends at {}: \
             this disk lost flushed data; do not promote this standby, take a new base copy",
            .last.map_or("its start".to_owned(), |last| last.to_string()))]
    LostAcknowledged {
        /// The log folder.
        path: PathBuf,
        /// What the caller's records say.
        acknowledged: OpId,
        /// What the log says.
        last: Option<OpId>,
    },
    /// An operation cannot be written in Kudu's format.
    #[error("{path}: {source}")]
    Encode {
        /// The log folder.
        path: PathBuf,
        /// What is wrong with it.
        source: EncodeError,
    },
    /// The disk, or a quota on it, is full.
    #[error("{path}: the disk is full: free space or enlarge the volume, then open the log again")]
    DiskFull {
        /// The segment.
        path: PathBuf,
    },
    /// A write or a flush failed: what the file now holds is not known.
    #[error("{path}: cannot {action}: {source}; open the log again to find out what it holds")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// An earlier call failed.
    #[error("{path}: an earlier write or flush failed, so nothing may be appended: open the log again")]
    Poisoned {
        /// The log folder.
        path: PathBuf,
    },
}

impl AppendError {
    /// True if the log is at fault: it is damaged, or not there, and will be so the next time.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Read(error) => error.is_damage(),
            Self::NoLog { .. } | Self::Damaged(_) | Self::LostAcknowledged { .. } => true,
            _ => false,
        }
    }

    /// For `map_err`: adds what was tried, and on what.
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, action, source },
        }
    }

    /// For `map_err` around the encoder.
    pub(super) fn encode<E: Into<EncodeError>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Encode { path, source: source.into() }
    }
}
