//! The page that controllers serve: what it shows of all pairs, in the order in which somebody should look at them, and its files.
//!
//! Everything that needs a rule is decided and worded here, by the rules of the plugin; the browser lays it out and keeps the lags that it
//! has seen. There is nothing on it that changes anything. `controller::page` serves it.

mod files;
mod pair;
#[cfg(test)]
mod tests;

use std::{cmp::Reverse, time::Duration};

use serde::Serialize;

pub(crate) use files::{FILES, HEADERS, answers_to};
use pair::PairCard;

use crate::plugin::Look;

/// Whoever serves the page.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Name of this controller.
    pub(crate) identity: String,
    /// Whether it is the one that acts.
    pub(crate) leads: bool,
    /// How long ago the API server answered it; none when it never did.
    pub(crate) heard: Option<Duration>,
}

/// A pair as the API server keeps it.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// As it was read.
    Pair(Box<Look>),
    /// It cannot be read.
    Unreadable {
        /// Where it is.
        namespace: String,
        /// The pair.
        name: String,
        /// Why.
        error: String,
    },
}

/// What the page shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    identity: String,
    version: &'static str,
    leads: bool,
    /// What makes all of it mean less than it seems to.
    warnings: Vec<String>,
    pairs: Vec<PairCard>,
}

/// How much somebody has to look at a pair; the greatest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Urgency {
    /// As it should be, or beside the point.
    Good,
    /// Worth a look.
    Attention,
    /// Somebody has to act.
    Bad,
}

/// The API server is asked every second; after so long without an answer what is shown is old.
const OLD: Duration = Duration::from_secs(5);

/// All pairs, problems first.
pub(crate) fn view(server: &Server, seen: Vec<Seen>) -> View {
    let mut pairs: Vec<_> = seen.iter().map(PairCard::of).collect();
    pairs.sort_by_cached_key(|pair| (Reverse(pair.urgency), pair.namespace.clone(), pair.name.clone()));
    let old = match server.heard {
        Some(heard) if heard < OLD => None,
        Some(heard) => Some(format!(
            "This controller has not reached the API server for {}. What is below is as old.",
            crate::plugin::span(heard)
        )),
        None => Some(
            "This controller has not reached the API server yet. If that does not change, see its log and its rights."
                .to_owned(),
        ),
    };
    View {
        identity: server.identity.clone(),
        version: env!("CARGO_PKG_VERSION"),
        leads: server.leads,
        warnings: old.into_iter().collect(),
        pairs,
    }
}
