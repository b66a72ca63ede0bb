//! The spec is edited in the middle of a switch.

use kudu_pair::api::{AcknowledgementMode, FailoverMode, SyncRecord};

use super::*;

fn planned() -> Observation {
    let record = SwitchRecord { to: Some("demo-2".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Fencing) };
    with_switch(running_with(2), record)
}

#[test]
fn fewer_standbys_than_the_successor_needs_send_the_switch_back_at_once() {
    let mut seen = planned();
    seen.pair.spec.standbys = 1;
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).to, None);
    assert!(recorded(&decision).why.as_ref().unwrap().contains("no place for demo-2"));
    assert!(
        !decision.actions.iter().any(|action| matches!(action, Action::ApplyObjects { .. })),
        "its pod may be needed"
    );
}

#[test]
fn fewer_standbys_while_a_member_is_promoted_let_it_serve_first() {
    let mut seen = fenced(active_lost(running_with(2)), ms(500));
    let record = SwitchRecord {
        step: SwitchStep::Promoting,
        to: Some("demo-2".to_owned()),
        gate: Some(op(100)),
        ..seen.status().switch.unwrap()
    };
    seen = with_switch(seen, record);
    seen.pair.spec.standbys = 1;
    lease_mut(&mut seen).holder = Some("demo-2/uid-demo-2/i1".to_owned());
    let report = report_mut(&mut seen, "demo-2");
    (report.epoch, report.state, report.applied_head) = (4, MemberState::Serving, Some(op(100)));
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).step, SwitchStep::Repointing);
    *status_mut(&mut seen) = written(&decision).clone();
    seen.service_active = Some("demo-2".to_owned());
    let decision = decided(&seen);
    assert_eq!(written(&decision).active.as_deref(), Some("demo-2"));
    assert_eq!(condition(&decision, "SpecAccepted").reason, "ActiveWouldBeRemoved");
}

#[test]
fn more_standbys_do_not_hold_up_a_failover_for_longer_than_the_choice_takes() {
    let mut seen = fenced(active_lost(running()), ms(2_900));
    add_member(&mut seen, "demo-2");
    assert_eq!(recorded(&decided(&seen)).to, None);
    lease_mut(&mut seen).unchanged_for = ms(3_000);
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn a_pause_stops_the_switch_where_it_is_and_its_end_lets_it_go_on() {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    seen.pair.spec.paused = true;
    let decision = decided(&seen);
    assert!(effects(&decision).is_empty());
    let switch = recorded(&decision).clone();
    assert_eq!(SwitchRecord { waiting_for: None, ..switch }, seen.status().switch.unwrap());
    assert_eq!(condition(&decision, "Ready").reason, "Paused");
    *status_mut(&mut seen) = written(&decision).clone();
    seen.pair.spec.paused = false;
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[rstest]
#[case(FailoverMode::Approval, "ApprovalNeeded")]
#[case(FailoverMode::Off, "FailoverOff")]
fn another_mode_counts_from_the_next_choice_on(#[case] mode: FailoverMode, #[case] reason: &str) {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    seen.pair.spec.failover.mode = mode;
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
    assert_eq!(condition(&decision, "Ready").reason, reason);
    seen.pair.spec.failover.mode = FailoverMode::Automatic;
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn a_request_lets_a_failover_go_on_that_was_switched_off_in_its_midst() {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    seen.pair.spec.failover.mode = FailoverMode::Off;
    annotate(&mut seen, "any@5");
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    assert_eq!(seen.status().switch.unwrap().request.as_deref(), Some("any@5"));
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn a_wider_bound_lets_a_refused_failover_go_on() {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    report_mut(&mut seen, "demo-1").head = Some(op(90));
    seen.pair.spec.failover.max_loss_ops = 9;
    assert_eq!(recorded(&decided(&seen)).to, None);
    seen.pair.spec.failover.max_loss_ops = 10;
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn a_shorter_timeout_counts_for_the_switch_that_is_under_way() {
    let mut seen = planned();
    seen.now = "2026-03-01T12:00:05Z".parse().unwrap();
    assert!(recorded(&decided(&seen)).to.is_some());
    seen.pair.spec.failover.switchover_timeout_milliseconds = 5_000;
    assert_eq!(recorded(&decided(&seen)).to, None);
}

#[test]
fn what_was_promised_counts_not_what_is_asked_for_now() {
    let mut seen = fenced(active_lost(running_with(2)), ms(3_000));
    let members = std::iter::once("demo-1".to_owned()).collect();
    let promise = SyncRecord { members, quorum: 1, ..SyncRecord::none(EPOCH) };
    status_mut(&mut seen).switch.as_mut().unwrap().sync = Some(promise);
    seen.pair.spec.replication.acknowledgement.mode = AcknowledgementMode::Async;
    silence(&mut seen, "demo-1");
    report_mut(&mut seen, "demo-2");
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).to, None);
    assert_eq!(condition(&decision, "Ready").reason, "PromiseNeedsMembers");
}
