//! Watches where the pairs' Services lead and carries out what is planned.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use futures::{
    FutureExt as _, Stream, StreamExt as _,
    stream::{self, select_all},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{core::v1::Service, discovery::v1::EndpointSlice},
};
use kube::{
    Client, Resource,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, Store},
        watcher,
    },
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    limits,
    plan::{End, Plan, Report, Route, pause},
    routes::routes,
    sweep::sweep,
};
use crate::{
    api::names::PAIR_LABEL,
    api_server::{self, Place, places},
    controller::{
        Error,
        health::{self, Readiness},
    },
};

/// How an agent runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespaces whose pairs it looks after; none for all.
    pub namespaces: Vec<String>,
    /// Where `/health` and `/ready` are served.
    pub health_listen: SocketAddr,
}

/// Names under which readiness speaks.
const ROUTES: &str = "Services and EndpointSlices";
const FLOWS: &str = "connection tracking";
/// How long to wait when the kernel does not do what it is asked.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Runs until stopped.
///
/// # Errors
/// When it cannot listen.
pub async fn run(client: Client, options: Options, stop: CancellationToken) -> Result<(), Error> {
    let readiness = Readiness::default();
    readiness.missing(ROUTES, "not listed yet");
    for limit in limits::limits() {
        tracing::warn!("{limit}");
    }
    tokio::select! {
        result = health::serve(options.health_listen, readiness.clone(), Router::new()) => result,
        () = follow(&client, &options, &readiness) => Ok(()),
        () = stop.cancelled() => Ok(()),
    }
}

async fn follow(client: &Client, options: &Options, readiness: &Readiness) {
    let (watched, changes): (Vec<_>, Vec<_>) =
        places(&options.namespaces).iter().map(|place| Watched::new(client, place)).unzip();
    let mut changes = select_all(changes);
    let (begun, mut plan) = (Instant::now(), Plan::default());
    let mut next = Instant::now();
    loop {
        let idle = plan.addresses().is_empty();
        tokio::select! {
            change = changes.next() => {
                if change.is_none() {
                    return;
                }
                let known: Vec<_> = watched.iter().map(Watched::routes).collect();
                if known.iter().all(Option::is_some) {
                    readiness.found(ROUTES);
                }
                // A namespace that may not be read must not keep the pairs of the others waiting.
                if known.iter().any(Option::is_some) {
                    let before = plan.addresses();
                    plan.see(known.into_iter().flatten().flatten().collect(), begun.elapsed()).iter().for_each(tell);
                    if plan.addresses() != before {
                        next = Instant::now();
                    }
                }
            }
            () = sleep_until(next), if !idle => next = Instant::now() + look(&mut plan, begun, readiness).await,
        }
    }
}

/// The pairs' Services and EndpointSlices of one place, kept up to date for as long as its changes are polled.
struct Watched {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
}

impl Watched {
    /// With an item for each change.
    fn new(client: &Client, place: &Place) -> (Self, impl Stream<Item = ()> + Unpin + use<>) {
        let (services, service_changes) = watch::<Service>(client, place);
        let (slices, slice_changes) = watch::<EndpointSlice>(client, place);
        (Self { services, slices }, stream::select(service_changes, slice_changes))
    }

    /// Where the Services lead; none before both kinds have been listed.
    fn routes(&self) -> Option<Vec<Route>> {
        self.services.wait_until_ready().now_or_never()?.ok()?;
        self.slices.wait_until_ready().now_or_never()?.ok()?;
        Some(routes(&self.services.state(), &self.slices.state()))
    }
}

/// One kind of the pairs' objects, kept up to date for as long as the stream is polled; an item for each change.
fn watch<K>(client: &Client, place: &Place) -> (Store<K>, impl Stream<Item = ()> + Unpin + use<K>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let events = watcher(place.api::<K>(client), api_server::watch().labels(PAIR_LABEL)).backoff(api_server::backoff());
    let place = place.clone();
    let changes = events.reflect(writer).map(move |event| {
        if let Err(error) = event {
            tracing::warn!(%place, %error, "cannot watch {}; trying again", K::plural(&()));
        }
    });
    (store, Box::pin(changes))
}

/// Looks at the flows once and does what that calls for; says how long to wait before the next time.
async fn look(plan: &mut Plan, begun: Instant, readiness: &Readiness) -> Duration {
    let (mut planned, before) = (std::mem::take(plan), Instant::now());
    let done = spawn_blocking(move || {
        let ended = sweep(&mut planned, begun.elapsed());
        (planned, ended)
    });
    let ended = match done.await {
        Ok((planned, ended)) => {
            *plan = planned;
            ended
        }
        Err(error) => Err(std::io::Error::other(error)),
    };
    match ended {
        Ok(ended) => {
            readiness.found(FLOWS);
            ended.iter().for_each(tell);
            pause(before.elapsed())
        }
        Err(error) => {
            tracing::warn!(%error, "cannot look at this node's flows, or delete one; trying again");
            readiness.missing(FLOWS, format!("{error}; see the log for what to do"));
            TRY_AGAIN
        }
    }
}

fn tell(report: &Report) {
    let Report { route, connections, deletions, tickles, last_deletion_after, end } = report;
    let (namespace, pair) = &route.pair;
    let active = &route.active;
    let last_deletion_ms = last_deletion_after.as_millis();
    match end {
        End::Quiet => {
            tracing::info!(namespace, pair, active, connections, deletions, tickles, last_deletion_ms, "cut over")
        }
        End::Superseded => tracing::info!(
            namespace,
            pair,
            active,
            connections,
            deletions,
            tickles,
            last_deletion_ms,
            "cut over, until the Service led elsewhere"
        ),
        End::GaveUp => tracing::warn!(
            namespace,
            pair,
            active,
            connections,
            deletions,
            tickles,
            last_deletion_ms,
            "flows to an earlier active come back for two minutes now: left alone; does kube-proxy run on this node?"
        ),
    }
}
