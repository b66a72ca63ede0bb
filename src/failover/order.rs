//! What each member has to do, derived from the pair's status alone.

use crate::{
    api::{Catalog, PairStatus, SwitchKind, SwitchRecord, SwitchStep},
    wal::OpId,
};

/// What one member has to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Nothing yet.
    Wait,
    /// Take the Lease for `epoch` and serve.
    Serve {
        /// The reign.
        epoch: i64,
        /// Refuse to serve with a log that ends before this op.
        gate: Option<OpId>,
        /// Format this catalog first when the volumes are empty; only ever present until the pair's first active served.
        format: Option<String>,
    },
    /// Stop kudu-master, ship what is left of the log, release the Lease.
    StandDown {
        /// The reign that ends.
        epoch: i64,
        /// The member that must have everything before the Lease is released, when it is known.
        successor: Option<String>,
    },
    /// Hold the log of `active`.
    Follow {
        /// The reign.
        epoch: i64,
        /// Whom to follow.
        active: String,
        /// The uuid that all members' kudu-masters share.
        uuid: String,
    },
}

impl Order {
    /// The reign that the order belongs to; an order of an older one than was obeyed before is stale.
    pub fn epoch(&self) -> i64 {
        match self {
            Self::Wait => 0,
            Self::Serve { epoch, .. } | Self::StandDown { epoch, .. } | Self::Follow { epoch, .. } => *epoch,
        }
    }
}

impl Order {
    /// Whether a member that carries out `before` just goes on under this order: the same reign served, the same active
    /// followed, though the step of the switch is another.
    pub fn continues(&self, before: &Self) -> bool {
        match (before, self) {
            (Self::Serve { epoch: before, .. }, Self::Serve { epoch, .. })
            | (Self::StandDown { epoch: before, .. }, Self::StandDown { epoch, .. }) => before == epoch,
            _ => before == self,
        }
    }
}

/// What `member` has to do under this status.
pub fn order_for(member: &str, status: &PairStatus) -> Order {
    let Some(catalog) = &status.catalog else { return Order::Wait };
    let follow = |active: &Option<String>, epoch| match active {
        Some(active) if active != member => Order::Follow { epoch, active: active.clone(), uuid: catalog.uuid.clone() },
        _ => Order::Wait,
    };
    let Some(switch) = &status.switch else {
        return match &status.active {
            Some(active) if active == member => Order::Serve { epoch: status.epoch, gate: None, format: None },
            active => follow(active, status.epoch),
        };
    };
    match switch.step {
        SwitchStep::Fencing if !switch.tried.is_empty() => again(member, switch),
        SwitchStep::Fencing if switch.from.as_deref() == Some(member) => {
            Order::StandDown { epoch: status.epoch, successor: switch.to.clone() }
        }
        SwitchStep::Fencing => follow(&switch.from, status.epoch),
        SwitchStep::Promoting | SwitchStep::Repointing if switch.to.as_deref() == Some(member) => {
            Order::Serve { epoch: switch.epoch, gate: switch.gate, format: to_format(switch.kind, catalog) }
        }
        SwitchStep::Promoting | SwitchStep::Repointing => follow(&switch.to, switch.epoch),
    }
}

/// Fencing after a chosen member did not come to serve: that one may still run, or hold the Lease of the reign that failed,
/// and has obeyed an epoch above the status's. So the order carries the epoch of the reign that failed, or it would be
/// stale to the very member that has to stand down. Nobody serves who could be followed.
fn again(member: &str, switch: &SwitchRecord) -> Order {
    let may_run = switch.from.as_deref() == Some(member) || switch.tried.iter().any(|tried| tried.name == member);
    if may_run { Order::StandDown { epoch: switch.epoch - 1, successor: None } } else { Order::Wait }
}

fn to_format(kind: SwitchKind, catalog: &Catalog) -> Option<String> {
    (kind == SwitchKind::Initialize && !catalog.formatted).then(|| catalog.uuid.clone())
}
