//! What people read of a pair.

use super::*;

#[test]
fn a_pair_in_peace() {
    insta::assert_json_snapshot!("status_in_peace", written(&decided(&running())));
}

#[test]
fn peace_does_nothing_but_keep_the_objects() {
    let mut seen = running();
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    let decision = decided(&seen);
    assert_eq!(decision.actions, [Action::ApplyObjects { active: Some("demo-0".to_owned()) }]);
}

#[test]
fn newer_numbers_are_written_now_and_then_only() {
    let mut seen = running();
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    report_mut(&mut seen, "demo-0").head = Some(op(150));
    assert!(!decided(&seen).actions.iter().any(|action| matches!(action, Action::WriteStatus(_))));
    seen.status_written_ago = Some(ms(10_000));
    assert_eq!(written(&decided(&seen)).lag.as_deref(), Some("50 ops"));
}

#[test]
fn a_standby_that_stalls_is_never_shown_in_sync() {
    let mut seen = running();
    silence(&mut seen, "demo-1");
    let decision = decided(&seen);
    let status = written(&decision);
    assert_eq!((status.lag.as_deref(), status.phase), (Some("unknown"), Some(Phase::Degraded)));
    assert_eq!(condition(&decision, "StandbysInSync").status, "False");
    let mut seen = running();
    silence(&mut seen, "demo-0");
    report_mut(&mut seen, "demo-1").active_heard_milliseconds_ago = Some(5_000);
    assert_eq!(written(&decided(&seen)).lag.as_deref(), Some("unknown"));
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut seen = running();
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    let before = condition(&decided(&running()), "Ready").last_transition_time;
    seen.now = "2026-03-01T13:00:00Z".parse().unwrap();
    report_mut(&mut seen, "demo-1").state = MemberState::CopyingBase;
    let decision = decided(&seen);
    assert_eq!(condition(&decision, "Ready").last_transition_time, before);
    assert_ne!(condition(&decision, "StandbysInSync").last_transition_time, before);
}

#[test]
fn paused_only_looks() {
    let mut seen = active_lost(running());
    seen.pair.spec.paused = true;
    let decision = decided(&seen);
    assert!(effects(&decision).is_empty());
    assert!(!decision.actions.iter().any(|action| matches!(action, Action::ApplyObjects { .. })));
    assert_eq!(condition(&decision, "Paused").status, "True");
    assert_eq!(written(&decision).phase, Some(Phase::Down));
}

#[test]
fn a_service_that_selects_somebody_else_is_pointed_back() {
    let mut seen = running();
    seen.service_active = Some("demo-1".to_owned());
    let decision = decided(&seen);
    assert_eq!(effects(&decision), [&Action::Repoint { active: "demo-0".to_owned() }]);
    assert_eq!(condition(&decision, "Ready").reason, "ServiceElsewhere");
}
