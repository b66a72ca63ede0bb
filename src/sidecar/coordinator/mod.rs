//! Who gives orders and keeps the Lease: Kubernetes, or a person.

mod kubernetes;
mod manual;

use std::{net::IpAddr, time::Duration};

use tokio::sync::watch;

pub use self::{
    kubernetes::KubernetesCoordinator,
    manual::{ManualConfig, ManualCoordinator, ManualRole, Upstream},
};
use super::{SidecarError, security::LinkSecurity};
use crate::{failover::order::Order, wal::OpId};

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

/// What became of an attempt to take the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acquired {
    /// It is this member's; kudu-master may run until then. No time means no Lease, and no end.
    Until(Option<u64>),
    /// An earlier launcher of the same pod held it and is dead.
    Inherited,
    /// It may not be taken now.
    NotYet(String),
}

/// What became of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Renewal {
    /// As in [`Acquired::Until`].
    Until(Option<u64>),
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

    /// Whether `order` belongs to an older reign than one that was obeyed, so that it may not be carried out any more.
    pub(super) fn is_stale(&self, order: &Order, obeyed: i64) -> bool {
        match self {
            Self::Kubernetes(_) => *order != Order::Wait && order.epoch() < obeyed,
            Self::Manual(_) => manual::is_stale(order, obeyed),
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

    pub(super) fn renew_interval(&self) -> Duration {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.renew_interval(),
            Self::Manual(_) => manual::RENEW_INTERVAL,
        }
    }

    pub(super) async fn acquire(&self, identity: &str, epoch: i64) -> Result<Acquired, SidecarError> {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.acquire(identity, epoch).await,
            Self::Manual(_) => Ok(Acquired::Until(None)),
        }
    }

    pub(super) async fn renew(&self, identity: &str, epoch: i64) -> Result<Renewal, SidecarError> {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.renew(identity, epoch).await,
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
