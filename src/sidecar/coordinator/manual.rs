//! Orders from a person or a program, through `kudu-pair ctl`: the manual switch, without Kubernetes.
//!
//! There is no Lease here: whoever promotes a member has to have demoted, or seen dead, the one before.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use rustls::pki_types::DnsName;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Addresses;
use crate::{
    api::{
        AcknowledgementMode, AcknowledgementSpec, GapPolicy, GapRequest, RefreshSpec, ReplicationSpec, SyncRecord,
        WhenUnavailable,
    },
    failover::{member::LinkEncryption, order::Order},
    pki,
    replication::{
        acknowledgement::{Outcome, Policy},
        replay::ReplayBounds,
        retention::DEFAULT_CAP_BYTES,
    },
    sidecar::{
        SidecarError, TlsFiles,
        replay::GapOrders,
        security::{LinkSecurity, SecurityKeeper, Source},
        shipping::blocking,
        store::{remove_durably, write_durably},
    },
    volume::Disk,
    wal::OpId,
};

/// There is nothing to renew; the launcher is told now and then that this reign goes on.
pub(super) const RENEW_INTERVAL: Duration = Duration::from_secs(5);

/// Name of the record on the log volume; no other file there has that name before its suffix.
const RECORD: &str = "sync-record.json";

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
    /// This member's certificate, for the stream between members. `kudu-pair pki` makes them. Either this or `plaintext`.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// True for a stream in plain text: whoever sees it has the private key of the cluster's own authority.
    #[serde(default)]
    pub plaintext: bool,
    /// When this member takes a new base as a standby.
    #[serde(default)]
    pub refresh: RefreshSpec,
    /// How many bytes of its log an active keeps on its volume for standbys that are away, beyond what Kudu keeps itself; 0: none.
    #[serde(default = "default_retention_bytes")]
    pub retention_bytes: u64,
    /// Folder of the log and the metadata.
    pub wal_dir: PathBuf,
    /// Folder of the data blocks; the log's when absent.
    #[serde(default)]
    pub data_dir: Option<PathBuf>,
    /// What becomes of operations that only this member had when another one took over, once it serves again; `Keep` when absent.
    #[serde(default = "keep")]
    pub gap: GapPolicy,
    /// When a client is told that its operation is done; with anything but `Async` the launcher needs `--sync-gate`.
    #[serde(default)]
    pub replication: ManualReplication,
    /// The launcher's `--sync-gate-socket`, when it has one.
    #[serde(default)]
    pub sync_gate: Option<PathBuf>,
    /// The launcher's socket.
    pub launcher_socket: PathBuf,
    /// The socket for `kudu-pair ctl`.
    pub control_socket: PathBuf,
}

/// When a client is told that its operation is done, as in the spec of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ManualReplication {
    /// Which standbys must have an operation first.
    pub acknowledgement: AcknowledgementSpec,
    /// What happens while too few have it.
    pub when_unavailable: WhenUnavailable,
    /// After so long without an operation a standby counts as unavailable, in milliseconds; 10000 when absent.
    pub timeout_milliseconds: Option<i32>,
}

impl ManualReplication {
    fn spec(&self) -> ReplicationSpec {
        let default = ReplicationSpec::default();
        ReplicationSpec {
            acknowledgement: self.acknowledgement.clone(),
            when_unavailable: self.when_unavailable,
            timeout_milliseconds: self.timeout_milliseconds.unwrap_or(default.timeout_milliseconds),
            ..default
        }
    }
}

/// Without Kubernetes a person decides everything else as well.
fn keep() -> GapPolicy {
    GapPolicy::Keep
}

