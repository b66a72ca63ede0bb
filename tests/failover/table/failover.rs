//! The active is lost: the record, the fence, the choice.

use super::*;

#[test]
fn is_recorded_before_the_fence() {
    let decision = decided(&active_lost(running()));
    let switch = recorded(&decision);
    assert_eq!((switch.kind, switch.epoch, switch.step), (SwitchKind::Failover, 4, SwitchStep::Fencing));
    assert_eq!(switch.recorded_head, Some(op(100)));
    assert!(!switch.recorded_head_final);
    assert_eq!(switch.lost_at.as_ref().unwrap().0, "2026-03-01T11:59:54Z".parse().unwrap());
    assert_eq!(written(&decision).phase, Some(Phase::FailingOver));
}

#[test]
fn fences_the_version_that_was_seen_once_recorded() {
    let seen = active_lost(running());
    let seen = with_switch(seen, switch(SwitchKind::Failover, SwitchStep::Fencing));
    assert_eq!(effects(&decided(&seen)), [&fence(4)]);
}

#[test]
fn a_lease_that_may_still_be_renewed_is_not_fenced() {
    let mut seen = active_lost(running());
    lease_mut(&mut seen).unchanged_for = ms(5_999);
    let decision = decided(&seen);
    assert!(effects(&decision).is_empty());
    assert!(written(&decision).switch.is_none());

    let seen = with_switch(seen, switch(SwitchKind::Failover, SwitchStep::Fencing));
    assert!(effects(&decided(&seen)).is_empty());
}

/// The active may not have seen the change: its kudu-master lives until the older deadline.
#[test]
fn a_lease_that_is_made_shorter_in_the_spec_lasts_as_long_as_its_holder_took_it_for() {
    let mut seen = active_lost(running());
    lease_mut(&mut seen).duration = Some(ms(60_000));
    assert!(written(&decided(&seen)).switch.is_none());
    let mut seen = with_switch(seen, switch(SwitchKind::Failover, SwitchStep::Fencing));
    assert!(effects(&decided(&seen)).is_empty(), "fenced under a kudu-master that may still run");
    lease_mut(&mut seen).unchanged_for = ms(60_000);
    assert_eq!(effects(&decided(&seen)), [&fence(4)]);
}

#[test]
fn a_released_lease_starts_it_at_once_and_proves_the_last_op() {
    let mut seen = running();
    let lease = lease_mut(&mut seen);
    lease.holder = None;
    lease.final_head = Some(op(101));
    lease.unchanged_for = ms(0);
    let decision = decided(&seen);
    let switch = recorded(&decision);
    assert_eq!(switch.recorded_head, Some(op(101)));
    assert!(switch.recorded_head_final);
}

#[test]
fn a_lease_released_by_a_member_without_a_log_proves_no_last_op() {
    let mut seen = running();
    let lease = lease_mut(&mut seen);
    lease.holder = None;
    lease.final_head = Some(OpId::default());
    let switch = recorded(&decided(&seen)).clone();
    assert_eq!(switch.recorded_head, Some(op(100)), "what is known otherwise");
    assert!(!switch.recorded_head_final, "or a standby that lacks an acknowledged operation would do");
}

#[test]
fn a_lease_without_holder_and_head_is_no_proof_until_it_ran_out() {
    let mut seen = running();
    lease_mut(&mut seen).holder = None;
    lease_mut(&mut seen).unchanged_for = ms(0);
    assert!(written(&decided(&seen)).switch.is_none(), "somebody may have deleted it under a running master");
    lease_mut(&mut seen).unchanged_for = ms(6_000);
    silence(&mut seen, "demo-0");
    report_mut(&mut seen, "demo-1").active_heard_milliseconds_ago = None;
    assert_eq!(recorded(&decided(&seen)).kind, SwitchKind::Failover);
}

#[test]
fn a_deleted_lease_is_made_anew_in_the_same_reign() {
    let mut seen = running();
    seen.lease = None;
    assert_eq!(effects(&decided(&seen)), [&Action::CreateLease { epoch: 3 }]);
}

#[rstest]
#[case::the_standby("demo-1")]
#[case::the_active_itself("demo-0")]
fn waits_while_somebody_still_hears_the_active_serve(#[case] witness: &str) {
    let mut seen = active_lost(running());
    if witness == "demo-1" {
        report_mut(&mut seen, "demo-1").active_heard_milliseconds_ago = Some(100);
    } else {
        report_mut(&mut seen, "demo-0");
    }
    let decision = decided(&seen);
    assert!(written(&decision).switch.is_none());
    assert!(waits(&decision).contains("still"), "{}", waits(&decision));

    let seen = with_switch(seen, switch(SwitchKind::Failover, SwitchStep::Fencing));
    assert!(effects(&decided(&seen)).is_empty());
}

