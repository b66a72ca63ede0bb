use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn op(index: i64) -> OpId {
    OpId::new(3_000_000, index)
}

fn policy(rule: Rule, standbys: &[&str], when_unavailable: WhenUnavailable) -> Policy {
    let standbys = standbys.iter().map(|name| (*name).to_owned()).collect();
    Policy { rule, standbys, when_unavailable, timeout: Duration::from_secs(10) }
}

fn record(members: &[&str], quorum: i32, degraded: bool) -> SyncRecord {
    SyncRecord {
        members: members.iter().map(|name| (*name).to_owned()).collect(),
        quorum,
        degraded,
        ..SyncRecord::none(3)
    }
}

/// A reign, with a Lease that takes every write unless it is told not to.
struct Reign {
    machine: Acknowledgement,
    now: Duration,
    writes: bool,
    /// What the Lease holds; none: nothing of this reign.
    lease: Option<Option<SyncRecord>>,
    asked: Option<Option<SyncRecord>>,
    permitted: Vec<Ticket>,
}

impl Reign {
    fn new(policy: Policy) -> Self {
        let machine = Acknowledgement::new(3, policy, Some(op(10)));
        let mut reign =
            Self { machine, now: Duration::ZERO, writes: true, lease: None, asked: None, permitted: Vec::new() };
        reign.event(Event::Woke);
        reign
    }

    /// One whose standbys all stream and have what there is.
    fn in_sync(rule: Rule, standbys: &[&str], when_unavailable: WhenUnavailable) -> Self {
        let mut reign = Self::new(policy(rule, standbys, when_unavailable));
        standbys.iter().for_each(|member| reign.join(member, 10));
        reign
    }

    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.machine.handle(event, self.now) {
                match action {
                    Action::Permit { ticket } => self.permitted.push(ticket),
                    Action::Write { record } if self.writes => {
                        self.lease = Some(record);
                        events.push(Event::Wrote(Outcome::Written));
                    }
                    Action::Write { record } => self.asked = Some(record),
                }
            }
        }
    }

    fn join(&mut self, member: &str, index: i64) {
        self.event(Event::Joined { member: member.to_owned(), connection: 1, head: op(index) });
    }

    fn acknowledge(&mut self, member: &str, index: i64) {
        self.event(Event::Acknowledged { member: member.to_owned(), connection: 1, head: op(index) });
    }

    fn leave(&mut self, member: &str) {
        self.event(Event::Left { member: member.to_owned(), connection: 1 });
    }

    fn ask(&mut self, ticket: Ticket, index: i64) {
        self.event(Event::Asked { ticket, covers: Covers::Operations(op(index)) });
    }

    fn open(&mut self, ticket: Ticket, before: i64) {
        self.event(Event::Asked { ticket, covers: Covers::Opening(Some(op(before))) });
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.event(Event::Woke);
    }

    #[track_caller]
    fn stands(&self, expected: &SyncRecord) {
        let stands = self.lease.as_ref().and_then(Option::as_ref);
        assert!(promises_the_same(stands, Some(expected)), "{stands:?} stands, not {expected:?}");
    }
}

#[test]
fn nothing_is_permitted_before_the_first_record_stands() {
    let reign = Reign::new(policy(Rule::All, &["b"], WhenUnavailable::Degrade));
    reign.stands(&record(&[], 0, false));
    let mut reign = Reign { writes: false, lease: None, asked: None, ..reign };
    reign.machine = Acknowledgement::new(3, policy(Rule::All, &["b"], WhenUnavailable::Degrade), Some(op(10)));
    reign.open(1, 10);
    assert_eq!(reign.permitted, [] as [Ticket; 0]);
    reign.event(Event::Wrote(Outcome::Unknown));
    assert_eq!(reign.permitted, [] as [Ticket; 0], "the record may not stand");
    reign.pass(1);
    reign.event(Event::Wrote(Outcome::Written));
    assert_eq!(reign.permitted, [1]);
}

#[rstest]
#[case::all(Rule::All, &[("b", 11)], false)]
#[case::all(Rule::All, &[("b", 11), ("c", 11)], true)]
#[case::all_but_one_op(Rule::All, &[("b", 11), ("c", 10)], false)]
#[case::any(Rule::Any(1), &[("c", 11)], true)]
#[case::any_of_two(Rule::Any(2), &[("c", 11)], false)]
#[case::nobody(Rule::Async, &[], true)]
fn an_operation_waits_for_as_many_as_asked_for(
    #[case] rule: Rule,
    #[case] acknowledged: &[(&str, i64)],
    #[case] permitted: bool,
) {
    let mut reign = Reign::in_sync(rule, &["b", "c"], WhenUnavailable::Block);
    reign.ask(1, 11);
    acknowledged.iter().for_each(|(member, index)| reign.acknowledge(member, *index));
    assert_eq!(reign.permitted == [1], permitted);
}