fn default_retention_bytes() -> u64 {
    DEFAULT_CAP_BYTES
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
        config.check().map_err(|why| format!("the configuration file {}: {why}", path.display()))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.role == ManualRole::Standby && self.master.is_none() {
            return Err("master: a standby needs its active's link and rpc addresses".to_owned());
        }
        self.check_acknowledgement()?;
        let RefreshSpec { replay_milliseconds, pending_mebibytes, copy_mebibytes_per_second } = self.refresh;
        for (field, value, least) in [
            ("replayMilliseconds", replay_milliseconds, 10),
            ("pendingMebibytes", pending_mebibytes, 1),
            ("copyMebibytesPerSecond", copy_mebibytes_per_second, 1),
        ] {
            if value < least {
                return Err(format!("refresh.{field} is {value}; it must be at least {least}"));
            }
        }
        match (&self.tls, self.plaintext) {
            (None, false) => Err(
                "tls: the stream between members carries private keys of the cluster. Give ca, certificate and key \
                     (`kudu-pair pki` makes them), or ask for `plaintext: true`"
                    .to_owned(),
            ),
            (Some(_), true) => Err("plaintext: true contradicts tls; remove one of the two".to_owned()),
            (None, true) => Ok(()),
            (Some(_), false) => self.check_names(),
        }
    }

    /// What the API server checks of a pair.
    fn check_acknowledgement(&self) -> Result<(), String> {
        let AcknowledgementSpec { mode, count } = self.replication.acknowledgement;
        let standbys = self.slaves.len();
        if mode == AcknowledgementMode::Async {
            return Ok(());
        }
        if self.sync_gate.is_none() {
            return Err(format!(
                "replication.acknowledgement.mode is {mode:?}: syncGate is needed, the launcher's --sync-gate-socket"
            ));
        }
        if standbys == 0 {
            return Err(format!("replication.acknowledgement.mode is {mode:?}: slaves must name the standbys"));
        }
        match (mode, count.map(usize::try_from)) {
            (AcknowledgementMode::Any, Some(Ok(count))) if (1..=standbys).contains(&count) => Ok(()),
            (AcknowledgementMode::Any, _) => Err(format!(
                "replication.acknowledgement.count is {count:?}: with the mode Any it is a number from 1 to {standbys}, that of slaves"
            )),
            (_, Some(_)) => Err("replication.acknowledgement.count is for the mode Any alone; remove it".to_owned()),
            _ => Ok(()),
        }
    }

    /// With certificates everybody has a name: one that fits into a certificate, and one for each address.
    fn check_names(&self) -> Result<(), String> {
        for (field, member) in
            [("member", &self.member)].into_iter().chain(self.slaves.keys().map(|name| ("slaves", name)))
        {
            let name = pki::manual_name(&self.pair, member);
            if DnsName::try_from(name.as_str()).is_err() {
                return Err(format!(
                    "{field}: the certificate's name would be {name:?}, <member>.<pair>, which is no DNS name"
                ));
            }
        }
        match &self.master {
            Some(master) => member_at(&self.slaves, master.link.ip()).map(drop),
            None => Ok(()),
        }
    }
}

/// The name of the member at an address: its certificate is checked against it.
fn member_at(members: &BTreeMap<String, IpAddr>, address: IpAddr) -> Result<&str, String> {
    let mut there = members.iter().filter(|(_, at)| **at == address).map(|(name, _)| name.as_str());
    match (there.next(), there.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(format!(
            "slaves: no member is at {address}, so the certificate that is shown there cannot be checked; add it"
        )),
        (Some(one), Some(other)) => Err(format!(
            "slaves: {one} and {other} are both at {address}, so the certificate that is shown there cannot be checked"
        )),
    }
}

/// Orders from a person or a program.
#[derive(Debug)]
pub struct ManualCoordinator {
    retention_bytes: u64,
    pair: String,
    slaves: BTreeMap<String, IpAddr>,
    security: SecurityKeeper,
    upstream: watch::Sender<Option<Upstream>>,
    orders: watch::Sender<Order>,
    policy: watch::Sender<Policy>,
    gap_orders: watch::Sender<GapOrders>,
    record: PathBuf,
    bounds: ReplayBounds,
}

impl ManualCoordinator {
    /// The coordinator of a member that has just been started. Inside a runtime, where it looks after the certificates.
    ///
    /// # Errors
    /// When the certificates cannot be used; the text names the file.
    pub fn new(config: &ManualConfig) -> Result<Self, String> {
        let order = match (config.role, &config.master) {
            (ManualRole::Standby, Some(master)) => follow(0, master),
            (ManualRole::Standby, None) | (ManualRole::Active, _) => Order::Wait,
        };
        let source = config.tls.clone().map_or(Source::Plaintext, Source::Files);
        let name = pki::manual_name(&config.pair, &config.member);
        let security = SecurityKeeper::begin(watch::channel(source).1, name);
        if let LinkEncryption::Waiting(why) = security.security().shown() {
            return Err(why);
        }
        Ok(Self {
            pair: config.pair.clone(),
            slaves: config.slaves.clone(),
            retention_bytes: config.retention_bytes,
            security,
            upstream: watch::Sender::new(config.master.clone()),
            orders: watch::Sender::new(order),
            policy: watch::Sender::new(super::policy(
                &config.replication.spec(),
                config.slaves.keys().cloned().collect(),
            )),
            gap_orders: watch::Sender::new(GapOrders { policy: config.gap, ..GapOrders::default() }),
            record: config.wal_dir.join(RECORD),
            bounds: (&config.refresh).into(),
        })
    }

    pub(super) fn orders(&self) -> watch::Receiver<Order> {
        self.orders.subscribe()
    }

    pub(super) fn replay_bounds(&self) -> ReplayBounds {
        self.bounds
    }

    pub(super) fn security(&self) -> LinkSecurity {
        self.security.security()
    }

    pub(super) fn certificate_name(&self, member: &str) -> String {
        pki::manual_name(&self.pair, member)
    }

    pub(super) fn acknowledgement(&self) -> watch::Receiver<Policy> {
        self.policy.subscribe()
    }

