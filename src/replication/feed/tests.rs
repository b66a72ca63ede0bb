use super::*;
use crate::{replication::sender::WINDOW_BYTES, wal::tests::replicate};

const EPOCH: i64 = 3;
const START: Duration = Duration::from_secs(100);

fn op(index: i64) -> Replicate {
    sized(index, 10)
}

fn sized(index: i64, bytes: usize) -> Replicate {
    Replicate::from_raw(replicate(OpId::new(1, index), 3, &vec![7; bytes])).unwrap()
}

fn history(last: i64) -> TermHistory {
    (1..=last).map(|index| OpId::new(1, index)).collect()
}

fn reign(last: i64) -> Reign {
    let beat = Heartbeat { current_head: Some(OpId::new(1, last)), serving: true };
    Reign { epoch: EPOCH, uuid: "u".into(), history: history(last), whole: true, opened: true, beat }
}

fn register(last: Option<i64>) -> Message {
    Message::Register(Register {
        pair: "demo".into(),
        member: "demo-1".into(),
        history: last.map(history),
        compare_from: None,
    })
}

fn says(epoch: i64, message: Message) -> Event {
    Event::Received { epoch, message }
}

fn ack(index: i64) -> Event {
    says(EPOCH, Message::Ack { replicate_head: OpId::new(1, index) })
}

/// The reason with which the last of these actions hangs up.
fn hung_up(actions: &[Action]) -> &HangUp {
    match actions.last() {
        Some(Action::HangUp(reason)) => reason,
        other => panic!("it goes on: {other:?}"),
    }
}

fn refusal(actions: &[Action]) -> &str {
    match actions {
        [Action::Send { message: Message::Answer(Answer::Refused { reason }), .. }, Action::HangUp(_)] => reason,
        other => panic!("no refusal: {other:?}"),
    }
}

/// A feed that was asked by a standby with operations up to `standby` to follow a log up to `active`, and what it answers.
fn registered(active: Reign, epoch: i64, standby: Option<i64>) -> (Feed, Vec<Action>) {
    let mut feed = Feed::new("demo", START);
    assert!(matches!(feed.on(START, says(epoch, register(standby)))[..], [Action::Identify(_)]));
    let mut actions = feed.on(START, Event::Identified(Identified::Reign(active)));
    if let Some(Action::ReadDigest(op)) = actions.first() {
        actions = feed.on(START, Event::DigestRead(Some(OpDigest::of_raw(op.to_string().as_bytes()))));
    }
    (feed, actions)
}

fn streaming(standby: i64) -> Feed {
    let (mut feed, _) = registered(reign(20), EPOCH, Some(standby));
    let actions = feed.on(START, says(EPOCH, Message::Begin { after: OpId::new(1, standby) }));
    assert!(matches!(actions[..], [Action::Begin { .. }, Action::ReadLog]), "{actions:?}");
    feed
}

#[test]
fn a_standby_is_fed_from_the_diff_head_on() {
    let mut feed = streaming(10);
    let actions = feed.on(START, Event::LogRead(vec![op(11), op(12)]));
    assert_eq!(actions, [Action::Send { epoch: EPOCH, message: Message::Ops(vec![op(11), op(12)]) }, Action::ReadLog]);
    assert_eq!(feed.on(START, Event::LogRead(vec![])), []);
    assert_eq!(feed.on(START, ack(12)), [Action::Acknowledged(OpId::new(1, 12))]);
    let grown = Heartbeat { current_head: Some(OpId::new(1, 21)), serving: true };
    assert_eq!(feed.on(START, Event::Beat(grown)), [Action::ReadLog]);
}

#[test]
fn what_the_gate_waits_for_is_read_before_it_is_seen_and_once() {
    let mut feed = streaming(20);
    assert_eq!(feed.on(START, Event::LogRead(vec![])), []);
    assert_eq!(feed.on(START, Event::MayHoldMore), [Action::ReadLog]);
    let actions = feed.on(START, Event::LogRead(vec![op(21)]));
    assert_eq!(actions, [Action::Send { epoch: EPOCH, message: Message::Ops(vec![op(21)]) }, Action::ReadLog]);
    assert_eq!(feed.on(START, Event::LogRead(vec![])), []);
    let seen = Heartbeat { current_head: Some(OpId::new(1, 21)), serving: true };
    assert_eq!(feed.on(START, Event::Beat(seen)), []);
}