#[test]
fn block_waits_for_ever_and_keeps_its_promise() {
    let mut reign = Reign::in_sync(Rule::All, &["b"], WhenUnavailable::Block);
    reign.leave("b");
    reign.ask(1, 11);
    reign.pass(3600);
    assert_eq!(reign.permitted, [] as [Ticket; 0]);
    // b has all that was acknowledged, so it may still take over.
    reign.stands(&record(&["b"], 1, false));
}

#[test]
fn degrading_is_written_before_the_first_operation_is_permitted() {
    let mut reign = Reign::in_sync(Rule::All, &["b"], WhenUnavailable::Degrade);
    reign.leave("b");
    reign.ask(1, 11);
    reign.pass(9);
    reign.writes = false;
    assert_eq!(reign.asked, None);
    reign.pass(1);
    let asked = reign.asked.take().flatten().unwrap();
    assert!(promises_the_same(Some(&asked), Some(&record(&[], 0, true))), "{asked:?}");
    assert_eq!(reign.permitted, [] as [Ticket; 0], "the write is under way");
    reign.event(Event::Wrote(Outcome::NotWritten));
    assert_eq!(reign.permitted, [] as [Ticket; 0], "the old record stands");
    reign.pass(1);
    assert!(reign.asked.take().is_some(), "it is tried again");
    reign.event(Event::Wrote(Outcome::Written));
    assert_eq!(reign.permitted, [1]);
    reign.ask(2, 12);
    assert_eq!(reign.permitted, [1, 2], "no more timeouts");
}

#[test]
fn a_silent_standby_whose_stream_is_still_there_does_not_count_again() {
    let mut reign = Reign::in_sync(Rule::All, &["b"], WhenUnavailable::Degrade);
    reign.ask(1, 11);
    reign.pass(10);
    reign.stands(&record(&[], 0, true));
    reign.pass(1);
    assert_eq!(reign.permitted, [1]);
    reign.acknowledge("b", 11);
    reign.stands(&record(&["b"], 1, false));
}

#[test]
fn while_a_standby_returns_both_records_count() {
    let mut reign = Reign::in_sync(Rule::All, &["b"], WhenUnavailable::Degrade);
    reign.leave("b");
    reign.ask(1, 11);
    reign.pass(10);
    assert_eq!(reign.permitted, [1]);
    reign.writes = false;
    reign.event(Event::Joined { member: "b".into(), connection: 2, head: op(10) });
    assert_eq!(reign.asked, None, "it lacks an operation that was acknowledged");
    reign.event(Event::Acknowledged { member: "b".into(), connection: 2, head: op(11) });
    assert!(reign.asked.take().is_some());
    reign.ask(2, 12);
    assert_eq!(reign.permitted, [1], "b may count already");
    reign.event(Event::Wrote(Outcome::Unknown));
    assert_eq!(reign.permitted, [1], "b may count still");
    reign.event(Event::Acknowledged { member: "b".into(), connection: 2, head: op(12) });
    assert_eq!(reign.permitted, [1, 2]);
    reign.writes = true;
    reign.pass(1);
    reign.stands(&record(&["b"], 1, false));
}

/// A pair that goes on without its standby, which streams again and lacks the last operation.
fn returning() -> Reign {
    let mut reign = Reign::in_sync(Rule::All, &["b"], WhenUnavailable::Degrade);
    reign.leave("b");
    reign.ask(1, 11);
    reign.pass(10);
    reign.stands(&record(&[], 0, true));
    reign.join("b", 10);
    assert_eq!(reign.permitted, [1]);
    reign
}

#[test]
fn a_standby_joins_although_the_next_operation_always_comes_before_its_acknowledgement() {
    let mut reign = returning();
    for index in 11..20 {
        let ticket = u64::try_from(index).unwrap();
        reign.ask(ticket, index + 1);
        assert!(!reign.permitted.contains(&ticket), "it waits for b, or for b to join");
        reign.acknowledge("b", index);
        reign.stands(&record(&["b"], 1, false));
        reign.acknowledge("b", index + 1);
        assert!(reign.permitted.contains(&ticket));
    }
}

