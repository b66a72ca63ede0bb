//! Whole lives of a pair: the real decisions and the real orders, with toy members, a toy API server, and faults.
//!
//! What must hold at every instant: at most one kudu-master runs; epochs only grow; a catalog is formatted once; a receipt
//! that names a number of lost operations names the true one. And once the faults are over, every switch ends and the pair
//! runs.
//!
//! One life follows from one seed. `SIMULATION_SEED=n` replays it with its story; `SIMULATION_LIVES=n` runs more of them.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use kudu_pair::{
    api::{KuduMasterPair, MemberState, PairStatus, Phase, Role, SwitchKind, SyncRecord, names},
    failover::{
        action::Action,
        decide::decide,
        lease::{LeaseClock, LeaseSeen},
        member::{GapReport, MemberReport},
        observation::{Heard, MemberSeen, Observation, PodSeen},
        order::{Order, order_for},
    },
    wal::OpId,
};

use super::fixture;

mod synchronous;

const TICK: u64 = 20;
const FAULTS_UNTIL: u64 = 90_000;
const END: u64 = 240_000;
const RENEW_INTERVAL: u64 = 1_000;
const RENEW_DEADLINE: u64 = 4_000;
const KILL_TIME: u64 = 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A small generator of numbers that look random; the same seed gives the same life.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Debug, Clone, PartialEq)]
struct ToyLease {
    version: u64,
    holder: Option<String>,
    epoch: i64,
    final_head: Option<OpId>,
    sync: Option<SyncRecord>,
}

/// The API server: versions, and replacement of the version that was read.
struct Api {
    pair: KuduMasterPair,
    pair_version: u64,
    lease: Option<ToyLease>,
    service: Option<String>,
    versions: u64,
    away_until: u64,
}

impl Api {
    fn status(&self) -> PairStatus {
        self.pair.status.clone().unwrap_or_default()
    }

    fn replace_lease(&mut self, seen: u64, change: impl FnOnce(&mut ToyLease)) -> bool {
        match &mut self.lease {
            Some(lease) if lease.version == seen => {
                let epoch = lease.epoch;
                change(lease);
                assert!(lease.epoch >= epoch, "the Lease's epoch went back");
                self.versions += 1;
                lease.version = self.versions;
                true
            }
            _ => false,
        }
    }
}

struct Master {
    /// What holds it back; none when it acknowledges by itself.
    gate: Option<synchronous::Gate>,
    epoch: i64,
    deadline: u64,
    ready_at: u64,
    dies_at: Option<u64>,
}

struct Member {
    name: String,
    /// Its disk: survives everything.
    log: Option<Vec<OpId>>,
    obeyed: i64,
    /// Its log when its kudu-master stopped last.
    log_at_stop: Vec<OpId>,
    /// What only it had at its first rejoin in this reign: durable before its log is cut, or the loss would be forgotten.
    gap: Option<GapReport>,
    /// Its pod.
    down_until: u64,
    instance: u64,
    master: Option<Master>,
    /// Its sidecar.
    hung_until: u64,
    cut_from_api_until: u64,
    cut_from_controllers_until: u64,
    view: PairStatus,
    lease_view: Option<ToyLease>,
    held: Option<(i64, u64)>,
    renew_at: u64,
    failed: Option<i64>,
    standing_down: bool,
    copied_at: Option<u64>,
    active_heard_at: Option<u64>,
    active_head: Option<OpId>,
}

impl Member {
    fn new(name: String) -> Self {
        Self {
            name,
            log: None,
            obeyed: 0,
            log_at_stop: Vec::new(),
            gap: None,
            down_until: 0,
            instance: 1,
            master: None,
            hung_until: 0,
            cut_from_api_until: 0,
            cut_from_controllers_until: 0,
            view: PairStatus::default(),
            lease_view: None,
            held: None,
            renew_at: 0,
            failed: None,
            standing_down: false,
            copied_at: None,
            active_heard_at: None,
            active_head: None,
        }
    }

    fn identity(&self) -> String {
        format!("{0}/uid-{0}/{1}", self.name, self.instance)
    }

    fn head(&self) -> Option<OpId> {
        self.log.as_ref().and_then(|log| log.last().copied())
    }

