//! What stands between a controller and the API server: it passes everything on, and can stop the controller, or let others be
//! first, at each of its writes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use k8s_openapi::api::{apps::v1::StatefulSet, coordination::v1::Lease, core::v1::Service};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use kudu_pair::api::{KuduMasterPair, names};
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpListener;

use super::{members::PAIR, replicas::Replicas};

/// A dead replica is started again after so long, so that the other one leads meanwhile.
const AWAY: Duration = Duration::from_secs(1);
/// A frozen leader's write is held until the other replica has written the status, or for so long.
const FROZEN: Duration = Duration::from_secs(3);

/// What happens at the writes of a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// The leader is killed before the write reaches the API server, and the next time after it was done and before the answer.
    Kill,
    /// The leader is frozen, the write held, another one leads and goes on; then the write arrives and the leader is thawed.
    Freeze,
    /// Somebody else changes the same object just before, and the next time just after.
    Interfere,
}

/// A write of a stale leader and what the API server said to it.
#[derive(Debug, Clone)]
pub(crate) struct Stale {
    pub(crate) at: String,
    pub(crate) answer: StatusCode,
}

/// The trouble of one pair.
pub(crate) struct Troubles {
    trouble: Trouble,
    armed: AtomicBool,
    admin: Client,
    namespace: String,
    replicas: Mutex<Option<Arc<Replicas>>>,
    seen: Mutex<BTreeMap<String, u32>>,
    stale: Mutex<Vec<Stale>>,
    busy: tokio::sync::Mutex<()>,
}

