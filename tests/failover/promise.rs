//! A pair whose clients wait for its standbys: who may take over, and who may not.

use kudu_pair::{
    api::{
        AcknowledgementMode, SwitchKind, SwitchRecord, SwitchStep, SyncRecord, TriedMember, WhenDegraded,
        WhenUnavailable,
    },
    failover::{action::Action, decide::decide, observation::Observation},
};
use rstest::rstest;

use super::fixture::*;

fn promise(members: &[&str], quorum: i32) -> SyncRecord {
    let members = members.iter().map(|name| (*name).to_owned()).collect();
    SyncRecord { members, quorum, floor: Some(op(90)), ..SyncRecord::none(EPOCH) }
}

/// Two standbys, of which these heads were heard since the fence, long ago.
fn lost(promise: &SyncRecord, heads: [Option<i64>; 2]) -> Observation {
    let mut seen = fenced(active_lost(running_with(2)), ms(4_000));
    status_mut(&mut seen).switch.as_mut().unwrap().sync = Some(promise.clone());
    for (name, head) in ["demo-1", "demo-2"].into_iter().zip(heads) {
        match head {
            Some(index) => report_mut(&mut seen, name).head = Some(op(index)),
            None => silence(&mut seen, name),
        }
    }
    seen
}

fn chosen(seen: &Observation) -> Option<String> {
    let decision = decide(seen);
    let switch = written(&decision).switch.as_ref().unwrap();
    (switch.step == SwitchStep::Promoting).then(|| switch.to.clone().unwrap())
}

#[test]
fn the_promise_is_recorded_with_the_switch_and_again_when_it_changes_before_the_fence() {
    let mut seen = active_lost(running_with(2));
    lease_mut(&mut seen).sync = Some(promise(&["demo-1", "demo-2"], 2));
    let status = written(&decide(&seen)).clone();
    assert_eq!(status.switch.as_ref().unwrap().sync, Some(promise(&["demo-1", "demo-2"], 2)));

    // The old active was not dead yet, and promises less since.
    *status_mut(&mut seen) = status;
    lease_mut(&mut seen).sync = Some(promise(&["demo-1"], 1));
    let decision = decide(&seen);
    assert_eq!(effects(&decision), Vec::<&Action>::new(), "fenced with a promise that is over");
    assert_eq!(recorded(&decision).sync, Some(promise(&["demo-1"], 1)));

    *status_mut(&mut seen) = written(&decision).clone();
    assert!(matches!(effects(&decide(&seen))[..], [Action::FenceLease { .. }]));
}

#[test]
fn what_a_member_promised_that_never_served_clients_does_not_count() {
    let mut seen = lost(&promise(&["demo-1", "demo-2"], 2), [Some(100), Some(100)]);
    let switch = status_mut(&mut seen).switch.as_mut().unwrap();
    switch.epoch += 1;
    switch.tried = vec![TriedMember { name: "demo-1".to_owned(), head: Some(op(100)) }];
    let lease = lease_mut(&mut seen);
    lease.sync = Some(SyncRecord::none(EPOCH + 1));
    lease.holder = Some("demo-1/uid-demo-1/i1".to_owned());
    lease.unchanged_for = ms(6_000);
    let decision = decide(&seen);
    assert!(matches!(effects(&decision)[..], [Action::FenceLease { .. }]), "{decision:#?}");
}

#[test]
fn a_lease_that_was_made_anew_promises_nobody() {
    let mut seen = active_lost(running_with(2));
    status_mut(&mut seen).sync = Some(promise(&["demo-1"], 1));
    lease_mut(&mut seen).holder = None;
    let decision = decide(&seen);
    let sync = recorded(&decision).sync.as_ref().unwrap();
    assert_eq!((sync.quorum, sync.degraded), (0, true));
}

#[rstest]
#[case::all(&["demo-1", "demo-2"], 2, [Some(100), Some(110)], Some("demo-2"))]
#[case::all_one_is_enough(&["demo-1", "demo-2"], 2, [Some(100), None], Some("demo-1"))]
#[case::only_members(&["demo-1"], 1, [Some(100), Some(110)], Some("demo-1"))]
#[case::nobody_of_them(&["demo-1"], 1, [None, Some(110)], None)]
#[case::any_needs_both(&["demo-1", "demo-2"], 1, [Some(100), None], None)]
#[case::any_the_longest(&["demo-1", "demo-2"], 1, [Some(100), Some(95)], Some("demo-1"))]
#[case::another_disk(&["demo-1"], 1, [Some(89), None], None)]
#[case::another_disk_is_no_answer(&["demo-1", "demo-2"], 1, [Some(100), Some(89)], None)]
#[case::the_active_alone(&[], 0, [Some(100), Some(100)], None)]
fn only_a_member_that_has_all_that_was_acknowledged_is_taken(
    #[case] members: &[&str],
    #[case] quorum: i32,
    #[case] heads: [Option<i64>; 2],
    #[case] expected: Option<&str>,
) {
    let seen = lost(&promise(members, quorum), heads);
    assert_eq!(chosen(&seen).as_deref(), expected);
    if expected.is_none() {
        let decision = decide(&seen);
        let reason = condition(&decision, "Ready").reason;
        assert!(["PromiseNeedsMembers", "DegradedNeedsApproval"].contains(&reason.as_str()), "{reason}");
        assert!(waits(&decision).contains("kubectl annotate"), "{}", waits(&decision));
    }
}