    fn serves(&self, at: u64) -> bool {
        self.master.as_ref().is_some_and(|master| master.dies_at.is_none() && at >= master.ready_at && master.is_open())
    }

    fn append(&mut self, term: i64) {
        let log = self.log.get_or_insert_default();
        let index = log.last().map_or(1, |last| last.index + 1);
        log.push(OpId::new(term, index));
    }

    fn master_is_gone(&mut self) {
        if self.master.take().is_some() {
            self.log_at_stop = self.log.clone().unwrap_or_default();
        }
    }

    /// All processes of the pod end, and begin anew at that time with nothing but the disk.
    fn crash(&mut self, back_at: u64) {
        self.master_is_gone();
        let (log, obeyed, log_at_stop) = (self.log.take(), self.obeyed, std::mem::take(&mut self.log_at_stop));
        let (instance, gap) = (self.instance + 1, self.gap.take());
        let cuts = (self.cut_from_api_until, self.cut_from_controllers_until);
        *self = Self { log, obeyed, log_at_stop, instance, gap, down_until: back_at, ..Self::new(self.name.clone()) };
        (self.cut_from_api_until, self.cut_from_controllers_until) = cuts;
    }

    fn kill(&mut self, at: u64, dice: &mut Dice) {
        if let Some(master) = &mut self.master {
            master.dies_at.get_or_insert(at + dice.below(KILL_TIME));
        }
    }

    fn report(&self, at: u64) -> MemberReport {
        let order = order_for(&self.name, &self.view);
        let state = match order {
            Order::Serve { epoch, .. } if self.failed == Some(epoch) => MemberState::Failed,
            Order::Serve { .. } if self.serves(at) => MemberState::Serving,
            Order::Serve { .. } => MemberState::Promoting,
            Order::StandDown { .. } => MemberState::StandingDown,
            Order::Follow { .. } if self.copied_at.is_some_and(|copied| at - copied < 500) => MemberState::Streaming,
            Order::Follow { .. } => MemberState::Connecting,
            Order::Wait => MemberState::Waiting,
        };
        MemberReport {
            identity: self.identity(),
            epoch: self.obeyed,
            role: if self.master.is_some() { Role::Active } else { Role::Standby },
            state,
            has_catalog: self.log.is_some(),
            catalog_uuid: self.log.as_ref().map(|_| fixture::UUID.to_owned()),
            head: self.head(),
            applied_head: self.head().filter(|_| self.serves(at)),
            active_head: self.active_head,
            active_heard_milliseconds_ago: self.active_heard_at.map(|heard| at - heard),
            master_stopped: self.master.is_none(),
            gap: self.gap.clone(),
            ..fixture::report(&self.name)
        }
    }
}

struct Pending {
    at: u64,
    actions: Vec<Action>,
    look_after: u64,
    pair_version: u64,
    lease: Option<ToyLease>,
}

/// One controller: everything that it remembers may be lost.
struct Controller {
    away_until: u64,
    /// How far its wall clock was put wrong, in milliseconds; its boot-time clock goes on.
    wall_ms: i64,
    look_at: u64,
    clock: Option<LeaseClock>,
    heard: BTreeMap<String, (MemberReport, u64)>,
    active_head: Option<(i64, OpId)>,
    written_at: Option<u64>,
    pending: Option<Pending>,
}

impl Controller {
    fn new(away_until: u64) -> Self {
        Self {
            away_until,
            wall_ms: 0,
            look_at: 0,
            clock: None,
            heard: BTreeMap::new(),
            active_head: None,
            written_at: None,
            pending: None,
        }
    }
}

struct World {
    at: u64,
    dice: Dice,
    api: Api,
    members: Vec<Member>,
    controllers: Vec<Controller>,
    /// Links between members that are cut, by their numbers.
    cuts: BTreeMap<(usize, usize), u64>,
    formats: u32,
    requests: u64,
    fault_at: u64,
    tell: bool,
    switches: u32,
    /// What was asked for and what was acknowledged, in a life of a synchronous pair.
    sync: Option<synchronous::Sync>,
}

