//! The pairs' Leases: watched by every replica, so that a new leader knows at once which of them have not been renewed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, ResourceExt as _,
    api::ListParams,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::sync::broadcast;

use super::error::Error;
use crate::{
    api::names,
    api_server,
    failover::{
        bounds::LOOK_IN_PEACE,
        lease::{LeaseClock, LeaseSeen},
        tenure,
    },
    wal::OpId,
};

/// Namespace and name of a pair.
pub(crate) type PairKey = (String, String);

/// For how long each Lease has been seen unchanged, by this process's own clock.
#[derive(Debug)]
pub(crate) struct LeaseClocks {
    origin: Instant,
    clocks: Mutex<HashMap<PairKey, (LeaseClock, Lease)>>,
    /// When the API server answered last.
    answered: Mutex<Option<Instant>>,
}

impl LeaseClocks {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), clocks: Mutex::default(), answered: Mutex::default() }
    }

    /// Takes a look at a Lease into account and says for how long it has been unchanged.
    pub(crate) fn look(&self, lease: &Lease) -> Duration {
        let at = self.origin.elapsed();
        let version = lease.resource_version().unwrap_or_default();
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clocks.entry(key(lease));
        let (clock, last) = known.or_insert_with(|| (LeaseClock::new(&version, at), lease.clone()));
        last.clone_from(lease);
        clock.look(&version, at)
    }

    /// A pair's Lease as it was seen last; for people.
    pub(crate) fn last(&self, namespace: &str, pair: &str) -> Option<Lease> {
        let key = (namespace.to_owned(), names::lease(pair));
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner).get(&key).map(|(_, lease)| lease.clone())
    }

    /// How long ago the API server answered last.
    pub(crate) fn answered_ago(&self) -> Option<Duration> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    fn answered(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn forget(&self, lease: &Lease) {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(lease));
    }
}

fn key(lease: &Lease) -> PairKey {
    (lease.namespace().unwrap_or_default(), lease.name_any())
}

/// What the Lease says.
pub(crate) fn read(lease: &Lease, unchanged_for: Duration) -> Result<LeaseSeen, Error> {
    let invalid = |reason: String| Error::InvalidLease { lease: lease.name_any(), reason };
    let annotation = |name: &str| lease.annotations().get(name);
    let epoch = annotation(names::EPOCH_ANNOTATION)
        .ok_or_else(|| invalid(format!("it has no annotation {}", names::EPOCH_ANNOTATION)))?;
    let final_head: Option<OpId> = annotation(names::FINAL_HEAD_ANNOTATION)
        .map(|text| text.parse())
        .transpose()
        .map_err(|error| invalid(format!("annotation {}: {error}", names::FINAL_HEAD_ANNOTATION)))?;
    let sync = tenure::sync_record(lease)
        .map_err(|error| invalid(format!("annotation {}: {error}", names::SYNC_ANNOTATION)))?;
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let exactly = annotation(names::LEASE_DURATION_ANNOTATION).and_then(|text| text.parse().ok());
    let exactly = exactly.map(Duration::from_millis);
    Ok(LeaseSeen {
        resource_version: lease.resource_version().unwrap_or_default(),
        holder: holder.filter(|holder| !holder.is_empty()),
        epoch: epoch
            .parse()
            .map_err(|_| invalid(format!("annotation {}: {epoch:?} is no number", names::EPOCH_ANNOTATION)))?,
        final_head,
        sync,
        duration: exactly.or_else(|| seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)),
        unchanged_for,
    })
}

