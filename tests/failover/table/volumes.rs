//! A member has lost its volume.

use super::*;

/// The member is back with nothing on its disk, in a new pod.
fn emptied(seen: &mut Observation, name: &str, state: MemberState) {
    let pod = member_mut(seen, name).pod.as_mut().unwrap();
    pod.uid = format!("new-{name}");
    let report = report_mut(seen, name);
    report.identity = format!("{name}/new-{name}/i1");
    (report.has_catalog, report.catalog_uuid, report.head) = (false, None, None);
    (report.state, report.master_stopped, report.applied_head) = (state, true, None);
}

fn formats(status: &kudu_pair::api::PairStatus) -> bool {
    ["demo-0", "demo-1"].iter().any(|name| matches!(order_for(name, status), Order::Serve { format: Some(_), .. }))
}

#[test]
fn a_standby_takes_a_new_base() {
    let mut seen = running();
    emptied(&mut seen, "demo-1", MemberState::CopyingBase);
    let decision = decided(&seen);
    let status = written(&decision);
    assert_eq!((status.switch.as_ref(), status.phase), (None, Some(Phase::Degraded)));
    assert!(matches!(order_for("demo-1", status), Order::Follow { .. }));
    assert!(!formats(status));
}

#[test]
fn an_active_is_failed_over_and_follows() {
    let mut seen = active_lost(running());
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).kind, SwitchKind::Failover);
    assert!(!formats(written(&decision)));
    *status_mut(&mut seen) = written(&decision).clone();
    let lease = lease_mut(&mut seen);
    (lease.holder, lease.epoch, lease.unchanged_for) = (None, 4, ms(500));
    emptied(&mut seen, "demo-0", MemberState::Waiting);
    report_mut(&mut seen, "demo-1");
    let decision = decided(&seen);
    assert_eq!(recorded(&decision).to.as_deref(), Some("demo-1"));
    assert!(!formats(written(&decision)));
}

#[test]
fn an_active_that_finds_nothing_to_serve_says_so_and_is_failed_over() {
    let mut seen = running();
    emptied(&mut seen, "demo-0", MemberState::Failed);
    assert_eq!(recorded(&decided(&seen)).kind, SwitchKind::Failover);
    assert!(!formats(written(&decided(&seen))));
}

#[test]
fn when_all_are_lost_nothing_is_formatted() {
    let mut seen = fenced(active_lost(running()), ms(10_000));
    for name in ["demo-0", "demo-1"] {
        emptied(&mut seen, name, MemberState::Waiting);
    }
    let decision = decided(&seen);
    assert_eq!(condition(&decision, "Ready").reason, "NoCandidate");
    assert!(waits(&decision).contains("demo-1 has no catalog"), "{}", waits(&decision));
    assert!(!formats(written(&decision)));
}