impl World {
    fn new(seed: u64, tell: bool) -> Self {
        let mut dice = Dice(seed);
        let standbys = if dice.percent(50) { 1 } else { 2 };
        let mut pair = fixture::created().pair;
        pair.spec.standbys = standbys;
        let members = names::members("demo", standbys).into_iter().map(Member::new).collect();
        let api = Api { pair, pair_version: 1, lease: None, service: None, versions: 1, away_until: 0 };
        Self {
            at: 0,
            api,
            members,
            controllers: vec![Controller::new(0), Controller::new(u64::MAX)],
            cuts: BTreeMap::new(),
            formats: 0,
            requests: 0,
            fault_at: dice.between(1_000, 8_000),
            dice,
            tell,
            switches: 0,
            sync: None,
        }
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.tell {
            println!("{:>7} {}", self.at, text());
        }
    }

    fn live(&mut self) {
        while self.at < END {
            self.at += TICK;
            self.fault();
            for number in 0..self.members.len() {
                self.launcher(number);
                self.sidecar(number);
            }
            for number in 0..self.controllers.len() {
                self.controller(number);
            }
            let running: Vec<_> =
                self.members.iter().filter(|member| member.master.is_some()).map(|member| &member.name).collect();
            assert!(running.len() <= 1, "two masters run at {}: {running:?}", self.at);
            assert!(self.formats <= 1, "formatted again at {}", self.at);
        }
        let status = self.api.status();
        assert_eq!(status.phase, Some(Phase::Running), "not healed: {status:#?}");
        assert_eq!(status.switch, None);
        assert_eq!(self.api.service, status.active);
    }

    fn fault(&mut self) {
        if self.at == FAULTS_UNTIL {
            self.say(|| "no more faults".to_owned());
            self.cuts.clear();
            self.api.away_until = 0;
            self.controllers[1].away_until = u64::MAX;
            self.controllers[0].away_until = self.controllers[0].away_until.min(self.at);
            for member in &mut self.members {
                member.cut_from_api_until = 0;
                member.cut_from_controllers_until = 0;
                member.hung_until = 0;
                member.down_until = member.down_until.min(self.at);
            }
        }
        if self.at < self.fault_at || self.at >= FAULTS_UNTIL {
            return;
        }
        self.fault_at = self.at + self.dice.between(200, 9_000);
        let number = usize::try_from(self.dice.below(self.members.len() as u64)).unwrap();
        let other = usize::try_from(self.dice.below(self.members.len() as u64)).unwrap();
        let long = self.at + self.dice.between(500, 20_000);
        let short = self.at + self.dice.between(100, 3_000);
        let kind = self.dice.below(14);
        let name = self.members[number].name.clone();
        self.say(|| format!("fault {kind} of {name} and {other} until {short} or {long}"));
        match kind {
            0 | 1 => self.members[number].crash(long),
            2 => self.members[number].crash(short),
            3 => self.members[number].hung_until = long,
            4 => self.members[number].cut_from_api_until = long,
            5 => self.members[number].cut_from_controllers_until = long,
            6 => drop(self.cuts.insert((number.min(other), number.max(other)), long)),
            7 => self.api.away_until = short + self.dice.below(8_000),
            8 => self.controllers[0] = Controller::new(short),
            // A second controller that believes to lead, for a while.
            9 => self.controllers[1] = Controller::new(0),
            10 => {
                self.requests += 1;
                let value = if self.dice.percent(50) { "any" } else { &name };
                let value = format!("{value}@{}", self.requests);
                let annotations = self.api.pair.metadata.annotations.get_or_insert_default();
                annotations.insert(names::SWITCHOVER_ANNOTATION.to_owned(), value);
                self.api.versions += 1;
                self.api.pair_version = self.api.versions;
            }
            11 => self.api.lease = None,
            // A wall clock is put wrong by up to a day.
            12 => {
                let off = i64::try_from(self.dice.below(2 * DAY_MS)).unwrap();
                self.controllers[0].wall_ms = off - i64::try_from(DAY_MS).unwrap();
            }
            // The node is silent: cut off from everything, but running.
            _ => {
                let member = &mut self.members[number];
                member.cut_from_api_until = long;
                member.cut_from_controllers_until = long;
                for far in 0..self.members.len() {
                    self.cuts.insert((number.min(far), number.max(far)), long);
                }
            }
        }
    }

