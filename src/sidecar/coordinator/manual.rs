//! Orders from a person or a program, through `kudu-pair ctl`: the manual switch, without Kubernetes.
//!
//! There is no Lease here: whoever promotes a member has to have demoted, or seen dead, the one before.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Addresses;
use crate::{failover::order::Order, wal::OpId};

/// There is nothing to renew; the launcher is told now and then that this reign goes on.
pub(super) const RENEW_INTERVAL: Duration = Duration::from_secs(5);

/// The configuration file of a sidecar that runs without Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManualConfig {
    /// Name of the pair; the same on all members.
    pub pair: String,
    /// Name of this member.
    pub member: String,
    /// What this member is when it is first started: `active` waits for `kudu-pair ctl init`, `standby` follows `master`.
    pub role: ManualRole,
    /// Where standbys connect, `address:port`.
    pub listen: SocketAddr,
    /// Where the read-only report is served, `address:port`.
    pub report_listen: SocketAddr,
    /// The standbys that may register here when this member is the active: name and IP address.
    #[serde(default)]
    pub slaves: BTreeMap<String, IpAddr>,
    /// The active that this member registers with when it is a standby.
    #[serde(default)]
    pub master: Option<Upstream>,
    /// Folder of the log and the metadata.
    pub wal_dir: PathBuf,
    /// Folder of the data blocks; the log's when absent.
    #[serde(default)]
    pub data_dir: Option<PathBuf>,
    /// The launcher's socket.
    pub launcher_socket: PathBuf,
    /// The socket for `kudu-pair ctl`.
    pub control_socket: PathBuf,
}

/// What a member is when it is first started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ManualRole {
    /// Waits for an order.
    Active,
    /// Follows its master.
    Standby,
}

/// An active, as its standby reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    /// Its sidecar's `listen`.
    pub link: SocketAddr,
    /// Its kudu-master's RPC address, from which a base is copied.
    pub rpc: SocketAddr,
}

impl ManualConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, or a field is missing, unknown or wrong; the text names it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the configuration file {} cannot be read: {error}", path.display()))?;
        let config: Self = serde_yaml::from_str(&text)
            .map_err(|error| format!("the configuration file {}: {error}", path.display()))?;
        if config.role == ManualRole::Standby && config.master.is_none() {
            return Err(format!(
                "the configuration file {}: master: a standby needs its active's link and rpc addresses",
                path.display()
            ));
        }
        Ok(config)
    }
}

/// Orders from a person or a program.
#[derive(Debug)]
pub struct ManualCoordinator {
    slaves: BTreeMap<String, IpAddr>,
    upstream: watch::Sender<Option<Upstream>>,
    orders: watch::Sender<Order>,
}

impl ManualCoordinator {
    /// The coordinator of a member that has just been started.
    pub fn new(config: &ManualConfig) -> Self {
        let order = match (config.role, &config.master) {
            (ManualRole::Standby, Some(master)) => follow(0, master),
            (ManualRole::Standby, None) | (ManualRole::Active, _) => Order::Wait,
        };
        Self {
            slaves: config.slaves.clone(),
            upstream: watch::Sender::new(config.master.clone()),
            orders: watch::Sender::new(order),
        }
    }

    pub(super) fn orders(&self) -> watch::Receiver<Order> {
        self.orders.subscribe()
    }

    pub(super) fn addresses(&self) -> Addresses {
        let text = |pick: fn(&Upstream) -> SocketAddr| {
            self.upstream.borrow().as_ref().map(|upstream| pick(upstream).to_string()).unwrap_or_default()
        };
        Addresses { link: text(|upstream| upstream.link), rpc: text(|upstream| upstream.rpc) }
    }

    pub(super) fn admits(&self, member: &str, address: IpAddr) -> bool {
        self.slaves.get(member) == Some(&address)
    }

    /// Makes this member the active of `epoch`.
    pub fn promote(&self, epoch: i64, gate: Option<OpId>, format: Option<String>) {
        self.orders.send_replace(Order::Serve { epoch, gate, format });
    }

    /// Ends this member's reign of `epoch`: what is left of its log is shipped to its standbys.
    pub fn demote(&self, epoch: i64) {
        self.orders.send_replace(Order::StandDown { epoch, successor: None });
    }

    /// Makes this member a standby.
    pub fn follow(&self, epoch: i64, upstream: Upstream) {
        let order = follow(epoch, &upstream);
        self.upstream.send_replace(Some(upstream));
        self.orders.send_replace(order);
    }
}

/// An active goes by its address, which is all that its standbys know of it: so the order to follow another one is another order.
fn follow(epoch: i64, master: &Upstream) -> Order {
    Order::Follow { epoch, active: master.link.to_string(), uuid: String::new() }
}

/// Whether a newer reign than the order's was obeyed. Whoever says whom to follow does not say in which reign, and the
/// order stands for all that come: a deposed active is told by its frames.
pub(super) fn is_stale(order: &Order, obeyed: i64) -> bool {
    match order {
        Order::Serve { epoch, .. } | Order::StandDown { epoch, .. } => *epoch < obeyed,
        Order::Wait | Order::Follow { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(host: u8) -> Upstream {
        let address = |port| SocketAddr::from(([127, 0, 0, host], port));
        Upstream { link: address(7061), rpc: address(7051) }
    }

    #[test]
    fn an_order_to_follow_outlives_reigns() {
        assert!(!is_stale(&follow(0, &upstream(1)), 3));
        assert!(is_stale(&Order::Serve { epoch: 2, gate: None, format: None }, 3));
    }

    #[test]
    fn to_follow_another_is_another_order() {
        assert!(!follow(1, &upstream(2)).continues(&follow(1, &upstream(1))));
    }
}
