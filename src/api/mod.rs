//! The Kubernetes API of the operator: the `KuduMasterPair` resource and every name that users meet.
//!
//! Pure: types and their rules, no I/O.
//!
//! Reading a pair never fails for a field that is not known: the API server refuses those when they are written, and an
//! operator that was rolled back must still look after pairs under a newer definition.

pub mod crd;
pub mod encryption;
pub mod failover;
pub mod gap;
pub mod names;
pub mod pair;
pub mod quantity;
pub mod reference;
pub mod refresh;
pub mod replication;
pub mod spec;
pub mod status;
pub mod sync;

pub use encryption::{Encryption, IssuerRef};
pub use failover::{Answer, DryRunAnswer, FailoverMode, RequestAnswer};
pub use gap::*;
pub use pair::{KuduMasterPair, KuduMasterPairSpec};
pub use refresh::RefreshSpec;
pub use replication::ReplicationSpec;
pub use spec::*;
pub use status::*;
pub use sync::*;
