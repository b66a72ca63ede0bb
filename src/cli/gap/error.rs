//! Why the command could not do its work.

use std::{io, path::PathBuf};

use crate::{catalog::CatalogError, gap::GapError, sidecar::SidecarError, wal::OpId, waldir::ReadError};

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GapCommandError {
    /// The log cannot be listed or read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The folder is no log.
    #[error(
        "{0}: there are neither log segments (wal-000000001) nor a `wals` folder here: give a folder below `quarantine`, a \
         generation's folder, or a server's --fs_wal_dir"
    )]
    NoLog(PathBuf),
    /// A server runs on the log.
    #[error(
        "{0}: a Kudu server runs on this folder; stop it first, since it would not see what is added, and write over it"
    )]
    Running(PathBuf),
    /// The folder is no kept gap's.
    #[error("{0}: there is no gap.json here; give a folder below `gaps`")]
    NotKept(PathBuf),
    /// A kept gap cannot be read, or a replay not made.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    /// No other log to hold it against.
    #[error(
        "{0}: there is no control file of a member two folders up, so the new active's log is not known; name it with --active"
    )]
    NoActive(PathBuf),
    /// There is no quarantine.
    #[error("{0}: there is no `quarantine` folder here, and no log: no gap was kept on this volume")]
    NoQuarantine(PathBuf),
    /// The log does not part there.
    #[error("{path}: {source}")]
    Part {
        /// The log.
        path: PathBuf,
        /// Why.
        source: GapError,
    },
    /// The two logs have nothing in common.
    #[error(
        "{gap} and {active} have no operation in common: one of them is another catalog's, or the active no longer keeps that \
         part of its log. Give segments that go further back, or --after"
    )]
    NothingInCommon {
        /// The old log.
        gap: PathBuf,
        /// The new one.
        active: PathBuf,
    },
    /// The two logs hold different operations under one name.
    #[error("{gap} and {active} have different operations named {op}: they are not logs of one pair")]
    Different {
        /// The old log.
        gap: PathBuf,
        /// The new one.
        active: PathBuf,
        /// The operation.
        op: OpId,
    },
    /// An operation cannot be read, so it is not known which table it is about.
    #[error("{gap} and {active}: there is no plan, since {source}")]
    Plan {
        /// The old log.
        gap: PathBuf,
        /// The new one.
        active: PathBuf,
        /// Why.
        source: CatalogError,
    },
    /// A file cannot be read.
    #[error("{path}: cannot read the ids of tablets: {source}")]
    Tablets {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}
