//! The steps that there are: each actor's turn, what clients and people ask for, what goes wrong, and time.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kudu_pair::{
    api::{Catalog, KuduMasterPair, MemberState, PairStatus, Role, SwitchKind, names},
    failover::{
        action::Action as Effect,
        decide::decide,
        lease::{LeaseClock, LeaseSeen},
        member::MemberReport,
        observation::{Heard, MemberSeen, Observation, PodSeen},
        order::{Order, order_for},
        tenure::{self, LeaseView},
    },
    replication::acknowledgement::Rule,
    wal::OpId,
};
use stateright::{Model, Property};

use crate::{
    fixture,
    guards::Guard,
    promises::{self, Happened},
    setup::{Fault, Setup},
    shown::Shown,
    state::{Actor, Member, Pending, State},
};

/// A pair, as Stateright sees it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) setup: Setup,
    object: KuduMasterPair,
    /// What has come up in some life so far. It is no part of a state: what has been does not tell lives apart.
    seen: Mutex<BTreeSet<Happened>>,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Somebody takes a turn.
    Turn(Actor),
    /// A round is over.
    Tick,
    /// A client asks a member for an operation.
    Write(usize),
    /// A person asks for a planned switch.
    Ask,
    /// Somebody does not take a turn any more in this round.
    Sleep(Actor),
    /// A member does not reach the API server and the controller any more.
    CutOff(usize),
    /// Two members do not reach each other any more.
    CutLink(usize, usize),
    /// All links carry again. Who is deaf stays so.
    Mend,
    /// All processes of a member end; they are back in the next round.
    Crash(usize),
    /// The same, for as long as things go wrong.
    PowerOff(usize),
    /// The same as a crash, and its disk is what it was when the pair was made.
    Restore(usize),
    /// A member hears nothing more of the pair's status, though it reaches the API server.
    Deafen(usize),
}

