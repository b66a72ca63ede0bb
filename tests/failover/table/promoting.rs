//! The chosen member comes to serve, or does not.

use super::*;

fn promoting(kind: SwitchKind) -> Observation {
    let mut seen = fenced(active_lost(running()), ms(500));
    let record = SwitchRecord {
        step: SwitchStep::Promoting,
        kind,
        to: Some("demo-1".to_owned()),
        gate: Some(op(100)),
        fenced_at: Some("2026-03-01T11:59:59Z".parse::<jiff::Timestamp>().unwrap().into()),
        ..seen.status().switch.unwrap()
    };
    seen = with_switch(seen, record);
    let lease = lease_mut(&mut seen);
    lease.holder = Some("demo-1/uid-demo-1/i1".to_owned());
    let report = report_mut(&mut seen, "demo-1");
    report.epoch = 4;
    report.state = MemberState::Promoting;
    report.master_stopped = false;
    seen
}

#[rstest]
#[case::not_serving(MemberState::Promoting, 4, 100, "demo-1/u/i", false)]
#[case::another_reign(MemberState::Serving, 3, 100, "demo-1/u/i", false)]
#[case::below_the_gate(MemberState::Serving, 4, 99, "demo-1/u/i", false)]
#[case::without_the_lease(MemberState::Serving, 4, 100, "demo-2/u/i", false)]
#[case::done(MemberState::Serving, 4, 100, "demo-1/u/i", true)]
fn ends_when_the_new_active_has_applied_the_gate(
    #[case] state: MemberState,
    #[case] epoch: i64,
    #[case] applied: i64,
    #[case] holder: &str,
    #[case] done: bool,
) {
    let mut seen = promoting(SwitchKind::Failover);
    lease_mut(&mut seen).holder = Some(holder.to_owned());
    let report = report_mut(&mut seen, "demo-1");
    (report.state, report.epoch, report.applied_head) = (state, epoch, Some(op(applied)));
    let step = recorded(&decided(&seen)).step;
    assert_eq!(step, if done { SwitchStep::Repointing } else { SwitchStep::Promoting });
}

#[test]
fn an_old_active_that_is_tried_again_without_its_log_proves_no_last_op() {
    let mut seen = promoting(SwitchKind::Switchover);
    let record = seen.status().switch.unwrap();
    let back = SwitchRecord { to: Some("demo-0".to_owned()), recorded_head: Some(op(99)), ..record };
    seen = with_switch(seen, SwitchRecord { recorded_head_final: true, ..back });
    lease_mut(&mut seen).holder = None;
    lease_mut(&mut seen).final_head = Some(OpId::default());
    let switch = recorded(&decided(&seen)).clone();
    assert_eq!((switch.step, switch.to), (SwitchStep::Fencing, None));
    assert_eq!((switch.recorded_head, switch.recorded_head_final), (Some(op(100)), false));
}

#[rstest]
#[case::failed(|seen: &mut Observation| report_mut(seen, "demo-1").state = MemberState::Failed)]
#[case::lease_over(|seen: &mut Observation| lease_mut(seen).unchanged_for = ms(6_000))]
#[case::given_back(|seen: &mut Observation| {
    lease_mut(seen).holder = None;
    lease_mut(seen).final_head = Some(op(102));
})]
#[case::never_taken(|seen: &mut Observation| {
    lease_mut(seen).holder = None;
    lease_mut(seen).unchanged_for = ms(3_000);
    silence(seen, "demo-1");
})]
#[case::not_taken_for_long(|seen: &mut Observation| {
    lease_mut(seen).holder = None;
    lease_mut(seen).unchanged_for = ms(15_000);
})]
fn a_member_that_does_not_come_to_serve_is_fenced_in_its_turn(#[case] fail: fn(&mut Observation)) {
    let mut seen = promoting(SwitchKind::Failover);
    fail(&mut seen);
    let decision = decided(&seen);
    let switch = recorded(&decision);
    assert_eq!((switch.step, switch.epoch), (SwitchStep::Fencing, 5));
    assert_eq!(switch.from.as_deref(), Some("demo-0"));
    assert_eq!(switch.tried, [TriedMember { name: "demo-1".to_owned(), head: Some(op(100)) }]);
    // It has obeyed epoch 4, so an order of the status's epoch 3 would be stale to it.
    let order = order_for("demo-1", written(&decision));
    assert_eq!(order, Order::StandDown { epoch: 4, successor: None });
}

#[test]
fn what_a_tried_member_wrote_by_itself_does_not_make_it_the_best() {
    let mut seen = fenced(active_lost(running_with(2)), ms(3_000));
    let record = seen.status().switch.unwrap();
    let tried = vec![TriedMember { name: "demo-1".to_owned(), head: Some(op(100)) }];
    seen = with_switch(seen, SwitchRecord { epoch: 5, tried, ..record });
    lease_mut(&mut seen).epoch = 5;
    report_mut(&mut seen, "demo-1").head = Some(OpId::new(4_000_000, 101));
    report_mut(&mut seen, "demo-2").head = Some(op(100));
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
}

#[test]
fn repointing_is_seen_before_the_switch_ends() {
    let mut seen = promoting(SwitchKind::Failover);
    let record = SwitchRecord {
        step: SwitchStep::Repointing,
        replayed_at: Some("2026-03-01T11:59:59.4Z".parse::<jiff::Timestamp>().unwrap().into()),
        ..seen.status().switch.unwrap()
    };
    seen = with_switch(seen, record);
    assert_eq!(effects(&decided(&seen)), [&Action::Repoint { active: "demo-1".to_owned() }]);
    seen.service_active = Some("demo-1".to_owned());
    let decision = decided(&seen);
    let receipt = written(&decision).last_switch.clone().unwrap();
    insta::assert_json_snapshot!("receipt_of_a_failover", receipt);
    insta::assert_json_snapshot!("status_after_a_failover", written(&decision));
}

/// It may have cut its log to follow the member that was tried, so what it lacks is as old as what that one lacked.
#[test]
fn the_old_active_that_followed_a_tried_member_is_as_level_as_that_was() {
    let mut seen = fenced(active_lost(running()), ms(6_000));
    let record = SwitchRecord {
        epoch: 5,
        tried: vec![TriedMember { name: "demo-1".to_owned(), head: Some(op(100)) }],
        ..seen.status().switch.unwrap()
    };
    seen = with_switch(seen, record);
    lease_mut(&mut seen).epoch = 5;
    silence(&mut seen, "demo-1");
    let old = report_mut(&mut seen, "demo-0");
    (old.state, old.master_stopped) = (MemberState::Waiting, true);
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-0"));

    report_mut(&mut seen, "demo-0").head = Some(op(99));
    assert!(waits(&decided(&seen)).contains("unknown > 60"), "{}", waits(&decided(&seen)));
}
