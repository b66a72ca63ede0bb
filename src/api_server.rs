//! How the API server is reached and watched: a watch that failed begins anew soon, and one that is silent is not believed for long.
//!
//! The defaults of the client are kind to an API server that struggles: they wait for up to 30 s, for a connection as well, and notice one that
//! leads nowhere after five minutes. A member that does not hear its order for so long is not promoted.

use std::{collections::BTreeSet, time::Duration};

use backon::ExponentialBuilder;
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Config, Resource,
    runtime::watcher::{self, ExponentialBackoff},
};

/// How long a connection may take, where packets vanish. Within a cluster it takes a millisecond.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before a watch that failed begins anew, the first time; then ever longer, up to [`LONGEST_PAUSE`], and as much again at random.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause, without the random part.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so long a watch is begun anew whatever came, in seconds. The client believes a silent one for 5 s more.
const RENEWAL_SECONDS: u32 = 5;

/// A client of the API server that KUBECONFIG names, or of the one of the cluster that this runs in.
///
/// # Errors
/// When there is no such configuration, or it cannot be used.
pub(crate) async fn client() -> kube::Result<Client> {
    let mut config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config)
}

/// One place to look for pairs in: a namespace, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(Option<String>);

/// The places that these namespaces are, each once; without any, all namespaces are one place.
pub(crate) fn places(namespaces: &[String]) -> Vec<Place> {
    let each_once: BTreeSet<_> = namespaces.iter().cloned().collect();
    if each_once.is_empty() { vec![Place(None)] } else { each_once.into_iter().map(|name| Place(Some(name))).collect() }
}

impl Place {
    /// The objects of one kind in this place.
    pub(crate) fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.0 {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(namespace) => write!(f, "namespace {namespace}"),
            None => f.write_str("all namespaces"),
        }
    }
}

/// A watch of everything; to be narrowed.
pub(crate) fn watch() -> watcher::Config {
    watcher::Config::default().timeout(RENEWAL_SECONDS)
}

/// The pauses between tries.
pub(crate) fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_named_twice_is_looked_after_once() {
        let shown = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            places(&names).iter().map(Place::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown(&["b", "a", "b"]), ["namespace a", "namespace b"]);
        assert_eq!(shown(&[]), ["all namespaces"]);
    }

    #[test]
    fn however_long_the_api_server_was_away_the_next_try_comes_soon() {
        let pauses: Vec<_> = backoff().take(1000).collect();
        assert_eq!(pauses.len(), 1000, "it never gives up");
        assert!(pauses.iter().all(|pause| *pause <= 2 * LONGEST_PAUSE), "{pauses:?}");
    }
}
