//! Kudu master pairs: active/standby replication, failover and switch-back for Apache Kudu's master on Kubernetes.
//!
//! See `docs/architecture.md` for the parts, and who may do I/O.

pub mod agent;
pub mod api;
mod api_server;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod failover;
pub mod gap;
pub mod launcher;
pub mod metrics;
mod page;
pub mod pki;
pub mod plugin;
pub mod probe;
pub mod replication;
mod rpc;
pub mod sidecar;
pub mod tablet_servers;
pub mod telemetry;
pub mod volume;
pub mod wal;
pub mod waldir;
