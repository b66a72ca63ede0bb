//! Serves `/metrics`.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use kube::{ResourceExt as _, runtime::reflector::Store};

use super::reconcile::Guarded;
use crate::metrics::{self, Counters, PairView};

/// What `/metrics` is made from.
#[derive(Clone, Default)]
pub(crate) struct Exporter {
    pub(crate) counters: Counters,
    /// The pairs that this controller watches while it leads, by place.
    pairs: Arc<Mutex<Option<Vec<Store<Guarded>>>>>,
}

/// Shows pairs until it is dropped.
pub(crate) struct Shown(Exporter);

impl Exporter {
    /// Shows these pairs for as long as the answer is kept.
    pub(crate) fn show(&self, pairs: Vec<Store<Guarded>>) -> Shown {
        *self.pairs.lock().unwrap_or_else(PoisonError::into_inner) = Some(pairs);
        Shown(self.clone())
    }

    pub(crate) fn router(self) -> Router {
        Router::new().route("/metrics", get(page)).with_state(self)
    }

    /// Whether this controller leads.
    pub(crate) fn leads(&self) -> bool {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn views(&self) -> Option<Vec<PairView>> {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(pairs.iter().flat_map(Store::state).filter_map(|pair| view(&pair)).collect())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        *self.0.pairs.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A pair that cannot be read has no status either; the log and an event tell of it.
fn view(pair: &Guarded) -> Option<PairView> {
    let pair = pair.0.as_ref().ok()?;
    let status = pair.status.clone().unwrap_or_default();
    let (namespace, name) = (pair.namespace().unwrap_or_default(), pair.name_any());
    Some(PairView { namespace, name, spec: pair.spec.clone(), status })
}

async fn page(State(exporter): State<Exporter>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::page(&exporter.counters, exporter.views()))
}
