//! A pair's members, as far as the controller can see them: a stand-in, because no kubelet runs a pod here and no StatefulSet
//! controller makes one.
//!
//! It makes the StatefulSet's pods, says what a kubelet would say of them, answers `/report` at their addresses, and takes,
//! renews and gives back the Lease by the rules that the sidecar has (`failover::order`, `failover::tenure`). Its logs are lists,
//! its kudu-masters entries in a list of reigns, and the link between members is one struct.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kudu_pair::{
    api::{MemberState, PairStatus, Role, names},
    failover::{
        member::{GapReport, LagReport, MemberReport, StandbyReport},
        order::{Order, order_for},
        tenure::{self, Claim, LeaseView},
    },
    replication::terms,
    wal::OpId,
};

/// The pair's name in every test.
pub(crate) const PAIR: &str = "demo";
/// Most members of a test.
pub(crate) const MEMBERS: usize = 3;

/// As in the spec of the tests.
pub(crate) const LEASE: Duration = Duration::from_millis(2000);
pub(crate) const RENEW_DEADLINE: Duration = Duration::from_millis(1300);
const RENEW_INTERVAL: Duration = Duration::from_millis(300);
/// From the start of a kudu-master until it serves.
const START: Duration = Duration::from_millis(150);
/// A standby that copied nothing for so long does not stream.
const STREAMS: Duration = Duration::from_millis(2500);

/// When a kudu-master ran.
#[derive(Debug, Clone)]
pub(crate) struct Reign {
    pub(crate) member: String,
    pub(crate) epoch: i64,
    pub(crate) start: Instant,
    pub(crate) end: Option<Instant>,
}

struct Master {
    epoch: i64,
    deadline: Instant,
    ready_at: Instant,
}

/// One member.
pub(crate) struct Member {
    name: String,
    pub(crate) address: IpAddr,
    /// Its volume.
    pub(crate) log: Vec<OpId>,
    obeyed: i64,
    gap: Option<GapReport>,
    /// Its pod, by uid, and whether the machine below it has power.
    pub(crate) pod: Option<String>,
    pub(crate) on: bool,
    instance: u32,
    held: Option<(i64, Instant)>,
    renew_at: Instant,
    master: Option<Master>,
    standing_down: bool,
    failed: Option<i64>,
    copied_at: Option<Instant>,
    heard_at: Option<Instant>,
    active_head: Option<OpId>,
}

/// What a member wants to do about the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Hold(i64),
    Release,
}

/// All members of one pair.
pub(crate) struct Members {
    list: Vec<Member>,
    reigns: Vec<Reign>,
    uuid: Option<String>,
}

impl Member {
    fn new(ordinal: usize, address: IpAddr) -> Self {
        Self {
            name: format!("{PAIR}-{ordinal}"),
            address,
            log: Vec::new(),
            obeyed: 0,
            gap: None,
            pod: None,
            on: true,
            instance: 1,
            held: None,
            renew_at: Instant::now(),
            master: None,
            standing_down: false,
            failed: None,
            copied_at: None,
            heard_at: None,
            active_head: None,
        }
    }

    fn runs(&self) -> bool {
        self.on && self.pod.is_some()
    }

    fn identity(&self) -> String {
        format!("{}/{}/{}", self.name, self.pod.as_deref().unwrap_or_default(), self.instance)
    }

    fn head(&self) -> Option<OpId> {
        self.log.last().copied()
    }

    fn serves(&self, now: Instant) -> bool {
        self.runs() && self.master.as_ref().is_some_and(|master| now >= master.ready_at && now < master.deadline)
    }

    fn streams(&self, now: Instant) -> bool {
        self.copied_at.is_some_and(|at| now < at + STREAMS)
    }

    /// As the kubelet's probe would find it.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        self.runs() && (self.serves(now) || self.master.is_none() && self.streams(now))
    }

    fn append(&mut self, epoch: i64) {
        let (term, index) = self.head().map_or((0, 0), |head| (head.term, head.index));
        self.log.push(OpId::new(term.max(terms::floor(epoch)), index + 1));
    }

    /// The pod's processes end; the volume stays.
    fn forget(&mut self) {
        (self.held, self.copied_at, self.heard_at, self.active_head) = (None, None, None, None);
        (self.failed, self.standing_down) = (None, false);
        self.instance += 1;
    }
}

