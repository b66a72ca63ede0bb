//! Every wait has an end, or needs somebody: then it says so in the condition that `kubectl describe` shows.

use super::*;

fn planned() -> Observation {
    let record = SwitchRecord { to: Some("demo-1".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Fencing) };
    with_switch(running(), record)
}

fn promoting() -> Observation {
    let seen = fenced(active_lost(running()), ms(500));
    let record = SwitchRecord {
        step: SwitchStep::Promoting,
        to: Some("demo-1".to_owned()),
        gate: Some(op(100)),
        fenced_at: Some("2026-03-01T11:59:59Z".parse::<jiff::Timestamp>().unwrap().into()),
        ..seen.status().switch.unwrap()
    };
    let mut seen = with_switch(seen, record);
    lease_mut(&mut seen).holder = Some("demo-1/uid-demo-1/i1".to_owned());
    let report = report_mut(&mut seen, "demo-1");
    (report.epoch, report.state, report.master_stopped) = (4, MemberState::Promoting, false);
    seen
}

fn at(seen: &mut Observation, time: &str) {
    seen.now = format!("2026-03-01T{time}Z").parse().unwrap();
}

/// Those that end by themselves are in the tables of their phases; these need somebody at last.
#[rstest]
#[case::the_old_active_is_still_heard(active_lost(running()), |seen: &mut Observation, late: bool| {
    report_mut(seen, "demo-1").active_heard_milliseconds_ago = Some(100);
    lease_mut(seen).unchanged_for = ms(if late { 36_000 } else { 35_999 });
}, "OldActiveStillHeard", "look at the launcher's log")]
#[case::an_active_that_failed_does_not_stand_down(running(), |seen: &mut Observation, late: bool| {
    let record = switch(SwitchKind::Failover, SwitchStep::Fencing);
    *seen = with_switch(seen.clone(), record);
    let active = report_mut(seen, "demo-0");
    (active.state, active.master_stopped) = (MemberState::Failed, true);
    at(seen, if late { "12:00:58" } else { "12:00:57.9" });
}, "NotStandingDown", "delete its pod")]
#[case::the_new_active_replays_without_end(promoting(), |seen: &mut Observation, late: bool| {
    at(seen, if late { "12:01:59" } else { "12:01:58.9" });
}, "PromotionSlow", "no other member could take over")]
#[case::an_earlier_reigns_lease_is_renewed(running(), |seen: &mut Observation, late: bool| {
    let first = SwitchRecord {
        from: None,
        to: Some("demo-1".to_owned()),
        fenced_at: Some("2026-03-01T11:59:59Z".parse::<jiff::Timestamp>().unwrap().into()),
        ..switch(SwitchKind::Initialize, SwitchStep::Promoting)
    };
    (status_mut(seen).active, status_mut(seen).epoch) = (None, 0);
    *seen = with_switch(seen.clone(), first);
    at(seen, if late { "12:01:59" } else { "12:01:58.9" });
}, "LeaseOfAnEarlierReign", "delete the Lease once it is dead")]
#[case::nobody_can_serve(fenced(active_lost(running()), ms(0)), |seen: &mut Observation, late: bool| {
    silence(seen, "demo-1");
    lease_mut(seen).unchanged_for = ms(if late { 3_000 } else { 2_999 });
}, "NoCandidate", "bring one back")]
fn a_wait_that_lasts_is_told_and_says_what_to_do(
    #[case] seen: Observation,
    #[case] shape: fn(&mut Observation, bool),
    #[case] reason: &str,
    #[case] what_to_do: &str,
) {
    let mut early = seen.clone();
    shape(&mut early, false);
    let decision = decided(&early);
    assert!(!decision.actions.iter().any(|action| matches!(action, Action::Event(_))), "{decision:#?}");
    let mut late = seen;
    shape(&mut late, true);
    let decision = decided(&late);
    let ready = condition(&decision, "Ready");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", reason), "{ready:?}");
    assert!(ready.message.contains(what_to_do), "{ready:?}");
    let told = |action: &Action| matches!(action, Action::Event(event) if event.warning && event.reason == reason);
    assert!(decision.actions.iter().any(told), "{decision:#?}");
    *status_mut(&mut late) = written(&decision).clone();
    assert!(!decided(&late).actions.iter().any(told), "told twice");
}

#[rstest]
#[case::by_plan(SwitchKind::Switchover, Some("any"))]
#[case::because_it_seemed_to_fail(SwitchKind::Failover, None)]
fn a_switch_whose_old_active_serves_on_is_undone(#[case] kind: SwitchKind, #[case] request: Option<&str>) {
    let mut seen = planned();
    let record = SwitchRecord { kind, to: None, request: request.map(str::to_owned), ..seen.status().switch.unwrap() };
    seen = with_switch(seen, record);
    at(&mut seen, "12:00:57.9");
    assert_eq!(recorded(&decided(&seen)).step, SwitchStep::Fencing);
    at(&mut seen, "12:00:58");
    let status = written(&decided(&seen)).clone();
    assert_eq!((status.switch.as_ref(), status.active.as_deref(), status.epoch), (None, Some("demo-0"), EPOCH));
    let receipt = &status.switches[0];
    assert_eq!((receipt.outcome, receipt.epoch, receipt.to.as_str()), (SwitchOutcome::RolledBack, EPOCH, "demo-0"));
    assert!(receipt.why.as_ref().unwrap().contains("did not stand down within 60 s"), "{receipt:?}");
    let answer = status.switchover.as_ref().map(|answer| answer.answer);
    assert_eq!(answer, request.map(|_| Answer::RolledBack));
    assert_eq!(order_for("demo-0", &status), Order::Serve { epoch: EPOCH, gate: None, format: None });
}

#[test]
fn a_switch_is_never_undone_once_the_lease_is_another_reigns() {
    let mut seen = planned();
    seen = with_switch(seen.clone(), SwitchRecord { to: None, epoch: 5, ..seen.status().switch.unwrap() });
    lease_mut(&mut seen).epoch = 4;
    at(&mut seen, "12:10:00");
    assert!(written(&decided(&seen)).switch.is_some());
}
