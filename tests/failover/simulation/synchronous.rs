//! Lives of a synchronous pair: the real acknowledgement in the active's sidecar, the real promise in the Lease.
//!
//! What must hold beside the rest: whoever opens a reign has every operation that was ever acknowledged, unless a person
//! accepted the loss. And each operation is on as many standbys as asked for when it is acknowledged, or the Lease says that
//! it may be fewer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kudu_pair::{
    api::{PairStatus, SwitchKind, SyncRecord, WhenUnavailable, names},
    replication::acknowledgement::{Acknowledgement, Action, Covers, Event, Outcome, Policy, Rule, Ticket},
    wal::OpId,
};

use super::{
    dice::Dice,
    member::{Master, Member},
    world::World,
};

/// What a life of a synchronous pair keeps.
pub(super) struct Sync {
    rule: Rule,
    when_unavailable: WhenUnavailable,
    acknowledged: BTreeSet<OpId>,
    total: usize,
    connections: u64,
}

/// What holds a master back.
pub(super) struct Gate {
    machine: Acknowledgement,
    waiting: BTreeMap<Ticket, Covers>,
    tickets: Ticket,
    open: bool,
    streams: BTreeMap<usize, u64>,
    write: Option<Write>,
}

struct Write {
    record: Option<SyncRecord>,
    /// The version that was read, and when the write arrives; none: nothing was read yet.
    under_way: Option<(u64, u64)>,
}

impl Master {
    pub(super) fn is_open(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.open)
    }
}

impl Member {
    /// Kudu appends nothing while a sync of its log waits.
    pub(super) fn may_append(&self) -> bool {
        let gate = self.master.as_ref().and_then(|master| master.gate.as_ref());
        gate.is_none_or(|gate| gate.waiting.is_empty())
    }

    fn gate(&mut self) -> Option<&mut Gate> {
        self.master.as_mut()?.gate.as_mut()
    }
}

impl World {
    fn synchronous(seed: u64, tell: bool) -> Self {
        let mut world = Self::new(seed, tell);
        let mut dice = Dice(!seed);
        let standbys = world.members.len() - 1;
        let count = 1 + usize::try_from(dice.below(standbys as u64)).unwrap();
        let rule = if dice.percent(50) { Rule::All } else { Rule::Any(count) };
        let when_unavailable = if dice.percent(50) { WhenUnavailable::Block } else { WhenUnavailable::Degrade };
        world.sync = Some(Sync { rule, when_unavailable, acknowledged: BTreeSet::new(), total: 0, connections: 0 });
        world
    }

    pub(super) fn begin_gate(&mut self, number: usize, epoch: i64, before: Option<OpId>) {
        let Some(sync) = &self.sync else { return };
        let standbys = names::members("demo", i32::try_from(self.members.len() - 1).unwrap());
        let standbys = standbys.into_iter().filter(|name| *name != self.members[number].name).collect();
        let policy = Policy {
            rule: sync.rule,
            standbys,
            when_unavailable: sync.when_unavailable,
            timeout: Duration::from_millis(3_000),
        };
        let gate = Gate {
            machine: Acknowledgement::new(epoch, policy, before),
            waiting: BTreeMap::new(),
            tickets: 0,
            open: false,
            streams: BTreeMap::new(),
            write: None,
        };
        if let Some(master) = &mut self.members[number].master {
            master.gate = Some(gate);
        }
        self.ask(number, Covers::Opening(before));
    }

    pub(super) fn ask_for_the_last(&mut self, number: usize) {
        if let Some(head) = self.members[number].head() {
            self.ask(number, Covers::Operations(head));
        }
    }

    fn ask(&mut self, number: usize, covers: Covers) {
        let Some(gate) = self.members[number].gate() else { return };
        gate.tickets += 1;
        let ticket = gate.tickets;
        gate.waiting.insert(ticket, covers);
        self.gate_event(number, Event::Asked { ticket, covers });
    }

    fn gate_event(&mut self, number: usize, event: Event) {
        let now = Duration::from_millis(self.at);
        let Some(gate) = self.members[number].gate() else { return };
        for action in gate.machine.handle(event, now) {
            match action {
                Action::Permit { ticket } => self.permit(number, ticket),
                Action::Write { record } => {
                    let Some(gate) = self.members[number].gate() else { return };
                    assert!(gate.write.is_none(), "two writes at once");
                    gate.write = Some(Write { record, under_way: None });
                }
            }
        }
    }

    fn permit(&mut self, number: usize, ticket: Ticket) {
        let Some(gate) = self.members[number].gate() else { return };
        let covers = gate.waiting.remove(&ticket).unwrap();
        let name = self.members[number].name.clone();
        match covers {
            Covers::Opening(_) => {
                if let Some(gate) = self.members[number].gate() {
                    gate.open = true;
                }
                let sync = self.sync.as_ref().unwrap();
                let log = self.members[number].log.as_deref().unwrap_or_default();
                let lost: Vec<_> = sync.acknowledged.iter().filter(|op| log.binary_search(op).is_err()).collect();
                assert!(lost.is_empty(), "{name} opens a reign at {} without {lost:?}", self.at);
            }
            Covers::Operations(op) => {
                let holders = self.members.iter().filter(|member| member.name != name);
                let count = holders
                    .filter(|member| member.log.as_ref().is_some_and(|log| log.binary_search(&op).is_ok()))
                    .count();
                // Without a Lease, or in one that was made anew, nothing is promised of anybody.
                let record = self.api.lease.as_ref().and_then(|lease| lease.sync.as_ref());
                let degraded = record.is_none_or(|record| record.degraded);
                let standbys = self.members.len() - 1;
                let sync = self.sync.as_mut().unwrap();
                let enough = match sync.rule {
                    Rule::Async => 0,
                    Rule::All => standbys,
                    Rule::Any(count) => count,
                };
                assert!(count >= enough || degraded, "{op} is acknowledged with {count} standbys");
                // Clients ask only whom the Service selects. A member that serves and was given up before the Service was pointed at
                // it has told nobody anything.
                if self.api.service.as_ref() == Some(&name) {
                    sync.acknowledged.insert(op);
                    sync.total += 1;
                }
            }
        }
    }