impl Members {
    pub(crate) fn new(addresses: &[IpAddr]) -> Self {
        let list = addresses.iter().enumerate().map(|(ordinal, address)| Member::new(ordinal, *address)).collect();
        Self { list, reigns: Vec::new(), uuid: None }
    }

    pub(crate) fn member(&mut self, name: &str) -> &mut Member {
        self.list.iter_mut().find(|member| member.name == name).expect("a member")
    }

    pub(crate) fn reigns(&self) -> &[Reign] {
        &self.reigns
    }

    /// How many operations of `old` are not in the log of `new`.
    pub(crate) fn lacks(&mut self, new: &str, old: &[OpId]) -> usize {
        let new = &self.member(new).log;
        old.iter().filter(|op| !new.contains(op)).count()
    }

    /// Takes the power from a member that has just acknowledged some operations alone; returns its log.
    pub(crate) fn power_off(&mut self, name: &str) -> Vec<OpId> {
        let now = Instant::now();
        let number = self.number(name);
        for _ in 0..3 {
            let epoch = self.list[number].obeyed;
            self.list[number].append(epoch);
        }
        self.stop_master(number, now);
        self.list[number].on = false;
        self.list[number].forget();
        self.list[number].log.clone()
    }

    pub(crate) fn power_on(&mut self, name: &str) {
        self.member(name).on = true;
    }

    fn number(&self, name: &str) -> usize {
        self.list.iter().position(|member| member.name == name).expect("a member")
    }

    /// The pod that the API server shows for a member now.
    pub(crate) fn pod_is(&mut self, ordinal: usize, uid: Option<String>) {
        if self.list[ordinal].pod != uid {
            self.stop_master(ordinal, Instant::now());
            self.list[ordinal].forget();
            self.list[ordinal].pod = uid;
        }
    }

    fn stop_master(&mut self, number: usize, now: Instant) {
        let Some(master) = self.list[number].master.take() else { return };
        let name = &self.list[number].name;
        let reign = self.reigns.iter_mut().rev().find(|reign| reign.member == *name && reign.end.is_none());
        // The launcher's guard was in time, however late this task is.
        reign.expect("its reign").end = Some(master.deadline.min(now));
    }

    /// Lets the guard, and the sidecar by its order, do what they do; the answer is what it wants of the Lease.
    pub(crate) fn step(&mut self, number: usize, status: &PairStatus, lease: Option<&Lease>) -> Option<Wish> {
        let now = Instant::now();
        if self.list[number].master.as_ref().is_some_and(|master| now >= master.deadline) {
            self.stop_master(number, now);
        }
        if !self.list[number].runs() {
            return None;
        }
        let order = order_for(&self.list[number].name, status);
        let member = &mut self.list[number];
        if order.epoch() < member.obeyed {
            return None;
        }
        if order.epoch() > member.obeyed {
            (member.gap, member.heard_at) = (None, None);
        }
        member.obeyed = order.epoch();
        member.standing_down = matches!(order, Order::StandDown { .. });
        self.uuid = self.uuid.take().or_else(|| status.catalog.as_ref().map(|catalog| catalog.uuid.clone()));
        match order {
            Order::Wait => {
                self.stop_master(number, now);
                None
            }
            Order::Serve { epoch, gate, format } => self.serve(number, now, epoch, gate, format.is_some(), lease?),
            Order::StandDown { successor, .. } => self.stand_down(number, now, successor.as_deref(), lease?),
            Order::Follow { epoch, active, .. } => {
                self.follow(number, now, epoch, &active);
                None
            }
        }
    }

