//! How objects are watched in the API server: a watch that failed begins anew soon, and one that is silent is not believed for long.
//!
//! The defaults of the client are kind to an API server that struggles: they wait for up to 30 s, and notice a connection that leads nowhere
//! after five minutes. A member that does not hear its order for so long is not promoted.

use std::time::Duration;

use backon::ExponentialBuilder;
use kube::runtime::watcher::{self, ExponentialBackoff};

/// Pause before a watch that failed begins anew, the first time; then ever longer, up to [`LONGEST_PAUSE`], and as much again at random.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause, without the random part.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so long a watch is begun anew whatever came, in seconds. The client believes a silent one for 5 s more.
const RENEWAL_SECONDS: u32 = 5;

/// A watch of everything; to be narrowed.
pub(crate) fn config() -> watcher::Config {
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
    fn however_long_the_api_server_was_away_the_next_try_comes_soon() {
        let pauses: Vec<_> = backoff().take(1000).collect();
        assert_eq!(pauses.len(), 1000, "it never gives up");
        assert!(pauses.iter().all(|pause| *pause <= 2 * LONGEST_PAUSE), "{pauses:?}");
    }
}