    /// One look of the active's sidecar at its gate: streams that ended, writes that go on, time that passes.
    pub(super) fn answer_gate(&mut self, number: usize, reaches_api: bool) {
        let at = self.at;
        let Some(gate) = self.members[number].gate() else { return };
        let ended: Vec<_> = gate.streams.iter().map(|(standby, connection)| (*standby, *connection)).collect();
        for (standby, connection) in ended {
            let cut = self.cuts.get(&(number.min(standby), number.max(standby))).is_some_and(|until| at < *until);
            let member = &self.members[standby];
            if cut || at < member.down_until || member.master.is_some() {
                let member = member.name.clone();
                if let Some(gate) = self.members[number].gate() {
                    gate.streams.remove(&standby);
                }
                self.gate_event(number, Event::Left { member, connection });
            }
        }
        self.go_on_writing(number, reaches_api);
        self.gate_event(number, Event::Woke);
    }

    fn go_on_writing(&mut self, number: usize, reaches_api: bool) {
        let (at, identity) = (self.at, self.members[number].identity());
        let epoch = self.members[number].master.as_ref().map(|master| master.epoch);
        let dice = &mut self.dice;
        let delay = if dice.percent(10) { dice.below(1_500) } else { dice.below(60) };
        let (lost, api) = (dice.percent(10), &mut self.api);
        let Some(gate) = self.members[number].gate() else { return };
        let Some(write) = &mut gate.write else { return };
        let outcome = match write.under_way {
            None => {
                let held = api
                    .lease
                    .as_ref()
                    .filter(|lease| lease.holder.as_ref() == Some(&identity) && Some(lease.epoch) == epoch);
                match held.filter(|_| reaches_api) {
                    Some(lease) => {
                        write.under_way = Some((lease.version, at + delay));
                        return;
                    }
                    None => Outcome::NotWritten,
                }
            }
            Some((_, arrives)) if at < arrives => return,
            // Whether a request that is not answered was carried out, nobody knows.
            Some((version, _)) => {
                let record = write.record.clone();
                let carried_out = (reaches_api || lost) && api.replace_lease(version, |lease| lease.sync = record);
                match (reaches_api && !lost, carried_out) {
                    (false, _) => Outcome::Unknown,
                    (true, true) => Outcome::Written,
                    (true, false) => Outcome::NotWritten,
                }
            }
        };
        gate.write = None;
        self.gate_event(number, Event::Wrote(outcome));
    }

    /// A standby has taken operations of the active: `before` is what it had when its stream began.
    pub(super) fn hear_standby(&mut self, active: usize, standby: usize, before: Option<OpId>, after: Option<OpId>) {
        let Some(sync) = &mut self.sync else { return };
        let (Some(before), Some(after)) = (before.or(after), after) else { return };
        let member = self.members[standby].name.clone();
        let Some(gate) = self.members[active].master.as_mut().and_then(|master| master.gate.as_mut()) else { return };
        let known = gate.streams.get(&standby).copied();
        let connection = known.unwrap_or_else(|| {
            sync.connections += 1;
            gate.streams.insert(standby, sync.connections);
            sync.connections
        });
        if known.is_none() {
            self.gate_event(active, Event::Joined { member: member.clone(), connection, head: before });
        }
        self.gate_event(active, Event::Acknowledged { member, connection, head: after });
    }

    /// A person accepts what a failover loses.
    pub(super) fn see_approval(&mut self, status: &PairStatus) {
        let Some(sync) = &mut self.sync else { return };
        let approved = status
            .switch
            .as_ref()
            .is_some_and(|switch| switch.kind == SwitchKind::Failover && switch.approval.is_some());
        if approved {
            sync.acknowledged.clear();
        }
    }
}

/// Switches and acknowledged operations of one life.
fn live(seed: u64, tell: bool) -> (u32, usize) {
    let mut world = World::synchronous(seed, tell);
    world.live();
    (world.switches, world.sync.map_or(0, |sync| sync.total))
}

#[test]
fn lives_of_a_synchronous_pair() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        live(seed.parse().unwrap(), true);
        return;
    }
    let lives = std::env::var("SIMULATION_LIVES").map_or(80, |lives| lives.parse().unwrap());
    let (mut switches, mut acknowledged) = (0, 0);
    for seed in 0..lives {
        let lived = std::panic::catch_unwind(|| live(seed, false));
        let (more, operations) = lived.unwrap_or_else(|_| panic!("SIMULATION_SEED={seed} replays this"));
        switches += more;
        acknowledged += operations;
    }
    println!("{switches} switches and {acknowledged} acknowledged operations in {lives} lives");
    assert!(u64::from(switches) > lives, "the faults were too tame: {switches} switches");
}
