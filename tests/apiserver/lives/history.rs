//! Everything that was ever written of a pair, in the API server's own order, and what has to hold of it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Instant,
};

use futures::StreamExt as _;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        coordination::v1::Lease,
        core::v1::{Pod, Service},
    },
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{WatchEvent, WatchParams},
};
use kudu_pair::{
    api::{Answer, KuduMasterPair, PairStatus, RequestAnswer, SwitchStep, names},
    failover::tenure::LeaseView,
};

use super::members::{PAIR, Reign};

/// One version of something.
#[derive(Debug, Clone)]
enum Seen {
    Pair(Box<PairStatus>),
    Lease(LeaseView),
    Service(Option<String>),
    PodDeleted { name: String, uid: String },
}

/// All versions of a pair's objects, by the API server's revision.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Vec<(u64, Seen)>>>);

impl History {
    /// Writes down from now on; nothing may be there yet.
    pub(crate) fn begin(admin: &Client, namespace: &str) -> Self {
        let history = Self::default();
        let named = |name: &str| WatchParams::default().fields(&format!("metadata.name={name}"));
        history.watch(Api::<KuduMasterPair>::namespaced(admin.clone(), namespace), named(PAIR), |pair, gone| {
            (!gone).then(|| Seen::Pair(Box::new(pair.status.unwrap_or_default())))
        });
        let lease = named(&names::lease(PAIR));
        history.watch(Api::<Lease>::namespaced(admin.clone(), namespace), lease, |lease, gone| {
            (!gone).then(|| Seen::Lease(LeaseView::of(&lease)))
        });
        history.watch(Api::<Service>::namespaced(admin.clone(), namespace), named(PAIR), |service, gone| {
            let selector = service.spec.and_then(|spec| spec.selector)?;
            (!gone).then(|| Seen::Service(selector.get(names::POD_NAME_LABEL).cloned()))
        });
        history.watch(Api::<Pod>::namespaced(admin.clone(), namespace), WatchParams::default(), |pod, gone| {
            gone.then(|| Seen::PodDeleted { name: pod.name_any(), uid: pod.uid().unwrap_or_default() })
        });
        history
    }