impl Pair {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { object: setup.pair(), setup, seen: Mutex::default() }
    }

    pub(crate) fn saw(&self, what: Happened) {
        self.seen.lock().expect("a set").insert(what);
    }

    pub(crate) fn seen(&self) -> BTreeSet<Happened> {
        self.seen.lock().expect("a set").clone()
    }

    pub(crate) fn is_synchronous(&self) -> bool {
        self.setup.rule != Rule::Async
    }

    pub(crate) fn spec(&self) -> &kudu_pair::api::KuduMasterPairSpec {
        &self.object.spec
    }

    fn is_rough(&self, state: &State) -> bool {
        state.round < self.setup.rough
    }

    /// A new round: who is past a deadline is killed, who was down comes back, and everybody looks around.
    fn tick(&self, state: &mut State) {
        state.round += 1;
        state.is_new_round = true;
        state.asleep.clear();
        state.due = actors(state);
        if !self.is_rough(state) {
            mend(state);
        }
        let (round, now_ms, calm) = (state.round, state.now_ms(), !self.is_rough(state));
        for member in &mut state.members {
            member.has_renewed = false;
            member.is_deaf &= !calm;
            if member.down_until.is_some_and(|until| calm || until <= round) {
                member.down_until = None;
            }
            let late = member.master.as_ref().is_some_and(|master| now_ms >= master.deadline_ms);
            if late && !self.setup.kills_are_late && !self.setup.is_broken(Guard::Deadline) {
                member.master = None;
                self.saw(Happened::Killed);
            }
        }
    }

    /// The controller's look; what it decides is on its way from then on.
    fn look(&self, state: &mut State) {
        let seen = self.observe(state);
        let decision = decide(&seen);
        let mut effects: Vec<_> = decision.actions.into_iter().filter_map(|action| effect(state, action)).collect();
        // Nothing is decided twice on the same facts.
        effects.dedup();
        state.pending = (!effects.is_empty()).then(|| Pending {
            actions: Shown::new(effects),
            is_of_this_status: true,
            is_of_this_lease: true,
        });
        if state.pending.is_some() && !state.asleep.contains(&Actor::Act) {
            state.due.insert(Actor::Act);
        }
    }

    fn act(&self, state: &mut State) {
        let Some(pending) = state.pending.take() else { return };
        // Its own writes do not make it out of date.
        let (is_of_this_status, is_of_this_lease) = (pending.is_of_this_status, pending.is_of_this_lease);
        for action in pending.actions.iter().cloned() {
            match action {
                Effect::WriteStatus(status) => {
                    if !is_of_this_status {
                        break;
                    }
                    self.note(&state.status, &status);
                    state.write_status(*status);
                }
                Effect::FenceLease { epoch, .. } => {
                    if !is_of_this_lease {
                        self.saw(Happened::LateFence);
                        if !self.setup.is_broken(Guard::FenceVersion) {
                            break;
                        }
                    }
                    let fenced = tenure::fenced(&state.lease, epoch);
                    state.write_lease(fenced);
                }
                Effect::Repoint { active } => state.service = Some(active),
                other => panic!("not in this model: {other:?}"),
            }
        }
        // It looks again at once.
        if !state.asleep.contains(&Actor::Look) {
            state.due.insert(Actor::Look);
        }
    }

    /// Notes the switch that a status ends.
    fn note(&self, before: &PairStatus, after: &PairStatus) {
        let receipt = after.last_switch.as_ref().filter(|_| after.last_switch != before.last_switch);
        match receipt.map(|receipt| (receipt.kind, receipt.from.as_ref() == Some(&receipt.to))) {
            Some((SwitchKind::Failover, _)) => self.saw(Happened::Failover),
            Some((SwitchKind::Switchover, false)) => self.saw(Happened::Switchover),
            _ => {}
        }
    }

    fn observe(&self, state: &mut State) -> Observation {
        let now = Duration::from_millis(state.now_ms());
        let view = LeaseView::of(&state.lease);
        let mut clock = state.clock.as_deref().cloned().unwrap_or_else(|| LeaseClock::new(&view.resource_version, now));
        let unchanged_for = clock.look(&view.resource_version, now);
        state.clock = Some(Shown::new(clock));
        let over = self.setup.is_broken(Guard::LeaseIsOver).then(|| Duration::from_secs(3600));
        let sync = tenure::sync_record(&state.lease).expect("a record");
        let lease = LeaseSeen {
            resource_version: view.resource_version,
            holder: view.holder,
            epoch: view.epoch,
            final_head: view.final_head,
            sync: sync.filter(|_| !self.setup.is_broken(Guard::Promise)),
            duration: None,
            unchanged_for: over.unwrap_or(unchanged_for),
        };
        let mut pair = self.object.clone();
        pair.status = Some(PairStatus::clone(&state.status));
        if state.asked {
            let annotations = pair.metadata.annotations.get_or_insert_default();
            annotations.insert(names::SWITCHOVER_ANNOTATION.to_owned(), "any".to_owned());
        }
        let reports = (0..state.members.len()).map(|number| self.report(state, number));
        let members = state.members.iter().zip(reports).map(|(member, report)| MemberSeen {
            name: member.name.clone(),
            pod: Some(PodSeen {
                uid: format!("uid-{}", member.name),
                revision: Some("r1".to_owned()),
                ready: member.is_up(),
                deleting: false,
                age: Duration::from_secs(3600),
            }),
            heard: report.map(|report| Heard { report, ago: Duration::ZERO }),
        });
        Observation {
            members: members.collect(),
            pair,
            lease: Some(lease),
            update_revision: Some("r1".to_owned()),
            service_active: state.service.clone(),
            active_head: None,
            certificates: None,
            status_written_ago: Some(Duration::ZERO),
            fresh_uuid: fixture::UUID.to_owned(),
            // The wall clock stands still: it is for patience, and never for safety.
            now: fixture::now(),
        }
    }

    /// What a member says of itself, when it can be asked.
    fn report(&self, state: &State, number: usize) -> Option<MemberReport> {
        let member = state.members.get(number).filter(|member| member.is_up() && !member.is_cut)?;
        let order = order_for(&member.name, &member.view);
        let active = match &order {
            Order::Follow { active, .. } => state.number_of(active),
            _ => None,
        };
        let heard = active.and_then(|active| {
            let source = state.members.get(active)?;
            (source.serves() && source.obeyed == order.epoch() && state.is_linked(number, active)).then_some(source)
        });
        let doing = match order {
            Order::Serve { epoch, .. } if member.failed == Some(epoch) => MemberState::Failed,
            Order::Serve { .. } if member.serves() => MemberState::Serving,
            Order::Serve { .. } => MemberState::Promoting,
            Order::StandDown { .. } => MemberState::StandingDown,
            Order::Follow { .. } if heard.is_some() => MemberState::Streaming,
            Order::Follow { .. } => MemberState::Connecting,
            Order::Wait => MemberState::Waiting,
        };
        Some(MemberReport {
            identity: member.identity(),
            epoch: member.obeyed,
            role: if member.master.is_some() { Role::Active } else { Role::Standby },
            state: doing,
            has_catalog: true,
            catalog_uuid: Some(fixture::UUID.to_owned()),
            head: member.head(),
            applied_head: member.head().filter(|_| member.serves()),
            active_head: heard.and_then(Member::head),
            active_heard_milliseconds_ago: heard.filter(|_| !self.setup.is_broken(Guard::StillHeard)).map(|_| 100),
            master_stopped: member.master.is_none(),
            ..fixture::report(&member.name)
        })
    }

    /// What can go wrong now.
    fn faults(&self, state: &State, steps: &mut Vec<Step>) {
        let may = |fault: Fault| self.setup.kinds.contains(&fault);
        if may(Fault::Sleep) {
            steps.extend(state.due.iter().map(|actor| Step::Sleep(*actor)));
        }
        let members = 0..state.members.len();
        for (number, member) in state.members.iter().enumerate().filter(|(_, member)| member.is_up()) {
            steps.extend(may(Fault::Crash).then_some(Step::Crash(number)));
            steps.extend(may(Fault::PowerOff).then_some(Step::PowerOff(number)));
            steps.extend(may(Fault::Restore).then_some(Step::Restore(number)));
            steps.extend((may(Fault::CutOff) && !member.is_cut).then_some(Step::CutOff(number)));
            steps.extend((may(Fault::Deafen) && !member.is_deaf).then_some(Step::Deafen(number)));
            let others = members.clone().filter(|other| *other > number && state.is_linked(number, *other));
            steps.extend(others.filter(|_| may(Fault::CutLink)).map(|other| Step::CutLink(number, other)));
        }
    }

    fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::Turn(actor) => {
                state.due.remove(&actor);
                state.is_new_round = false;
                match actor {
                    Actor::Look => self.look(state),
                    Actor::Act => self.act(state),
                    Actor::Member(number) => self.turn(state, number),
                }
            }
            Step::Tick => self.tick(state),
            Step::Write(number) => {
                state.operations_left -= 1;
                self.write(state, number);
            }
            Step::Ask => state.asked = true,
            Step::Sleep(actor) => {
                state.due.remove(&actor);
                state.asleep.insert(actor);
            }
            Step::CutOff(number) => state.members[number].is_cut = true,
            Step::CutLink(one, other) => drop(state.cuts.insert((one, other))),
            Step::Mend => mend(state),
            Step::Crash(number) => crash(state, number, state.round + 1),
            Step::PowerOff(number) => crash(state, number, self.setup.rough),
            Step::Restore(number) => {
                crash(state, number, state.round + 1);
                state.members[number].log.truncate(1);
            }
            Step::Deafen(number) => state.members[number].is_deaf = true,
        }
    }
}

