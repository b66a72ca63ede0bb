//! Planned switches, asked for by annotation.

use kudu_pair::api::names;

use super::*;

fn asked(request: &str) -> Observation {
    let mut seen = running();
    annotate(&mut seen, request);
    seen
}

#[rstest]
#[case("demo-1")]
#[case("any")]
#[case("any@2026-03-01")]
fn is_recorded_with_its_answer(#[case] request: &str) {
    let decision = decided(&asked(request));
    let switch = recorded(&decision);
    assert_eq!((switch.kind, switch.step, switch.epoch), (SwitchKind::Switchover, SwitchStep::Fencing, 4));
    assert_eq!((switch.from.as_deref(), switch.to.as_deref()), (Some("demo-0"), Some("demo-1")));
    let status = written(&decision);
    assert_eq!(status.switchover.as_ref().map(|answer| answer.answer), Some(Answer::Accepted));
    assert_eq!(order_for("demo-0", status), Order::StandDown { epoch: 3, successor: Some("demo-1".to_owned()) });
}

#[rstest]
#[case::no_member("demo-7", |_: &mut Observation| (), "no member")]
#[case::the_active("demo-0", |_: &mut Observation| (), "already")]
#[case::silent("demo-1", |seen: &mut Observation| silence(seen, "demo-1"), "does not answer")]
#[case::copying("demo-1", |seen: &mut Observation| report_mut(seen, "demo-1").state = MemberState::CopyingBase, "CopyingBase")]
#[case::behind("demo-1", |seen: &mut Observation| report_mut(seen, "demo-0").head = Some(op(10_101)), "10001 operations behind, at most 10000")]
#[case::unknown_lag("demo-1", |seen: &mut Observation| {
    silence(seen, "demo-0");
    report_mut(seen, "demo-1").active_heard_milliseconds_ago = Some(60_000);
}, "not known")]
#[case::none_fit("any", |seen: &mut Observation| silence(seen, "demo-1"), "demo-1 does not answer")]
#[case::paused("demo-1", |seen: &mut Observation| seen.pair.spec.paused = true, "spec.paused")]
fn is_refused_with_the_reason(#[case] request: &str, #[case] spoil: fn(&mut Observation), #[case] why: &str) {
    let mut seen = asked(request);
    spoil(&mut seen);
    let decision = decided(&seen);
    let status = written(&decision);
    assert!(status.switch.is_none());
    let answer = status.switchover.as_ref().unwrap();
    assert_eq!((answer.request.as_str(), answer.answer), (request, Answer::Refused));
    assert!(answer.message.contains(why), "{}", answer.message);
    // Each value is answered once.
    *status_mut(&mut seen) = status.clone();
    assert!(decided(&seen).actions.iter().all(|action| !matches!(action, Action::WriteStatus(_))));
}

#[test]
fn is_refused_while_another_switch_is_under_way() {
    let mut seen = asked("any");
    let record = SwitchRecord { to: Some("demo-1".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Fencing) };
    seen = with_switch(seen, record);
    let answer = written(&decided(&seen)).switchover.clone().unwrap();
    assert_eq!(answer.answer, Answer::Refused);
    assert!(answer.message.contains("under way"), "{}", answer.message);
}

fn standing_down() -> Observation {
    let record = SwitchRecord { to: Some("demo-1".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Fencing) };
    with_switch(running(), record)
}

#[test]
fn waits_while_the_old_active_holds_its_lease() {
    let decision = decided(&standing_down());
    assert!(effects(&decision).is_empty());
    assert!(waits(&decision).contains("released"), "{}", waits(&decision));
}

#[rstest]
#[case::a_little_ahead("2026-03-01T12:00:04Z", false)]
#[case::an_hour_ahead("2026-03-01T13:00:00Z", true)]
fn patience_does_not_wait_for_a_clock_that_was_wrong(#[case] started: &str, #[case] over: bool) {
    let mut seen = standing_down();
    let record = seen.status().switch.unwrap();
    let started_at = started.parse::<jiff::Timestamp>().unwrap().into();
    seen = with_switch(seen, SwitchRecord { started_at, ..record });
    let decision = decided(&seen);
    assert_eq!(written(&decision).switch.as_ref().unwrap().to.is_none(), over, "without its successor");
}

#[test]
fn the_final_head_is_recorded_before_the_fence_removes_it() {
    let mut seen = standing_down();
    lease_mut(&mut seen).holder = None;
    lease_mut(&mut seen).final_head = Some(op(103));
    lease_mut(&mut seen).unchanged_for = ms(0);
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).recorded_head, Some(op(103)));
    assert!(recorded(&decision).recorded_head_final);
    *status_mut(&mut seen) = written(&decision).clone();
    assert_eq!(effects(&decided(&seen)), [&fence(4)]);
}

#[test]
fn a_head_is_no_proof_once_the_old_active_took_the_lease_again() {
    let mut seen = standing_down();
    let record = seen.status().switch.unwrap();
    seen = with_switch(seen, SwitchRecord { recorded_head: Some(op(99)), recorded_head_final: true, ..record });
    let decision = decided(&seen);
    assert!(!recorded(&decision).recorded_head_final);
    assert_eq!(recorded(&decision).recorded_head, Some(op(100)));
}

