//! The commands of `kudu-pair`.

pub mod ctl;
pub mod sidecar;
