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
    page::Live,
    report::Reports,
};
use crate::{failover::observation::CertificatesSeen, metrics::Counters, wal::OpId};

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
    pub(crate) counters: Counters,
    pub(crate) live: Live,
}

/// What is worth remembering but may be lost at any time: nothing here is needed to be safe.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<PairKey, PairMemory>>);

/// What is remembered of one pair.
#[derive(Default)]
pub(crate) struct PairMemory {
    applied: Option<(Applied, Instant)>,
    certificates: Option<(Option<i64>, CertificatesSeen, Instant)>,
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

/// Certificates are looked at again after so long while some are missing.
const LOOK_FOR_CERTIFICATES_AGAIN: Duration = Duration::from_secs(5);

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

    /// Whether the certificates of this generation of the pair have to be looked after.
    pub(crate) fn certificates_are_due(&self, key: &PairKey, generation: Option<i64>) -> bool {
        self.with(key, |pair| match &pair.certificates {
            Some((of, CertificatesSeen::Issued, at)) if *of == generation => at.elapsed() >= APPLY_AGAIN,
            Some((of, CertificatesSeen::Missing { .. }, at)) if *of == generation => {
                at.elapsed() >= LOOK_FOR_CERTIFICATES_AGAIN
            }
            _ => true,
        })
    }

    /// Remembers how the certificates were.
    pub(crate) fn certificates_seen(&self, key: &PairKey, generation: Option<i64>, seen: CertificatesSeen) {
        self.with(key, |pair| pair.certificates = Some((generation, seen, Instant::now())));
    }

    /// How the certificates were when they were last looked after.
    pub(crate) fn certificates(&self, key: &PairKey) -> Option<CertificatesSeen> {
        self.with(key, |pair| pair.certificates.as_ref().map(|(_, seen, _)| seen.clone()))
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
