//! A member's turn: its sidecar and launcher, by the real orders, claims and acknowledgements.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    time::Duration,
};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kudu_pair::{
    failover::{
        order::{Order, order_for},
        tenure::{self, Claim, LeaseView},
    },
    replication::{
        acknowledgement::{Acknowledgement, Action, Covers, Event, Outcome, Policy, Rule, Ticket},
        diff::{Verdict, answer, verdict},
        terms,
    },
    wal::{OpDigest, OpId, TermHistory},
};

use crate::{
    fixture,
    guards::Guard,
    model::Pair,
    promises::{self, Happened},
    shown::Shown,
    state::{Gate, Master, Member, State},
};

impl Member {
    /// Kudu appends nothing while a sync of its log waits.
    pub(crate) fn may_write(&self) -> bool {
        let waits = |master: &Master| master.gate.as_ref().is_some_and(|gate| !gate.waiting.is_empty());
        self.master.as_ref().is_some_and(|master| master.is_open && !waits(master))
    }

    fn history(&self) -> TermHistory {
        let mut history = TermHistory::default();
        self.log.iter().for_each(|op| history.record(*op));
        history
    }

    /// The digest of an operation that it has.
    fn digest(&self, op: OpId) -> Result<Option<OpDigest>, Infallible> {
        Ok(self.log.contains(&op).then(|| OpDigest::of_raw(op.to_string().as_bytes())))
    }

    fn reaches_api(&self) -> bool {
        self.is_up() && !self.is_cut
    }
}

impl Pair {
    /// Looks at its order and does what there is to do.
    pub(crate) fn turn(&self, state: &mut State, number: usize) {
        let status = state.status.clone();
        let member = &mut state.members[number];
        if !member.is_up() {
            return;
        }
        if member.reaches_api() && !member.is_deaf {
            member.view = status;
        }
        let order = order_for(&member.name, &member.view);
        if order != Order::Wait && order.epoch() < member.obeyed {
            return;
        }
        member.obeyed = member.obeyed.max(order.epoch());
        self.look_at_gate(state, number);
        match order {
            Order::Wait => state.members[number].master = None,
            Order::Serve { epoch, gate, .. } => self.serve(state, number, epoch, gate),
            Order::StandDown { epoch, successor } => self.stand_down(state, number, epoch, successor.as_deref()),
            Order::Follow { epoch, active, .. } => self.follow(state, number, epoch, &active),
        }
    }

    fn serve(&self, state: &mut State, number: usize, epoch: i64, gate: Option<OpId>) {
        let member = &mut state.members[number];
        if member.master.as_ref().is_some_and(|master| master.epoch != epoch) {
            member.master = None;
        }
        if member.reaches_api() && !member.has_renewed {
            match member.master.is_some() {
                true => self.renew(state, number, epoch),
                false => self.begin(state, number, epoch, gate),
            }
        }
    }

    fn renew(&self, state: &mut State, number: usize, epoch: i64) {
        let identity = state.members[number].identity();
        let lost = tenure::is_held(&LeaseView::of(&state.lease), &identity, epoch).is_err();
        if lost {
            state.members[number].master = None;
            return;
        }
        self.hold(state, number, (*state.lease).clone());
        let deadline_ms = self.deadline_ms(state);
        if let Some(master) = &mut state.members[number].master {
            master.deadline_ms = deadline_ms;
        }
    }

    fn hold(&self, state: &mut State, number: usize, lease: Lease) {
        let identity = state.members[number].identity();
        let duration = self.spec().failover.lease_duration_milliseconds;
        state.write_lease(tenure::held(lease, &identity, MicroTime(fixture::now()), duration));
        state.members[number].has_renewed = true;
    }

    fn deadline_ms(&self, state: &State) -> u64 {
        state.now_ms() + u64::try_from(self.spec().failover.renew_deadline_milliseconds).expect("a duration")
    }