#[test]
fn a_standby_that_does_not_catch_up_holds_operations_back_for_a_moment_and_seldom() {
    let mut reign = returning();
    reign.ask(2, 12);
    assert_eq!(reign.permitted, [1]);
    assert_eq!(reign.machine.wake_at(), Some(reign.now + JOIN_PAUSE));
    reign.now += JOIN_PAUSE;
    reign.event(Event::Woke);
    assert_eq!(reign.permitted, [1, 2]);
    reign.ask(3, 13);
    assert_eq!(reign.permitted, [1, 2, 3], "no second pause so soon");
    reign.now += JOIN_REST;
    reign.ask(4, 14);
    assert_eq!(reign.permitted, [1, 2, 3]);
    reign.leave("b");
    assert_eq!(reign.permitted, [1, 2, 3, 4], "nobody is there any more to wait for");
}

#[test]
fn the_opening_waits_only_for_what_clients_can_see_from_then_on() {
    let mut reign = Reign::new(policy(Rule::All, &["b"], WhenUnavailable::Block));
    reign.open(1, 10);
    assert_eq!(reign.permitted, [1], "nobody is promised to have anything");
    reign.ask(2, 12);
    assert_eq!(reign.permitted, [1]);
    reign.join("b", 12);
    assert_eq!(reign.permitted, [1, 2]);
    // A crash with an operation that was never acknowledged, and a start in place.
    reign.event(Event::Withdrawn { ticket: 3 });
    reign.leave("b");
    reign.open(4, 13);
    assert_eq!(reign.permitted, [1, 2], "b may take over and has it not");
    reign.pass(10);
    assert_eq!(reign.permitted, [1, 2, 4]);
    reign.stands(&record(&[], 0, false));
    reign.ask(5, 15);
    reign.pass(100);
    assert_eq!(reign.permitted, [1, 2, 4], "operations are blocked");
}

#[test]
fn a_standby_with_another_disk_does_not_count_any_more() {
    let mut reign = Reign::in_sync(Rule::All, &["b"], WhenUnavailable::Block);
    reign.ask(1, 20);
    reign.acknowledge("b", 20);
    assert_eq!(reign.permitted, [1]);
    reign.event(Event::Joined { member: "b".into(), connection: 2, head: op(5) });
    reign.stands(&record(&[], 0, false));
    reign.acknowledge("b", 99);
    reign.stands(&record(&[], 0, false));
    reign.event(Event::Acknowledged { member: "b".into(), connection: 2, head: op(20) });
    reign.stands(&record(&["b"], 1, false));
}

#[test]
fn of_two_streams_of_a_standby_the_later_one_speaks() {
    let mut reign = Reign::new(policy(Rule::All, &["b"], WhenUnavailable::Block));
    reign.event(Event::Joined { member: "b".into(), connection: 2, head: op(10) });
    reign.join("b", 50);
    reign.leave("b");
    reign.ask(1, 20);
    assert_eq!(reign.permitted, [] as [Ticket; 0]);
    reign.event(Event::Acknowledged { member: "b".into(), connection: 2, head: op(20) });
    assert_eq!(reign.permitted, [1]);
}

#[test]
fn any_lets_a_silent_standby_go_so_that_the_others_can_take_over() {
    let mut reign = Reign::in_sync(Rule::Any(1), &["b", "c"], WhenUnavailable::Block);
    reign.stands(&record(&["b", "c"], 1, false));
    reign.leave("c");
    reign.ask(1, 11);
    reign.acknowledge("b", 11);
    assert_eq!(reign.permitted, [1]);
    reign.pass(10);
    reign.stands(&record(&["b"], 1, false));
    reign.leave("b");
    reign.pass(100);
    reign.stands(&record(&["b"], 1, false));
}

#[test]
fn a_sidecar_that_takes_over_permits_nothing_for_being_in_the_log() {
    let mut reign = Reign::in_sync(Rule::All, &["b"], WhenUnavailable::Block);
    reign.ask(1, 11);
    reign.machine = Acknowledgement::taken_over(3, policy(Rule::All, &["b"], WhenUnavailable::Block), Some(op(11)));
    reign.event(Event::Woke);
    reign.ask(2, 11);
    assert_eq!(reign.permitted, [] as [Ticket; 0]);
    reign.join("b", 10);
    reign.stands(&record(&[], 0, false));
    reign.acknowledge("b", 11);
    reign.stands(&record(&["b"], 1, false));
    assert_eq!(reign.permitted, [2]);
}

