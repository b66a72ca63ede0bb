//! What a reconciliation needs, and what the process remembers between two of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{
    Client,
    runtime::{events::Recorder, reflector::Store},
};

use super::{
    leases::{LeaseClocks, PairKey},
    report::Reports,
};
use crate::wal::OpId;

/// What a reconciliation needs.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) operator_image: String,
    pub(crate) recorder: Recorder,
    pub(crate) leases: Arc<LeaseClocks>,
    pub(crate) reports: Reports,
    pub(crate) pods: Store<Pod>,
    pub(crate) stateful_sets: Store<StatefulSet>,
    pub(crate) memory: Memory,
}

/// What is worth remembering but may be lost at any time: nothing here is needed to be safe.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<PairKey, PairMemory>>);

/// What is remembered of one pair.
#[derive(Default)]
pub(crate) struct PairMemory {
    applied: Option<(Applied, Instant)>,
    status_written: Option<Instant>,
    active_head: Option<(i64, OpId)>,
}

/// What the pair's objects follow from: the same again gives the same objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) generation: Option<i64>,
    pub(crate) active: Option<String>,
}

/// Objects are applied again after so long even when nothing changed, which undoes what others changed in them.
const APPLY_AGAIN: Duration = Duration::from_secs(60);

impl Memory {
    fn with<T>(&self, key: &PairKey, change: impl FnOnce(&mut PairMemory) -> T) -> T {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default())
    }

    /// Whether the same was applied not long ago.
    pub(crate) fn is_applied(&self, key: &PairKey, wanted: &Applied) -> bool {
        self.with(key, |pair| {
            pair.applied.as_ref().is_some_and(|(applied, at)| applied == wanted && at.elapsed() < APPLY_AGAIN)
        })
    }

    /// Remembers that this was applied.
    pub(crate) fn applied(&self, key: &PairKey, applied: Applied) {
        self.with(key, |pair| pair.applied = Some((applied, Instant::now())));
    }

    /// How long ago this process wrote the status.
    pub(crate) fn status_written_ago(&self, key: &PairKey) -> Option<Duration> {
        self.with(key, |pair| pair.status_written).map(|at| at.elapsed())
    }

    /// Remembers that the status was written.
    pub(crate) fn status_written(&self, key: &PairKey) {
        self.with(key, |pair| pair.status_written = Some(Instant::now()));
    }

    /// The highest head that the active has reported in this reign, this report included.
    pub(crate) fn active_head(&self, key: &PairKey, epoch: i64, reported: Option<OpId>) -> Option<OpId> {
        self.with(key, |pair| {
            let before = pair.active_head.filter(|(of, _)| *of == epoch).map(|(_, head)| head);
            let head = before.max(reported);
            pair.active_head = head.map(|head| (epoch, head));
            head
        })
    }

    /// Forgets a pair that is gone.
    pub(crate) fn forget(&self, key: &PairKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