    /// Takes the Lease, and starts kudu-master when its log reaches the gate.
    fn begin(&self, state: &mut State, number: usize, epoch: i64, gate: Option<OpId>) {
        let member = &state.members[number];
        if member.released == Some(epoch) || member.failed == Some(epoch) {
            return;
        }
        let claim = tenure::claim(&LeaseView::of(&state.lease), &member.identity(), epoch);
        match claim {
            Claim::Inherited => return self.release(state, number, epoch),
            Claim::No(_) if !self.setup.is_broken(Guard::Claim) => return,
            Claim::Mine | Claim::Take | Claim::No(_) => {}
        }
        let lease = tenure::promised_so_far((*state.lease).clone(), epoch, self.is_synchronous());
        self.hold(state, number, lease);
        let deadline_ms = self.deadline_ms(state);
        let member = &mut state.members[number];
        let head = member.head();
        if head < gate {
            if !self.setup.is_broken(Guard::Gate) {
                member.failed = Some(epoch);
                return self.release(state, number, epoch);
            }
            state.broken.insert(promises::GATE);
        }
        let member = &mut state.members[number];
        let term = head.map_or(0, |head| head.term).max(terms::floor(epoch)) + 1;
        member.append(term);
        let gate = self.is_synchronous().then(|| Gate {
            machine: Shown::new(Acknowledgement::new(epoch, self.policy(number), head)),
            waiting: BTreeMap::new(),
            tickets: 0,
            streams: BTreeMap::new(),
            connections: 0,
        });
        let is_open = gate.is_none();
        member.master = Some(Master { epoch, deadline_ms, gate, is_open });
        self.tell(state, number, Event::Woke);
        self.sync(state, number, Covers::Opening(head));
    }

    fn policy(&self, number: usize) -> Policy {
        let names = kudu_pair::api::names::members("demo", self.setup.standbys);
        Policy {
            rule: self.setup.rule,
            standbys: names
                .into_iter()
                .enumerate()
                .filter(|(other, _)| *other != number)
                .map(|(_, name)| name)
                .collect(),
            when_unavailable: self.setup.when_unavailable,
            timeout: Duration::from_secs(2),
        }
    }

    /// Gives back a Lease that this pod holds.
    fn release(&self, state: &mut State, number: usize, epoch: i64) {
        let member = &state.members[number];
        let view = LeaseView::of(&state.lease);
        let own = view.holder.as_deref().is_some_and(|holder| tenure::same_pod(holder, &member.identity()));
        if own && view.epoch == epoch {
            let released = tenure::released((*state.lease).clone(), member.head());
            state.members[number].released = Some(epoch);
            state.write_lease(released);
        }
    }

    fn stand_down(&self, state: &mut State, number: usize, epoch: i64, successor: Option<&str>) {
        if !self.setup.is_broken(Guard::StopBeforeRelease) {
            state.members[number].master = None;
        }
        let member = &state.members[number];
        let has_all = |to: &str| state.members.iter().any(|other| other.name == to && other.head() == member.head());
        if member.reaches_api() && successor.is_none_or(has_all) {
            self.release(state, number, epoch);
        }
    }

    /// Takes what the active has.
    fn follow(&self, state: &mut State, number: usize, epoch: i64, active: &str) {
        state.members[number].master = None;
        let Some(from) = state.number_of(active).filter(|from| state.is_linked(number, *from)) else { return };
        let source = state.members[from].clone();
        let stands_down =
            matches!(order_for(&source.name, &source.view), Order::StandDown { .. }) && source.master.is_none();
        if !source.is_up() || source.obeyed != epoch || !(source.master.is_some() || stands_down) {
            return;
        }
        let own = &state.members[number];
        let history = own.history();
        let Ok(answer) = answer(&source.history(), Some(&history), fixture::UUID, |op| source.digest(op));
        let Ok(verdict) = verdict(&answer, Some(&history), |op| own.digest(op));
        let before = own.head();
        let log = &mut state.members[number].log;
        match verdict {
            _ if self.setup.is_broken(Guard::Rejoin) => {
                let length = log.len();
                log.extend(source.log.iter().skip(length));
            }
            Verdict::Stream { after } => log.extend(source.log.iter().filter(|op| op.index > after.index)),
            Verdict::Gap { .. } => {
                self.saw(Happened::Gap);
                log.clone_from(&source.log);
            }
            Verdict::Base => log.clone_from(&source.log),
        }
        let same = log.len() <= source.log.len() && log.iter().zip(&source.log).all(|(own, their)| own == their);
        if !same {
            state.broken.insert(promises::SAME_LOG);
        }
        let joined = before.filter(|before| source.log.contains(before));
        self.hear(state, from, number, joined);
    }