#[test]
fn a_reign_that_acknowledges_by_itself_says_so_first() {
    let mut reign = Reign::new(policy(Rule::Async, &["b"], WhenUnavailable::Block));
    assert_eq!(reign.lease, Some(None));
    reign.ask(1, 11);
    assert_eq!(reign.permitted, [1]);
    reign.writes = false;
    reign.event(Event::Policy(policy(Rule::All, &["b"], WhenUnavailable::Block)));
    reign.ask(2, 12);
    assert_eq!(reign.permitted, [1]);
}

#[derive(Debug, Clone)]
enum Chance {
    Append,
    Ask,
    Open,
    Ship {
        member: usize,
        ops: i64,
    },
    Break {
        member: usize,
    },
    Join {
        member: usize,
    },
    Land,
    Refuse,
    /// The answer is lost; the write itself lands after all, or never.
    LoseAnswer {
        lands: bool,
    },
    Pass {
        milliseconds: u64,
    },
    Change {
        rule: usize,
        degrade: bool,
    },
    /// The sidecar is another one.
    TakeOver,
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        4 => Just(Chance::Append),
        4 => Just(Chance::Ask),
        1 => Just(Chance::Open),
        6 => (0..3_usize, 1..4_i64).prop_map(|(member, ops)| Chance::Ship { member, ops }),
        1 => (0..3_usize).prop_map(|member| Chance::Break { member }),
        3 => (0..3_usize).prop_map(|member| Chance::Join { member }),
        4 => Just(Chance::Land),
        1 => Just(Chance::Refuse),
        1 => any::<bool>().prop_map(|lands| Chance::LoseAnswer { lands }),
        3 => (1..6_000_u64).prop_map(|milliseconds| Chance::Pass { milliseconds }),
        1 => (0..4_usize, any::<bool>()).prop_map(|(rule, degrade)| Chance::Change { rule, degrade }),
        1 => Just(Chance::TakeOver),
    ]
}

/// Three standbys, a log, and a Lease whose writes take their time.
struct Life {
    machine: Acknowledgement,
    now: Duration,
    head: i64,
    disks: [i64; 3],
    streams: [Option<u64>; 3],
    connections: u64,
    tickets: Ticket,
    covered: BTreeMap<Ticket, Covers>,
    lease: Option<SyncRecord>,
    under_way: Option<Option<SyncRecord>>,
    seen: i64,
    policy: Policy,
}

const NAMES: [&str; 3] = ["b", "c", "d"];
const RULES: [Rule; 4] = [Rule::All, Rule::Any(1), Rule::Any(2), Rule::Any(3)];

impl Life {
    fn new() -> Self {
        let first = policy(Rule::All, &NAMES, WhenUnavailable::Degrade);
        Self {
            machine: Acknowledgement::new(3, first.clone(), Some(op(10))),
            now: Duration::ZERO,
            head: 10,
            disks: [10, 9, 0],
            streams: [None; 3],
            connections: 0,
            tickets: 0,
            covered: BTreeMap::new(),
            lease: Some(SyncRecord::none(3)),
            under_way: None,
            seen: 10,
            policy: first,
        }
    }

    fn event(&mut self, event: Event) {
        for action in self.machine.handle(event, self.now) {
            match action {
                Action::Permit { ticket } => {
                    let covers = self.covered.remove(&ticket).unwrap();
                    self.is_due(covers);
                    self.seen = self.seen.max(covers.shows().map_or(0, |op| op.index));
                }
                Action::Write { record } => assert!(self.under_way.replace(record).is_none(), "two writes at once"),
            }
        }
        self.check();
    }

    fn ask(&mut self, covers: Covers) {
        self.tickets += 1;
        self.covered.insert(self.tickets, covers);
        self.event(Event::Asked { ticket: self.tickets, covers });
    }

    /// As many as asked for have an operation that is acknowledged, or the Lease says that it may be fewer.
    fn is_due(&self, covers: Covers) {
        let Covers::Operations(op) = covers else { return };
        let count = self.disks.iter().filter(|disk| **disk >= op.index).count();
        let enough = match self.policy.rule {
            Rule::Async => 0,
            Rule::All => NAMES.len(),
            Rule::Any(count) => count,
        };
        let degraded = self.lease.as_ref().is_some_and(|record| record.degraded);
        assert!(count >= enough || degraded || op.index <= self.seen, "{op} is on {count}: {:?}", self.policy);
    }