#[rstest]
#[case::has_everything(103, SwitchStep::Promoting)]
#[case::not_yet(102, SwitchStep::Fencing)]
fn the_successor_takes_over_with_everything(#[case] head: i64, #[case] step: SwitchStep) {
    let mut seen = standing_down();
    let lease = lease_mut(&mut seen);
    (lease.holder, lease.epoch, lease.unchanged_for) = (None, 4, ms(150));
    let record = seen.status().switch.unwrap();
    seen = with_switch(seen, SwitchRecord { recorded_head: Some(op(103)), recorded_head_final: true, ..record });
    report_mut(&mut seen, "demo-0").master_stopped = true;
    report_mut(&mut seen, "demo-1").head = Some(op(head));
    assert_eq!(recorded(&decided(&seen)).step, step);
}

#[rstest]
#[case::vanished(|seen: &mut Observation| {
    silence(seen, "demo-1");
    seen.now = "2026-03-01T12:00:02Z".parse().unwrap();
})]
#[case::failed(|seen: &mut Observation| report_mut(seen, "demo-1").state = MemberState::Failed)]
#[case::too_slow(|seen: &mut Observation| seen.now = "2026-03-01T12:00:28Z".parse().unwrap())]
fn goes_back_when_the_successor_does_not_make_it(#[case] fail: fn(&mut Observation)) {
    let mut seen = standing_down();
    report_mut(&mut seen, "demo-0").head = Some(op(103));
    fail(&mut seen);
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).to, None);
    // Nobody is left to ship to, so the old active releases at once.
    assert_eq!(order_for("demo-0", written(&decision)), Order::StandDown { epoch: 3, successor: None });

    *status_mut(&mut seen) = written(&decision).clone();
    let lease = lease_mut(&mut seen);
    (lease.holder, lease.epoch, lease.unchanged_for) = (None, 4, ms(500));
    let old = report_mut(&mut seen, "demo-0");
    (old.master_stopped, old.state) = (true, MemberState::StandingDown);
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-0"));
}

#[test]
fn going_back_is_answered_as_such() {
    let mut seen = running();
    let record = SwitchRecord {
        to: Some("demo-0".to_owned()),
        gate: Some(op(103)),
        request: Some("any".to_owned()),
        ..switch(SwitchKind::Switchover, SwitchStep::Repointing)
    };
    annotate(&mut seen, "any");
    seen = with_switch(seen, record);
    let decision = decided(&seen);
    let status = written(&decision);
    assert_eq!(status.switchover.as_ref().map(|answer| answer.answer), Some(Answer::RolledBack));
    let receipt = status.last_switch.as_ref().unwrap();
    assert_eq!((receipt.outcome, receipt.ops_lost.as_str()), (SwitchOutcome::RolledBack, "0"));
}

#[test]
fn an_active_that_dies_meanwhile_is_failed_over_by_the_same_record() {
    let mut seen = standing_down();
    silence(&mut seen, "demo-0");
    lease_mut(&mut seen).unchanged_for = ms(6_000);
    report_mut(&mut seen, "demo-1").active_heard_milliseconds_ago = Some(6_000);
    assert_eq!(effects(&decided(&seen)), [&fence(4)]);
}

#[rstest]
#[case::yes("any", |_: &mut Observation| (), &[])]
#[case::named("demo-1@2", |_: &mut Observation| (), &[])]
#[case::nobody("demo-7", |_: &mut Observation| (), &["no member"])]
#[case::all_of_them("any", |seen: &mut Observation| {
    seen.pair.spec.paused = true;
    let report = report_mut(seen, "demo-1");
    (report.state, report.head) = (MemberState::CopyingBase, Some(op(1)));
    report_mut(seen, "demo-0").head = Some(op(10_002));
    member_mut(seen, "demo-1").pod.as_mut().unwrap().deleting = true;
}, &["spec.paused", "being deleted", "CopyingBase", "10001 operations behind"])]
#[case::under_way("any", |seen: &mut Observation| {
    *seen = with_switch(seen.clone(), switch(SwitchKind::Failover, SwitchStep::Fencing));
}, &["a Failover to epoch 4 is under way"])]
#[case::lost("any", |seen: &mut Observation| lease_mut(seen).unchanged_for = ms(6_000), &["takes a failover"])]
#[case::no_active("any", |seen: &mut Observation| status_mut(seen).active = None, &["no member is active yet"])]
fn a_dry_run_says_all_that_stands_in_the_way_and_does_nothing(
    #[case] request: &str,
    #[case] spoil: fn(&mut Observation),
    #[case] blockers: &[&str],
) {
    let mut seen = running();
    spoil(&mut seen);
    let undisturbed = decided(&seen);
    annotate_as(&mut seen, names::DRY_RUN_ANNOTATION, request);
    let decision = decided(&seen);
    let answer = written(&decision).switchover_dry_run.clone().unwrap();
    assert_eq!((answer.request.as_str(), answer.possible), (request, blockers.is_empty()), "{answer:?}");
    assert_eq!(answer.to.as_deref(), Some("demo-1").filter(|_| answer.possible));
    assert_eq!(answer.blockers.len(), blockers.len(), "{answer:?}");
    for (found, words) in answer.blockers.iter().zip(blockers) {
        assert!(found.contains(words) && answer.message.contains(words), "{answer:?}");
    }
    assert_eq!(effects(&decision), effects(&undisturbed));
    // Each value is answered once, whatever changes.
    let mut seen = running();
    annotate_as(&mut seen, names::DRY_RUN_ANNOTATION, request);
    status_mut(&mut seen).switchover_dry_run = Some(answer.clone());
    assert_eq!(written(&decided(&seen)).switchover_dry_run.as_ref(), Some(&answer));
}
