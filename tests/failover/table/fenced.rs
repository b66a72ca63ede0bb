//! Members that a person keeps from serving.

use kudu_pair::api::{FailoverMode, SyncRecord, names::FENCED_ANNOTATION};

use super::*;

fn fencing(mut seen: Observation, names: &str) -> Observation {
    annotate_as(&mut seen, FENCED_ANNOTATION, names);
    seen
}

fn events(decision: &Decision) -> Vec<(&'static str, bool)> {
    let event = |action: &Action| match action {
        Action::Event(event) => Some((event.reason, event.warning)),
        _ => None,
    };
    decision.actions.iter().filter_map(event).collect()
}

#[test]
fn a_fenced_standby_follows_and_is_chosen_by_nobody() {
    let mut seen = fencing(running(), "demo-1");
    let decision = decided(&seen);
    let status = written(&decision).clone();
    assert_eq!(status.fenced, ["demo-1"]);
    let condition = condition(&decision, "Fenced");
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "Fenced"));
    assert_eq!(events(&decision), [("MemberFenced", false)]);
    assert!(matches!(order_for("demo-1", &status), Order::Follow { .. }));

    *status_mut(&mut seen) = status;
    annotate(&mut seen, "demo-1");
    let answer = written(&decided(&seen)).switchover.clone().unwrap();
    assert_eq!(answer.answer, Answer::Refused);
    let advice = "demo-1 is fenced; to let it serve: kubectl kudupair unfence -n kudu demo-1 demo";
    assert!(answer.message.contains(advice), "{}", answer.message);

    let mut seen = fencing(fenced(active_lost(running()), ms(10_000)), "demo-1");
    let decision = decided(&seen);
    assert!(recorded(&decision).to.is_none());
    assert!(waits(&decision).contains(advice), "{}", waits(&decision));
    // Not even by name or with an approval.
    approve(&mut seen, "4/demo-1/at-least-0");
    annotate(&mut seen, "demo-1");
    assert!(recorded(&decided(&seen)).to.is_none());
    annotate_as(&mut seen, FENCED_ANNOTATION, "");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-1"));
}

#[test]
fn another_one_takes_over_as_if_the_fenced_one_were_not_there() {
    let seen = fencing(fenced(active_lost(running_with(2)), ms(4_000)), "demo-1");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
    let mut seen = fencing(running_with(2), "demo-1");
    annotate(&mut seen, "any");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-2"));
}

/// What the fenced member has is known of the old active, although it does not say how far that was, and counts as lost.
#[test]
fn what_only_a_fenced_member_has_counts_as_lost() {
    let mut seen = fencing(fenced(active_lost(running_with(2)), ms(4_000)), "demo-1");
    seen.pair.spec.failover.max_loss_ops = 10;
    report_mut(&mut seen, "demo-2").head = Some(op(100));
    let first = report_mut(&mut seen, "demo-1");
    (first.head, first.active_head) = (Some(op(150)), None);
    let decision = decided(&seen);
    assert!(recorded(&decision).to.is_none());
    assert!(waits(&decision).contains("maxLossOps"), "{}", waits(&decision));
    seen.pair.spec.failover.max_loss_ops = 50;
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).recorded_head, Some(op(150)));
}

#[test]
fn a_fenced_active_hands_over_as_soon_as_somebody_can_take_over() {
    let mut seen = fencing(running(), "demo-0");
    seen.pair.spec.failover.mode = FailoverMode::Off;
    let standby = report_mut(&mut seen, "demo-1");
    standby.state = MemberState::CopyingBase;
    let decision = decided(&seen);
    assert!(written(&decision).switch.is_none());
    let said = condition(&decision, "Fenced");
    assert_eq!((said.status.as_str(), said.reason.as_str()), ("True", "ActiveServesOn"));
    assert!(said.message.contains("nobody can take over: demo-1 is CopyingBase"), "{}", said.message);
    assert_eq!(events(&decision), [("MemberFenced", true)]);

    report_mut(&mut seen, "demo-1").state = MemberState::Streaming;
    let decision = decided(&seen);
    let switch = recorded(&decision);
    assert_eq!((switch.kind, switch.to.as_deref()), (SwitchKind::Switchover, Some("demo-1")));
    assert_eq!(switch.why.as_deref(), Some("it is fenced"));
}

