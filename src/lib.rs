//! Kudu master pairs.

pub mod wal;
pub mod waldir;
