//! What controllers and sidecars tell a Prometheus: the text of `/metrics`, in the format OpenMetrics 1.0.
//!
//! What pairs are like is read from their statuses at each scrape ([`pairs`]), so that it is the same with any controller; what a
//! member's sidecar alone knows it tells itself ([`member`]); what a process did is counted ([`counters`]). `docs/metrics.md` lists
//! all of it, and a test compares the two.

mod counters;
mod gauge;
mod member;
mod pairs;

pub use counters::{Counters, MemberCounters};
pub use member::{MemberView, Volume};
pub use pairs::PairView;
use pairs::Pairs;
use prometheus_client::{encoding::text, registry::Registry};

/// Value of the header `Content-Type` of a [`page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every name begins with it.
const PREFIX: &str = "kudupair";
/// Every name of a sidecar's begins with it.
const SIDECAR_PREFIX: &str = "kudupair_sidecar";

/// Labels of a sample: names and values.
type Labels = Vec<(&'static str, String)>;

/// The whole page of a controller. `pairs` is absent in a controller that does not lead: it knows nothing of them.
pub fn page(counters: &Counters, pairs: Option<Vec<PairView>>) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    counters.register(&mut registry, pairs.is_some());
    registry.register_collector(Box::new(Pairs(pairs.unwrap_or_default())));
    encoded(&registry)
}

/// The whole page of a sidecar.
pub fn member_page(counters: &MemberCounters, member: MemberView) -> String {
    let labels = [("pair", member.report.pair.clone()), ("member", member.report.member.clone())];
    let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into()));
    let mut registry = Registry::with_prefix_and_labels(SIDECAR_PREFIX, labels);
    counters.register(&mut registry);
    registry.register_collector(Box::new(member));
    encoded(&registry)
}

fn encoded(registry: &Registry) -> String {
    let mut page = String::new();
    text::encode(&mut page, registry).expect("a String takes everything");
    page
}

#[cfg(test)]
mod tests;
