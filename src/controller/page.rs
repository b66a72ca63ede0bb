//! Serves the page of [`crate::page`]: every replica does, from its own watches; the one that leads adds what it heard a second ago.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{StreamExt as _, future::join_all};
use jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, Store},
        watcher,
    },
};

use super::{
    exporter::Exporter,
    leases::{LeaseClocks, PairKey},
    reconcile::Guarded,
};
use crate::{
    api::{KuduMasterPair, PairStatus},
    api_server,
    failover::{bounds::HEARD, observation::Observation, overview},
    page::{self, Seen, Server},
    plugin::Look,
};

/// A page that could not be served is tried again after so long.
const LISTEN_AGAIN: Duration = Duration::from_secs(10);

/// Where the page is served, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageListen(Option<SocketAddr>);

impl FromStr for PageListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| {
            "it has to be ADDRESS:PORT with the address of an interface, as in 127.0.0.1:8063, or off".to_owned()
        })?;
        Ok(Self(Some(address)))
    }
}

/// What the leader saw of each pair at its last look: newer numbers than the status, which is not written for every one.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<Mutex<HashMap<PairKey, (PairStatus, Instant)>>>);

impl Live {
    pub(crate) fn saw(&self, key: &PairKey, seen: &Observation) {
        let status = seen.pair.status.clone().unwrap_or_default();
        let shown = overview::complete(seen, status, None);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), (shown, Instant::now()));
    }

    pub(crate) fn forget(&self, key: &PairKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Brings the numbers of a status up to date.
    fn refresh(&self, key: &PairKey, status: &mut PairStatus) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, _)) = known.get(key).filter(|(_, at)| at.elapsed() <= HEARD) {
            status.members.clone_from(&seen.members);
            (status.lag, status.lag_sampled_at) = (seen.lag.clone(), seen.lag_sampled_at.clone());
        }
    }
}

/// What the page is made from.
#[derive(Clone)]
pub(crate) struct Page {
    identity: String,
    leases: Arc<LeaseClocks>,
    exporter: Exporter,
    live: Live,
    pairs: Vec<Store<Guarded>>,
    /// Whether only this machine reaches it.
    loopback: bool,
}

impl Page {
    pub(crate) fn new(identity: &str, leases: &Arc<LeaseClocks>, exporter: &Exporter, live: &Live) -> Self {
        Self {
            identity: identity.to_owned(),
            leases: Arc::clone(leases),
            exporter: exporter.clone(),
            live: live.clone(),
            pairs: Vec::new(),
            loopback: true,
        }
    }

    /// Watches the pairs of these places and serves the page for as long as it is polled, or not at all.
    pub(crate) async fn serve(mut self, listen: PageListen, places: Vec<Api<Guarded>>) {
        let PageListen(Some(address)) = listen else { return };
        self.loopback = address.ip().is_loopback();
        let mut watches = Vec::new();
        for place in places {
            let (store, writer) = reflector::store();
            self.pairs.push(store);
            let events = watcher(place, api_server::watch()).backoff(api_server::backoff()).reflect(writer);
            // Errors are logged by the watch of whoever leads, and the page says when it hears nothing.
            watches.push(events.for_each(|_| std::future::ready(())));
        }
        tokio::select! {
            _ = join_all(watches) => {}
            () = self.listen(address) => {}
        }
    }

    async fn listen(self, address: SocketAddr) {
        loop {
            let error = match tokio::net::TcpListener::bind(address).await {
                Ok(listener) => axum::serve(listener, self.clone().router()).await.err(),
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                tracing::error!(%address, %error, "cannot serve the page; free the address, or set --page-listen; trying again");
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    fn router(self) -> Router {
        let mut router = Router::new().route("/pairs.json", get(pairs));
        for file in page::FILES {
            router = router.route(file.path, get(async move || ([(header::CONTENT_TYPE, file.kind)], file.text)));
        }
        router.layer(middleware::from_fn_with_state(self.loopback, guard)).with_state(self)
    }

    fn view(&self) -> page::View {
        let now = Timestamp::now();
        let seen = self.pairs.iter().flat_map(Store::state).map(|pair| self.seen(&pair, now)).collect();
        let (leads, heard) = (self.exporter.leads(), self.leases.answered_ago());
        page::view(&Server { identity: self.identity.clone(), leads, heard }, seen)
    }

    fn seen(&self, pair: &Guarded, now: Timestamp) -> Seen {
        let (namespace, name) = (pair.namespace().unwrap_or_default(), pair.name_any());
        match &pair.0 {
            Err(invalid) => Seen::Unreadable { namespace, name, error: invalid.error.clone() },
            Ok(pair) => {
                let lease = self.leases.last(&namespace, &name);
                let mut pair: KuduMasterPair = pair.clone();
                if let Some(status) = &mut pair.status {
                    self.live.refresh(&(namespace, name), status);
                }
                Seen::Pair(Box::new(Look { pair, lease, now }))
            }
        }
    }
}

async fn pairs(State(page): State<Page>) -> Json<page::View> {
    Json(page.view())
}

/// Refuses names of other hosts, and says the headers with every answer.
async fn guard(State(loopback): State<bool>, request: Request, next: Next) -> Result<Response, Infallible> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = if loopback && !page::answers_to(host) {
        (StatusCode::MISDIRECTED_REQUEST, "this page is for localhost; open http://localhost:PORT/\n").into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in page::HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_served_at_an_address_or_not_at_all() {
        let listen = |text: &str| text.parse::<PageListen>().map(|PageListen(address)| address);
        assert_eq!(listen("off").unwrap(), None);
        assert_eq!(listen("[::1]:80").unwrap(), Some("[::1]:80".parse().unwrap()));
        for refused in ["", "8063", ":8063", "localhost:8063", "127.0.0.1", "127.0.0.1:65536", "none"] {
            let why = listen(refused).unwrap_err();
            assert!(why.contains("ADDRESS:PORT") && why.contains("off"), "{refused:?}: {why}");
        }
    }
}
