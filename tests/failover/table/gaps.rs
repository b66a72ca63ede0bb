//! Gaps: told in the status, asked about by an annotation, answered once.

use kudu_pair::{
    api::{Answer, GapPolicy, GapRequest, GapState, PairStatus, names::GAP_ANNOTATION},
    failover::{action::Action, decide::decide, observation::Observation},
    gap::KeptGap,
};
use rstest::rstest;

use crate::fixture::*;

const NAME: &str = "demo-1-2000001.120";

pub(super) fn kept() -> KeptGap {
    KeptGap {
        name: NAME.to_owned(),
        pair: "demo".to_owned(),
        member: "demo-1".to_owned(),
        old_epoch: 2,
        diff_head: Some(op(100)),
        head: op(120),
        new_epoch: 3,
        new_active: "demo-0".to_owned(),
        new_first: None,
        ops: 20,
        bytes: 4_000,
        kept_unix_milliseconds: u64::try_from(now().as_millisecond()).unwrap(),
        changes: vec!["CREATE TABLE sales, 8 tablets".to_owned()],
        more_changes: 2,
        state: GapState::Pending,
        request: None,
        replayed: None,
        planned_head: None,
        after_replay: None,
        outcome: Vec::new(),
    }
}

fn with(kept: KeptGap) -> Observation {
    let mut seen = running();
    report_mut(&mut seen, "demo-1").gaps = vec![kept];
    seen
}

fn ask(seen: &mut Observation, value: &str) {
    let annotations = seen.pair.metadata.annotations.get_or_insert_default();
    annotations.insert(GAP_ANNOTATION.to_owned(), value.to_owned());
}

fn events(seen: &Observation) -> Vec<String> {
    let event = |action: Action| match action {
        Action::Event(event) => Some(event.reason.to_owned()),
        _ => None,
    };
    decide(seen).actions.into_iter().filter_map(event).collect()
}

/// Decides until nothing more is written, and returns the last status.
fn settled(seen: &mut Observation) -> PairStatus {
    for _ in 0..5 {
        let decision = decide(seen);
        let Some(status) = decision.actions.iter().find_map(|action| match action {
            Action::WriteStatus(status) => Some((**status).clone()),
            _ => None,
        }) else {
            break;
        };
        seen.pair.status = Some(status);
    }
    seen.status()
}

fn pending(status: &PairStatus) -> (String, String, String) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "GapPending").unwrap();
    (condition.status.clone(), condition.reason.clone(), condition.message.clone())
}

#[test]
fn a_gap_is_told_once_and_stays_while_its_member_is_silent() {
    let mut seen = with(kept());
    assert_eq!(events(&seen), ["GapKept"]);
    let status = settled(&mut seen);
    assert_eq!(status.gaps.len(), 1);
    let (holds, reason, message) = pending(&status);
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "ReplayedOnSwitchBack"));
    for part in [NAME, "20 operations", "CREATE TABLE sales, 8 tablets", "and 2 more", "kudupair.io/switchover=demo-1"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(events(&seen).is_empty());
    report_mut(&mut seen, "demo-1").gaps = Vec::new();
    assert_eq!(settled(&mut seen).gaps, status.gaps);
}

#[rstest]
#[case(GapPolicy::Ask, GapState::Pending, "DecisionNeeded")]
#[case(GapPolicy::Keep, GapState::Pending, "Kept")]
#[case(GapPolicy::Replay, GapState::Conflict, "Conflict")]
fn the_condition_says_what_is_waited_for(#[case] policy: GapPolicy, #[case] state: GapState, #[case] reason: &str) {
    let mut seen = with(KeptGap { state, outcome: vec!["conflict: sales: the name is taken".to_owned()], ..kept() });
    seen.pair.spec.switch_back.gap = policy;
    let (holds, found, message) = pending(&settled(&mut seen));
    assert_eq!((holds.as_str(), found.as_str()), ("True", reason));
    assert!(message.contains("the name is taken"), "{message}");
}

