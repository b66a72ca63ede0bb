//! Kudu master pairs: active/standby replication, failover and switch-back for Apache Kudu's master on Kubernetes.
//!
//! See `docs/architecture.md` for the parts, and who may do I/O.

pub mod api;
pub mod cli;
pub mod controller;
pub mod failover;
pub mod launcher;
pub mod wal;
