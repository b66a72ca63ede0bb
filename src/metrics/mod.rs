//! What the controller tells a Prometheus: the text of `/metrics`, in the format OpenMetrics 1.0.
//!
//! What pairs are like is read from their statuses at each scrape ([`pairs`]), so that it is the same with any controller; what this
//! process did is counted ([`counters`]). `docs/metrics.md` lists all of it, and a test compares the two.

mod counters;
mod pairs;

pub use counters::Counters;
pub use pairs::PairView;
use pairs::Pairs;
use prometheus_client::{encoding::text, registry::Registry};

/// Value of the header `Content-Type` of a [`page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every name begins with it.
const PREFIX: &str = "kudupair";

/// Labels of a sample: names and values.
type Labels = Vec<(&'static str, String)>;

/// The whole page. `pairs` is absent in a controller that does not lead: it knows nothing of them.
pub fn page(counters: &Counters, pairs: Option<Vec<PairView>>) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    counters.register(&mut registry, pairs.is_some());
    registry.register_collector(Box::new(Pairs(pairs.unwrap_or_default())));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("a String takes everything");
    page
}

#[cfg(test)]
mod tests;
