//! Who gives orders and keeps the Lease: Kubernetes, or a person.

mod kubernetes;
mod manual;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use tokio::sync::watch;

pub use self::{
    kubernetes::KubernetesCoordinator,
    manual::{ManualConfig, ManualCoordinator, ManualRole, Upstream},
};
use super::{SidecarError, replay::GapOrders, security::LinkSecurity};
use crate::{
    api::{AcknowledgementMode, ReplicationSpec, SyncRecord},
    failover::{
        failsafe::{Roster, Times},
        order::Order,
    },
    replication::{
        acknowledgement::{Outcome, Policy, Rule},
        replay::ReplayBounds,
    },
    wal::OpId,
};

/// What a user's words mean for an active with these standbys.
fn policy(spec: &ReplicationSpec, standbys: BTreeSet<String>) -> Policy {
    let count = spec.acknowledgement.count.and_then(|count| usize::try_from(count).ok());
    Policy {
        rule: match spec.acknowledgement.mode {
            AcknowledgementMode::Async => Rule::Async,
            AcknowledgementMode::All => Rule::All,
            // The API server and the configuration file's reader insist on the number.
            AcknowledgementMode::Any => Rule::Any(count.unwrap_or(standbys.len())),
        },
        standbys,
        when_unavailable: spec.when_unavailable,
        timeout: Duration::from_millis(u64::try_from(spec.timeout_milliseconds).unwrap_or(0)),
    }
}

/// Where a member is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    /// The name that its certificate must have, or why that is not known.
    pub(super) certificate_name: Result<String, String>,
    /// Its sidecar's link, `host:port`.
    pub(super) link: String,
    /// Its kudu-master's RPC, `host:port`.
    pub(super) rpc: String,
}

/// For how long the Lease lets kudu-master run: readings of the boot-time clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    /// When it was asked for.
    pub(super) asked_boot_ns: u64,
    /// Until when.
    pub(super) deadline_boot_ns: u64,
}

/// Whether the API server is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// It answers this member.
    Reached,
    /// It does not.
    Away,
}

/// What became of an attempt to take the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acquired {
    /// It is this member's. No grant means no Lease, and no end.
    Until(Option<Grant>),
    /// An earlier launcher of the same pod held it and is dead.
    Inherited,
    /// It may not be taken now.
    NotYet(String),
}

/// What became of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Renewal {
    /// As in [`Acquired::Until`].
    Until(Option<Grant>),
    /// It is another's, or for another epoch.
    Lost(String),
}

/// Who gives orders and keeps the Lease.
#[derive(Debug)]
pub enum Coordinator {
    /// The pair's status and Lease in an API server.
    Kubernetes(Box<KubernetesCoordinator>),
    /// A person or a program, through `kudu-pair ctl`. It has to make sure that there is one active.
    Manual(ManualCoordinator),
}

impl Coordinator {
    pub(super) fn orders(&self) -> watch::Receiver<Order> {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.orders(),
            Self::Manual(manual) => manual.orders(),
        }
    }

    /// Whether clients are led to another member; none where nothing leads them.
    pub(super) fn leads_elsewhere(&self) -> Option<watch::Receiver<bool>> {
        match self {
            Self::Kubernetes(kubernetes) => Some(kubernetes.leads_elsewhere()),
            Self::Manual(_) => None,
        }
    }

    /// What the user and a person's requests say about gaps.
    pub(super) fn gap_orders(&self) -> GapOrders {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.gap_orders(),
            Self::Manual(manual) => manual.gap_orders(),
        }
    }

    /// Whether `order` belongs to an older reign than one that was obeyed, so that it may not be carried out any more.
    pub(super) fn is_stale(&self, order: &Order, obeyed: i64) -> bool {
        match self {
            Self::Kubernetes(_) => *order != Order::Wait && order.epoch() < obeyed,
            Self::Manual(_) => manual::is_stale(order, obeyed),
        }
    }

    /// How much a standby may leave to be replayed.
    pub(super) fn replay_bounds(&self) -> ReplayBounds {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.replay_bounds(),
            Self::Manual(manual) => manual.replay_bounds(),
        }
    }

    /// How this member talks to others.
    pub(super) fn security(&self) -> LinkSecurity {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.security(),
            Self::Manual(manual) => manual.security(),
        }
    }

    /// The name that the certificate of a member of this pair has.
    pub(super) fn certificate_name(&self, member: &str) -> String {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.host(member),
            Self::Manual(manual) => manual.certificate_name(member),
        }
    }

    pub(super) fn addresses(&self, member: &str) -> Addresses {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.addresses(member),
            Self::Manual(manual) => manual.addresses(),
        }
    }

    /// Whether `member`, calling from `address`, is one of the pair.
    pub(super) fn admits(&self, member: &str, address: IpAddr) -> bool {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.admits(member),
            Self::Manual(manual) => manual.admits(member, address),
        }
    }

    /// Whether the pair has a member of this name.
    pub(super) fn is_member(&self, name: &str) -> bool {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.admits(name),
            Self::Manual(manual) => manual.is_member(name),
        }
    }

    /// How many bytes an active keeps for standbys that are away.
    pub(super) fn retention_bytes(&self) -> u64 {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.retention_bytes(),
            Self::Manual(manual) => manual.retention_bytes(),
        }
    }

    pub(super) fn renew_interval(&self) -> Duration {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.renew_interval(),
            Self::Manual(_) => manual::RENEW_INTERVAL,
        }
    }

    /// The times of the Lease; none where there is none.
    pub(super) fn times(&self) -> Option<Times> {
        match self {
            Self::Kubernetes(kubernetes) => Some(kubernetes.times()),
            Self::Manual(_) => None,
        }
    }

    /// Who may take the Lease after this member.
    pub(super) fn roster(&self) -> Roster {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.roster(),
            Self::Manual(_) => None,
        }
    }

    /// Whether whoever keeps the Lease can be reached.
    pub(super) async fn contact(&self) -> Contact {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.contact().await,
            Self::Manual(_) => Contact::Reached,
        }
    }

    /// What the user asks for, as it changes.
    pub(super) fn acknowledgement(&self) -> watch::Receiver<Policy> {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.acknowledgement(),
            Self::Manual(manual) => manual.acknowledgement(),
        }
    }

    /// Replaces the record of the standbys that have what is acknowledged. Says why, when it was not written or nobody knows.
    pub(super) async fn record(
        &self,
        identity: &str,
        epoch: i64,
        record: Option<&SyncRecord>,
    ) -> (Outcome, Option<SidecarError>) {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.record(identity, epoch, record).await,
            Self::Manual(manual) => manual.record(record).await,
        }
    }

    /// `synchronous`: operations of the reign are acknowledged only once a record says which standbys have them.
    pub(super) async fn acquire(
        &self,
        identity: &str,
        epoch: i64,
        synchronous: bool,
        roster: &Roster,
    ) -> Result<Acquired, SidecarError> {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.acquire(identity, epoch, synchronous, roster).await,
            Self::Manual(_) => Ok(Acquired::Until(None)),
        }
    }

    pub(super) async fn renew(&self, identity: &str, epoch: i64, roster: &Roster) -> Result<Renewal, SidecarError> {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.renew(identity, epoch, roster).await,
            Self::Manual(_) => Ok(Renewal::Until(None)),
        }
    }

    pub(super) async fn release(
        &self,
        identity: &str,
        epoch: i64,
        final_head: Option<OpId>,
    ) -> Result<(), SidecarError> {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.release(identity, epoch, final_head).await,
            Self::Manual(_) => Ok(()),
        }
    }
}
