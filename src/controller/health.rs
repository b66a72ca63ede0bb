//! `/health`: the process runs. `/ready`: nothing is missing, or what.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::error::Error;

/// What is missing for the controller to do its work.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Readiness {
    /// This is missing, and what to do about it.
    pub fn missing(&self, what: &'static str, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what, why.into());
    }

    /// This is not missing any more.
    pub fn found(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    /// What is missing, a line each; none when nothing is.
    pub fn report(&self) -> Option<String> {
        let missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<_> = missing.iter().map(|(what, why)| format!("{what}: {why}\n")).collect();
        (!lines.is_empty()).then(|| lines.concat())
    }
}

/// Serves the two pages, and `more`, for as long as it is polled.
pub async fn serve(address: SocketAddr, readiness: Readiness, more: Router) -> Result<(), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    axum::serve(listener, router(readiness).merge(more)).await.map_err(failed)
}

fn router(readiness: Readiness) -> Router {
    Router::new().route("/health", get(async || "ok\n")).route("/ready", get(ready)).with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.report() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_names_what_is_missing() {
        let readiness = Readiness::default();
        readiness.missing("CustomResourceDefinition", "install the chart's crds/");
        let (code, text) = ready(State(readiness.clone())).await;
        assert_eq!(
            (code, text.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "CustomResourceDefinition: install the chart's crds/\n")
        );
        readiness.found("CustomResourceDefinition");
        assert_eq!(ready(State(readiness)).await.0, StatusCode::OK);
    }
}