#[test]
fn the_promise_is_enough_without_a_wait_and_whatever_else_the_old_active_had() {
    let mut seen = lost(&promise(&["demo-1"], 1), [Some(100), None]);
    lease_mut(&mut seen).unchanged_for = ms(60);
    status_mut(&mut seen).switch.as_mut().unwrap().recorded_head = Some(op(1_000_000));
    assert_eq!(chosen(&seen).as_deref(), Some("demo-1"));
}

#[test]
fn the_old_active_itself_has_everything() {
    let mut seen = lost(&promise(&["demo-1", "demo-2"], 1), [Some(100), None]);
    let report = report_mut(&mut seen, "demo-0");
    report.master_stopped = true;
    report.head = Some(op(101));
    assert_eq!(chosen(&seen).as_deref(), Some("demo-0"));
}

#[test]
fn the_old_active_is_taken_again_when_it_was_lost_once_more() {
    let mut seen = lost(&SyncRecord { degraded: true, ..promise(&[], 0) }, [Some(100), Some(100)]);
    status_mut(&mut seen).switch.as_mut().unwrap().tried = vec![TriedMember { name: "demo-0".to_owned(), head: None }];
    lease_mut(&mut seen).unchanged_for = ms(5_000);
    let report = report_mut(&mut seen, "demo-0");
    report.master_stopped = true;
    report.head = Some(op(101));
    assert_eq!(chosen(&seen).as_deref(), Some("demo-0"));
}

/// Whoever served last has what it acknowledged, and had followed nobody since.
#[test]
fn the_old_active_that_was_tried_after_another_member_has_everything() {
    let mut seen = lost(&SyncRecord { degraded: true, ..promise(&[], 0) }, [Some(100), Some(100)]);
    let tried = |name: &str, head| TriedMember { name: name.to_owned(), head };
    let report = report_mut(&mut seen, "demo-0");
    (report.master_stopped, report.head) = (true, Some(op(101)));
    lease_mut(&mut seen).unchanged_for = ms(5_000);
    status_mut(&mut seen).switch.as_mut().unwrap().tried = vec![tried("demo-1", Some(op(100))), tried("demo-0", None)];
    assert_eq!(chosen(&seen).as_deref(), Some("demo-0"));
    status_mut(&mut seen).switch.as_mut().unwrap().tried = vec![tried("demo-0", None), tried("demo-1", Some(op(100)))];
    assert_eq!(chosen(&seen), None, "it may have cut its log");
}

#[test]
fn what_was_acknowledged_alone_is_given_up_only_when_allowed() {
    let mut seen = lost(&SyncRecord { degraded: true, ..promise(&[], 0) }, [Some(100), Some(99)]);
    assert_eq!(chosen(&seen), None);
    seen.pair.spec.failover.when_degraded = WhenDegraded::Promote;
    assert_eq!(chosen(&seen).as_deref(), Some("demo-1"));

    seen.pair.spec.failover.when_degraded = WhenDegraded::Refuse;
    approve(&mut seen, "4/demo-2/at-least-1");
    *status_mut(&mut seen) = written(&decide(&seen)).clone();
    assert_eq!(chosen(&seen).as_deref(), Some("demo-2"));
}

#[test]
fn a_planned_switch_goes_to_whoever_has_everything() {
    let mut seen = lost(&promise(&["demo-1"], 1), [Some(100), Some(100)]);
    status_mut(&mut seen).switch = Some(SwitchRecord {
        to: Some("demo-2".to_owned()),
        recorded_head: Some(op(100)),
        recorded_head_final: true,
        sync: Some(promise(&["demo-1"], 1)),
        ..switch(SwitchKind::Switchover, SwitchStep::Fencing)
    });
    assert_eq!(chosen(&seen).as_deref(), Some("demo-2"));
}

#[rstest]
#[case::without_a_gate_yet(None, "NotYet")]
#[case::in_sync(Some(promise(&["demo-1", "demo-2"], 2)), "InSync")]
#[case::blocked(Some(promise(&["demo-1"], 1)), "Blocked")]
#[case::with_fewer(Some(SyncRecord { degraded: true, ..promise(&["demo-1"], 1) }), "Degraded")]
#[case::alone(Some(SyncRecord { degraded: true, ..promise(&[], 0) }), "Degraded")]
fn the_condition_says_how_it_is(#[case] record: Option<SyncRecord>, #[case] reason: &str) {
    let mut seen = running_with(2);
    seen.pair.spec.replication.acknowledgement.mode = AcknowledgementMode::All;
    seen.pair.spec.replication.when_unavailable = WhenUnavailable::Degrade;
    lease_mut(&mut seen).sync.clone_from(&record);
    let decision = decide(&seen);
    let condition = condition(&decision, "Synchronous");
    assert_eq!((condition.reason.as_str(), condition.status == "True"), (reason, reason == "InSync"));
    assert_eq!(written(&decision).sync, record);
}