#[test]
fn a_request_is_passed_on_once_and_answered_when_its_member_has_obeyed() {
    let mut seen = with(kept());
    settled(&mut seen);
    let request = format!("replay:{NAME}@1");
    ask(&mut seen, &request);
    let status = settled(&mut seen);
    let answer = status.gap_request.clone().unwrap();
    assert_eq!((answer.answer, answer.request.as_str()), (Answer::Accepted, request.as_str()));
    assert_eq!(
        answer.message,
        format!("demo-1 hands {NAME} to demo-0; demo-0 is restarted in place with {NAME} behind its head")
    );
    assert_eq!(status.gaps[0].decision.as_ref().map(|decision| decision.what), Some(GapRequest::Replay));

    let replayed = KeptGap {
        state: GapState::Replaying,
        request: Some(request.clone()),
        replayed: Some((op(131), op(132))),
        ..kept()
    };
    report_mut(&mut seen, "demo-1").gaps = vec![replayed.clone()];
    assert!(settled(&mut seen).gaps[0].decision.is_some(), "its standbys do not have it yet");
    let outcome = vec!["replayed: sales: not touched since".to_owned()];
    report_mut(&mut seen, "demo-1").gaps = vec![KeptGap { state: GapState::Replayed, outcome, ..replayed }];
    let status = settled(&mut seen);
    assert_eq!(status.gap_request.as_ref().map(|answer| answer.answer), Some(Answer::Completed));
    assert_eq!((status.gaps[0].state, &status.gaps[0].decision), (GapState::Replayed, &None));
    assert_eq!(pending(&status).0, "False");
}

#[test]
fn of_a_gap_that_was_handed_over_the_active_tells_until_it_has_come_to_an_end_anywhere() {
    let told = |active: GapState, standby: GapState| {
        let mut seen = with(KeptGap { state: standby, ..kept() });
        report_mut(&mut seen, "demo-0").gaps = vec![KeptGap { state: active, ..kept() }];
        let status = settled(&mut seen);
        assert_eq!((status.gaps.len(), status.gaps[0].member.as_str()), (1, "demo-1"));
        status.gaps[0].state
    };
    assert_eq!(told(GapState::Replaying, GapState::Pending), GapState::Replaying);
    assert_eq!(told(GapState::Replayed, GapState::Pending), GapState::Replayed);
    assert_eq!(told(GapState::Conflict, GapState::Pending), GapState::Conflict);
    assert_eq!(told(GapState::Pending, GapState::Replayed), GapState::Replayed, "the active took a copy before");
}

#[rstest]
#[case("replay:demo-9-1.1", "there is no gap \"demo-9-1.1\": name one of demo-1-2000001.120")]
#[case("undo:demo-1-2000001.120", "write replay: or discard:")]
#[case("discard", "write replay: or discard:")]
fn a_request_that_means_nothing_is_refused_with_advice(#[case] value: &str, #[case] words: &str) {
    let mut seen = with(kept());
    settled(&mut seen);
    ask(&mut seen, value);
    assert_eq!(events(&seen), ["GapRequestRefused"]);
    let status = settled(&mut seen);
    let answer = status.gap_request.unwrap();
    assert_eq!(answer.answer, Answer::Refused);
    assert!(answer.message.contains(words), "{}", answer.message);
    assert_eq!(status.gaps[0].decision, None);
}

#[test]
fn a_gap_that_is_done_takes_no_request() {
    let mut seen = with(KeptGap { state: GapState::Discarded, ..kept() });
    settled(&mut seen);
    ask(&mut seen, &format!("replay:{NAME}"));
    assert!(settled(&mut seen).gap_request.unwrap().message.contains("Discarded already"));
}

#[test]
fn nobody_gives_a_gap_up_but_a_person_or_the_age_that_the_spec_says() {
    let day = jiff::SignedDuration::from_hours(24);
    let old = u64::try_from((now() - day * 3).as_millisecond()).unwrap();
    let mut seen = with(KeptGap { kept_unix_milliseconds: old, ..kept() });
    assert_eq!(settled(&mut seen).gaps[0].decision, None);
    seen.pair.spec.switch_back.discard_after_days = Some(3);
    assert_eq!(settled(&mut seen).gaps[0].decision, None, "not older yet");
    seen.pair.spec.switch_back.discard_after_days = Some(2);
    assert_eq!(events(&seen), ["GapExpired"]);
    let decision = settled(&mut seen).gaps[0].decision.clone().unwrap();
    assert_eq!((decision.what, decision.request.as_str()), (GapRequest::Discard, "spec.switchBack.discardAfterDays"));
}

#[test]
fn a_flag_with_which_rows_are_deleted_is_reported_beforehand() {
    let mut seen = running();
    assert_eq!(pending(&settled(&mut seen)).1, "None");
    let flag = kudu_pair::api::FlagValue("true".to_owned());
    seen.pair.spec.kudu.flags.insert("catalog_manager_delete_orphaned_tablets".to_owned(), flag);
    let (holds, reason, message) = pending(&settled(&mut seen));
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "OrphanedTabletsDeleted"));
    assert!(message.contains("remove it"), "{message}");
}
