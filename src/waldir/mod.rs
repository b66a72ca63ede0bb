//! Kudu's log folders on disk: blocking file I/O around [`crate::wal`].
//!
//! [`scan()`] and [`LogTail`] only read, through descriptors opened read-only; [`LogAppender`] alone writes. All calls block:
//! from asynchronous code, make them on a blocking thread.

mod append;
mod error;
mod folder;
pub mod held;
mod scan;
mod segment;
mod tail;
#[cfg(test)]
pub(crate) mod testkit;

pub use append::LogAppender;
pub use error::{AppendError, ReadError, TailError};
pub use folder::{SegmentPath, list_segments, stopped_log_dir, tablet_wal_dir, wal_tablets};
pub use held::HeldTail;
pub use scan::{Damage, LogScan, Place, Rule, SegmentEnd, SegmentScan, read_log, scan};
pub use tail::{LogTail, TailBatch, TailLimits, TailState};
