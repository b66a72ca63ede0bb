//! The tablets that are being created: their tablet servers were chosen, and have not all said that they are there.
//!
//! A master that starts in between does not ask those tablet servers again; it makes such a tablet anew once
//! `--tablet_creation_timeout_ms` has passed. A planned switch therefore waits a moment for a time without any.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use prost::Message;

use super::{
    messages::TabletEntry,
    rows::{Change, EntryType, changes},
};
use crate::wal::Replicate;

/// `SysTabletsEntryPB.State.CREATING`.
const CREATING: i32 = 1;
/// Bits of a hybrid time below its microseconds.
const LOGICAL_BITS: u32 = 12;

/// The tablets that are being created, as a log shows them.
#[derive(Debug, Clone, Default)]
pub struct CreatingTablets {
    /// When each came to be so: microseconds since 1970, by the active's clock.
    since_micros: BTreeMap<Bytes, u64>,
}

impl CreatingTablets {
    /// Adds the next operation of the log. One that cannot be read is passed over: all that rests on this is a short wait.
    pub fn fold(&mut self, op: &Replicate) {
        for row in changes(op).unwrap_or_default() {
            if row.entry_type != EntryType::Tablet {
                continue;
            }
            if is_creating(&row.change) {
                self.since_micros.entry(row.id).or_insert(op.timestamp() >> LOGICAL_BITS);
            } else {
                self.since_micros.remove(&row.id);
            }
        }
    }

    /// Whether there is one that became so less than `patience` before `now`, both since 1970. Older ones wait for something
    /// that will not come soon, as for a tablet server.
    #[must_use]
    pub fn any_younger_than(&self, patience: Duration, now: Duration) -> bool {
        let oldest = now.saturating_sub(patience).as_micros();
        self.since_micros.values().any(|since| u128::from(*since) > oldest)
    }
}

fn is_creating(change: &Change) -> bool {
    match change {
        Change::Set(metadata) => TabletEntry::decode(metadata.clone()).is_ok_and(|entry| entry.state == Some(CREATING)),
        Change::Delete => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog::rows::tests::write, wal::OpId};

    /// `SysTabletsEntryPB` with nothing but a state.
    fn state(number: u8) -> [u8; 2] {
        [4 << 3, number]
    }

    fn at(seconds: u64) -> u64 {
        (seconds * 1_000_000) << LOGICAL_BITS
    }

    #[test]
    fn a_tablet_is_being_created_until_it_runs_or_goes() {
        let mut tablets = CreatingTablets::default();
        let busy =
            |tablets: &CreatingTablets| tablets.any_younger_than(Duration::from_secs(5), Duration::from_secs(100));
        let mut index = 0;
        let mut fold = |tablets: &mut CreatingTablets, kind, name, metadata: Option<&[u8]>| {
            index += 1;
            tablets.fold(&write(OpId::new(1, index), at(99), &[(kind, 2, name, metadata)]));
        };
        fold(&mut tablets, 1, "a", Some(&state(0)));
        assert!(!busy(&tablets), "one that is only prepared is taken on by whoever starts");
        fold(&mut tablets, 2, "a", Some(&state(1)));
        fold(&mut tablets, 2, "b", Some(&state(1)));
        assert!(busy(&tablets));
        fold(&mut tablets, 2, "a", Some(&state(2)));
        assert!(busy(&tablets));
        fold(&mut tablets, 3, "b", None);
        assert!(!busy(&tablets));
    }

    #[test]
    fn one_that_waits_for_long_is_not_waited_for() {
        let mut tablets = CreatingTablets::default();
        tablets.fold(&write(OpId::new(1, 1), at(90), &[(1, 2, "a", Some(&state(1)))]));
        let patience = Duration::from_secs(5);
        assert!(tablets.any_younger_than(patience, Duration::from_secs(94)));
        assert!(!tablets.any_younger_than(patience, Duration::from_secs(95)));
    }
}
