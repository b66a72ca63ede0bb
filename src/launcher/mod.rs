//! The launcher: runs kudu-master only while its sidecar's lease is good, and Kudu's own tools on its behalf.

pub mod client;
pub mod protocol;
