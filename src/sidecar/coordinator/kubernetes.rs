//! Orders from the pair's status; the Lease in the API server.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{
    Api, Client,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::watch, time::timeout};

use super::{Acquired, Addresses, Contact, Grant, Renewal};
use crate::{
    api::{
        AcknowledgementMode, AcknowledgementSpec, ApiServerLoss, Encryption, FailoverSpec, KuduMasterPair, RefreshSpec,
        ReplicationSpec, SyncRecord, names, quantity,
    },
    api_server, clock,
    failover::{
        failsafe::{Roster, Times},
        order::{Order, order_for},
        tenure::{self, Claim, LeaseView},
    },
    replication::{
        acknowledgement::{Outcome, Policy},
        replay::ReplayBounds,
        retention::DEFAULT_CAP_BYTES,
    },
    sidecar::{
        SidecarError, TlsFiles,
        replay::GapOrders,
        security::{LinkSecurity, SecurityKeeper, Source},
    },
    wal::OpId,
};

/// Orders from the pair's status; the Lease in the API server.
#[derive(Debug)]
pub struct KubernetesCoordinator {
    pair: String,
    namespace: String,
    leases: Api<Lease>,
    orders: watch::Receiver<Order>,
    leads_elsewhere: watch::Receiver<bool>,
    gap_orders: watch::Receiver<GapOrders>,
    timing: Arc<Mutex<FailoverSpec>>,
    roster: Arc<Mutex<Roster>>,
    bounds: watch::Receiver<ReplayBounds>,
    retention_bytes: Arc<AtomicU64>,
    security: SecurityKeeper,
    policy: watch::Receiver<Policy>,
    watcher: tokio::task::JoinHandle<()>,
}

impl Drop for KubernetesCoordinator {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl KubernetesCoordinator {
    /// Watches the pair from now on. `certificates` is the folder of the pair's certificates.
    pub fn begin(client: Client, namespace: &str, pair: &str, member: &str, certificates: &Path) -> Self {
        let (sender, orders) = watch::channel(Order::Wait);
        let (elsewhere, leads_elsewhere) = watch::channel(false);
        let (gap_sender, gap_orders) = watch::channel(GapOrders::default());
        let (source, sources) = watch::channel(Source::Unknown("the pair has not been read yet"));
        let timing = Arc::new(Mutex::new(FailoverSpec::default()));
        let roster = Arc::new(Mutex::new(None));
        let (bounds_sender, bounds) = watch::channel(ReplayBounds::from(&RefreshSpec::default()));
        let retention_bytes = Arc::new(AtomicU64::new(DEFAULT_CAP_BYTES));
        let pairs: Api<KuduMasterPair> = Api::namespaced(client.clone(), namespace);
        // Until the pair was seen nothing is acknowledged.
        let spec = ReplicationSpec {
            acknowledgement: AcknowledgementSpec { mode: AcknowledgementMode::Any, count: Some(i32::MAX) },
            ..ReplicationSpec::default()
        };
        let (policies, policy) = watch::channel(super::policy(&spec, BTreeSet::new()));
        let heard = Heard {
            pair: pair.to_owned(),
            policies,
            member: member.to_owned(),
            certificates: certificates.to_owned(),
            orders: sender,
            elsewhere,
            gap_orders: gap_sender,
            source,
            timing: Arc::clone(&timing),
            roster: Arc::clone(&roster),
            bounds: bounds_sender,
            retention_bytes: Arc::clone(&retention_bytes),
        };
        let watcher = tokio::spawn(follow_pair(pairs, pair.to_owned(), heard));
        Self {
            pair: pair.to_owned(),
            namespace: namespace.to_owned(),
            leases: Api::namespaced(client, namespace),
            orders,
            leads_elsewhere,
            gap_orders,
            timing,
            roster,
            bounds,
            retention_bytes,
            security: SecurityKeeper::begin(sources, names::member_host(pair, member, namespace)),
            policy,
            watcher,
        }
    }

    pub(super) fn orders(&self) -> watch::Receiver<Order> {
        self.orders.clone()
    }