#[test]
fn refusals_say_why() {
    for (epoch, standby, active, words) in [
        (EPOCH + 1, Some(10), reign(20), "deposed"),
        (EPOCH, None, Reign { opened: false, ..reign(20) }, "starting"),
        (EPOCH, Some(21), Reign { whole: false, ..reign(20) }, "reading its log"),
    ] {
        let (_, actions) = registered(active, epoch, standby);
        assert!(refusal(&actions).contains(words), "{actions:?}");
    }
    for (identified, words) in
        [(Identified::NotActive, "not the active"), (Identified::Stranger("who?".into()), "who?")]
    {
        let mut feed = Feed::new("demo", START);
        let _ = feed.on(START, says(0, register(None)));
        assert!(refusal(&feed.on(START, Event::Identified(identified))).contains(words));
    }
    let mut feed = Feed::new("other", START);
    let _ = feed.on(START, says(0, register(None)));
    let actions = feed.on(START, Event::Identified(Identified::Reign(reign(20))));
    assert!(refusal(&actions).contains("belongs to pair \"demo\""));
}

#[test]
fn a_log_seen_in_part_still_serves_whom_it_continues() {
    let (_, actions) = registered(Reign { whole: false, ..reign(20) }, EPOCH, Some(20));
    assert!(matches!(actions.first(), Some(Action::Send { message: Message::Answer(Answer::Meet { .. }), .. })));
}

#[test]
fn a_stream_begins_at_the_diff_head_or_not_at_all() {
    for after in [OpId::new(1, 9), OpId::new(1, 11), OpId::new(2, 10)] {
        let (mut feed, _) = registered(reign(20), EPOCH, Some(10));
        let actions = feed.on(START, says(EPOCH, Message::Begin { after }));
        assert_eq!(*hung_up(&actions), HangUp::BeginElsewhere { after, diff_head: OpId::new(1, 10) });
        assert_eq!(feed.on(START, ack(10)), [], "it has hung up");
    }
}

#[test]
fn only_its_own_epoch_is_heard_once_the_answer_is_given() {
    for theirs in [EPOCH - 1, EPOCH + 1] {
        let (mut feed, _) = registered(reign(20), EPOCH, Some(10));
        let begin = Message::Begin { after: OpId::new(1, 10) };
        assert_eq!(*hung_up(&feed.on(START, says(theirs, begin))), HangUp::OtherEpoch { theirs, ours: EPOCH });
        let late = Message::Ack { replicate_head: OpId::new(1, 10) };
        assert_eq!(*hung_up(&streaming(10).on(START, says(theirs, late))), HangUp::OtherEpoch { theirs, ours: EPOCH });
    }
}

#[test]
fn what_was_not_sent_cannot_be_acknowledged() {
    let mut feed = streaming(10);
    let _ = feed.on(START, Event::LogRead(vec![op(11), op(12)]));
    assert!(matches!(hung_up(&feed.on(START, ack(13))), HangUp::Acknowledgement(_)));
}

#[test]
fn a_hole_in_the_own_log_is_not_sent() {
    let actions = streaming(10).on(START, Event::LogRead(vec![op(12)]));
    assert_eq!(*hung_up(&actions), HangUp::Hole { after: OpId::new(1, 10), next: OpId::new(1, 12) });
}

#[test]
fn a_slow_standby_costs_a_window() {
    let mut feed = streaming(10);
    let actions = feed.on(START, Event::LogRead(vec![sized(11, WINDOW_BYTES)]));
    assert!(matches!(actions[..], [Action::Send { .. }]), "{actions:?}");
    assert!(feed.in_flight_bytes() >= WINDOW_BYTES);
    let actions = feed.on(START, ack(11));
    assert_eq!(actions, [Action::Acknowledged(OpId::new(1, 11)), Action::ReadLog]);
}

#[test]
fn it_beats_from_the_answer_on_and_at_once_when_the_master_stops() {
    let mut feed = Feed::new("demo", START);
    assert_eq!(feed.wake_at(), Some(START + REGISTER_LIMIT));
    let _ = feed.on(START, says(EPOCH, register(Some(10))));
    let actions = feed.on(START, Event::Identified(Identified::Reign(reign(20))));
    let beat = |serving| Action::Send {
        epoch: EPOCH,
        message: Message::Heartbeat(Heartbeat { current_head: Some(OpId::new(1, 20)), serving }),
    };
    assert_eq!(actions, [Action::ReadDigest(OpId::new(1, 10)), beat(true)]);
    assert_eq!(feed.wake_at(), Some(START + HEARTBEAT_INTERVAL));
    assert_eq!(feed.on(START + HEARTBEAT_INTERVAL, Event::Tick), [beat(true)]);
    let stopped = Heartbeat { current_head: Some(OpId::new(1, 20)), serving: false };
    assert_eq!(feed.on(START + HEARTBEAT_INTERVAL, Event::Beat(stopped)), [beat(false)]);
}

