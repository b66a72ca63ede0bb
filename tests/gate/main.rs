//! The sync gate in a real, unmodified kudu-master, with the test as its sidecar.
//!
//! They need what the tests in `tests/kudu` need, and what `tests/gate/packages` installs.

mod desk;
#[path = "../kudu/harness.rs"]
mod kudu;
mod library;
mod master;
mod musl;
mod overlap;