    fn launcher(&mut self, number: usize) {
        let (at, dice, member) = (self.at, &mut self.dice, &mut self.members[number]);
        let Some(master) = &member.master else { return };
        if at >= master.deadline {
            member.kill(at, dice);
        }
        if member.master.as_ref().is_some_and(|master| master.dies_at.is_some_and(|dies| at >= dies)) {
            member.master_is_gone();
        } else if member.serves(at) && member.may_append() && dice.percent(20) {
            let term = member.head().map_or(0, |head| head.term);
            member.append(term);
            self.ask_for_the_last(number);
        }
    }

    fn sidecar(&mut self, number: usize) {
        let at = self.at;
        let member = &mut self.members[number];
        if at < member.down_until || at < member.hung_until {
            return;
        }
        let reaches_api = at >= member.cut_from_api_until && at >= self.api.away_until;
        if reaches_api && self.dice.percent(60) {
            member.view = self.api.status();
            member.lease_view.clone_from(&self.api.lease);
        }
        self.answer_gate(number, reaches_api);
        let member = &mut self.members[number];
        let order = order_for(&member.name, &member.view);
        if matches!(order, Order::Wait) && member.held.is_none() {
            member.kill(at, &mut self.dice);
            return;
        }
        if order.epoch() < member.obeyed {
            return;
        }
        if order.epoch() > member.obeyed {
            member.gap = None;
            member.active_heard_at = None;
        }
        member.obeyed = order.epoch();
        member.standing_down = matches!(order, Order::StandDown { .. });
        match order {
            Order::Wait => {}
            Order::Serve { epoch, gate, format } => self.serve(number, epoch, gate, format.is_some(), reaches_api),
            Order::StandDown { successor, .. } => self.stand_down(number, successor.as_deref(), reaches_api),
            Order::Follow { epoch, active, .. } => self.follow(number, epoch, &active),
        }
    }

    fn serve(&mut self, number: usize, epoch: i64, gate: Option<OpId>, may_format: bool, reaches_api: bool) {
        let at = self.at;
        let (dice, api, member) = (&mut self.dice, &mut self.api, &mut self.members[number]);
        if member.master.as_ref().is_some_and(|master| master.epoch != epoch) {
            member.kill(at, dice);
        }
        let Some((held, since)) = member.held.filter(|(held, _)| *held == epoch) else {
            member.held = None;
            if reaches_api && member.master.is_none() && dice.percent(50) {
                Self::acquire(api, member, epoch, at);
            }
            return;
        };
        if at >= member.renew_at && reaches_api && dice.percent(80) {
            Self::renew(api, member, held, at, dice);
        }
        let failed = member.failed == Some(epoch);
        if failed || member.master.is_some() || at >= since + RENEW_DEADLINE || member.held.is_none() {
            return;
        }
        if member.log.is_none() && may_format {
            self.formats += 1;
            member.log = Some(vec![OpId::new(0, 1)]);
        }
        let head = member.head();
        if head.is_none() || head < gate || dice.percent(3) {
            member.failed = Some(epoch);
            return;
        }
        let term = head.map_or(0, |head| head.term + 1).max(epoch * 1_000_000);
        member.append(term);
        let ready_at = at + dice.between(100, 900);
        member.master = Some(Master { gate: None, epoch, deadline: since + RENEW_DEADLINE, ready_at, dies_at: None });
        self.begin_gate(number, epoch, head);
    }

    fn acquire(api: &mut Api, member: &mut Member, epoch: i64, at: u64) {
        let Some(seen) = member.lease_view.clone() else { return };
        let own = seen.holder.as_deref().is_some_and(|holder| holder.starts_with(&format!("{}/", member.name)));
        if own {
            Self::release(api, member);
        } else if seen.holder.is_none() && seen.epoch == epoch {
            let identity = member.identity();
            let taken = api.replace_lease(seen.version, |lease| {
                lease.holder = Some(identity);
                lease.final_head = None;
                lease.sync.get_or_insert_with(|| SyncRecord::none(epoch));
            });
            if taken {
                member.held = Some((epoch, at));
                member.renew_at = at + RENEW_INTERVAL;
                member.lease_view.clone_from(&api.lease);
            }
        }
    }

