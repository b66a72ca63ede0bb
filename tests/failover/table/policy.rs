//! Who decides that another member takes over: the operator, a person who approves, or only a person.

use kudu_pair::api::{FailoverMode, Receipt};

use super::*;

fn lost_in(mode: FailoverMode) -> Observation {
    let mut seen = active_lost(running());
    seen.pair.spec.failover.mode = mode;
    seen
}

fn released(mut seen: Observation) -> Observation {
    let lease = lease_mut(&mut seen);
    (lease.holder, lease.final_head) = (None, Some(op(100)));
    seen
}

/// What is decided at last, when each memory that a decision writes is taken as written.
fn settle(seen: &mut Observation) -> Decision {
    for _ in 0..8 {
        let decision = decided(seen);
        let before = seen.status();
        if let Some(Action::WriteStatus(status)) =
            decision.actions.iter().find(|action| matches!(action, Action::WriteStatus(_)))
        {
            *status_mut(seen) = status.as_ref().clone();
        }
        if seen.status().switch == before.switch {
            return decision;
        }
    }
    panic!("never settles: {:#?}", seen.status());
}

/// The Lease as it is after the fence, so long ago.
fn fence_it(seen: &mut Observation, ago: u64) {
    let epoch = seen.status().switch.unwrap().epoch;
    let lease = lease_mut(seen);
    (lease.holder, lease.final_head, lease.epoch, lease.unchanged_for) = (None, None, epoch, ms(ago));
}

#[test]
fn nothing_is_promoted_without_the_approval_that_is_asked_for() {
    let mut seen = lost_in(FailoverMode::Approval);
    let decision = decided(&seen);
    assert!(written(&decision).switch.is_none());
    assert_eq!(written(&decision).phase, Some(Phase::Down));
    assert_eq!(condition(&decision, "Ready").reason, "ApprovalNeeded");
    assert_eq!(condition(&decision, "AutomaticFailover").reason, "Approval");
    let asked = "kubectl annotate -n kudu kmp demo --overwrite kudupair.io/approve-failover=4/demo-1/at-least-0";
    assert!(waits(&decision).contains(asked), "{}", waits(&decision));
    assert!(waits(&decision).contains("at least 0 operations are lost"), "{}", waits(&decision));

    approve(&mut seen, "4/demo-1/at-least-0");
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    let status = seen.status();
    assert_eq!(status.switch.as_ref().unwrap().approval.as_deref(), Some("4/demo-1/at-least-0"));
    assert_eq!(status.approval.unwrap().answer, Answer::Accepted);
    fence_it(&mut seen, 150);
    report_mut(&mut seen, "demo-1");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[rstest]
#[case::empty("")]
#[case::no_approval("any")]
#[case::of_an_earlier_reign("3/demo-1/at-least-0")]
#[case::of_a_later_reign("5/demo-1/at-least-0")]
#[case::of_another_member("4/demo-2/at-least-0")]
#[case::of_a_proven_loss("4/demo-1/5")]
fn another_approval_is_ignored(#[case] value: &str) {
    let mut seen = lost_in(FailoverMode::Approval);
    approve(&mut seen, value);
    let decision = decided(&seen);
    assert!(written(&decision).switch.is_none());
    assert_eq!(written(&decision).approval, None);
    assert_eq!(waits(&decision).contains("approves something else"), !value.is_empty(), "{}", waits(&decision));
    *status_mut(&mut seen) = written(&decision).clone();
    assert!(decided(&seen).actions.iter().all(|action| !matches!(action, Action::WriteStatus(_))), "answered twice");
}

#[test]
fn an_approval_does_not_cover_a_greater_loss_that_shows_later() {
    let mut seen = lost_in(FailoverMode::Approval);
    approve(&mut seen, "4/demo-1/at-least-0");
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    fence_it(&mut seen, 3_000);
    report_mut(&mut seen, "demo-1").active_head = Some(op(103));
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).to, None);
    assert!(waits(&decision).contains("approve-failover=4/demo-1/at-least-3"), "{}", waits(&decision));

    approve(&mut seen, "4/demo-1/at-least-3");
    settle(&mut seen);
    assert_eq!(seen.status().switch.unwrap().to.as_deref(), Some("demo-1"));
}