#[test]
fn nobody_is_waited_for_for_ever() {
    let mut feed = Feed::new("demo", START);
    assert_eq!(*hung_up(&feed.on(START + REGISTER_LIMIT, Event::Tick)), HangUp::Silent(REGISTER_LIMIT));
    let (mut feed, _) = registered(reign(20), EPOCH, Some(10));
    assert_eq!(*hung_up(&feed.on(START + BEGIN_LIMIT, Event::Tick)), HangUp::Silent(BEGIN_LIMIT));
    assert_eq!(*hung_up(&streaming(10).on(START + SILENCE_LIMIT, Event::Tick)), HangUp::Silent(SILENCE_LIMIT));
}

#[test]
fn a_standby_that_lives_but_stores_nothing_is_dropped() {
    let mut feed = streaming(10);
    let _ = feed.on(START, Event::LogRead(vec![op(11)]));
    let mut now = START;
    while now < START + ACKNOWLEDGE_LIMIT {
        assert!(matches!(feed.on(now, ack(10)).first(), Some(Action::Acknowledged(_))));
        now += SILENCE_LIMIT / 2;
    }
    assert_eq!(*hung_up(&feed.on(now, Event::Tick)), HangUp::Unacknowledged(ACKNOWLEDGE_LIMIT));
}

#[test]
fn messages_out_of_turn_end_it() {
    let mut feed = Feed::new("demo", START);
    assert!(matches!(hung_up(&feed.on(START, ack(1))), HangUp::OutOfTurn { .. }));
    let mut feed = Feed::new("demo", START);
    let _ = feed.on(START, says(EPOCH, register(Some(10))));
    assert!(matches!(hung_up(&feed.on(START, says(EPOCH, register(Some(10))))), HangUp::OutOfTurn { .. }));
    let (mut feed, _) = registered(reign(20), EPOCH, Some(10));
    assert!(matches!(hung_up(&feed.on(START, ack(10))), HangUp::OutOfTurn { .. }));
    assert!(matches!(hung_up(&streaming(10).on(START, says(EPOCH, register(None)))), HangUp::OutOfTurn { .. }));
}

/// What the log holds behind `from`, up to `to`.
fn rolling(from: i64, to: i64) -> Rolling {
    let mut rolling = Rolling::behind(OpId::new(1, from));
    (from + 1..=to).for_each(|index| rolling.add(&op(index)).unwrap());
    rolling
}

fn told(from: i64, to: i64) -> Action {
    Action::Send { epoch: EPOCH, message: Message::Digest(rolling(from, to)) }
}

fn extend(from: i64, at: i64, to: i64) -> Action {
    Action::Extend { rolling: rolling(from, at), to: OpId::new(1, to) }
}

/// What it does beside sending heartbeats.
fn at(feed: &mut Feed, now: Duration, event: Event) -> Vec<Action> {
    let mut actions = feed.on(now, event);
    actions.retain(|action| !matches!(action, Action::Send { message: Message::Heartbeat(_), .. }));
    actions
}

/// One that feeds a standby with operations up to 10 which has to compare its log behind `from`; sent up to 14.
fn comparing(from: i64) -> Feed {
    let (mut feed, _) = registered(reign(20), EPOCH, Some(10));
    let Phase::Answered { compare_from, .. } = &mut feed.phase else { panic!() };
    *compare_from = Some(OpId::new(1, from));
    let _ = feed.on(START, says(EPOCH, Message::Begin { after: OpId::new(1, 10) }));
    let _ = feed.on(START, Event::LogRead(vec![op(11), op(12)]));
    let _ = feed.on(START, Event::LogRead(vec![op(13), op(14)]));
    let _ = feed.on(START, Event::LogRead(vec![]));
    feed
}

