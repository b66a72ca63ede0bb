//! The sync gate in a real, unmodified kudu-master, with the test as its sidecar.
//!
//! They need what the tests in `tests/kudu` need.

mod desk;
#[path = "../kudu/harness.rs"]
mod kudu;
mod library;
mod master;