    fn renew(api: &mut Api, member: &mut Member, epoch: i64, at: u64, dice: &mut Dice) {
        let identity = member.identity();
        match api.lease.clone() {
            Some(lease) if lease.holder.as_ref() == Some(&identity) && lease.epoch == epoch => {
                api.replace_lease(lease.version, |_| ());
                // An answer that is lost is no renewal for the one who asked.
                if dice.percent(95) {
                    member.held = Some((epoch, at));
                    member.renew_at = at + RENEW_INTERVAL;
                    if let Some(master) = member.master.as_mut().filter(|master| master.epoch == epoch) {
                        master.deadline = master.deadline.max(at + RENEW_DEADLINE);
                    }
                }
            }
            Some(lease) if lease.epoch > epoch => {
                member.held = None;
                member.kill(at, dice);
            }
            // The Lease was deleted, or made anew: take it again before the deadline, or be killed.
            Some(lease) if lease.holder.is_none() && lease.epoch == epoch => {
                let gated = member.master.as_ref().is_some_and(|master| master.gate.is_some());
                if gated {
                    // What it promised is gone with the old one: the reign ends, and begins anew.
                    member.held = None;
                    member.kill(at, dice);
                    return;
                }
                member.lease_view = Some(lease);
                Self::acquire(api, member, epoch, at);
            }
            _ => {}
        }
    }

    /// Gives up a Lease that this pod holds; its kudu-master is dead.
    fn release(api: &mut Api, member: &mut Member) {
        assert!(member.master.is_none());
        let Some(lease) = api.lease.clone() else { return };
        if lease.holder.as_deref().is_some_and(|holder| holder.starts_with(&format!("{}/", member.name))) {
            let head = member.head().unwrap_or_default();
            api.replace_lease(lease.version, |lease| {
                lease.holder = None;
                lease.final_head = Some(head);
            });
        }
        member.held = None;
    }

    fn stand_down(&mut self, number: usize, successor: Option<&str>, reaches_api: bool) {
        let (at, head) = (self.at, self.members[number].head());
        let shipped =
            successor.is_none_or(|to| self.members.iter().any(|member| member.name == to && member.head() >= head));
        let (dice, api, member) = (&mut self.dice, &mut self.api, &mut self.members[number]);
        if member.master.is_some() {
            member.kill(at, dice);
            return;
        }
        if !reaches_api || !dice.percent(70) {
            return;
        }
        if shipped {
            Self::release(api, member);
        } else if let Some((epoch, _)) = member.held.filter(|_| at >= member.renew_at) {
            Self::renew(api, member, epoch, at, dice);
        }
    }

    fn follow(&mut self, number: usize, epoch: i64, active: &str) {
        let at = self.at;
        if self.members[number].master.is_some() {
            self.members[number].kill(at, &mut self.dice);
            return;
        }
        let Some(from) = self.members.iter().position(|member| member.name == active) else { return };
        let cut = self.cuts.get(&(number.min(from), number.max(from))).is_some_and(|until| at < *until);
        let source = &self.members[from];
        let alive = at >= source.down_until && at >= source.hung_until;
        let opens = source.master.as_ref().is_some_and(|master| master.gate.is_some());
        let has_something = source.serves(at)
            || opens && self.members[number].log.is_some()
            || source.standing_down && source.master.is_none();
        if cut || !alive || !has_something || source.obeyed != epoch || self.dice.percent(20) {
            return;
        }
        let (Some(theirs), serves) = (source.log.clone(), source.serves(at)) else { return };
        let batch = usize::try_from(self.dice.between(1, 40)).unwrap();
        let member = &mut self.members[number];
        let own = member.log.get_or_insert_default();
        let agreed = own.iter().zip(&theirs).take_while(|(own, their)| own == their).count();
        if member.gap.is_none() {
            let ops = i64::try_from(own.len() - agreed).unwrap();
            member.gap = Some(GapReport { epoch, ops, diff_head: None, own_head: own.last().copied() });
        }
        own.truncate(agreed);
        let before = own.last().copied();
        own.extend(theirs.iter().skip(agreed).take(batch));
        member.copied_at = Some(at);
        member.active_head = theirs.last().copied();
        let after = member.head();
        if serves {
            member.active_heard_at = Some(at);
        }
        self.hear_standby(from, number, before, after);
    }

