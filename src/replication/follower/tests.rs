use super::*;
use crate::{
    replication::message::Digest,
    wal::{TermHistory, tests::replicate},
};

const EPOCH: i64 = 3;
const START: Duration = Duration::from_secs(100);

fn op(index: i64) -> Replicate {
    sized(index, 10)
}

fn sized(index: i64, bytes: usize) -> Replicate {
    Replicate::from_raw(replicate(OpId::new(1, index), 3, &vec![7; bytes])).unwrap()
}

fn digest(index: i64) -> OpDigest {
    OpDigest::of_raw(&index.to_be_bytes())
}

/// A follower that has obeyed [`EPOCH`], whose log ends at 10.
fn follower() -> Follower {
    let history: TermHistory = (1..=10).map(|index| OpId::new(1, index)).collect();
    let register = Register { pair: "demo".into(), member: "demo-1".into(), history: Some(history) };
    let (follower, actions) = Follower::begin(START, register, EPOCH);
    assert!(matches!(actions[..], [Action::Send { epoch: EPOCH, message: Message::Register(_) }]));
    follower
}

fn says(epoch: i64, message: Message) -> Event {
    Event::Received { epoch, message }
}

fn meet(index: i64) -> Message {
    Message::Answer(Answer::Meet { diff_head: OpId::new(1, index), digest: Digest(digest(index)), uuid: "u".into() })
}

fn beat() -> Heartbeat {
    Heartbeat { current_head: Some(OpId::new(1, 20)), serving: true }
}

fn ack(index: i64) -> Action {
    Action::Send { epoch: EPOCH, message: Message::Ack { replicate_head: OpId::new(1, index) } }
}

fn streaming() -> Follower {
    let mut follower = follower();
    assert_eq!(follower.on(START, says(EPOCH, meet(10))), [Action::ReadDigest(OpId::new(1, 10))]);
    let actions = follower.on(START, Event::DigestRead(Some(digest(10))));
    assert!(matches!(actions[..], [Action::Note(_), Action::RaiseTerm(4_000_000)]), "{actions:?}");
    let begin = Action::Send { epoch: EPOCH, message: Message::Begin { after: OpId::new(1, 10) } };
    assert_eq!(follower.on(START, Event::TermRaised), [begin]);
    follower
}

fn hung_up(actions: &[Action]) -> &HangUp {
    match actions.last() {
        Some(Action::HangUp(reason)) => reason,
        other => panic!("it goes on: {other:?}"),
    }
}

#[test]
fn what_arrives_during_a_flush_is_stored_with_the_next_one() {
    let mut follower = streaming();
    let ops = |range: std::ops::RangeInclusive<i64>| Message::Ops(range.map(op).collect());
    assert_eq!(follower.on(START, says(EPOCH, ops(11..=12))), [Action::Store(vec![op(11), op(12)])]);
    assert_eq!(follower.on(START, says(EPOCH, ops(13..=13))), []);
    assert_eq!(follower.on(START, says(EPOCH, ops(14..=15))), []);
    let stored = follower.on(START, Event::Stored(OpId::new(1, 12)));
    assert_eq!(stored, [Action::Store(vec![op(13), op(14), op(15)]), ack(12)]);
    assert_eq!(follower.on(START, Event::Stored(OpId::new(1, 15))), [ack(15)]);
}

#[test]
fn what_is_not_durable_is_not_acknowledged() {
    let mut follower = streaming();
    let _ = follower.on(START, says(EPOCH, Message::Ops(vec![op(11)])));
    assert_eq!(follower.on(START, says(EPOCH, Message::Heartbeat(beat()))), [Action::Hear(beat()), ack(10)]);
}

#[test]
fn a_newer_epoch_is_durable_before_it_is_obeyed() {
    let mut follower = follower();
    let actions = follower.on(START, says(EPOCH + 1, meet(10)));
    assert_eq!(actions, [Action::Obey(EPOCH + 1), Action::ReadDigest(OpId::new(1, 10))]);
}

