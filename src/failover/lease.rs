//! What the pair's Lease says, and for how long it has said so.

use std::time::Duration;

use super::bounds::LEASE_LOOK_GAP;
use crate::{api::SyncRecord, wal::OpId};

/// The pair's Lease as it was read just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSeen {
    /// The version that a fence has to replace.
    pub resource_version: String,
    /// Identity of the holder, `<pod>/<pod uid>/<launcher instance>`; none when nobody holds it.
    pub holder: Option<String>,
    /// The reign for which it may be held.
    pub epoch: i64,
    /// Last op in the log of the holder that released it, read after its kudu-master was dead.
    pub final_head: Option<OpId>,
    /// Which standbys have what its holder acknowledged; none when that acknowledges by itself.
    pub sync: Option<SyncRecord>,
    /// How long it lasts without a renewal, as its last holder wrote it; none before anybody held it.
    pub duration: Option<Duration>,
    /// For how long this very version has been seen, by the observer's own clock.
    pub unchanged_for: Duration,
}

impl LeaseSeen {
    /// The member that holds it.
    pub fn holder_member(&self) -> Option<&str> {
        self.holder.as_deref().and_then(|identity| identity.split('/').next())
    }

    /// Whether its holder gave it up, which it does only once its kudu-master is dead. The head that it leaves is the
    /// proof: a Lease without holder and without head may as well have been deleted and made anew under a running master.
    pub fn released(&self) -> bool {
        self.holder.is_none() && self.final_head.is_some()
    }

    /// The last op of the holder that gave it up. None also when that one had no log to read, as on an empty volume: then it proves
    /// nothing of what was acknowledged.
    pub fn last_op(&self) -> Option<OpId> {
        self.final_head.filter(|head| self.released() && head.index > 0)
    }

    /// Whether the one who held it last is dead: it released it, or could not renew it for the whole `duration` of the spec and
    /// for as long as the holder itself took it. The two differ after a change of the spec that the holder has not seen yet: its
    /// kudu-master lives by the older times.
    pub fn over(&self, duration: Duration) -> bool {
        self.left(duration).is_zero()
    }

    /// How long it lasts yet, unless it is renewed; zero when it is over.
    pub fn left(&self, duration: Duration) -> Duration {
        let lasts = self.duration.map_or(duration, |own| own.max(duration));
        if self.released() { Duration::ZERO } else { lasts.saturating_sub(self.unchanged_for) }
    }
}

/// Counts for how long a Lease has been seen unchanged.
///
/// Never more than the true time since the version was first seen, so it never runs out too early; less after a time
/// without contact to the API server, in which the holder could not have renewed either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseClock {
    resource_version: String,
    unchanged: Duration,
    looked_at: Duration,
}

impl LeaseClock {
    /// Begins to count at the first sight, `at` by a clock that never steps.
    pub fn new(resource_version: &str, at: Duration) -> Self {
        Self { resource_version: resource_version.to_owned(), unchanged: Duration::ZERO, looked_at: at }
    }

    /// Takes another look into account and says for how long the Lease has been unchanged.
    pub fn look(&mut self, resource_version: &str, at: Duration) -> Duration {
        if self.resource_version == resource_version {
            self.unchanged += at.saturating_sub(self.looked_at).min(LEASE_LOOK_GAP);
            self.looked_at = self.looked_at.max(at);
        } else {
            *self = Self::new(resource_version, at);
        }
        self.unchanged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: Option<&str>, final_head: Option<OpId>, unchanged_ms: u64) -> LeaseSeen {
        LeaseSeen {
            resource_version: "1".to_owned(),
            holder: holder.map(str::to_owned),
            epoch: 1,
            final_head,
            sync: None,
            duration: None,
            unchanged_for: Duration::from_millis(unchanged_ms),
        }
    }

    #[test]
    fn a_holder_is_dead_when_it_released_or_did_not_renew_for_the_whole_duration() {
        let duration = Duration::from_secs(6);
        assert!(!lease(Some("a-0/u/i"), None, 5999).over(duration));
        assert!(lease(Some("a-0/u/i"), None, 6000).over(duration));
        assert!(lease(None, Some(OpId::new(1, 2)), 0).over(duration));
        assert!(!lease(None, None, 0).over(duration), "made anew, perhaps under a running master");
        assert!(lease(None, None, 6000).over(duration));
        assert_eq!(lease(Some("a-0/u/i"), None, 0).holder_member(), Some("a-0"));
    }

    #[test]
    fn a_holder_that_gives_it_up_without_a_log_is_dead_but_proves_no_last_op() {
        let empty = lease(None, Some(OpId::default()), 0);
        assert!(empty.released());
        assert_eq!(empty.last_op(), None);
        assert_eq!(lease(None, Some(OpId::new(1, 2)), 0).last_op(), Some(OpId::new(1, 2)));
        assert_eq!(lease(Some("a-0/u/i"), Some(OpId::new(1, 2)), 0).last_op(), None);
    }

    #[test]
    fn a_holder_that_took_it_for_longer_than_the_spec_says_now_is_given_that_long() {
        let held = |seconds| LeaseSeen {
            duration: Some(Duration::from_secs(seconds)),
            ..lease(Some("a-0/u/i"), None, 59_999)
        };
        assert!(!held(60).over(Duration::from_secs(6)));
        assert!(held(6).over(Duration::from_secs(6)));
        assert!(!held(6).over(Duration::from_secs(60)));
    }

    #[test]
    fn a_renewal_starts_the_count_afresh_and_time_without_contact_does_not_count() {
        let second = Duration::from_secs;
        let mut clock = LeaseClock::new("1", second(100));
        assert_eq!(clock.look("1", second(101)), second(1));
        assert_eq!(clock.look("1", second(102)), second(2));
        assert_eq!(clock.look("2", second(103)), second(0));
        assert_eq!(clock.look("2", second(104)), second(1));
        assert_eq!(clock.look("2", second(134)), second(1) + LEASE_LOOK_GAP, "the API server was away for 30 s");
        assert_eq!(clock.look("2", second(133)), second(1) + LEASE_LOOK_GAP, "looks that arrive out of order");
    }
}
