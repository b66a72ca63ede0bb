//! Puts the controller together and runs it.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{Pod, Service},
    },
};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    runtime::{
        Controller, WatchStreamExt as _,
        events::{Recorder, Reporter},
        reflector::{self, ObjectRef},
        watcher,
    },
};
use tokio::sync::broadcast;

use super::{
    context::{Context, Memory},
    error::{Error, within},
    exporter::Exporter,
    health::{self, Readiness},
    leader::Candidate,
    leases::{self, LeaseClocks, PairKey},
    reconcile::{Guarded, on_error, reconcile},
    report::Reports,
};
use crate::{
    api::names::{FIELD_MANAGER, PAIR_LABEL},
    api_server,
};

/// How a controller runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace whose pairs it looks after; none for all.
    pub namespace: Option<String>,
    /// This operator's image, which members take the launcher and the sidecar from.
    pub operator_image: String,
    /// Namespace of the controllers' own Lease.
    pub leader_namespace: String,
    /// Name of this replica among the controllers.
    pub identity: String,
    /// Where `/health`, `/ready` and `/metrics` are served.
    pub health_listen: SocketAddr,
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
    let leases = leases::watch(scoped(&client, &options), &clocks, changed.clone());
    let mut stop = pin!(stop);
    let work = async {
        tokio::select! {
            () = wait_for_crd(&client, &options, &readiness) => {}
            () = &mut stop => return,
        }
        lead_forever(&client, &options, &clocks, &changed, &exporter, stop).await;
    };
    tokio::select! {
        result = health::serve(options.health_listen, readiness.clone(), exporter.clone().router()) => result,
        () = leases => Ok(()),
        () = work => Ok(()),
    }
}

fn scoped<K>(client: &Client, options: &Options) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match &options.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Waits until pairs can be listed, and says on `/ready` why they cannot.
async fn wait_for_crd(client: &Client, options: &Options, readiness: &Readiness) {
    let pairs: Api<Guarded> = scoped(client, options);
    loop {
        match within(LOOK_AGAIN, "list pairs", pairs.list(&ListParams::default().limit(1))).await {
            Ok(_) => return readiness.found(CRD),
            Err(error) => {
                tracing::warn!(%error, "cannot list pairs");
                readiness.missing(CRD, format!("{error}; install the operator's CRD, and let it list pairs"));
            }
        }
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
    exporter: &Exporter,
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
            () = look_after_pairs(client, options, clocks, changed.subscribe(), exporter) => {
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
    changed: broadcast::Receiver<PairKey>,
    exporter: &Exporter,
) {
    let of_pairs = api_server::watch().labels(PAIR_LABEL);
    let (pods, pods_writer) = reflector::store();
    let (stateful_sets, stateful_sets_writer) = reflector::store();
    let pod_events = watcher(scoped::<Pod>(client, options), of_pairs.clone())
        .backoff(api_server::backoff())
        .reflect(pods_writer)
        .touched_objects();
    let stateful_set_events = watcher(scoped::<StatefulSet>(client, options), of_pairs.clone())
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
    });
    let controller =
        Controller::new(scoped::<Guarded>(client, options), api_server::watch()).trigger_backoff(api_server::backoff());
    let _shown = exporter.show(controller.store());
    controller
        .owns(scoped::<Service>(client, options), of_pairs)
        .owns_stream(stateful_set_events)
        .watches_stream(pod_events, |pod: Pod| pair_of(&pod))
        .reconcile_on(pairs_of(changed))
        .run(reconcile, on_error, context)
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "reconciliation");
            }
            std::future::ready(())
        })
        .await;
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