#[test]
fn an_older_epoch_is_refused_in_every_message() {
    for message in [meet(10), Message::Heartbeat(beat())] {
        let actions = follower().on(START, says(EPOCH - 1, message));
        assert_eq!(actions, [Action::HangUp(HangUp::OldEpoch { theirs: EPOCH - 1, ours: EPOCH })]);
    }
    // Also when the active itself has spoken for a newer one before.
    let mut risen = follower();
    let _ = risen.on(START, says(EPOCH + 1, meet(10)));
    let _ = risen.on(START, Event::DigestRead(Some(digest(10))));
    let _ = risen.on(START, Event::TermRaised);
    let actions = risen.on(START, says(EPOCH, Message::Ops(vec![op(11)])));
    assert_eq!(actions, [Action::HangUp(HangUp::OldEpoch { theirs: EPOCH, ours: EPOCH + 1 })]);
}

#[test]
fn a_stream_is_of_one_reign() {
    for message in [Message::Heartbeat(beat()), Message::Ops(vec![op(11)])] {
        let actions = streaming().on(START, says(EPOCH + 1, message));
        assert_eq!(actions, [Action::HangUp(HangUp::OtherEpoch { theirs: EPOCH + 1, ours: EPOCH })]);
    }
}

#[test]
fn holes_are_not_stored() {
    for ops in [vec![op(12)], vec![op(10)], vec![op(11), op(13)]] {
        assert!(matches!(
            streaming().on(START, says(EPOCH, Message::Ops(ops)))[..],
            [Action::HangUp(HangUp::Hole { .. })]
        ));
    }
}

#[test]
fn a_gap_is_noted_before_a_base_is_taken() {
    let mut follower = follower();
    let _ = follower.on(START, says(EPOCH, meet(7)));
    let noted = GapReport { epoch: EPOCH, ops: 3, diff_head: Some(OpId::new(1, 7)), own_head: Some(OpId::new(1, 10)) };
    let actions = follower.on(START, Event::DigestRead(Some(digest(7))));
    assert_eq!(actions, [Action::Note(noted), Action::TakeBase { uuid: "u".into() }]);
    assert_eq!(follower.wake_at(), None);
}

#[test]
fn another_digest_at_the_diff_head_is_a_gap() {
    let mut follower = follower();
    let _ = follower.on(START, says(EPOCH, meet(10)));
    let actions = follower.on(START, Event::DigestRead(Some(digest(9))));
    assert!(matches!(&actions[..], [Action::Note(gap), Action::TakeBase { .. }] if gap.ops == 10), "{actions:?}");
}

#[test]
fn a_refusal_is_told_whatever_the_epoch() {
    let refused = Message::Answer(Answer::Refused { reason: "not the active".into() });
    let actions = follower().on(START, says(0, refused));
    assert_eq!(actions, [Action::HangUp(HangUp::Refused("not the active".into()))]);
}

#[test]
fn a_silent_active_is_given_up_in_every_phase() {
    for mut follower in [follower(), streaming()] {
        assert_eq!(follower.wake_at(), Some(START + SILENCE_LIMIT));
        let almost = START + SILENCE_LIMIT - Duration::from_millis(1);
        let _ = follower.on(almost, says(EPOCH, Message::Heartbeat(beat())));
        assert_eq!(follower.on(START + SILENCE_LIMIT, Event::Tick), []);
        let actions = follower.on(almost + SILENCE_LIMIT, Event::Tick);
        assert_eq!(*hung_up(&actions), HangUp::Silent(SILENCE_LIMIT));
    }
}

#[test]
fn what_waits_to_be_stored_is_bounded() {
    let mut follower = streaming();
    let _ = follower.on(START, says(EPOCH, Message::Ops(vec![op(11)])));
    assert!(follower.listens());
    let _ = follower.on(START, says(EPOCH, Message::Ops(vec![sized(12, GROUP_BYTES)])));
    assert!(!follower.listens());
    // Its own disk is slow: that is no silence of the active.
    assert_eq!(follower.wake_at(), None);
    let _ = follower.on(START, Event::Stored(OpId::new(1, 11)));
    assert!(follower.listens());
}