    /// Whether a switch away from this member has ended, or it was not the active: the Service leads to another.
    pub(super) fn leads_elsewhere(&self) -> watch::Receiver<bool> {
        self.leads_elsewhere.clone()
    }

    pub(super) fn gap_orders(&self) -> GapOrders {
        self.gap_orders.borrow().clone()
    }

    pub(super) fn addresses(&self, member: &str) -> Addresses {
        let host = self.host(member);
        Addresses {
            link: format!("{host}:{}", names::LINK_PORT),
            rpc: format!("{host}:{}", names::RPC_PORT),
            certificate_name: Ok(host),
        }
    }

    /// A member's DNS name, which its certificate has too.
    pub(super) fn host(&self, member: &str) -> String {
        names::member_host(&self.pair, member, &self.namespace)
    }

    pub(super) fn replay_bounds(&self) -> ReplayBounds {
        *self.bounds.borrow()
    }

    pub(super) fn security(&self) -> LinkSecurity {
        self.security.security()
    }

    pub(super) fn admits(&self, member: &str) -> bool {
        member
            .strip_prefix(&self.pair)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|ordinal| ordinal.len() == 1 && ordinal.parse::<u8>().is_ok())
    }

    pub(super) fn retention_bytes(&self) -> u64 {
        self.retention_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn renew_interval(&self) -> Duration {
        milliseconds(self.timing().renew_interval_milliseconds)
    }

    pub(super) fn times(&self) -> Times {
        (&self.timing()).into()
    }

    /// Who may take the Lease after this member, as the spec was when it was last read.
    pub(super) fn roster(&self) -> Roster {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the API server can be reached from here: whether it says anything about the Lease, be it that this member has no
    /// right to. Whoever cannot say what is in its store does not.
    pub(super) async fn contact(&self) -> Contact {
        let name = names::lease(&self.pair);
        match timeout(self.contact_timeout(), self.leases.get_opt(&name)).await {
            Ok(Ok(_)) => Contact::Reached,
            Ok(Err(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => Contact::Reached,
            Ok(Err(_)) | Err(_) => Contact::Away,
        }
    }

    pub(super) fn acknowledgement(&self) -> watch::Receiver<Policy> {
        self.policy.clone()
    }

    /// One compare-and-swap. Whoever reads the Lease later sees the old record or the new one, and a fence that did not see
    /// the new one fails.
    pub(super) async fn record(
        &self,
        identity: &str,
        epoch: i64,
        record: Option<&SyncRecord>,
    ) -> (Outcome, Option<SidecarError>) {
        let lease = match self.get().await {
            Ok(Some(lease)) => lease,
            Ok(None) => return (Outcome::NotWritten, Some(SidecarError::Coordinator("there is no Lease".to_owned()))),
            Err(error) => return (Outcome::NotWritten, Some(error)),
        };
        if let Err(reason) = tenure::is_held(&LeaseView::of(&lease), identity, epoch) {
            return (Outcome::NotWritten, Some(SidecarError::Coordinator(format!("the Lease is lost: {reason}"))));
        }
        match self.replace(&tenure::promised(lease, record)).await {
            Ok(()) => (Outcome::Written, None),
            Err(WriteError::Conflict) => {
                let error = SidecarError::Coordinator("the Lease was changed meanwhile".to_owned());
                (Outcome::NotWritten, Some(error))
            }
            // A request without an answer may have been carried out, or be carried out later.
            Err(WriteError::Other(error)) => (Outcome::Unknown, Some(error)),
        }
    }

    pub(super) async fn acquire(
        &self,
        identity: &str,
        epoch: i64,
        synchronous: bool,
        roster: &Roster,
    ) -> Result<Acquired, SidecarError> {
        let asked = clock::boot_ns();
        let Some(lease) = self.get().await? else {
            return Ok(Acquired::NotYet("the pair's Lease does not exist yet".to_owned()));
        };
        match tenure::claim(&LeaseView::of(&lease), identity, epoch) {
            Claim::Inherited => Ok(Acquired::Inherited),
            Claim::No(reason) => Ok(Acquired::NotYet(reason)),
            Claim::Mine | Claim::Take => {
                let timing = self.timing();
                let lease = tenure::held(lease, identity, now(), timing.lease_duration_milliseconds);
                let lease = tenure::promised_so_far(lease, epoch, synchronous);
                match self.replace(&tenure::with_roster(lease, roster)).await {
                    Ok(()) => Ok(Acquired::Until(Some(grant(&timing, asked)))),
                    Err(WriteError::Conflict) => Ok(Acquired::NotYet("the Lease was changed meanwhile".to_owned())),
                    Err(WriteError::Other(error)) => Err(error),
                }
            }
        }
    }

    pub(super) async fn renew(&self, identity: &str, epoch: i64, roster: &Roster) -> Result<Renewal, SidecarError> {
        let asked = clock::boot_ns();
        let Some(lease) = self.get().await? else {
            return Ok(Renewal::Lost("the pair's Lease was deleted".to_owned()));
        };
        if let Err(reason) = tenure::is_held(&LeaseView::of(&lease), identity, epoch) {
            return Ok(Renewal::Lost(reason));
        }
        let timing = self.timing();
        let lease = tenure::held(lease, identity, now(), timing.lease_duration_milliseconds);
        match self.replace(&tenure::with_roster(lease, roster)).await {
            Ok(()) => Ok(Renewal::Until(Some(grant(&timing, asked)))),
            // Who changed it is seen at the next try, which comes soon.
            Err(WriteError::Conflict) => Err(SidecarError::Coordinator("the Lease was changed meanwhile".to_owned())),
            Err(WriteError::Other(error)) => Err(error),
        }
    }

    pub(super) async fn release(
        &self,
        identity: &str,
        epoch: i64,
        final_head: Option<OpId>,
    ) -> Result<(), SidecarError> {
        loop {
            let Some(lease) = self.get().await? else { return Ok(()) };
            let view = LeaseView::of(&lease);
            let own =
                view.holder.as_deref().is_some_and(|holder| holder == identity || tenure::same_pod(holder, identity));
            if !own || view.epoch != epoch {
                return Ok(());
            }
            match self.replace(&tenure::released(lease, final_head)).await {
                Err(WriteError::Conflict) => {}
                Err(WriteError::Other(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn timing(&self) -> FailoverSpec {
        self.timing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An active asks half an interval after a renewal was due, and needs the answer well before its deadline.
    fn contact_timeout(&self) -> Duration {
        let timing = self.timing();
        milliseconds(timing.renew_deadline_milliseconds.saturating_sub(timing.renew_interval_milliseconds) / 4)
    }

    /// One request may take as long as is left between two renewals and the deadline, no longer.
    fn request_timeout(&self) -> Duration {
        let timing = self.timing();
        milliseconds(timing.renew_deadline_milliseconds.saturating_sub(timing.renew_interval_milliseconds) / 2)
            .max(Duration::from_millis(200))
    }

    async fn get(&self) -> Result<Option<Lease>, SidecarError> {
        let name = names::lease(&self.pair);
        match timeout(self.request_timeout(), self.leases.get_opt(&name)).await {
            Err(_) => {
                Err(SidecarError::Coordinator("the API server did not answer in time about the Lease".to_owned()))
            }
            Ok(result) => {
                result.map_err(|error| SidecarError::Coordinator(format!("the Lease {name} cannot be read: {error}")))
            }
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<(), WriteError> {
        let name = names::lease(&self.pair);
        let params = PostParams { field_manager: Some("kudu-pair-sidecar".to_owned()), ..PostParams::default() };
        match timeout(self.request_timeout(), self.leases.replace(&name, &params, lease)).await {
            Err(_) => Err(WriteError::Other(SidecarError::Coordinator(
                "the API server did not answer in time to a change of the Lease".to_owned(),
            ))),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(WriteError::Conflict),
            Ok(Err(error)) => Err(WriteError::Other(SidecarError::Coordinator(format!(
                "the Lease {name} cannot be written: {error}"
            )))),
        }
    }
}

enum WriteError {
    Conflict,
    Other(SidecarError),
}

/// How a renewal that was asked for then lets kudu-master run. By the same times that were written into the Lease, which is what
/// the controller waits for: the spec may have changed since.
fn grant(timing: &FailoverSpec, asked_boot_ns: u64) -> Grant {
    let deadline_boot_ns = clock::after(asked_boot_ns, milliseconds(timing.renew_deadline_milliseconds));
    Grant { asked_boot_ns, deadline_boot_ns }
}

fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}

fn now() -> MicroTime {
    MicroTime(jiff::Timestamp::now())
}

/// What the pair says, passed on.
struct Heard {
    pair: String,
    policies: watch::Sender<Policy>,
    member: String,
    certificates: PathBuf,
    orders: watch::Sender<Order>,
    elsewhere: watch::Sender<bool>,
    gap_orders: watch::Sender<GapOrders>,
    source: watch::Sender<Source>,
    timing: Arc<Mutex<FailoverSpec>>,
    roster: Arc<Mutex<Roster>>,
    bounds: watch::Sender<ReplayBounds>,
    retention_bytes: Arc<AtomicU64>,
}

impl Heard {
    fn pass_on(&self, pair: &KuduMasterPair) {
        *self.timing.lock().unwrap_or_else(PoisonError::into_inner) = pair.spec.failover.clone();
        *self.roster.lock().unwrap_or_else(PoisonError::into_inner) = self.roster_of(pair);
        set(&self.bounds, (&pair.spec.replication.refresh).into());
        if let Some(bytes) = quantity::bytes(&pair.spec.replication.retention) {
            self.retention_bytes.store(bytes, Ordering::Relaxed);
        }
        let source = self.source_of(pair.spec.replication.encryption);
        set(&self.source, source);
        let others = names::members(&self.pair, pair.spec.standbys).into_iter().filter(|name| *name != self.member);
        set(&self.policies, super::policy(&pair.spec.replication, others.collect()));
        let elsewhere = pair.status.as_ref().is_some_and(|status| {
            status.switch.is_none() && status.active.as_ref().is_some_and(|active| *active != self.member)
        });
        set(&self.elsewhere, elsewhere);
        set(&self.gap_orders, gap_orders(pair));
        // The order comes last: whoever carries it out finds the rest as it was then.
        set(&self.orders, pair.status.as_ref().map_or(Order::Wait, |status| order_for(&self.member, status)));
    }

    /// Every member that the spec asks for, and this one, whether or not they are there.
    fn roster_of(&self, pair: &KuduMasterPair) -> Roster {
        match pair.spec.failover.api_server_loss {
            ApiServerLoss::Stop => None,
            ApiServerLoss::Continue => {
                let others = names::members(&self.pair, pair.spec.standbys);
                Some(others.into_iter().chain([self.member.clone()]).collect())
            }
        }
    }

    /// The files of each kind of certificates lie in a folder of their own, so that a change of the kind mixes nothing up.
    fn source_of(&self, encryption: Encryption) -> Source {
        let Some(folder) = encryption.folder() else { return Source::Plaintext };
        let folder = self.certificates.join(folder).join(&self.member);
        Source::Files(TlsFiles {
            ca: folder.join("ca.crt"),
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        })
    }
}

fn gap_orders(pair: &KuduMasterPair) -> GapOrders {
    let gaps = pair.status.iter().flat_map(|status| &status.gaps);
    let requests = gaps.filter_map(|gap| {
        let decision = gap.decision.as_ref()?;
        Some((gap.name.clone(), decision.what, decision.request.clone()))
    });
    GapOrders { requests: requests.collect(), ..GapOrders::from(&pair.spec.switch_back) }
}

/// Wakes nobody when nothing changes.
fn set<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|old| {
        let changed = *old != value;
        *old = value;
        changed
    });
}

/// Turns each state of the pair into this member's order.
async fn follow_pair(pairs: Api<KuduMasterPair>, pair: String, heard: Heard) {
    let config = api_server::watch().fields(&format!("metadata.name={pair}"));
    let mut changes = watcher(pairs, config).backoff(api_server::backoff()).applied_objects().boxed();
    loop {
        match changes.try_next().await {
            Ok(Some(object)) => heard.pass_on(&object),
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "the pair cannot be watched; the last order stands"),
        }
    }
}
