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

#[test]
fn is_looked_for_when_the_lease_is_over_and_not_a_whole_look_later() {
    let mut seen = active_lost(running());
    let looks_after = |seen: &Observation| decided(seen).requeue_after;
    // A Lease of 6 s.
    lease_mut(&mut seen).unchanged_for = ms(5_000);
    assert_eq!(looks_after(&seen), ms(1_000));
    lease_mut(&mut seen).unchanged_for = ms(5_700);
    assert_eq!(looks_after(&seen), ms(300));
    lease_mut(&mut seen).duration = Some(ms(60_000));
    assert_eq!(looks_after(&seen), ms(1_000), "its holder lives longer");
    // It is over, and waits for a person: there is nothing to be quick for.
    let mut seen = active_lost(running());
    seen.pair.spec.failover.mode = FailoverMode::Off;
    assert_eq!(looks_after(&seen), ms(1_000));
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
#[case::far_behind(
    OpId::new(3_000_000, 100),
    OpId::new(3_000_000, 10_101),
    "maxLossOps: 10001 > 10000",
    "4/demo-1/at-least-10001"
)]
#[case::an_older_reign(OpId::new(2_000_000, 99), OpId::new(3_000_000, 100), "unknown > 10000", "4/demo-1/unknown")]
fn a_great_loss_needs_a_word(
    #[case] has: OpId,
    #[case] recorded_head: OpId,
    #[case] why: &str,
    #[case] approval: &str,
) {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    report_mut(&mut seen, "demo-1").head = Some(has);
    status_mut(&mut seen).switch.as_mut().unwrap().recorded_head = Some(recorded_head);
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).step, SwitchStep::Fencing);
    assert_eq!(condition(&decision, "Ready").reason, "LossNeedsApproval");
    assert!(waits(&decision).contains(why), "{}", waits(&decision));
    assert!(waits(&decision).contains(&format!("kudupair.io/approve-failover={approval}")), "{}", waits(&decision));
    let event = decision.actions.iter().find_map(|action| match action {
        Action::Event(event) => Some(event),
        _ => None,
    });
    assert!(event.is_some_and(|event| event.note.contains(why)), "{decision:#?}");

    *status_mut(&mut seen) = written(&decision).clone();
    assert!(!decided(&seen).actions.iter().any(|action| matches!(action, Action::Event(_))), "told twice");

    // A request for a switchover is no word about a loss.
    annotate(&mut seen, "demo-1@5");
    let decision = decided(&seen);
    assert_eq!(written(&decision).switchover.as_ref().unwrap().answer, Answer::Refused);
    *status_mut(&mut seen) = written(&decision).clone();

    approve(&mut seen, approval);
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    assert_eq!(seen.status().approval.unwrap().answer, Answer::Accepted);
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn a_standby_that_was_level_too_long_ago_needs_a_word() {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    report_mut(&mut seen, "demo-1").head = Some(op(99));
    let mut measured = seen.clone();
    member_mut(&mut seen, "demo-0").heard.as_mut().unwrap().report.standbys.clear();
    let level = |seen: &mut Observation, at: &str| {
        for member in &mut status_mut(seen).members {
            member.caught_up_at = Some(at.parse::<jiff::Timestamp>().unwrap().into());
        }
    };
    level(&mut seen, "2026-03-01T11:58:57Z");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"), "60 s before the fence");
    level(&mut seen, "2026-03-01T11:58:56.5Z");
    assert!(waits(&decided(&seen)).contains("maxLossSeconds: 61 > 60"), "{}", waits(&decided(&seen)));

    // It was known to be dead for longer.
    let dead = "2026-03-01T11:59:56Z".parse::<jiff::Timestamp>().unwrap();
    status_mut(&mut seen).switch.as_mut().unwrap().dead_at = Some(dead.into());
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));

    status_mut(&mut seen).switch.as_mut().unwrap().dead_at = None;
    status_mut(&mut seen).members.clear();
    assert!(
        waits(&decided(&seen)).contains("maxLossSeconds allows (it is 60): unknown > 60"),
        "{}",
        waits(&decided(&seen))
    );

    // What the active measured when it was heard last is as good.
    status_mut(&mut measured).members.clear();
    assert_eq!(recorded(&decided(&measured)).to.as_deref(), Some("demo-1"));

    // So is what the member says itself.
    let report = report_mut(&mut seen, "demo-1");
    (report.head, report.active_heard_milliseconds_ago) = (Some(op(100)), Some(9_000));
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn a_loss_that_is_not_proven_to_be_none_is_refused_where_none_is_allowed() {
    let mut seen = fenced(active_lost(running()), ms(3_000));
    seen.pair.spec.failover.max_loss_ops = 0;
    assert!(waits(&decided(&seen)).contains("unknown > 0"), "{}", waits(&decided(&seen)));
    status_mut(&mut seen).switch.as_mut().unwrap().recorded_head_final = true;
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"), "it has the last op");
}

#[test]
fn an_active_that_takes_its_lease_again_before_the_fence_was_not_dead() {
    let mut seen = running();
    let dead = Some("2026-03-01T11:59:58Z".parse::<jiff::Timestamp>().unwrap().into());
    let record = SwitchRecord { dead_at: dead, ..switch(SwitchKind::Failover, SwitchStep::Fencing) };
    seen = with_switch(seen, record);
    assert_eq!(recorded(&decided(&seen)).dead_at, None);
}