impl Troubles {
    pub(crate) fn new(trouble: Trouble, admin: Client, namespace: &str) -> Arc<Self> {
        Arc::new(Self {
            trouble,
            armed: AtomicBool::new(false),
            admin,
            namespace: namespace.to_owned(),
            replicas: Mutex::default(),
            seen: Mutex::default(),
            stale: Mutex::default(),
            busy: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn reach(&self, replicas: Arc<Replicas>) {
        *self.replicas.lock().expect("no panic") = Some(replicas);
    }

    /// From now on there is trouble, or none any more.
    pub(crate) fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::SeqCst);
    }

    /// At which writes of which steps there was trouble, and how often.
    pub(crate) fn seen(&self) -> BTreeMap<String, u32> {
        self.seen.lock().expect("no panic").clone()
    }

    pub(crate) fn stale(&self) -> Vec<Stale> {
        self.stale.lock().expect("no panic").clone()
    }

    fn replicas(&self) -> Arc<Replicas> {
        Arc::clone(self.replicas.lock().expect("no panic").as_ref().expect("they are there before they write"))
    }

    fn pairs(&self) -> Api<KuduMasterPair> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// The step that the pair is in, and the version that says so.
    async fn step(&self) -> (String, Option<String>) {
        let Ok(Some(pair)) = self.pairs().get_opt(PAIR).await else { return ("gone".to_owned(), None) };
        let version = pair.metadata.resource_version;
        let switch = pair.status.and_then(|status| status.switch);
        let step = switch.map_or_else(
            || "peace".to_owned(),
            |switch| format!("{:?} {:?} to {}", switch.kind, switch.step, switch.to.is_some()),
        );
        (step, version)
    }

    /// How often there was trouble at this write in this step before.
    fn count(&self, at: &str) -> u32 {
        let mut seen = self.seen.lock().expect("no panic");
        let count = seen.entry(at.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    async fn around(
        self: &Arc<Self>,
        replica: usize,
        write: &'static str,
        forward: impl Future<Output = Response>,
    ) -> Response {
        let quiet = self.trouble == Trouble::None || !self.armed.load(Ordering::SeqCst);
        // One trouble at a time.
        let Some(_busy) = (!quiet).then(|| self.busy.try_lock().ok()).flatten() else { return forward.await };
        let (step, version) = self.step().await;
        let at = format!("{step}: {write}");
        match (self.trouble, self.count(&at)) {
            (Trouble::Kill, 0) => {
                self.kill(replica).await;
                StatusCode::BAD_GATEWAY.into_response()
            }
            (Trouble::Kill, 1) => {
                let answer = forward.await;
                self.kill(replica).await;
                answer
            }
            (Trouble::Freeze, 0) => self.freeze(replica, at, version, forward).await,
            (Trouble::Interfere, 0) => {
                self.interfere(write).await;
                forward.await
            }
            (Trouble::Interfere, 1) => {
                let answer = forward.await;
                self.interfere(write).await;
                answer
            }
            _ => forward.await,
        }
    }

    async fn kill(self: &Arc<Self>, replica: usize) {
        let replicas = self.replicas();
        if !replicas.kill(replica) {
            return;
        }
        replicas.end_the_lead_of(replica).await;
        tokio::spawn(async move {
            tokio::time::sleep(AWAY).await;
            replicas.start(replica);
        });
    }

    async fn freeze(
        &self,
        replica: usize,
        at: String,
        version: Option<String>,
        forward: impl Future<Output = Response>,
    ) -> Response {
        let replicas = self.replicas();
        replicas.signal(replica, Signal::STOP);
        replicas.end_the_lead_of(replica).await;
        let begun = Instant::now();
        while begun.elapsed() < FROZEN && self.step().await.1 == version {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let answer = forward.await;
        self.stale.lock().expect("no panic").push(Stale { at, answer: answer.status() });
        replicas.signal(replica, Signal::CONT);
        answer
    }

    /// Changes the object that the controller is about to write, or has written.
    async fn interfere(&self, write: &str) {
        let params = PatchParams::default();
        let touch = Patch::Merge(
            json!({ "metadata": { "annotations": { "example.com/touched": fastrand::u64(..).to_string() } } }),
        );
        let result = match write {
            "status" => self.pairs().patch(PAIR, &params, &touch).await.map(drop),
            "Lease" => {
                let leases: Api<Lease> = Api::namespaced(self.admin.clone(), &self.namespace);
                leases.patch(&names::lease(PAIR), &params, &touch).await.map(drop)
            }
            "Service" => {
                let services: Api<Service> = Api::namespaced(self.admin.clone(), &self.namespace);
                let elsewhere =
                    Patch::Merge(json!({ "spec": { "selector": { names::POD_NAME_LABEL: "somebody-else" } } }));
                services.patch(PAIR, &params, &elsewhere).await.map(drop)
            }
            "StatefulSet" => {
                let stateful_sets: Api<StatefulSet> = Api::namespaced(self.admin.clone(), &self.namespace);
                stateful_sets.patch(PAIR, &params, &touch).await.map(drop)
            }
            _ => Ok(()),
        };
        match result {
            // It is not there yet.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => other.expect("an administrator may"),
        }
    }
}

/// Which of the writes that matter this is.
fn write_of(parts: &Parts, body: &[u8]) -> Option<&'static str> {
    let path = parts.uri.path();
    let last = path.rsplit('/').next()?;
    match parts.method {
        Method::PUT if path.ends_with("/status") => Some("status"),
        Method::PUT if path.contains("/leases/") && last == names::lease(PAIR) => Some("Lease"),
        Method::POST if last == "leases" => {
            let lease: serde_json::Value = serde_json::from_slice(body).ok()?;
            (lease["metadata"]["name"] == names::lease(PAIR).as_str()).then_some("Lease")
        }
        Method::PATCH if path.ends_with(&format!("/services/{PAIR}")) => Some("Service"),
        Method::PATCH if path.ends_with(&format!("/statefulsets/{PAIR}")) => Some("StatefulSet"),
        Method::DELETE if path.contains("/pods/") => Some("pod"),
        _ => None,
    }
}

#[derive(Clone)]
struct Door {
    replica: usize,
    upstream: Client,
    troubles: Arc<Troubles>,
}

/// Opens a replica's door to the API server, which it sees as `upstream` does.
pub(crate) async fn open(replica: usize, upstream: Client, troubles: Arc<Troubles>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = axum::Router::new().fallback(pass).with_state(Door { replica, upstream, troubles });
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn pass(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let write = write_of(&parts, &body);
    let forward = forward(door.upstream, parts, body.to_vec());
    // A request that has arrived is carried out, though whoever asked may be dead by then.
    let done = tokio::spawn(async move {
        match write {
            Some(write) => door.troubles.around(door.replica, write, forward).await,
            None => forward.await,
        }
    });
    done.await.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

async fn forward(upstream: Client, mut parts: Parts, body: Vec<u8>) -> Response {
    for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION, header::TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    match upstream.send(Request::from_parts(parts, kube::client::Body::from(body))).await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
