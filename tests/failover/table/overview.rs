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
    *lag_mut(&mut seen) =
        LagReport { ops: Some(50), bytes: Some(22_750), milliseconds: Some(412), sample_milliseconds_ago: 200 };
    seen.now = "2026-03-01T12:00:09Z".parse().unwrap();
    assert!(!decided(&seen).actions.iter().any(|action| matches!(action, Action::WriteStatus(_))));
    seen.status_written_ago = Some(ms(10_000));
    let decision = decided(&seen);
    let status = written(&decision);
    assert_eq!(status.lag.as_deref(), Some("50 ops, 22 kB, 0.4 s"));
    let member = &status.members[1];
    assert_eq!((member.lag_ops, member.lag_bytes, member.lag_milliseconds), (Some(50), Some(22_750), Some(412)));
    // 200 ms before a report that is 50 ms old.
    let sampled_at = "2026-03-01T12:00:08.75Z".parse().unwrap();
    assert_eq!(member.lag_sampled_at.as_ref().map(|at| at.0), Some(sampled_at));
    assert_eq!(status.lag_sampled_at.as_ref().map(|at| at.0), Some(sampled_at));
}

#[test]
fn what_is_not_known_of_a_lag_is_not_shown_as_zero() {
    let mut seen = running();
    *lag_mut(&mut seen) = LagReport { ops: Some(3), bytes: None, milliseconds: None, sample_milliseconds_ago: 200 };
    assert_eq!(written(&decided(&seen)).lag.as_deref(), Some("3 ops, bytes unknown, time unknown"));
    // The active is not connected with it, or has not heard it for long, or is not heard itself.
    for spoil in [
        (|seen| report_mut(seen, "demo-0").standbys.clear()) as fn(&mut Observation),
        |seen| lag_mut(seen).sample_milliseconds_ago = 2_951,
        |seen| (lag_mut(seen).ops, lag_mut(seen).bytes) = (None, None),
        |seen| member_mut(seen, "demo-0").heard.as_mut().unwrap().ago = ms(3_001),
    ] {
        let mut seen = running();
        *status_mut(&mut seen) = written(&decided(&seen)).clone();
        spoil(&mut seen);
        let decision = decided(&seen);
        let (status, member) = (written(&decision), &written(&decision).members[1]);
        assert_eq!((status.lag.as_deref(), &status.lag_sampled_at), (Some("unknown"), &None));
        assert_eq!((member.lag_ops, member.lag_bytes), (None, None));
        assert!(member.lag_sampled_at.is_some(), "how old it is stays known");
    }
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