    /// Whoever is chosen by the record has all that was seen, whichever of the members happen to answer.
    fn check(&self) {
        let Some(record) = &self.lease else { panic!("a synchronous reign has a record") };
        let Some(needed) = record.witnesses() else { return };
        let disks: Vec<_> = NAMES.iter().zip(self.disks).filter(|(name, _)| record.members.contains(**name)).collect();
        assert_eq!(disks.len(), record.members.len());
        for answers in 0..1_usize << disks.len() {
            let heard = disks.iter().enumerate().filter(|(at, _)| answers >> at & 1 == 1);
            let heads: Vec<_> = heads_of(heard);
            let chosen = heads.iter().max();
            assert!(
                heads.len() < needed || chosen.is_some_and(|head| *head >= self.seen),
                "{record:?} {:?}",
                self.disks
            );
        }
    }

    fn live(&mut self, chance: &Chance) {
        match *chance {
            Chance::Append => self.head += 1,
            Chance::Ask => self.ask(Covers::Operations(op(self.head))),
            Chance::Open => {
                // kudu-master was started again: what waited is gone, and its NO_OP shows all before it.
                let gone: Vec<_> = self.covered.keys().copied().collect();
                gone.into_iter().for_each(|ticket| self.event(Event::Withdrawn { ticket }));
                self.covered.clear();
                self.ask(Covers::Opening(Some(op(self.head))));
                self.head += 1;
            }
            Chance::Ship { member, ops } => {
                let Some(connection) = self.streams[member] else { return };
                self.disks[member] = self.head.min(self.disks[member] + ops);
                let head = op(self.disks[member]);
                self.event(Event::Acknowledged { member: NAMES[member].to_owned(), connection, head });
            }
            Chance::Break { member } => {
                if let Some(connection) = self.streams[member].take() {
                    self.event(Event::Left { member: NAMES[member].to_owned(), connection });
                }
            }
            Chance::Join { member } => {
                self.connections += 1;
                self.streams[member] = Some(self.connections);
                let head = op(self.disks[member]);
                let connection = self.connections;
                self.event(Event::Joined { member: NAMES[member].to_owned(), connection, head });
            }
            Chance::Land => self.answer(true, Outcome::Written),
            Chance::Refuse => self.answer(false, Outcome::NotWritten),
            Chance::LoseAnswer { lands } => self.answer(lands, Outcome::Unknown),
            Chance::Pass { milliseconds } => {
                self.now += Duration::from_millis(milliseconds);
                self.event(Event::Woke);
            }
            Chance::TakeOver => {
                // A write of the one before may still land, before the new one writes.
                if let Some(record) = self.under_way.take().filter(|_| self.head % 2 == 0) {
                    self.lease = record;
                }
                self.streams = [None; 3];
                self.machine = Acknowledgement::taken_over(3, self.policy.clone(), Some(op(self.head)));
                self.event(Event::Woke);
                for (ticket, covers) in self.covered.clone() {
                    self.event(Event::Asked { ticket, covers });
                }
            }
            Chance::Change { rule, degrade } => {
                let when = if degrade { WhenUnavailable::Degrade } else { WhenUnavailable::Block };
                self.policy = policy(RULES[rule], &NAMES, when);
                self.event(Event::Policy(self.policy.clone()));
            }
        }
    }

    fn answer(&mut self, lands: bool, outcome: Outcome) {
        let Some(record) = self.under_way.take() else { return };
        if lands {
            self.lease = record;
        }
        self.check();
        self.event(Event::Wrote(outcome));
    }
}

fn heads_of<'a>(heard: impl Iterator<Item = (usize, &'a (&'a &'static str, i64))>) -> Vec<i64> {
    heard.map(|(_, (_, head))| *head).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_whoever_may_take_over_has_what_was_acknowledged(chances in prop::collection::vec(chance(), 1..120)) {
        let mut life = Life::new();
        chances.iter().for_each(|chance| life.live(chance));
        // And it heals: with everybody there, everything that waits is permitted.
        life.live(&Chance::Change { rule: 0, degrade: false });
        for round in 0..6 {
            (0..3).for_each(|member| life.live(&Chance::Join { member }));
            (0..3).for_each(|member| life.live(&Chance::Ship { member, ops: 1000 }));
            life.live(&Chance::Land);
            life.live(&Chance::Pass { milliseconds: 1000 });
            prop_assert!(round < 5 || life.covered.is_empty(), "still waiting: {:?}", life.machine);
        }
    }
}
