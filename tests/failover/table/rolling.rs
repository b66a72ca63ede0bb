//! Restarts and switches that the operator makes by itself.

use kudu_pair::{api::FailoverMode, failover::member::MemberReport};

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
#[case::not_ready(|seen: &mut Observation| member_mut(seen, "demo-2").pod.as_mut().unwrap().ready = false)]
#[case::evicted(|seen: &mut Observation| member_mut(seen, "demo-2").pod.as_mut().unwrap().deleting = true)]
#[case::active_evicted(|seen: &mut Observation| member_mut(seen, "demo-0").pod.as_mut().unwrap().deleting = true)]
#[case::active_not_ready(|seen: &mut Observation| member_mut(seen, "demo-0").pod.as_mut().unwrap().ready = false)]
#[case::unknown_revision(|seen: &mut Observation| seen.update_revision = None)]
#[case::paused(|seen: &mut Observation| seen.pair.spec.paused = true)]
fn not_while_anything_else_is_wrong(#[case] spoil: fn(&mut Observation)) {
    let mut seen = outdated(&["demo-0", "demo-1"]);
    spoil(&mut seen);
    let decision = decided(&seen);
    assert!(effects(&decision).is_empty());
    let shown = condition(&decision, "UpToDate");
    assert_eq!(shown.status, "False", "{shown:?}");
}

#[test]
fn says_what_is_to_be_done_and_what_it_waits_for() {
    let shown = |seen: &Observation| {
        let shown = condition(&decided(seen), "UpToDate");
        (shown.reason, shown.message)
    };
    assert_eq!(shown(&running()).0, "UpToDate");
    let mut seen = outdated(&["demo-0", "demo-1"]);
    assert_eq!(shown(&seen), ("Updating".to_owned(), "pods to be made anew: demo-0, demo-1".to_owned()));
    report_mut(&mut seen, "demo-2").state = MemberState::CopyingBase;
    let (reason, message) = shown(&seen);
    assert!(reason == "Waiting" && message.contains("until demo-2 streams"), "{message}");
    seen.update_revision = None;
    assert_eq!(shown(&seen).0, "NotKnown");
}

/// A pair's whole update: each pod is deleted once, the active hands over in between, and never are two away.
#[test]
fn standbys_first_then_a_switch_then_the_old_active() {
    let mut seen = outdated(&["demo-0", "demo-1", "demo-2"]);
    let mut story = Vec::new();
    for _ in 0..8 {
        let decision = decided(&seen);
        match effects(&decision)[..] {
            [Action::DeletePod { name, .. }] => {
                story.push(name.clone());
                let pod = member_mut(&mut seen, name).pod.as_mut().unwrap();
                (pod.revision, pod.ready) = (Some("r1".to_owned()), false);
                assert!(effects(&decided(&seen)).is_empty(), "another pod goes while {name} is not ready");
                member_mut(&mut seen, name).pod.as_mut().unwrap().ready = true;
            }
            [] if written(&decision).switch.is_some() => {
                let to = recorded(&decision).to.clone().unwrap();
                story.push(format!("switch to {to}"));
                let (old, new) = (report_mut(&mut seen, "demo-0").clone(), report_mut(&mut seen, &to).clone());
                *report_mut(&mut seen, "demo-0") = MemberReport { member: "demo-0".to_owned(), ..new };
                *report_mut(&mut seen, &to) = MemberReport { member: to.clone(), ..old };
                status_mut(&mut seen).active = Some(to.clone());
                lease_mut(&mut seen).holder = Some(format!("{to}/uid-{to}/i1"));
                seen.service_active = Some(to);
            }
            _ => break,
        }
    }
    assert_eq!(story, ["demo-1", "demo-2", "switch to demo-1", "demo-0"]);
}

#[test]
fn hands_over_only_at_a_persons_request_when_off() {
    let mut seen = outdated(&["demo-0"]);
    seen.pair.spec.failover.mode = FailoverMode::Off;
    let decision = decided(&seen);
    assert!(written(&decision).switch.is_none());
    let shown = condition(&decision, "UpToDate").message;
    assert!(shown.contains("ask for a switch with the annotation kudupair.io/switchover"), "{shown}");
    annotate(&mut seen, "any");
    assert_eq!(recorded(&decided(&seen)).kind, SwitchKind::Switchover);
}

#[test]
fn a_new_standby_is_awaited_before_anything_else_is_done() {
    let mut seen = outdated(&["demo-1"]);
    add_member(&mut seen, "demo-3");
    let decision = decided(&seen);
    assert!(effects(&decision).is_empty());
    assert!(
        decision.actions.contains(&Action::ApplyObjects { active: Some("demo-0".to_owned()) }),
        "its pod has to come"
    );
    assert_eq!(written(&decision).phase, Some(Phase::Degraded));
}

#[test]
fn a_standby_that_the_spec_removes_goes_with_the_objects() {
    let mut seen = running_with(2);
    seen.pair.spec.standbys = 1;
    let decision = decided(&seen);
    assert!(decision.actions.contains(&Action::ApplyObjects { active: Some("demo-0".to_owned()) }));
    assert_eq!(written(&decision).phase, Some(Phase::Running));
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
