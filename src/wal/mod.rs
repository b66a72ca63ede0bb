//! Kudu's log format.
pub mod opid;
pub use opid::OpId;