#[test]
fn a_switch_does_not_fall_back_to_a_fenced_active() {
    let record = SwitchRecord {
        tried: vec![TriedMember { name: "demo-1".to_owned(), head: Some(op(100)) }],
        recorded_head: Some(op(100)),
        recorded_head_final: true,
        ..switch(SwitchKind::Switchover, SwitchStep::Fencing)
    };
    let back = |names: &str| {
        let mut seen = with_switch(running(), record.clone());
        let lease = lease_mut(&mut seen);
        (lease.holder, lease.epoch, lease.unchanged_for) = (None, EPOCH + 1, ms(3_500));
        for name in ["demo-0", "demo-1"] {
            let report = report_mut(&mut seen, name);
            (report.state, report.master_stopped) = (MemberState::Waiting, true);
        }
        recorded(&decided(&fencing(seen, names))).to.clone()
    };
    assert_eq!(back("").as_deref(), Some("demo-0"));
    assert_eq!(back("demo-0"), None);
}

#[test]
fn a_lost_active_that_is_fenced_does_not_serve_again() {
    let mut seen = fenced(active_lost(running()), ms(10_000));
    let report = report_mut(&mut seen, "demo-0");
    (report.state, report.master_stopped) = (MemberState::Waiting, true);
    silence(&mut seen, "demo-1");
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-0"));
    let decision = decided(&fencing(seen, "demo-0"));
    assert!(recorded(&decision).to.is_none());
    assert!(waits(&decision).contains("demo-0 is fenced"), "{}", waits(&decision));
}

#[test]
fn what_fails_does_not_begin_a_failover_when_only_fenced_members_are_left() {
    let mut seen = running();
    let report = report_mut(&mut seen, "demo-0");
    (report.state, report.master_stopped) = (MemberState::Failed, true);
    assert!(written(&decided(&seen)).switch.is_some());
    assert!(written(&decided(&fencing(seen, "demo-1"))).switch.is_none());
}

#[test]
fn the_first_active_is_not_a_fenced_one() {
    let mut seen = created();
    assert_eq!(recorded(&decided(&seen)).to.as_deref(), Some("demo-0"));
    seen = fencing(seen, "demo-0");
    let decision = decided(&seen);
    assert!(written(&decision).switch.is_none());
    let ready = condition(&decision, "Ready");
    assert_eq!(ready.reason, "CandidateFenced");
    assert!(ready.message.contains("demo-0 would serve, but demo-0 is fenced"), "{}", ready.message);
}

/// A fenced member's log is as good a witness as any; only a member with all that the promise covers takes over.
#[rstest]
#[case::the_other_has_as_much("demo-1", 100, 100, Some("demo-2"))]
#[case::the_fenced_one_has_more("demo-1", 100, 95, None)]
#[case::the_fenced_one_has_less("demo-1", 95, 100, Some("demo-2"))]
#[case::nobody_is_fenced("", 100, 95, Some("demo-1"))]
fn a_fenced_member_is_a_witness_of_what_was_promised(
    #[case] names: &str,
    #[case] first: i64,
    #[case] second: i64,
    #[case] to: Option<&str>,
) {
    let mut seen = fencing(fenced(active_lost(running_with(2)), ms(4_000)), names);
    let members = ["demo-1", "demo-2"].map(str::to_owned).into();
    let promise = SyncRecord { members, quorum: 1, floor: Some(op(90)), ..SyncRecord::none(EPOCH) };
    status_mut(&mut seen).switch.as_mut().unwrap().sync = Some(promise);
    report_mut(&mut seen, "demo-1").head = Some(op(first));
    report_mut(&mut seen, "demo-2").head = Some(op(second));
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).to.as_deref(), to, "{}", waits(&decision));
    if to.is_none() {
        assert!(waits(&decision).contains("demo-1 may be the only one"), "{}", waits(&decision));
    }
}

#[rstest]
#[case("", "False", "NobodyFenced")]
#[case("demo-7", "False", "NoSuchMember")]
#[case(" demo-1 ,demo-7,", "True", "Fenced")]
fn the_condition_says_who_is_fenced(#[case] names: &str, #[case] status: &str, #[case] reason: &str) {
    let decision = decided(&fencing(running(), names));
    let said = condition(&decision, "Fenced");
    assert_eq!((said.status.as_str(), said.reason.as_str()), (status, reason));
    assert_eq!(
        said.message.contains("names demo-7: the members are demo-0, demo-1"),
        names.contains('7'),
        "{}",
        said.message
    );
}

#[test]
fn unfencing_is_told_once() {
    let mut seen = fencing(running(), "demo-1");
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    assert!(events(&decided(&seen)).is_empty());
    annotate_as(&mut seen, FENCED_ANNOTATION, "");
    let decision = decided(&seen);
    assert_eq!(events(&decision), [("MemberUnfenced", false)]);
    assert!(written(&decision).fenced.is_empty());
}