    /// Keeps the record beside the control file: whoever promotes has to look at it.
    pub(super) async fn record(&self, record: Option<&SyncRecord>) -> (Outcome, Option<SidecarError>) {
        let path = self.record.clone();
        // The record has no map and no failing serializer, the only errors that serde_json has here.
        let text = record.map(|record| serde_json::to_vec(record).unwrap_or_default());
        let written = blocking(move || match text {
            Some(text) => write_durably(&Disk, &path, &text),
            None => remove_durably(&Disk, &path),
        });
        match written.await {
            Ok(()) => (Outcome::Written, None),
            Err(error) => (Outcome::Unknown, Some(error)),
        }
    }

    pub(super) fn addresses(&self) -> Addresses {
        let upstream = self.upstream.borrow();
        let text = |pick: fn(&Upstream) -> SocketAddr| {
            upstream.as_ref().map(|upstream| pick(upstream).to_string()).unwrap_or_default()
        };
        let member = match upstream.as_ref() {
            Some(upstream) => member_at(&self.slaves, upstream.link.ip()),
            None => Err("there is nobody to follow".to_owned()),
        };
        Addresses {
            link: text(|upstream| upstream.link),
            rpc: text(|upstream| upstream.rpc),
            certificate_name: member.map(|member| self.certificate_name(member)),
        }
    }

    /// Why this member cannot follow the one at that address; none when it can.
    pub(in crate::sidecar) fn unknown(&self, upstream: &Upstream) -> Option<String> {
        match self.security().shown() {
            LinkEncryption::Plaintext => None,
            LinkEncryption::Tls | LinkEncryption::Waiting(_) => member_at(&self.slaves, upstream.link.ip()).err(),
        }
    }

    pub(super) fn admits(&self, member: &str, address: IpAddr) -> bool {
        self.slaves.get(member) == Some(&address)
    }

    pub(super) fn is_member(&self, name: &str) -> bool {
        self.slaves.contains_key(name)
    }

    pub(super) fn retention_bytes(&self) -> u64 {
        self.retention_bytes
    }

    pub(super) fn gap_orders(&self) -> GapOrders {
        self.gap_orders.borrow().clone()
    }

    /// Asks for something about a gap that this member keeps; once for each call.
    pub fn ask_about_gap(&self, name: String, what: GapRequest) {
        let request = uuid::Uuid::new_v4().simple().to_string();
        self.gap_orders.send_modify(|orders| {
            orders.requests.retain(|(asked, ..)| *asked != name);
            orders.requests.push((name, what, request));
        });
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
    use rstest::rstest;

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

    /// Reads a configuration that has everything else, with these lines.
    fn check(lines: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let text = format!(
            "pair: demo\nmember: two\nlisten: 192.0.2.12:7061\nreportListen: 192.0.2.12:8061\nwalDir: /wal\n\
             launcherSocket: /l\ncontrolSocket: /c\n{lines}\n"
        );
        std::fs::write(&file, text).unwrap();
        ManualConfig::read(&file).map(drop)
    }

    const TLS: &str = "tls: {ca: /ca, certificate: /crt, key: /key}";
    const STANDBY: &str = "role: standby\nmaster: {link: '192.0.2.11:7061', rpc: '192.0.2.11:7051'}";

    #[rstest]
    #[case::certificates(&format!("{STANDBY}\n{TLS}\nslaves: {{one: 192.0.2.11}}"))]
    #[case::plain_text(&format!("{STANDBY}\nplaintext: true"))]
    #[case::of_an_active(&format!("role: active\n{TLS}"))]
    fn how_the_stream_is_secured_is_said(#[case] lines: &str) {
        assert_eq!(check(lines), Ok(()));
    }

    #[rstest]
    #[case::nothing("role: active", &["tls: ", "kudu-pair pki", "plaintext: true"])]
    #[case::both(&format!("role: active\n{TLS}\nplaintext: true"), &["plaintext: true contradicts tls"])]
    #[case::a_file_left_out("role: active\ntls: {ca: /ca, key: /key}", &["certificate"])]
    #[case::an_unknown_field("role: active\ntls: {ca: /ca, certificate: /crt, key: /key, crl: /crl}", &["crl"])]
    #[case::nobody_there(&format!("{STANDBY}\n{TLS}"), &["slaves: no member is at 192.0.2.11", "add it"])]
    #[case::two_there(
        &format!("{STANDBY}\n{TLS}\nslaves: {{one: 192.0.2.11, three: 192.0.2.11}}"),
        &["slaves: one and three are both at 192.0.2.11"]
    )]
    #[case::a_name_that_is_none(
        &format!("role: active\n{TLS}\nslaves: {{one of us: 192.0.2.11}}"),
        &["slaves: ", "\"one of us.demo\"", "no DNS name"]
    )]
    fn what_leaves_the_stream_open_is_refused(#[case] lines: &str, #[case] says: &[&str]) {
        let error = check(lines).unwrap_err();
        for words in says {
            assert!(error.contains(words), "{words:?} is not in {error}");
        }
    }
}