    /// The active hears of what a standby has on its disk.
    fn hear(&self, state: &mut State, active: usize, standby: usize, joined: Option<OpId>) {
        let (name, Some(head)) = (state.members[standby].name.clone(), state.members[standby].head()) else { return };
        let Some(gate) = gate_of(state, active) else { return };
        let known = gate.streams.get(&standby).copied();
        let connection = known.unwrap_or(gate.connections + 1);
        gate.connections = gate.connections.max(connection);
        gate.streams.insert(standby, connection);
        if known.is_none() {
            let head = joined.unwrap_or(head);
            self.tell(state, active, Event::Joined { member: name.clone(), connection, head });
        }
        self.tell(state, active, Event::Acknowledged { member: name, connection, head });
    }

    /// A client's operation.
    pub(crate) fn write(&self, state: &mut State, number: usize) {
        let member = &mut state.members[number];
        let op = member.append(member.head().map_or(0, |head| head.term));
        if self.setup.is_broken(Guard::Permit) {
            state.acknowledged.insert(op);
        }
        self.sync(state, number, Covers::Operations(op));
    }

    fn sync(&self, state: &mut State, number: usize, covers: Covers) {
        let Some(gate) = gate_of(state, number) else { return };
        gate.tickets += 1;
        let ticket = gate.tickets;
        gate.waiting.insert(ticket, Shown::new(covers));
        self.tell(state, number, Event::Asked { ticket, covers });
    }

    /// Streams that ended, and time that passed.
    fn look_at_gate(&self, state: &mut State, number: usize) {
        let Some(gate) = gate_of(state, number) else { return };
        let streams = gate.streams.clone();
        for (standby, connection) in streams {
            let other = &state.members[standby];
            let (is_there, member) = (other.is_up() && other.master.is_none(), other.name.clone());
            if !is_there || !state.is_linked(number, standby) {
                if let Some(gate) = gate_of(state, number) {
                    gate.streams.remove(&standby);
                }
                self.tell(state, number, Event::Left { member, connection });
            }
        }
        self.tell(state, number, Event::Woke);
    }

    /// Tells the machine, and does what it says.
    fn tell(&self, state: &mut State, number: usize, event: Event) {
        let now = Duration::from_millis(state.now_ms());
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(gate) = gate_of(state, number) else { return };
            let mut machine = (*gate.machine).clone();
            let actions = machine.handle(event, now);
            gate.machine = Shown::new(machine);
            for action in actions {
                match action {
                    Action::Permit { ticket } => self.permit(state, number, ticket),
                    Action::Write { record } => {
                        let written = self.record(state, number, record.as_ref());
                        events.push_back(Event::Wrote(if written { Outcome::Written } else { Outcome::NotWritten }));
                    }
                }
            }
        }
    }

    /// Writes a promise into the Lease.
    fn record(&self, state: &mut State, number: usize, record: Option<&kudu_pair::api::SyncRecord>) -> bool {
        let member = &state.members[number];
        let epoch = member.master.as_ref().map_or(0, |master| master.epoch);
        let held = tenure::is_held(&LeaseView::of(&state.lease), &member.identity(), epoch).is_ok();
        if record.is_some_and(|record| record.degraded) {
            self.saw(Happened::Degraded);
            if self.setup.is_broken(Guard::Record) {
                return true;
            }
        }
        if !held || !state.members[number].reaches_api() {
            return false;
        }
        let promised = tenure::promised((*state.lease).clone(), record);
        state.write_lease(promised);
        true
    }

    /// Kudu goes on, and whoever waited for it is told.
    fn permit(&self, state: &mut State, number: usize, ticket: Ticket) {
        let Some(gate) = gate_of(state, number) else { return };
        let Some(covers) = gate.waiting.remove(&ticket) else { return };
        match *covers {
            Covers::Opening(_) => {
                if let Some(master) = &mut state.members[number].master {
                    master.is_open = true;
                }
                let log = &state.members[number].log;
                if !state.acknowledged.iter().all(|op| log.contains(op)) {
                    state.broken.insert(promises::NOTHING_LOST);
                }
            }
            Covers::Operations(op) => {
                let holders = state.members.iter().filter(|member| member.log.contains(&op)).count();
                let enough = match self.setup.rule {
                    Rule::Async => 0,
                    Rule::All => state.members.len() - 1,
                    Rule::Any(count) => count,
                };
                let record = tenure::sync_record(&state.lease).expect("a record");
                if holders <= enough && !record.is_some_and(|record| record.degraded) {
                    state.broken.insert(promises::ENOUGH);
                }
                state.acknowledged.insert(op);
            }
        }
    }
}

fn gate_of(state: &mut State, number: usize) -> Option<&mut Gate> {
    state.members.get_mut(number)?.master.as_mut()?.gate.as_mut()
}
