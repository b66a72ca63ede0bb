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
    begun(false)
}

fn begun(unfit: bool) -> Follower {
    let history: TermHistory = (1..=10).map(|index| OpId::new(1, index)).collect();
    let register =
        Register { pair: "demo".into(), member: "demo-1".into(), history: Some(history), compare_from: None };
    let (follower, actions) = Follower::begin(START, register, EPOCH, unfit);
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

/// What a log holds behind `from`, up to `to`; the digest of another log has another payload somewhere.
fn rolling(from: i64, to: i64, payload: usize) -> Rolling {
    let mut rolling = Rolling::behind(OpId::new(1, from));
    (from + 1..=to).for_each(|index| rolling.add(&sized(index, payload)).unwrap());
    rolling
}

fn digest_of(from: i64, to: i64) -> Event {
    says(EPOCH, Message::Digest(rolling(from, to, 10)))
}

fn read_back(from: i64, at: i64, to: i64) -> Action {
    Action::ReadBack { rolling: rolling(from, at, 10), to: OpId::new(1, to) }
}

fn whole(from: i64, to: i64) -> Event {
    Event::ReadBack(ReadBack::Whole(rolling(from, to, 10)))
}

/// One that has stored and acknowledged everything up to 20.
fn caught_up() -> Follower {
    let mut follower = streaming();
    let _ = follower.on(START, says(EPOCH, Message::Ops((11..=20).map(op).collect())));
    let _ = follower.on(START, Event::Stored(OpId::new(1, 20)));
    follower
}

#[test]
fn files_are_read_on_from_where_they_were_found_equal() {
    let mut follower = caught_up();
    assert_eq!(follower.on(START, digest_of(5, 12)), [read_back(5, 5, 12)]);
    assert_eq!(follower.on(START, whole(5, 12)), [Action::Verified(rolling(5, 12, 10))]);
    assert_eq!(follower.on(START, digest_of(5, 15)), [read_back(5, 12, 15)]);
    // The latest one that comes meanwhile stands for all.
    assert_eq!(follower.on(START, digest_of(5, 16)), []);
    assert_eq!(follower.on(START, digest_of(5, 19)), []);
    assert_eq!(follower.on(START, whole(5, 15)), [Action::Verified(rolling(5, 15, 10)), read_back(5, 15, 19)]);
}

#[test]
fn a_log_that_is_not_the_actives_is_condemned_before_anything_else_is_done() {
    for (found, fault) in [
        (ReadBack::Whole(rolling(5, 12, 11)), LogFault::Differs),
        (ReadBack::Unfit("the log ends at 1.11".into()), LogFault::Damaged),
    ] {
        let mut follower = caught_up();
        let _ = follower.on(START, digest_of(5, 12));
        let actions = follower.on(START, Event::ReadBack(found));
        assert!(
            matches!(&actions[..], [Action::Condemn(finding), Action::HangUp(HangUp::Unfit(_))] if finding.fault == fault),
            "{actions:?}"
        );
        // Nothing more is acknowledged.
        assert_eq!(follower.on(START, Event::Stored(OpId::new(1, 20))), []);
        assert_eq!(follower.on(START, says(EPOCH, Message::Heartbeat(beat()))), []);
    }
}

#[test]
fn an_unfit_log_is_not_continued_and_its_gap_is_still_noted() {
    for (diff_head, ops) in [(10, 0), (7, 3)] {
        let mut follower = begun(true);
        let _ = follower.on(START, says(EPOCH, meet(diff_head)));
        let actions = follower.on(START, Event::DigestRead(Some(digest(diff_head))));
        assert!(matches!(&actions[..], [Action::Note(gap), Action::TakeBase { .. }] if gap.ops == ops), "{actions:?}");
    }
}

#[test]
fn what_is_not_durable_here_has_no_digest() {
    let mut follower = caught_up();
    let actions = follower.on(START, digest_of(5, 21));
    let ahead = HangUp::DigestAhead { at: OpId::new(1, 21), replicate_head: OpId::new(1, 20) };
    assert_eq!(actions, [Action::HangUp(ahead)]);
}

#[test]
fn behind_a_new_base_everything_is_compared_anew() {
    let compare = |from| Action::Send { epoch: EPOCH, message: Message::Compare { from: OpId::new(1, from) } };
    let mut follower = caught_up();
    // An active that has sent no digest may be one that knows of none.
    assert_eq!(follower.on(START, Event::NewBase(OpId::new(1, 14))), []);
    let _ = follower.on(START, digest_of(5, 12));
    assert_eq!(follower.on(START, Event::NewBase(OpId::new(1, 14))), [compare(14)]);
    assert_eq!(follower.on(START, Event::ReadBack(ReadBack::Replaced)), []);
    // This one was on its way already.
    assert_eq!(follower.on(START, digest_of(5, 16)), []);
    assert_eq!(follower.on(START, digest_of(14, 16)), [read_back(14, 14, 16)]);
    assert_eq!(follower.on(START, whole(14, 16)), [Action::Verified(rolling(14, 16, 10))]);
}

#[test]
fn a_log_that_begins_later_is_compared_from_its_head_on() {
    let mut follower = caught_up();
    let _ = follower.on(START, digest_of(5, 12));
    let compare = Action::Send { epoch: EPOCH, message: Message::Compare { from: OpId::new(1, 20) } };
    assert_eq!(follower.on(START, Event::ReadBack(ReadBack::Later)), [compare]);
    assert_eq!(follower.on(START, digest_of(5, 14)), []);
    assert_eq!(follower.on(START, digest_of(20, 20)), [read_back(20, 20, 20)]);
}

#[test]
fn a_question_for_a_pledge_of_the_stream_s_own_reign_is_passed_on() {
    let ask = Ask { asked: 7, milliseconds: 6000 };
    let mut follower = streaming();
    assert_eq!(follower.on(START, says(EPOCH, Message::AskPledge(ask))), [Action::AskedForPledge(ask)]);
    let older = follower.on(START, says(EPOCH - 1, Message::AskPledge(ask)));
    assert!(matches!(hung_up(&older), HangUp::OldEpoch { .. }));
}
