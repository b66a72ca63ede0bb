//! The commands of `kudu-pair`.

pub mod wal;