    fn serve(
        &mut self,
        number: usize,
        now: Instant,
        epoch: i64,
        gate: Option<OpId>,
        may_format: bool,
        lease: &Lease,
    ) -> Option<Wish> {
        if self.list[number].master.as_ref().is_some_and(|master| master.epoch != epoch) {
            self.stop_master(number, now);
        }
        let view = LeaseView::of(lease);
        let member = &mut self.list[number];
        let identity = member.identity();
        let Some((_, since)) = member.held.filter(|(held, _)| *held == epoch) else {
            member.held = None;
            return match tenure::claim(&view, &identity, epoch) {
                Claim::Take | Claim::Mine => Some(Wish::Hold(epoch)),
                Claim::Inherited => Some(Wish::Release),
                Claim::No(_) => None,
            };
        };
        if view.holder.as_ref() != Some(&identity) || view.epoch != epoch {
            member.held = None;
            self.stop_master(number, now);
            return None;
        }
        let renews = (now >= member.renew_at).then_some(Wish::Hold(epoch));
        if member.master.is_some() || member.failed == Some(epoch) || now >= since + RENEW_DEADLINE {
            return renews;
        }
        if member.log.is_empty() && may_format {
            member.log.push(OpId::new(0, 1));
        }
        if member.log.is_empty() || member.head() < gate {
            member.failed = Some(epoch);
            return renews;
        }
        member.append(epoch);
        member.master = Some(Master { epoch, deadline: since + RENEW_DEADLINE, ready_at: now + START });
        self.reigns.push(Reign { member: member.name.clone(), epoch, start: now, end: None });
        renews
    }

    fn stand_down(&mut self, number: usize, now: Instant, successor: Option<&str>, lease: &Lease) -> Option<Wish> {
        self.stop_master(number, now);
        let log = self.list[number].log.clone();
        let shipped = successor.is_none_or(|to| {
            let to = self.member(to);
            if to.runs() && log.starts_with(&to.log) {
                to.log.clone_from(&log);
            }
            to.head() >= log.last().copied()
        });
        let member = &self.list[number];
        let own = LeaseView::of(lease).holder.is_some_and(|holder| tenure::same_pod(&holder, &member.identity()));
        match member.held {
            _ if own && shipped => Some(Wish::Release),
            Some((epoch, _)) if own && now >= member.renew_at => Some(Wish::Hold(epoch)),
            _ => None,
        }
    }

    fn follow(&mut self, number: usize, now: Instant, epoch: i64, active: &str) {
        self.stop_master(number, now);
        let source = &self.list[self.number(active)];
        let serves = source.serves(now);
        let has_something = serves || source.standing_down && source.master.is_none();
        if !source.runs() || !has_something || source.obeyed != epoch {
            return;
        }
        let theirs = source.log.clone();
        let member = &mut self.list[number];
        let agreed = member.log.iter().zip(&theirs).take_while(|(own, their)| own == their).count();
        if member.gap.is_none() {
            let ops = i64::try_from(member.log.len() - agreed).expect("a small number");
            member.gap = Some(GapReport { epoch, ops, diff_head: None, own_head: member.head() });
        }
        member.active_head = theirs.last().copied();
        member.log = theirs;
        member.copied_at = Some(now);
        if serves {
            member.heard_at = Some(now);
        }
    }

    /// Operations of clients.
    pub(crate) fn append(&mut self) {
        let now = Instant::now();
        for member in &mut self.list {
            if member.serves(now) {
                let epoch = member.obeyed;
                member.append(epoch);
            }
        }
    }

    /// What a write of the Lease makes of it.
    pub(crate) fn wished(&self, number: usize, lease: &Lease, wish: Wish) -> Lease {
        let member = &self.list[number];
        match wish {
            Wish::Release => tenure::released(lease.clone(), member.head()),
            Wish::Hold(epoch) => {
                let milliseconds = i32::try_from(LEASE.as_millis()).expect("a small number");
                let now = MicroTime(jiff::Timestamp::now());
                tenure::promised_so_far(
                    tenure::held(lease.clone(), &member.identity(), now, milliseconds),
                    epoch,
                    false,
                )
            }
        }
    }

    /// The write was taken; it was asked for at that time.
    pub(crate) fn granted(&mut self, number: usize, wish: Wish, asked: Instant) {
        let member = &mut self.list[number];
        match wish {
            Wish::Release => member.held = None,
            Wish::Hold(epoch) => {
                member.held = Some((epoch, asked));
                member.renew_at = asked + RENEW_INTERVAL;
                if let Some(master) = member.master.as_mut().filter(|master| master.epoch == epoch) {
                    master.deadline = asked + RENEW_DEADLINE;
                }
            }
        }
    }

