//! Restarts and switches that the operator makes by itself.

use super::*;

fn outdated(names: &[&str]) -> Observation {
    let mut seen = running_with(2);
    for name in names {
        member_mut(&mut seen, name).pod.as_mut().unwrap().revision = Some("r0".to_owned());
    }
    seen
}

fn delete(name: &str) -> Action {
    Action::DeletePod { name: name.to_owned(), uid: format!("uid-{name}") }
}

#[test]
fn replaces_one_standby_at_a_time() {
    assert_eq!(effects(&decided(&outdated(&["demo-0", "demo-1", "demo-2"]))), [&delete("demo-1")]);
}

#[rstest]
#[case::not_streaming(|seen: &mut Observation| report_mut(seen, "demo-2").state = MemberState::CopyingBase)]
#[case::silent(|seen: &mut Observation| silence(seen, "demo-2"))]
#[case::unknown_revision(|seen: &mut Observation| seen.update_revision = None)]
#[case::paused(|seen: &mut Observation| seen.pair.spec.paused = true)]
fn not_while_anything_else_is_wrong(#[case] spoil: fn(&mut Observation)) {
    let mut seen = outdated(&["demo-0", "demo-1"]);
    spoil(&mut seen);
    assert!(effects(&decided(&seen)).is_empty());
}

#[test]
fn switches_before_the_active_is_replaced() {
    let decision = decided(&outdated(&["demo-0"]));
    let switch = recorded(&decision);
    assert_eq!((switch.kind, switch.request.as_deref()), (SwitchKind::Switchover, None));
}

#[test]
fn does_not_try_again_at_once_after_going_back() {
    let mut seen = outdated(&["demo-0"]);
    let back = SwitchRecord { to: Some("demo-0".to_owned()), ..switch(SwitchKind::Switchover, SwitchStep::Repointing) };
    let receipt = kudu_pair::failover::receipt::receipt(&back, "demo-0".to_owned(), now());
    status_mut(&mut seen).last_switch = Some(receipt);
    assert!(written(&decided(&seen)).switch.is_none());
    seen.now = "2026-03-01T12:10:00Z".parse().unwrap();
    assert!(written(&decided(&seen)).switch.is_some());
}

#[test]
fn an_outdated_pod_that_serves_nobody_is_replaced_although_the_pair_is_not_whole() {
    let mut seen = outdated(&["demo-1"]);
    silence(&mut seen, "demo-1");
    assert!(
        effects(&decided(&seen)).is_empty(),
        "the kubelet calls it ready: perhaps only the controller cannot hear it"
    );
    member_mut(&mut seen, "demo-1").pod.as_mut().unwrap().ready = false;
    assert_eq!(effects(&decided(&seen)), [&delete("demo-1")]);
}

#[test]
fn an_active_that_the_spec_removes_hands_over_first() {
    let mut seen = running_with(2);
    status_mut(&mut seen).active = Some("demo-2".to_owned());
    seen.service_active = Some("demo-2".to_owned());
    lease_mut(&mut seen).holder = Some("demo-2/uid-demo-2/i1".to_owned());
    let active = report_mut(&mut seen, "demo-0").clone();
    *report_mut(&mut seen, "demo-0") = report_mut(&mut seen, "demo-1").clone();
    report_mut(&mut seen, "demo-0").member = "demo-0".to_owned();
    *report_mut(&mut seen, "demo-2") = active;
    seen.pair.spec.standbys = 1;
    let decision = decided(&seen);
    assert!(matches!(recorded(&decision).to.as_deref(), Some("demo-0" | "demo-1")));
    assert_eq!(condition(&decision, "SpecAccepted").status, "False");

    // Until somebody can take over, no pod is removed.
    report_mut(&mut seen, "demo-1").state = MemberState::CopyingBase;
    let decision = decided(&seen);
    assert!(!decision.actions.iter().any(|action| matches!(action, Action::ApplyObjects { .. })), "{decision:?}");
}
