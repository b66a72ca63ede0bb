//! A toy API server: versions, and replacement of the version that was read.

use std::rc::Rc;

use kudu_pair::{
    api::{KuduMasterPair, PairStatus, SyncRecord},
    wal::OpId,
};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToyLease {
    pub(super) version: u64,
    pub(super) holder: Option<String>,
    pub(super) epoch: i64,
    pub(super) final_head: Option<OpId>,
    pub(super) sync: Option<SyncRecord>,
}

/// The API server: versions, and replacement of the version that was read.
pub(super) struct Api {
    /// Without its status.
    pub(super) pair: KuduMasterPair,
    pub(super) status: Rc<PairStatus>,
    pub(super) pair_version: u64,
    pub(super) lease: Option<ToyLease>,
    pub(super) service: Option<String>,
    pub(super) versions: u64,
    pub(super) away_until: u64,
}

impl Api {
    /// The status as it is. Members look at it at every turn, so they share it.
    pub(super) fn status(&self) -> Rc<PairStatus> {
        Rc::clone(&self.status)
    }

    pub(super) fn write_status(&mut self, status: PairStatus) {
        self.status = Rc::new(status);
        self.versions += 1;
        self.pair_version = self.versions;
    }

    pub(super) fn replace_lease(&mut self, seen: u64, change: impl FnOnce(&mut ToyLease)) -> bool {
        match &mut self.lease {
            Some(lease) if lease.version == seen => {
                let epoch = lease.epoch;
                change(lease);
                assert!(lease.epoch >= epoch, "the Lease's epoch went back");
                self.versions += 1;
                lease.version = self.versions;
                true
            }
            _ => false,
        }
    }
}