    pub(crate) fn may_be_taken(&self, number: usize) -> bool {
        self.list[number].runs()
    }

    /// What a member says of itself; none when nobody answers there.
    fn report(&self, number: usize) -> Option<MemberReport> {
        let (now, member) = (Instant::now(), &self.list[number]);
        member.pod.as_ref().filter(|_| member.on)?;
        let since = |at: Instant| u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
        let active = member.master.as_ref().filter(|master| now < master.deadline).is_some();
        let state = if member.serves(now) {
            MemberState::Serving
        } else if member.failed == Some(member.obeyed) {
            MemberState::Failed
        } else if active || member.held.is_some() && !member.standing_down {
            MemberState::Promoting
        } else if member.standing_down {
            MemberState::StandingDown
        } else if member.streams(now) {
            MemberState::Streaming
        } else if member.obeyed == 0 {
            MemberState::Waiting
        } else {
            MemberState::Connecting
        };
        let standbys = self.list.iter().filter(|standby| standby.name != member.name && standby.streams(now));
        let standbys = standbys.filter(|_| active).map(|standby| {
            let behind = member.log.len().saturating_sub(standby.log.len());
            let sample = standby.copied_at.map_or(0, since);
            StandbyReport {
                member: standby.name.clone(),
                replicate_head: standby.head(),
                heard_milliseconds_ago: sample,
                lag: Some(LagReport {
                    ops: u64::try_from(behind).ok(),
                    bytes: u64::try_from(behind * 100).ok(),
                    milliseconds: Some(if behind == 0 { 0 } else { sample }),
                    sample_milliseconds_ago: sample,
                }),
            }
        });
        Some(MemberReport {
            pair: PAIR.to_owned(),
            member: member.name.clone(),
            identity: member.identity(),
            epoch: member.obeyed,
            role: if active { Role::Active } else { Role::Standby },
            state,
            has_catalog: !member.log.is_empty(),
            catalog_uuid: self.uuid.clone().filter(|_| !member.log.is_empty()),
            head: member.head(),
            applied_head: member.head().filter(|_| member.serves(now)),
            active_head: member.active_head,
            active_heard_milliseconds_ago: member.heard_at.map(since),
            standbys: standbys.collect(),
            master_stopped: !active,
            gap: member.gap.clone(),
            gaps: Vec::new(),
            encryption: None,
            sync: None,
            stay: None,
            pending_ops: None,
            pending_bytes: None,
            predicted_replay_milliseconds: None,
            verified: None,
            unfit: None,
            kill_milliseconds: None,
            base_bytes: None,
            message: None,
        })
    }
}

/// Shared by the task that moves the members, the pages that they answer with, and the test.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Members>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Members> {
        self.0.lock().expect("no test panics here")
    }

    /// Members that answer at addresses of loopback that nobody else uses.
    pub(crate) async fn begin() -> Self {
        let port = u16::try_from(names::REPORT_PORT).expect("a port");
        let mut listeners = Vec::new();
        while listeners.len() < MEMBERS {
            let address = IpAddr::from([127, fastrand::u8(64..250), fastrand::u8(..), fastrand::u8(1..255)]);
            listeners.extend(tokio::net::TcpListener::bind(SocketAddr::new(address, port)).await.ok());
        }
        let addresses: Vec<_> =
            listeners.iter().map(|listener| listener.local_addr().expect("an address").ip()).collect();
        let shared = Self(Arc::new(Mutex::new(Members::new(&addresses))));
        for (number, listener) in listeners.into_iter().enumerate() {
            let members = shared.clone();
            let report = async move || {
                let report = members.lock().report(number);
                report.map(axum::Json).ok_or(axum::http::StatusCode::SERVICE_UNAVAILABLE)
            };
            let app = axum::Router::new().route("/report", axum::routing::get(report));
            tokio::spawn(async move { axum::serve(listener, app).await });
        }
        shared
    }
}