#[test]
fn an_approval_does_not_cover_the_next_member_when_the_first_fails() {
    let mut seen = lost_in(FailoverMode::Approval);
    let record = SwitchRecord {
        epoch: 5,
        approval: Some("4/demo-1/at-least-0".to_owned()),
        recorded_head: Some(op(100)),
        tried: vec![TriedMember { name: "demo-1".to_owned(), head: Some(op(100)) }],
        ..switch(SwitchKind::Failover, SwitchStep::Fencing)
    };
    seen = with_switch(seen, record);
    fence_it(&mut seen, 6_000);
    report_mut(&mut seen, "demo-1");
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
    assert!(waits(&decision).contains("approve-failover=5/demo-1/at-least-0"), "{}", waits(&decision));
}

#[rstest]
#[case(FailoverMode::Approval)]
#[case(FailoverMode::Off)]
fn the_old_active_serves_again_by_itself(#[case] mode: FailoverMode) {
    let mut seen = released(running());
    seen.pair.spec.failover.mode = mode;
    let old = report_mut(&mut seen, "demo-0");
    (old.state, old.master_stopped) = (MemberState::Waiting, true);
    member_mut(&mut seen, "demo-0").pod.as_mut().unwrap().deleting = true;
    assert!(written(&decided(&seen)).switch.is_none(), "it is going away");
    member_mut(&mut seen, "demo-0").pod.as_mut().unwrap().deleting = false;

    settle(&mut seen);
    fence_it(&mut seen, 150);
    report_mut(&mut seen, "demo-1");
    assert_eq!(
        recorded(&decided(&seen)).to.as_deref(),
        Some("demo-0"),
        "the standby has as much, but nobody approved it"
    );
}

#[test]
fn only_a_request_switches_when_off() {
    let mut seen = lost_in(FailoverMode::Off);
    let decision = decided(&seen);
    assert_eq!(written(&decision).phase, Some(Phase::Down));
    assert_eq!(condition(&decision, "Ready").reason, "FailoverOff");
    assert!(waits(&decision).contains("kudupair.io/switchover=any@4"), "{}", waits(&decision));
    approve(&mut seen, "4/demo-1/at-least-0");
    assert!(written(&decided(&seen)).switch.is_none(), "there is nothing to approve");

    annotate(&mut seen, "demo-7");
    assert_eq!(written(&decided(&seen)).switchover.as_ref().unwrap().answer, Answer::Refused);
    annotate(&mut seen, "any");
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).request.as_deref(), Some("any"));
    assert_eq!(written(&decision).switchover.as_ref().unwrap().answer, Answer::Accepted);
    *status_mut(&mut seen) = written(&decision).clone();
    fence_it(&mut seen, 150);
    report_mut(&mut seen, "demo-1");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn a_request_when_off_names_the_member_and_accepts_no_loss_beyond_the_bounds() {
    let mut seen = active_lost(running_with(2));
    seen.pair.spec.failover.mode = FailoverMode::Off;
    annotate(&mut seen, "demo-2");
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    fence_it(&mut seen, 3_000);
    report_mut(&mut seen, "demo-1");
    report_mut(&mut seen, "demo-2").head = Some(op(99));
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
    seen.pair.spec.failover.max_loss_ops = 0;
    let decision = decided(&seen);
    assert!(waits(&decision).contains("approve-failover=4/demo-2/at-least-1"), "{}", waits(&decision));
}

