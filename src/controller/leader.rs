//! Which replica of the controller acts: the one that holds the controllers' own Lease.
//!
//! Every write names the version that was read, so two replicas that reach for the Lease at once cannot both get it. The
//! times are short on purpose: controller and active may be lost with the same node, and then a pair's failover waits for
//! the next leader.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{
    Api, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};

use super::error::{Error, within};
use crate::{api::names::FIELD_MANAGER, failover::lease::LeaseClock};

/// Name of the controllers' Lease.
pub(crate) const LEASE: &str = "kudu-pair-controller";
/// After so long without a renewal another replica may take over.
const DURATION: Duration = Duration::from_secs(3);
/// After so long without a renewal of its own a leader stops; before [`DURATION`], so that its last writes are over.
const DEADLINE: Duration = Duration::from_secs(2);
/// Time between two tries.
const RETRY: Duration = Duration::from_millis(500);

/// One replica's part in the election.
pub(crate) struct Candidate {
    api: Api<Lease>,
    identity: String,
    seen: Option<(LeaseClock, Instant)>,
}

/// The right to act, for as long as [`Candidate::hold`] says so.
pub(crate) struct Term {
    lease: Lease,
    renewed: Instant,
}

impl Candidate {
    pub(crate) fn new(api: Api<Lease>, identity: &str) -> Self {
        Self { api, identity: identity.to_owned(), seen: None }
    }

    /// Waits until this replica leads.
    pub(crate) async fn campaign(&mut self) -> Term {
        loop {
            let begun = Instant::now();
            match self.try_to_lead().await {
                Ok(Some(lease)) => {
                    tracing::info!(identity = self.identity, "leading");
                    return Term { lease, renewed: begun };
                }
                Ok(None) => {}
                Err(Error::Conflict { .. }) => tracing::debug!("another replica was first"),
                Err(error) => tracing::warn!(%error, "cannot reach for the lead"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews the lead until that has not been possible for too long, or somebody else has it.
    pub(crate) async fn hold(&self, term: &mut Term) {
        loop {
            tokio::time::sleep(RETRY).await;
            let left = DEADLINE.saturating_sub(term.renewed.elapsed());
            if left.is_zero() {
                return;
            }
            let begun = Instant::now();
            match within(left, "renew the lead", self.replace(&self.taken(term.lease.clone()))).await {
                Ok(lease) => *term = Term { lease, renewed: begun },
                // Only a write of somebody else makes a conflict, or one of its own whose answer was lost: look.
                Err(Error::Conflict { .. }) => match within(left, "read the lead", self.api.get(LEASE)).await {
                    Ok(lease) if holder(&lease) == Some(&self.identity) => term.lease = lease,
                    Ok(_) => return,
                    Err(error) => tracing::warn!(%error, "cannot read the lead"),
                },
                Err(error) => tracing::warn!(%error, "cannot renew the lead"),
            }
        }
    }

    /// Gives the lead up, so that the next replica need not wait.
    pub(crate) async fn release(&self, term: Term) {
        let mut lease = term.lease;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        if let Err(error) = within(DEADLINE, "release the lead", self.replace(&lease)).await {
            tracing::warn!(%error, "cannot release the lead; it runs out by itself");
        }
    }

    async fn try_to_lead(&mut self) -> Result<Option<Lease>, Error> {
        let Some(lease) = within(DEADLINE, "read the lead", self.api.get_opt(LEASE)).await? else {
            let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..Default::default() };
            let first = self.taken(Lease { metadata, spec: None });
            return within(DEADLINE, "create the lead", self.api.create(&params(), &first)).await.map(Some);
        };
        // Held by this very replica, from an earlier run of its pod or before it lost contact: nobody else acts by that.
        let own = holder(&lease) == Some(&self.identity);
        let free = own || holder(&lease).is_none() || self.is_over(&lease);
        if !free {
            return Ok(None);
        }
        within(DEADLINE, "take the lead", self.replace(&self.taken(lease))).await.map(Some)
    }

    /// Whether the Lease has not been renewed for its whole duration, by this replica's own clock.
    fn is_over(&mut self, lease: &Lease) -> bool {
        let version = lease.resource_version().unwrap_or_default();
        let (clock, origin) =
            self.seen.get_or_insert_with(|| (LeaseClock::new(&version, Duration::ZERO), Instant::now()));
        clock.look(&version, origin.elapsed()) >= DURATION
    }

    fn taken(&self, mut lease: Lease) -> Lease {
        let now = Timestamp::now();
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(now.into());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(now.into());
        lease
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        self.api.replace(LEASE, &params(), lease).await
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref().filter(|holder| !holder.is_empty())
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() }
}
