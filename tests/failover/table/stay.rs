//! An active that serves, or served, without the API server.

use kudu_pair::failover::member::StayReport;

use super::*;

/// An active that served on from 11:59:30 on, for so long.
fn stayed(milliseconds: u64, over: bool) -> Observation {
    let mut seen = running();
    let since = u64::try_from(now().as_millisecond()).unwrap() - 30_000;
    report_mut(&mut seen, "demo-0").stay = Some(StayReport { since_unix_milliseconds: since, milliseconds, over });
    seen
}

#[test]
fn an_active_that_serves_by_pledges_is_not_lost_to_a_controller_that_hears_it() {
    let mut seen = stayed(20_000, false);
    lease_mut(&mut seen).unchanged_for = ms(20_000);
    let decision = decided(&seen);
    assert_eq!(effects(&decision), Vec::<&Action>::new());
    let ready = condition(&decision, "Ready");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "ServingWithoutApiServer"));
    assert_eq!(written(&decision).phase, Some(Phase::Degraded));
}

#[test]
fn a_stay_that_is_over_is_told_once() {
    let mut seen = stayed(23_400, true);
    let decision = decided(&seen);
    let stay = written(&decision).last_stay.clone().unwrap();
    assert_eq!((stay.member.as_str(), stay.seconds.as_str()), ("demo-0", "23.4"));
    assert_eq!(stay.since.0, "2026-03-01T11:59:30Z".parse().unwrap());
    assert!(decision.actions.iter().any(|action| {
        matches!(action, Action::Event(event) if event.reason == "ServedWithoutApiServer" && event.note.contains("23.4 s"))
    }));
    status_mut(&mut seen).last_stay = Some(stay);
    let again = decided(&seen);
    assert!(!again.actions.iter().any(|action| matches!(action, Action::Event(_))), "{again:?}");
}