    fn controller(&mut self, number: usize) {
        let controller = &self.controllers[number];
        if self.at < controller.away_until || self.at < self.api.away_until {
            return;
        }
        match controller.pending.as_ref().map(|pending| pending.at) {
            Some(at) if self.at >= at => {
                let Some(pending) = self.controllers[number].pending.take() else { return };
                self.controllers[number].look_at = self.at + pending.look_after;
                self.execute(number, pending);
            }
            Some(_) => {}
            None if self.at >= controller.look_at => self.look(number),
            None => {}
        }
    }

    fn look(&mut self, number: usize) {
        let at = self.at;
        for member in &self.members {
            let reached = at >= member.down_until && at >= member.hung_until && at >= member.cut_from_controllers_until;
            if reached && (self.dice.percent(95) || at > FAULTS_UNTIL) {
                self.controllers[number].heard.insert(member.name.clone(), (member.report(at), at));
            }
        }
        let wall = SignedDuration::from_millis(i64::try_from(at).unwrap() + self.controllers[number].wall_ms);
        let now = fixture::now() + wall;
        let status = self.api.status();
        let synchronous = self.sync.is_some();
        let controller = &mut self.controllers[number];
        let lease = self.api.lease.as_ref().map(|lease| {
            let (version, at) = (lease.version.to_string(), Duration::from_millis(at));
            let clock = controller.clock.get_or_insert_with(|| LeaseClock::new(&version, at));
            LeaseSeen {
                unchanged_for: clock.look(&version, at),
                resource_version: version,
                holder: lease.holder.clone(),
                epoch: lease.epoch,
                final_head: lease.final_head,
                sync: lease.sync.clone().filter(|_| synchronous),
                duration: None,
            }
        });
        let reported = status.active.as_ref().and_then(|active| controller.heard.get(active)).map(|(report, _)| report);
        let head = reported.filter(|report| report.epoch == status.epoch && report.role == Role::Active);
        let before = controller.active_head.filter(|(epoch, _)| *epoch == status.epoch).map(|(_, head)| head);
        let active_head = before.max(head.and_then(|report| report.head));
        controller.active_head = active_head.map(|head| (status.epoch, head));
        let members = self.members.iter().map(|member| {
            let up = at >= member.down_until;
            let pod = PodSeen {
                uid: format!("uid-{}", member.name),
                revision: Some("r1".to_owned()),
                ready: up,
                deleting: false,
                age: Duration::from_millis(at),
            };
            let heard = controller.heard.get(&member.name).cloned();
            let heard = heard.map(|(report, heard_at)| Heard { report, ago: Duration::from_millis(at - heard_at) });
            MemberSeen { name: member.name.clone(), pod: Some(pod), heard }
        });
        let seen = Observation {
            members: members.collect(),
            pair: self.api.pair.clone(),
            lease,
            update_revision: Some("r1".to_owned()),
            service_active: self.api.service.clone(),
            active_head,
            certificates: None,
            status_written_ago: controller.written_at.map(|written| Duration::from_millis(at - written)),
            fresh_uuid: fixture::UUID.to_owned(),
            now,
        };
        let decision = decide(&seen);
        let slow = if self.dice.percent(3) { self.dice.below(2_000) } else { self.dice.below(60) };
        controller.pending = Some(Pending {
            at: at + slow,
            look_after: u64::try_from(decision.requeue_after.as_millis()).unwrap(),
            actions: decision.actions,
            pair_version: self.api.pair_version,
            lease: self.api.lease.clone(),
        });
    }

