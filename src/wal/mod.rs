//! The format of Kudu's log files: pure functions over bytes.
//!
//! Nothing here opens a file, reads a clock or panics on what it is given: every input is a byte string
//! that a crash, a torn read or a stranger may have written. [`crate::waldir`] does the I/O.
//!
//! - [`Decoder`] turns the bytes of one segment into a header, batches of [`LogEntry`] and a footer;
//! - [`encode`] writes segments that an unmodified `kudu-master` reads;
//! - [`LogSummary`], [`TermHistory`] and [`OpDigest`] say what a log holds, so that two logs can be compared.
//!
//! `docs/kudu-log-format.md` describes the format and its traps.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

mod decode;
mod digest;
pub mod encode;
mod entry;
mod error;
mod header;
mod history;
mod messages;
mod opid;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
pub mod wire;

pub use decode::{Batch, Decoded, Decoder, Footer, Torn, find_batch_header};
pub use digest::OpDigest;
pub use entry::{Commit, LogEntry, OpType, Replicate};
pub use error::{DecodeError, EntryError};
pub use header::{Codec, SegmentHeader};
pub use history::{TermHistory, TermSpan};
pub use opid::{OpId, ParseOpIdError};
pub use summary::{LogSummary, NoOp};

/// The tablet that holds all of a master's state: the system catalog.
pub const SYS_CATALOG_TABLET_ID: &str = "00000000000000000000000000000000";

/// The size at which `kudu-master` rolls to a new segment by default (`--log_segment_size_mb=8`).
pub const DEFAULT_SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// The largest batch that is decoded or encoded, compressed or not.
///
/// Kudu refuses RPCs above 50 MiB, so no honest batch comes near; a damaged length must not make us
/// allocate gigabytes.
pub const MAX_BATCH_BYTES: u32 = 256 * 1024 * 1024;
