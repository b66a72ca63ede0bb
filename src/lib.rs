//! Kudu master pairs.

pub mod cli;
pub mod wal;
pub mod waldir;