#[test]
fn an_active_that_says_it_failed_hands_over_if_another_can() {
    let mut seen = running();
    let active = report_mut(&mut seen, "demo-0");
    (active.state, active.master_stopped) = (MemberState::Failed, true);
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).kind, SwitchKind::Failover);
    assert_eq!(order_for("demo-0", written(&decision)), Order::StandDown { epoch: 3, successor: None });
    report_mut(&mut seen, "demo-1").has_catalog = false;
    assert!(written(&decided(&seen)).switch.is_none());
}

#[test]
fn is_left_to_people_when_not_automatic() {
    let mut seen = active_lost(running());
    seen.pair.spec.failover.automatic = false;
    let decision = decided(&seen);
    assert_eq!(written(&decision).phase, Some(Phase::Down));
    assert!(waits(&decision).contains("kubectl annotate"), "{}", waits(&decision));

    annotate(&mut seen, "any");
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).request.as_deref(), Some("any"));
    assert_eq!(written(&decision).switchover.as_ref().unwrap().answer, Answer::Accepted);
}

#[test]
fn takes_the_standby_that_has_the_recorded_head_at_once() {
    let seen = fenced(active_lost(running()), ms(150));
    let decision = decided(&seen);
    let switch = recorded(&decision);
    assert_eq!(
        (switch.step, switch.to.as_deref(), switch.gate),
        (SwitchStep::Promoting, Some("demo-1"), Some(op(100)))
    );
    assert!(switch.fenced_at.is_some());
}

#[test]
fn a_report_from_before_the_fence_does_not_count() {
    let seen = fenced(active_lost(running()), ms(50));
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
}

#[test]
fn waits_a_moment_for_a_better_candidate_then_takes_the_best() {
    let mut seen = fenced(active_lost(running_with(2)), ms(2_900));
    report_mut(&mut seen, "demo-1").head = Some(op(90));
    report_mut(&mut seen, "demo-2").head = Some(op(95));
    assert_eq!(recorded(&decided(&seen)).step, SwitchStep::Fencing);
    lease_mut(&mut seen).unchanged_for = ms(3_000);
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
}

#[test]
fn a_head_that_is_not_proven_waits_for_a_standby_that_may_have_more() {
    let mut seen = fenced(active_lost(running_with(2)), ms(1_000));
    silence(&mut seen, "demo-2");
    assert_eq!(recorded(&decided(&seen)).step, SwitchStep::Fencing);
    lease_mut(&mut seen).unchanged_for = ms(3_000);
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn a_later_reign_beats_a_longer_log() {
    let mut seen = fenced(active_lost(running_with(2)), ms(3_000));
    report_mut(&mut seen, "demo-1").head = Some(OpId::new(2_000_000, 500));
    report_mut(&mut seen, "demo-2").head = Some(op(99));
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
}

#[test]
fn the_old_active_comes_back_when_it_alone_has_everything() {
    let mut seen = fenced(active_lost(running()), ms(150));
    let old = report_mut(&mut seen, "demo-0");
    old.state = MemberState::StandingDown;
    old.master_stopped = true;
    old.head = Some(op(120));
    let decision = decided(&seen);
    let switch = recorded(&decision);
    assert_eq!(switch.to.as_deref(), Some("demo-0"));
    assert!(switch.recorded_head_final);
}

#[test]
fn a_standby_with_everything_is_preferred_to_the_old_active() {
    let mut seen = fenced(active_lost(running()), ms(150));
    let old = report_mut(&mut seen, "demo-0");
    old.state = MemberState::StandingDown;
    old.master_stopped = true;
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[rstest]
#[case::no_catalog(|seen: &mut Observation| report_mut(seen, "demo-1").has_catalog = false, "no catalog")]
#[case::failed(|seen: &mut Observation| report_mut(seen, "demo-1").state = MemberState::Failed, "failed")]
#[case::silent(|seen: &mut Observation| silence(seen, "demo-1"), "does not answer")]
#[case::running(|seen: &mut Observation| report_mut(seen, "demo-1").master_stopped = false, "still stops")]
fn is_down_without_a_candidate_and_says_why(#[case] spoil: fn(&mut Observation), #[case] why: &str) {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    spoil(&mut seen);
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
    assert!(waits(&decision).contains(why), "{}", waits(&decision));
    assert!(waits(&decision).contains("demo-0 does not answer"), "{}", waits(&decision));
    assert_eq!(written(&decision).phase, Some(Phase::Down));
}

#[rstest]
#[case::far_behind(OpId::new(3_000_000, 100), OpId::new(3_000_000, 10_101), "10000")]
#[case::an_older_reign(OpId::new(2_000_000, 99), OpId::new(3_000_000, 100), "never followed")]
fn a_great_loss_needs_a_word(#[case] has: OpId, #[case] recorded_head: OpId, #[case] why: &str) {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    report_mut(&mut seen, "demo-1").head = Some(has);
    status_mut(&mut seen).switch.as_mut().unwrap().recorded_head = Some(recorded_head);
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
    assert!(waits(&decision).contains(why), "{}", waits(&decision));
    assert!(waits(&decision).contains("kudupair.io/switchover=demo-1@"), "{}", waits(&decision));

    annotate(&mut seen, "demo-1@5");
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}
