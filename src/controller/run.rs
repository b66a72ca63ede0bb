//! Puts the controller together and runs it.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, join_all, select_all},
    stream,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Pod, Service},
};
use kube::{
    Api, Client,
    api::ListParams,
    runtime::{
        Controller, WatchStreamExt as _,
        events::{Recorder, Reporter},
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::sync::{Notify, broadcast};

use super::{
    context::{Context, Memory},
    error::{Error, within},
    exporter::Exporter,
    health::{self, Readiness},
    leader::Candidate,
    leases::{self, LeaseClocks, PairKey},
    page::{Live, Page, PageListen},
    reconcile::{Guarded, on_error, reconcile},
    report::Reports,
};
use crate::{
    api::names::{FIELD_MANAGER, PAIR_LABEL},
    api_server::{self, Place, places},
};

/// How a controller runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespaces whose pairs it looks after; none for all.
    pub namespaces: Vec<String>,
    /// This operator's image, which members take the launcher and the sidecar from.
    pub operator_image: String,
    /// Namespace of the controllers' own Lease.
    pub leader_namespace: String,
    /// Name of this replica among the controllers.
    pub identity: String,
    /// Where `/health`, `/ready` and `/metrics` are served.
    pub health_listen: SocketAddr,
    /// Where the page is served.
    pub page_listen: PageListen,
}

/// Name under which readiness speaks of the custom resource.
const CRD: &str = "CustomResourceDefinition kudumasterpairs.kudupair.io";
/// How long to wait before looking for something that is missing again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Runs until `stop` is done. Leads when no other replica does.
pub async fn run(client: Client, options: Options, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let readiness = Readiness::default();
    let exporter = Exporter::default();
    readiness.missing(CRD, "not looked for yet");
    let clocks = Arc::new(LeaseClocks::new());
    let (changed, _) = broadcast::channel(1024);
    let places = places(&options.namespaces);
    let live = Live::default();
    let page = Page::new(&options.identity, &clocks, &exporter, &live);
    let served = page.serve(options.page_listen, places.iter().map(|place| place.api(&client)).collect());
    let leases = join_all(places.iter().map(|place| leases::watch(place.api(&client), &clocks, changed.clone())));
    let found_some = Notify::new();
    let looking = look_for_pairs(&client, &places, &readiness, &found_some);
    let mut stop = pin!(stop);
    let work = async {
        tokio::select! {
            () = found_some.notified() => {}
            () = &mut stop => return,
        }
        lead_forever(&client, &options, &clocks, &changed, (&exporter, &live), stop).await;
    };
    tokio::select! {
        result = health::serve(options.health_listen, readiness.clone(), exporter.clone().router()) => result,
        _ = leases => Ok(()),
        () = work => Ok(()),
        // A failover does not hang on it.
        () = served.then(|()| std::future::pending()) => Ok(()),
        // It only ever ends a search.
        () = looking.then(|()| std::future::pending()) => Ok(()),
    }
}

/// Looks until pairs can be listed in every place, and says on `/ready` where and why they cannot. Tells when the first place
/// is found: one namespace without its Role must not keep the pairs of the others from being looked after.
async fn look_for_pairs(client: &Client, places: &[Place], readiness: &Readiness, found_some: &Notify) {
    loop {
        let mut missing = Vec::new();
        for place in places {
            let pairs: Api<Guarded> = place.api(client);
            match within(LOOK_AGAIN, "list pairs", pairs.list(&ListParams::default().limit(1))).await {
                Ok(_) => found_some.notify_one(),
                Err(error) => {
                    tracing::warn!(%place, %error, "cannot list pairs");
                    missing.push(format!("{place}: {error}"));
                }
            }
        }
        if missing.is_empty() {
            return readiness.found(CRD);
        }
        readiness.missing(CRD, format!("{}; install the operator's CRD, and let it list pairs", missing.join("; ")));
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Leads, loses the lead, leads again, until told to stop. To lose the lead is to drop everything at once, in the middle
/// of whatever is being done: the next leader goes on from the pairs' statuses.
async fn lead_forever(
    client: &Client,
    options: &Options,
    clocks: &Arc<LeaseClocks>,
    changed: &broadcast::Sender<PairKey>,
    shown: (&Exporter, &Live),
    mut stop: Pin<&mut impl Future<Output = ()>>,
) {
    let mut candidate = Candidate::new(Api::namespaced(client.clone(), &options.leader_namespace), &options.identity);
    loop {
        let mut term = tokio::select! {
            term = candidate.campaign() => term,
            () = &mut stop => return,
        };
        tokio::select! {
            () = candidate.hold(&mut term) => tracing::warn!("lost the lead"),
            () = look_after_pairs(client, options, clocks, changed, shown) => {
                tracing::error!("the controller ended by itself; starting it again");
            }
            () = &mut stop => {
                candidate.release(term).await;
                return;
            }
        }
    }
}

/// Looks after all pairs for as long as it is polled.
async fn look_after_pairs(
    client: &Client,
    options: &Options,
    clocks: &Arc<LeaseClocks>,
    changed: &broadcast::Sender<PairKey>,
    shown: (&Exporter, &Live),
) {
    let (stores, work): (Vec<_>, Vec<_>) = places(&options.namespaces)
        .iter()
        .map(|place| look_after_place(client, options, place, clocks, changed.subscribe(), shown))
        .unzip();
    let _shown = shown.0.show(stores);
    // When one ends all begin anew.
    select_all(work).await;
}

/// The pairs of one place, and the work on them.
fn look_after_place(
    client: &Client,
    options: &Options,
    place: &Place,
    clocks: &Arc<LeaseClocks>,
    changed: broadcast::Receiver<PairKey>,
    (exporter, live): (&Exporter, &Live),
) -> (Store<Guarded>, BoxFuture<'static, ()>) {
    let of_pairs = api_server::watch().labels(PAIR_LABEL);
    let (pods, pods_writer) = reflector::store();
    let (stateful_sets, stateful_sets_writer) = reflector::store();
    let pod_events = watcher(place.api::<Pod>(client), of_pairs.clone())
        .backoff(api_server::backoff())
        .reflect(pods_writer)
        .touched_objects();
    let stateful_set_events = watcher(place.api::<StatefulSet>(client), of_pairs.clone())
        .backoff(api_server::backoff())
        .reflect(stateful_sets_writer)
        .touched_objects();
    let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(options.identity.clone()) };
    let context = Arc::new(Context {
        client: client.clone(),
        operator_image: options.operator_image.clone(),
        recorder: Recorder::new(client.clone(), reporter),
        leases: Arc::clone(clocks),
        reports: Reports::new(),
        pods,
        stateful_sets,
        memory: Memory::default(),
        counters: exporter.counters.clone(),
        live: live.clone(),
    });
    let controller =
        Controller::new(place.api::<Guarded>(client), api_server::watch()).trigger_backoff(api_server::backoff());
    let store = controller.store();
    let work = controller
        .owns(place.api::<Service>(client), of_pairs)
        .owns_stream(stateful_set_events)
        .watches_stream(pod_events, |pod: Pod| pair_of(&pod))
        .reconcile_on(pairs_of(changed))
        .run(reconcile, on_error, context)
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "reconciliation");
            }
            std::future::ready(())
        });
    (store, work.boxed())
}

/// The pair that an object with the pair's label belongs to.
fn pair_of(object: &impl kube::ResourceExt) -> Option<ObjectRef<Guarded>> {
    let pair = object.labels().get(PAIR_LABEL)?;
    Some(ObjectRef::new(pair).within(&object.namespace()?))
}

/// The pairs whose Lease changed hands.
fn pairs_of(changed: broadcast::Receiver<PairKey>) -> impl futures::Stream<Item = ObjectRef<Guarded>> + Send {
    stream::unfold(changed, |mut changed| async move {
        loop {
            match changed.recv().await {
                Ok((namespace, name)) => return Some((ObjectRef::new(&name).within(&namespace), changed)),
                // Missed some; each pair is looked at once a second anyway.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
}
