//! The controller: observe, decide, build, apply, report.
//!
//! Any number of replicas may run. All of them watch the pairs' Leases, so that each knows for how long a Lease has not
//! been renewed; only the leader acts. Two leaders for a moment are harmless: a status and a Lease are only ever replaced in
//! the version that was read, objects are applied server-side, and a pod is deleted by its uid.

mod act;
pub mod apply;
pub mod build;
pub mod certificates;
mod context;
pub mod error;
mod exporter;
pub mod health;
mod leader;
pub(crate) mod leases;
mod observe;
mod page;
mod reconcile;
mod report;
mod run;
mod status;

pub use error::Error;
pub use page::PageListen;
pub use run::{Options, run};