    fn execute(&mut self, number: usize, pending: Pending) {
        let Pending { actions, pair_version, lease, .. } = pending;
        for action in actions {
            if self.dice.percent(2) {
                return;
            }
            let done = match action {
                Action::WriteStatus(status) => self.write_status(number, *status, pair_version),
                Action::CreateLease { epoch } => {
                    self.say(|| format!("controller {number} creates the Lease for {epoch}"));
                    let free = self.api.lease.is_none();
                    if free {
                        self.api.versions += 1;
                        let version = self.api.versions;
                        self.api.lease = Some(ToyLease { version, holder: None, epoch, final_head: None, sync: None });
                    }
                    free
                }
                Action::FenceLease { resource_version, epoch } => {
                    let version = lease.as_ref().map_or(0, |lease| lease.version);
                    assert_eq!(version.to_string(), resource_version);
                    self.say(|| format!("controller {number} fences the Lease for {epoch}"));
                    self.api.replace_lease(version, |lease| {
                        lease.holder = None;
                        lease.final_head = None;
                        lease.epoch = epoch;
                    })
                }
                Action::ApplyObjects { .. } | Action::DeletePod { .. } => true,
                Action::Repoint { active } => {
                    self.api.service = Some(active);
                    true
                }
                Action::Event(event) => {
                    self.say(|| format!("{}: {}", event.reason, event.note));
                    true
                }
            };
            if !done {
                self.say(|| format!("controller {number} was too late"));
                return;
            }
        }
    }

    fn write_status(&mut self, number: usize, status: PairStatus, version: u64) -> bool {
        if version != self.api.pair_version {
            return false;
        }
        let before = self.api.status();
        assert!(status.epoch >= before.epoch, "the epoch went back");
        let formatted = |status: &PairStatus| status.catalog.as_ref().is_some_and(|catalog| catalog.formatted);
        assert!(formatted(&status) >= formatted(&before), "the catalog is not formatted any more");
        if let (Some(before), Some(after)) = (&before.switch, &status.switch) {
            assert!(after.epoch >= before.epoch, "the switch's epoch went back");
        }
        if status.last_switch != before.last_switch {
            self.check_receipt(&status);
        }
        self.see_approval(&status);
        if before.switch != status.switch {
            let line = |status: &PairStatus| {
                status.switch.as_ref().map(|switch| {
                    let (to, tried) = (&switch.to, &switch.tried);
                    format!(
                        "{:?} {} {:?} to {to:?} tried {tried:?}: {:?}",
                        switch.kind, switch.epoch, switch.step, switch.waiting_for
                    )
                })
            };
            self.say(|| format!("controller {number}: {:?}", line(&status)));
        }
        self.api.pair.status = Some(status);
        self.api.versions += 1;
        self.api.pair_version = self.api.versions;
        self.controllers[number].written_at = Some(self.at);
        true
    }

    fn check_receipt(&mut self, status: &PairStatus) {
        let Some(receipt) = &status.last_switch else { return };
        self.switches += 1;
        let (SwitchKind::Failover | SwitchKind::Switchover, Some(from)) = (receipt.kind, &receipt.from) else { return };
        let Ok(lost) = receipt.ops_lost.parse::<usize>() else { return };
        let log = |name: &str| self.members.iter().find(|member| member.name == name).unwrap();
        let (old, new) = (&log(from).log_at_stop, log(&receipt.to).log.clone().unwrap_or_default());
        // What a member that was tried wrote by itself was never seen by a client.
        let recorded = receipt.recorded_head.filter(|_| !receipt.tried.is_empty());
        let reign = recorded.map_or(i64::MAX, |head| head.term / 1_000_000);
        let missing = old.iter().filter(|op| op.term / 1_000_000 <= reign && !new.contains(op)).count();
        assert_eq!(missing, lost, "the receipt says {lost}: {receipt:?}");
    }
}

fn live(seed: u64, tell: bool) -> u32 {
    let mut world = World::new(seed, tell);
    world.live();
    world.switches
}

#[test]
fn lives_of_a_pair() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        live(seed.parse().unwrap(), true);
        return;
    }
    let lives = std::env::var("SIMULATION_LIVES").map_or(60, |lives| lives.parse().unwrap());
    let mut switches = 0;
    for seed in 0..lives {
        let lived = std::panic::catch_unwind(|| live(seed, false));
        switches += lived.unwrap_or_else(|_| panic!("SIMULATION_SEED={seed} replays this"));
    }
    println!("{switches} switches in {lives} lives");
    assert!(u64::from(switches) > lives * 2, "the faults were too tame: {switches} switches");
}