/// Watches all pairs' Leases for as long as it is polled: keeps the clocks, and tells of each Lease that changed hands.
///
/// The watch brings changes at once. The list once a second is what shows that the absence of changes is not the absence
/// of a connection.
pub(crate) async fn watch(api: Api<Lease>, clocks: &LeaseClocks, changed: broadcast::Sender<PairKey>) {
    let events = watcher(api.clone(), api_server::watch().labels(names::PAIR_LABEL)).backoff(api_server::backoff());
    let watched = events.map(|event| Look::Event(Box::new(event)));
    let every = tokio::time::interval(LOOK_IN_PEACE);
    let listed = stream::unfold((every, api), |(mut every, api)| async move {
        every.tick().await;
        let params = ListParams::default().labels(names::PAIR_LABEL);
        let list = super::error::within(LOOK_IN_PEACE * 2, "list Leases", api.list(&params)).await;
        Some((Look::List(list.map(|list| list.items)), (every, api)))
    });
    let mut looks = Box::pin(stream::select(watched, listed));
    let mut hands: HashMap<PairKey, Hands> = HashMap::new();
    while let Some(look) = looks.next().await {
        let leases = match look {
            Look::Event(event) => match *event {
                Ok(watcher::Event::Apply(lease) | watcher::Event::InitApply(lease)) => vec![lease],
                Ok(watcher::Event::Delete(lease)) => {
                    clocks.forget(&lease);
                    hands.remove(&key(&lease));
                    tell(&changed, &lease);
                    continue;
                }
                Ok(watcher::Event::Init | watcher::Event::InitDone) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot watch Leases; trying again");
                    continue;
                }
            },
            Look::List(Ok(leases)) => {
                clocks.answered();
                leases
            }
            Look::List(Err(error)) => {
                tracing::debug!(%error, "cannot look at Leases");
                continue;
            }
        };
        for lease in leases {
            clocks.look(&lease);
            let now = Hands::of(&lease);
            if hands.insert(key(&lease), now.clone()).as_ref() != Some(&now) {
                tell(&changed, &lease);
            }
        }
    }
}

enum Look {
    Event(Box<Result<watcher::Event<Lease>, watcher::Error>>),
    List(Result<Vec<Lease>, Error>),
}

/// What of a Lease concerns a decision at once; renewals do not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hands {
    holder: Option<String>,
    epoch: Option<String>,
}

impl Hands {
    fn of(lease: &Lease) -> Self {
        Self {
            holder: lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()),
            epoch: lease.annotations().get(names::EPOCH_ANNOTATION).cloned(),
        }
    }
}

/// Nobody listens in a replica that does not lead.
fn tell(changed: &broadcast::Sender<PairKey>, lease: &Lease) {
    if let Some(pair) = lease.labels().get(names::PAIR_LABEL) {
        let _ = changed.send((lease.namespace().unwrap_or_default(), pair.clone()));
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn lease(json: serde_json::Value) -> Lease {
        serde_json::from_value(json).unwrap()
    }

    fn released() -> Lease {
        lease(serde_json::json!({
            "metadata": {
                "name": "demo-active", "namespace": "kudu", "resourceVersion": "7",
                "labels": { "kudupair.io/pair": "demo" },
                "annotations": { "kudupair.io/epoch": "3", "kudupair.io/final-head": "3000001.42", "other": "stays" }
            },
            "spec": { "leaseTransitions": 4, "leaseDurationSeconds": 6 }
        }))
    }

    #[test]
    fn reads_what_a_holder_left() {
        let seen = read(&released(), Duration::from_secs(1)).unwrap();
        assert_eq!(seen.epoch, 3);
        assert_eq!(seen.duration, Some(Duration::from_secs(6)));
        assert_eq!(seen.final_head, Some(OpId::new(3_000_001, 42)));
        assert!(seen.released());
    }

    #[test]
    fn reads_what_a_holder_took_it_for_to_the_millisecond() {
        let held = tenure::held(released(), "demo-0/u/i", MicroTime(jiff::Timestamp::UNIX_EPOCH), 1_700);
        assert_eq!(held.spec.as_ref().and_then(|spec| spec.lease_duration_seconds), Some(2));
        assert_eq!(read(&held, Duration::ZERO).unwrap().duration, Some(Duration::from_millis(1_700)));
    }

    #[test]
    fn a_lease_that_cannot_be_read_is_no_unheld_lease() {
        let broken = lease(serde_json::json!({ "metadata": { "name": "demo-active" } }));
        let error = read(&broken, Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("kudupair.io/epoch"), "{error}");
    }
}