impl Model for Pair {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let status = PairStatus {
            active: Some("demo-0".to_owned()),
            epoch: 1,
            catalog: Some(Catalog { uuid: fixture::UUID.to_owned(), formatted: true }),
            ..PairStatus::default()
        };
        let status = Shown::new(status);
        let member = |name: String| Member {
            name,
            log: vec![OpId::new(0, 1)],
            obeyed: 0,
            released: None,
            down_until: None,
            instance: 1,
            is_cut: false,
            view: status.clone(),
            failed: None,
            has_renewed: false,
            is_deaf: false,
            master: None,
        };
        let members = names::members("demo", self.setup.standbys).into_iter().map(member).collect();
        let mut state = State {
            round: 0,
            is_new_round: true,
            due: BTreeSet::new(),
            asleep: BTreeSet::new(),
            faults_left: self.setup.faults,
            operations_left: self.setup.operations,
            asked: false,
            status: status.clone(),
            lease: Shown::new(Lease::default()),
            service: Some("demo-0".to_owned()),
            clock: None,
            pending: None,
            members,
            cuts: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            broken: BTreeSet::new(),
        };
        state.write_lease(tenure::fenced(&Lease::default(), 1));
        // The pair has come up: the active serves, the standbys follow.
        for _ in 0..2 {
            for number in 0..state.members.len() {
                self.turn(&mut state, number);
            }
        }
        assert!(state.serves(), "the pair does not come up: {state:#?}");
        state.due = actors(&state);
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if !self.is_rough(state) {
            // Everything is mended, and each takes its turn.
            let next = state.due.first().map_or(Step::Tick, |actor| Step::Turn(*actor));
            let is_over = state.round >= self.setup.rounds || state.due.is_empty() && state.serves();
            steps.extend((!is_over).then_some(next));
            return;
        }
        // Members do not see each other's turns but in what they have done, so only the controller's place among them matters.
        let member = state.due.iter().find(|actor| matches!(actor, Actor::Member(_)));
        let controller = state.due.iter().filter(|actor| !matches!(actor, Actor::Member(_)));
        steps.extend(member.into_iter().chain(controller).map(|actor| Step::Turn(*actor)));
        if state.due.is_empty() {
            steps.push(Step::Tick);
        }
        if !state.is_new_round {
            return;
        }
        if state.operations_left > 0 {
            let open = |number: &usize| state.members.get(*number).is_some_and(|member| member.may_write());
            steps.extend((0..state.members.len()).filter(open).map(Step::Write));
        }
        if self.setup.asks && !state.asked {
            steps.push(Step::Ask);
        }
        if !state.cuts.is_empty() || state.members.iter().any(|member| member.is_cut) {
            steps.push(Step::Mend);
        }
        if state.faults_left > 0 {
            self.faults(state, steps);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        let costs_nothing = matches!(step, Step::Turn(_) | Step::Tick | Step::Write(_) | Step::Ask | Step::Mend);
        next.faults_left -= u8::from(!costs_nothing);
        self.take(&mut next, step);
        if next.outside() != last.outside() || next.asked != last.asked {
            let awake: Vec<_> = actors(&next).difference(&next.asleep).copied().collect();
            next.due.extend(awake);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::of(self)
    }
}

/// Everybody who looks around by themselves.
fn actors(state: &State) -> BTreeSet<Actor> {
    (0..state.members.len()).map(Actor::Member).chain([Actor::Look]).collect()
}

/// An effect on the API server that changes something there; what only people read is left out.
fn effect(state: &State, action: Effect) -> Option<Effect> {
    match action {
        Effect::WriteStatus(status) => {
            let memory = PairStatus { conditions: Vec::new(), switches: Vec::new(), ..*status };
            (memory != *state.status).then(|| Effect::WriteStatus(Box::new(memory)))
        }
        Effect::Repoint { .. } | Effect::FenceLease { .. } | Effect::CreateLease { .. } => Some(action),
        Effect::ApplyObjects { .. } | Effect::DeletePod { .. } | Effect::Event(_) => None,
    }
}

/// Everybody reaches everybody.
fn mend(state: &mut State) {
    state.cuts.clear();
    for member in &mut state.members {
        member.is_cut = false;
    }
}

/// Nothing but the disk outlives it.
fn crash(state: &mut State, number: usize, back: u8) {
    let Some(member) = state.members.get_mut(number) else { return };
    member.master = None;
    member.down_until = Some(back);
    member.instance += 1;
    member.failed = None;
    member.has_renewed = false;
    member.view = Shown::new(PairStatus::default());
}