    fn watch<K>(&self, api: Api<K>, params: WatchParams, seen: impl Fn(K, bool) -> Option<Seen> + Send + 'static)
    where
        K: kube::Resource<Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Send
            + 'static,
    {
        let all = Arc::clone(&self.0);
        tokio::spawn(async move {
            // Without a break: a test is over before the API server ends a watch.
            let mut events = Box::pin(api.watch(&params, "0").await.expect("a watch"));
            while let Some(event) = events.next().await {
                let (object, gone) = match event {
                    Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (object, false),
                    Ok(WatchEvent::Deleted(object)) => (object, true),
                    Ok(WatchEvent::Bookmark(_)) => continue,
                    Ok(WatchEvent::Error(error)) => panic!("a version was missed: {error:?}"),
                    // The API server goes at the end of the test.
                    Err(_) => return,
                };
                let version = object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default();
                if let Some(seen) = seen(object, gone) {
                    all.lock().expect("no panic").push((version, seen));
                }
            }
        });
    }

    fn ordered(&self) -> Vec<(u64, Seen)> {
        let mut all = self.0.lock().expect("no panic").clone();
        all.sort_by_key(|(version, _)| *version);
        all
    }

    /// Checks all of it. `undisturbed`: nobody but the operator has written, and no stale leader has.
    pub(crate) fn check(&self, whose: &str, undisturbed: bool) {
        let all = self.ordered();
        statuses(whose, &all);
        lease(whose, &all);
        if undisturbed {
            service(whose, &all);
        }
    }

    /// The names of the pods that were deleted, in that order.
    pub(crate) fn deleted_pods(&self) -> Vec<String> {
        let mut uids = BTreeSet::new();
        let deleted = |(_, seen)| match seen {
            Seen::PodDeleted { name, uid } => uids.insert(uid).then_some(name),
            _ => None,
        };
        self.ordered().into_iter().filter_map(deleted).collect()
    }
}

/// A step of a switch.
type StepOf = (i64, String, SwitchStep, Option<String>);

fn statuses(whose: &str, all: &[(u64, Seen)]) {
    let statuses: Vec<_> = all
        .iter()
        .filter_map(|(_, seen)| match seen {
            Seen::Pair(status) => Some(status.as_ref()),
            _ => None,
        })
        .collect();
    let (mut steps, mut done): (Vec<StepOf>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    for two in statuses.windows(2) {
        let (before, after) = (two[0], two[1]);
        assert!(after.epoch >= before.epoch, "{whose}: the epoch went back from {} to {}", before.epoch, after.epoch);
        if after.epoch > before.epoch {
            let switch = before.switch.as_ref().expect("an epoch begins at the end of a switch");
            assert_eq!((switch.epoch, switch.step), (after.epoch, SwitchStep::Repointing), "{whose}");
            assert_eq!(switch.to, after.active, "{whose}");
            assert!(after.switch.is_none(), "{whose}");
            let receipt = after.switches.first().expect("its receipt");
            assert_eq!((receipt.epoch, Some(&receipt.to)), (after.epoch, after.active.as_ref()), "{whose}");
        }
        if let Some(switch) = &after.switch {
            assert!(switch.epoch > after.epoch, "{whose}: a switch to an epoch that has begun: {switch:?}");
            let step = (switch.epoch, format!("{:?}", switch.kind), switch.step, switch.to.clone());
            if steps.last() != Some(&step) {
                assert!(!steps.contains(&step), "{whose}: {step:?} was done twice: {steps:?}");
                steps.push(step);
            }
        }
        for answer in [&after.switchover, &after.approval].into_iter().flatten() {
            answered_once(whose, before, answer, &mut done);
        }
        assert_eq!(
            before
                .catalog
                .as_ref()
                .map(|catalog| &catalog.uuid)
                .or(after.catalog.as_ref().map(|catalog| &catalog.uuid)),
            after.catalog.as_ref().map(|catalog| &catalog.uuid),
            "{whose}: another catalog"
        );
    }
    let last = statuses.last().expect("a status");
    let epochs: Vec<_> = last.switches.iter().map(|receipt| receipt.epoch).collect();
    assert!(epochs.windows(2).all(|two| two[0] > two[1]), "{whose}: receipts of {epochs:?}");
}

/// A request is accepted, then over; what is over is not answered anew.
fn answered_once(whose: &str, before: &PairStatus, answer: &RequestAnswer, done: &mut BTreeSet<String>) {
    let known = [&before.switchover, &before.approval].into_iter().flatten().any(|known| known == answer);
    if known {
        return;
    }
    assert!(!done.contains(&answer.request), "{whose}: answered again: {answer:?}");
    if answer.answer != Answer::Accepted {
        done.insert(answer.request.clone());
    }
}

/// The Lease follows the record: an epoch is opened once it is recorded, and taken by whom it was recorded for.
fn lease(whose: &str, all: &[(u64, Seen)]) {
    let mut status = PairStatus::default();
    let mut last: Option<&LeaseView> = None;
    for (version, seen) in all {
        match seen {
            Seen::Pair(now) => status = (**now).clone(),
            Seen::Lease(lease) => {
                let known = status.switch.as_ref().map_or(status.epoch, |switch| switch.epoch.max(status.epoch));
                assert!(
                    lease.epoch <= known,
                    "{whose} {version}: the Lease is at {}, recorded is {known}",
                    lease.epoch
                );
                if let Some(last) = last {
                    assert!(lease.epoch >= last.epoch, "{whose} {version}: the Lease went back to {}", lease.epoch);
                    let raised = lease.epoch > last.epoch;
                    assert!(
                        !raised || lease.holder.is_none(),
                        "{whose} {version}: a fence leaves no holder: {lease:?}"
                    );
                    let (old, new) = (last.holder.as_deref(), lease.holder.as_deref());
                    assert!(
                        old == new || old.is_none() || new.is_none(),
                        "{whose} {version}: handed over without a fence, {old:?} to {new:?}"
                    );
                }
                if let Some(holder) = lease.holder.as_deref().and_then(|holder| holder.split('/').next()) {
                    let switch = status.switch.as_ref().filter(|switch| switch.epoch == lease.epoch);
                    let chosen = switch.map_or(status.active.as_deref(), |switch| switch.to.as_deref());
                    assert_eq!(Some(holder), chosen, "{whose} {version}: held by whom nobody chose");
                }
                last = Some(lease);
            }
            _ => {}
        }
    }
}

/// The Service selects a member only when it is recorded that it serves.
fn service(whose: &str, all: &[(u64, Seen)]) {
    let mut status = PairStatus::default();
    for (version, seen) in all {
        match seen {
            Seen::Pair(now) => status = (**now).clone(),
            Seen::Service(Some(selected)) if selected != kudu_pair::controller::build::NOBODY => {
                let new = status.switch.as_ref().filter(|switch| switch.step == SwitchStep::Repointing);
                let new = new.and_then(|switch| switch.to.as_ref());
                let may = [status.active.as_ref(), new].into_iter().flatten().any(|member| member == selected);
                assert!(may, "{whose} {version}: the Service selects {selected} at {status:?}");
            }
            _ => {}
        }
    }
}

/// No two kudu-masters at any moment.
pub(crate) fn one_at_a_time(whose: &str, reigns: &[Reign]) {
    let now = Instant::now();
    for (number, one) in reigns.iter().enumerate() {
        for other in &reigns[number + 1..] {
            let (one_end, other_end) = (one.end.unwrap_or(now), other.end.unwrap_or(now));
            assert!(one_end <= other.start || other_end <= one.start, "{whose}: two at once: {one:?} and {other:?}");
        }
    }
    let mut epochs: Vec<_> = reigns.iter().map(|reign| (reign.epoch, &reign.member)).collect();
    epochs.dedup();
    assert!(epochs.windows(2).all(|two| two[0].0 < two[1].0), "{whose}: a reign began again: {epochs:?}");
}
