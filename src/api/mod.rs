//! The Kubernetes API of the operator: the `KuduMasterPair` resource and every name that users meet.
//!
//! Pure: types and their rules, no I/O.

pub mod crd;
pub mod names;
pub mod pair;
pub mod spec;
pub mod status;

pub use pair::{KuduMasterPair, KuduMasterPairSpec};
pub use spec::*;
pub use status::*;