#[test]
fn an_active_that_dies_in_a_planned_switch_needs_the_approval_of_a_failover() {
    let mut seen = lost_in(FailoverMode::Approval);
    let record = SwitchRecord { to: Some("demo-1".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Fencing) };
    seen = with_switch(seen, record.clone());
    fence_it(&mut seen, 3_000);
    report_mut(&mut seen, "demo-1");
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
    assert_eq!(condition(&decision, "Ready").reason, "ApprovalNeeded");
    let handed_over = SwitchRecord { recorded_head: Some(op(100)), recorded_head_final: true, ..record };
    seen = with_switch(seen, handed_over);
    assert_eq!(recorded(&decided(&seen)).step, SwitchStep::Promoting, "it handed over: nothing is lost");
}

fn with_failovers(mut seen: Observation, minutes_ago: &[u32]) -> Observation {
    let receipt = |ago: &u32| -> Receipt {
        let at = now().checked_sub(std::time::Duration::from_secs(60) * *ago).unwrap();
        let record = SwitchRecord::new(SwitchKind::Failover, EPOCH, SwitchStep::Repointing, at);
        let record = SwitchRecord { from: Some("demo-1".to_owned()), ..record };
        kudu_pair::failover::receipt::receipt(&record, "demo-0".to_owned(), at)
    };
    status_mut(&mut seen).switches = minutes_ago.iter().map(receipt).collect();
    seen
}

#[test]
fn members_that_fail_in_turn_do_not_hand_the_pair_to_and_fro_for_ever() {
    let fresh = with_failovers(active_lost(running()), &[0, 1]);
    assert_eq!(recorded(&decided(&fresh)).kind, SwitchKind::Failover, "a fresh budget holds nothing back");
    assert!(condition(&decided(&fresh), "AutomaticFailover").message.contains("2 of 3"));

    let mut seen = with_failovers(active_lost(running()), &[0, 1, 2]);
    let decision = decided(&seen);
    assert!(written(&decision).switch.is_none());
    assert_eq!(condition(&decision, "Ready").reason, "FailoverBackingOff");
    let shown = condition(&decision, "AutomaticFailover");
    assert_eq!((shown.status.as_str(), shown.reason.as_str()), ("False", "BackingOff"));
    assert!(shown.message.contains("2026-03-01T12:01:00Z"), "{shown:?}");
    assert!(waits(&decision).contains("approve-failover=4/demo-1/at-least-0"), "{}", waits(&decision));

    seen.now = "2026-03-01T12:00:59Z".parse().unwrap();
    assert!(written(&decided(&seen)).switch.is_none());
    seen.now = "2026-03-01T12:01:00Z".parse().unwrap();
    assert_eq!(recorded(&decided(&seen)).kind, SwitchKind::Failover);

    seen.now = now();
    approve(&mut seen, "4/demo-1/at-least-0");
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    fence_it(&mut seen, 150);
    report_mut(&mut seen, "demo-1");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"), "a person may");
}

#[test]
fn an_exhausted_budget_holds_back_neither_planned_switches_nor_the_old_active() {
    let mut seen = with_failovers(running(), &[0, 0, 0]);
    annotate(&mut seen, "any");
    assert_eq!(recorded(&decided(&seen)).kind, SwitchKind::Switchover);

    let mut seen = with_failovers(released(running()), &[0, 0, 0]);
    let old = report_mut(&mut seen, "demo-0");
    (old.state, old.master_stopped) = (MemberState::Waiting, true);
    settle(&mut seen);
    fence_it(&mut seen, 150);
    report_mut(&mut seen, "demo-1");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-0"));
}

#[test]
fn an_active_that_says_it_failed_is_left_to_people_where_the_operator_may_not() {
    let mut seen = running();
    seen.pair.spec.failover.mode = FailoverMode::Approval;
    let active = report_mut(&mut seen, "demo-0");
    (active.state, active.master_stopped) = (MemberState::Failed, true);
    let decision = decided(&seen);
    assert!(written(&decision).switch.is_none());
    assert_eq!(condition(&decision, "Ready").reason, "ApprovalNeeded");
    annotate(&mut seen, "any");
    assert_eq!(recorded(&decided(&seen)).kind, SwitchKind::Switchover, "as good, and loses nothing");
}
