//! Members' reports, asked for over HTTP and kept with their age.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{
    api::names::REPORT_PORT,
    failover::{member::MemberReport, observation::Heard},
};

/// A member that does not answer within this does not answer.
const ANSWER: Duration = Duration::from_millis(400);
/// A report is a few hundred bytes for each member.
const MAX_REPORT_BYTES: usize = 256 * 1024;

/// A pod that may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// The pair's name.
    pub(crate) pair: String,
    /// The pod's name, which is the member's.
    pub(crate) member: String,
    /// The pod's uid; what an earlier pod of the same name said does not count.
    pub(crate) uid: String,
    /// Where it is.
    pub(crate) address: IpAddr,
}

/// What every member said last.
#[derive(Clone)]
pub(crate) struct Reports {
    http: Client<HttpConnector, Empty<Bytes>>,
    port: u16,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

/// What is known of one pod, by its uid.
#[derive(Default)]
struct Known {
    /// The last report, and when it was asked for: it says how the member was at some time after that, and perhaps before the
    /// answer came. A choice counts only what was said after the fence.
    last: Option<(MemberReport, Instant)>,
    asking: bool,
    silent: bool,
    wanted: Option<Instant>,
}

impl Reports {
    pub(crate) fn new() -> Self {
        Self::on_port(u16::try_from(REPORT_PORT).unwrap_or_default())
    }

    fn on_port(port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(ANSWER));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        Self { http, port, known: Arc::default() }
    }

    /// Asks all of them at once and returns when those have answered that answered last time. Whoever was silent is asked
    /// too, but not waited for: a dead node must not slow down each look at the living ones.
    pub(crate) async fn ask(&self, targets: &[Target]) {
        let mut awaited = FuturesUnordered::new();
        for target in targets {
            let Some(was_silent) = self.begin(target) else { continue };
            let (this, target) = (self.clone(), target.clone());
            let asked = tokio::spawn(async move { this.ask_one(&target).await });
            if !was_silent {
                awaited.push(asked);
            }
        }
        while awaited.next().await.is_some() {}
        self.forget_old();
    }

    /// What this pod said last.
    pub(crate) fn heard(&self, uid: &str) -> Option<Heard> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (report, at) = known.get(uid)?.last.as_ref()?;
        Some(Heard { report: report.clone(), ago: at.elapsed() })
    }

    /// Whether to ask, and whether the pod was silent last time; never two questions at once.
    fn begin(&self, target: &Target) -> Option<bool> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(target.uid.clone()).or_default();
        known.wanted = Some(Instant::now());
        (!std::mem::replace(&mut known.asking, true)).then_some(known.silent)
    }

    async fn ask_one(&self, target: &Target) {
        let asked = Instant::now();
        let answer = tokio::time::timeout(ANSWER, self.get(target)).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(target.uid.clone()).or_default();
        known.asking = false;
        match answer {
            Ok(Ok(report)) => {
                known.silent = false;
                known.last = Some((report, asked));
            }
            Ok(Err(error)) => {
                known.silent = true;
                tracing::debug!(member = target.member, %error, "no report");
            }
            Err(_) => {
                known.silent = true;
                tracing::debug!(member = target.member, "no report in time");
            }
        }
    }

    async fn get(&self, target: &Target) -> Result<MemberReport, ReportError> {
        let uri = format!("http://{}/report", std::net::SocketAddr::new(target.address, self.port));
        let request = Request::get(uri).body(Empty::new())?;
        let response = self.http.request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(ReportError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_REPORT_BYTES).collect().await.map_err(ReportError::Body)?;
        let report: MemberReport = serde_json::from_slice(&body.to_bytes())?;
        if report.pair == target.pair
            && report.member == target.member
            && pod_uid(&report.identity) == Some(&target.uid)
        {
            Ok(report)
        } else {
            Err(ReportError::Stranger { pair: report.pair, identity: report.identity })
        }
    }

    fn forget_old(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.asking || known.wanted.is_some_and(|at| at.elapsed() < Duration::from_secs(60)));
    }
}

/// The pod's uid in an identity `<pod>/<pod uid>/<launcher instance>`.
fn pod_uid(identity: &str) -> Option<&str> {
    identity.split('/').nth(1)
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("bad request: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("cannot ask: {0}")]
    Ask(#[from] hyper_util::client::legacy::Error),
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("broke off: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no report: {0}")]
    Json(#[from] serde_json::Error),
    #[error("somebody else answers there: {identity} of pair {pair}")]
    Stranger { pair: String, identity: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn serve(identity: &'static str, delay: Duration) -> u16 {
        let report = serde_json::json!({
            "pair": "demo", "member": "demo-0", "identity": identity, "epoch": 1, "role": "Standby", "state": "Streaming",
            "hasCatalog": true, "head": "1000000.5", "standbys": [], "masterStopped": true
        });
        let app = axum::Router::new().route(
            "/report",
            axum::routing::get(move || async move {
                tokio::time::sleep(delay).await;
                axum::Json(report)
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    }

    fn target() -> Target {
        let address = IpAddr::from([127, 0, 0, 1]);
        Target { pair: "demo".to_owned(), member: "demo-0".to_owned(), uid: "u1".to_owned(), address }
    }

    #[tokio::test]
    async fn keeps_what_a_member_says() {
        let reports = Reports::on_port(serve("demo-0/u1/i", Duration::ZERO).await);
        reports.ask(&[target()]).await;
        assert_eq!(reports.heard("u1").unwrap().report.head.unwrap().index, 5);
    }

    #[tokio::test]
    async fn a_report_is_as_old_as_the_question() {
        let delay = Duration::from_millis(200);
        let reports = Reports::on_port(serve("demo-0/u1/i", delay).await);
        reports.ask(&[target()]).await;
        assert!(reports.heard("u1").unwrap().ago >= delay, "it may have been made before whatever happened meanwhile");
    }

    #[tokio::test]
    async fn an_answer_of_another_pod_at_the_same_address_does_not_count() {
        let reports = Reports::on_port(serve("demo-0/another/i", Duration::ZERO).await);
        reports.ask(&[target()]).await;
        assert!(reports.heard("u1").is_none());
    }

    #[tokio::test]
    async fn a_silent_member_is_waited_for_once_only() {
        let reports = Reports::on_port(serve("demo-0/u1/i", Duration::from_secs(10)).await);
        let first = Instant::now();
        reports.ask(&[target()]).await;
        assert!(first.elapsed() >= ANSWER);
        let second = Instant::now();
        reports.ask(&[target()]).await;
        assert!(second.elapsed() < ANSWER / 2);
    }
}