#[test]
fn a_digest_is_of_what_was_acknowledged_and_no_more() {
    let mut feed = comparing(6);
    // What it has acknowledged by its registration is being read since the stream began.
    let longer = Event::Extended(Some(rolling(6, 10)));
    assert_eq!(at(&mut feed, START, longer), [told(6, 10)]);
    let soon = START + DIGEST_INTERVAL - Duration::from_millis(1);
    assert_eq!(at(&mut feed, soon, ack(12)), [Action::Acknowledged(OpId::new(1, 12))]);
    let due = START + DIGEST_INTERVAL;
    assert_eq!(at(&mut feed, due, Event::Tick), [extend(6, 10, 12)]);
    // One at a time, whatever is acknowledged meanwhile.
    assert_eq!(at(&mut feed, due + DIGEST_INTERVAL, ack(14)), [Action::Acknowledged(OpId::new(1, 14))]);
    let then = due + DIGEST_INTERVAL;
    assert_eq!(at(&mut feed, then, Event::Extended(Some(rolling(6, 12)))), [told(6, 12)]);
    assert_eq!(at(&mut feed, then + DIGEST_INTERVAL, Event::Tick), [extend(6, 12, 14)]);
    assert_eq!(at(&mut feed, then + DIGEST_INTERVAL, Event::Extended(Some(rolling(6, 14)))), [told(6, 14)]);
    // Nothing new, nothing said.
    assert_eq!(at(&mut feed, then + 3 * DIGEST_INTERVAL, Event::Tick), []);
}

#[test]
fn a_digest_that_is_far_behind_is_sent_in_parts() {
    let mut feed = comparing(6);
    assert_eq!(at(&mut feed, START, Event::Extended(Some(rolling(6, 8)))), [told(6, 8)]);
    assert_eq!(at(&mut feed, START + DIGEST_PAUSE, Event::Tick), [extend(6, 8, 10)]);
    // A log that cannot be read now is read later.
    assert_eq!(at(&mut feed, START + DIGEST_PAUSE, Event::Extended(Some(rolling(6, 8)))), []);
    assert_eq!(at(&mut feed, START + 2 * DIGEST_PAUSE, Event::Tick), [extend(6, 8, 10)]);
}

#[test]
fn what_was_collected_is_not_compared_and_the_rest_is() {
    let mut feed = comparing(6);
    assert_eq!(at(&mut feed, START, Event::Extended(None)), []);
    assert_eq!(at(&mut feed, START + DIGEST_PAUSE, Event::Tick), [told(10, 10)]);
    let _ = feed.on(START + DIGEST_PAUSE, ack(12));
    assert_eq!(at(&mut feed, START + DIGEST_PAUSE + DIGEST_INTERVAL, Event::Tick), [extend(10, 10, 12)]);
}

#[test]
fn a_standby_with_a_new_base_is_told_of_that() {
    let mut feed = comparing(6);
    let asked = says(EPOCH, Message::Compare { from: OpId::new(1, 9) });
    assert_eq!(at(&mut feed, START, asked), []);
    // What was being read for the one before is of no use.
    assert_eq!(at(&mut feed, START, Event::Extended(Some(rolling(6, 10)))), []);
    assert_eq!(at(&mut feed, START + DIGEST_PAUSE, Event::Tick), [extend(9, 9, 10)]);
    // Nobody can ask for a digest of what comes later.
    let _ = feed.on(START + DIGEST_PAUSE, Event::Extended(None));
    let _ = feed.on(START + DIGEST_PAUSE, says(EPOCH, Message::Compare { from: OpId::new(1, 99) }));
    assert_eq!(at(&mut feed, START + 2 * DIGEST_PAUSE, Event::Tick), [told(10, 10)]);
}

#[test]
fn who_does_not_ask_for_digests_gets_none() {
    let mut feed = streaming(10);
    let _ = feed.on(START, Event::LogRead(vec![op(11)]));
    let _ = feed.on(START, ack(11));
    assert_eq!(at(&mut feed, START + 2 * DIGEST_INTERVAL, Event::Tick), []);
}

#[test]
fn only_a_standby_that_streams_in_this_reign_is_asked_for_a_pledge_and_believed() {
    let ask = Ask { asked: 7, milliseconds: 6000 };
    let answer = PledgeAnswer { asked: 7, refused: None };
    let (mut feed, _) = registered(reign(20), EPOCH, Some(10));
    assert_eq!(feed.on(START, Event::AskPledge(ask)), [], "it has not begun");
    let pledge = |epoch| says(epoch, Message::Pledge(answer.clone()));
    assert!(matches!(hung_up(&feed.on(START, pledge(EPOCH))), HangUp::OutOfTurn { .. }));

    let (mut feed, _) = registered(reign(20), EPOCH, Some(10));
    let _ = feed.on(START, says(EPOCH, Message::Begin { after: OpId::new(1, 10) }));
    let asked = Action::Send { epoch: EPOCH, message: Message::AskPledge(ask) };
    assert!(feed.on(START, Event::AskPledge(ask)).contains(&asked));
    assert_eq!(feed.on(START, pledge(EPOCH)), [Action::Pledged(answer.clone())]);
    assert!(matches!(hung_up(&feed.on(START, pledge(EPOCH + 1))), HangUp::OtherEpoch { .. }));
}
