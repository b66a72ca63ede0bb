//! The first active of a pair.

use super::*;

#[test]
fn formats_only_when_every_member_says_that_it_has_no_catalog() {
    let decision = decided(&created());
    let switch = recorded(&decision);
    assert_eq!((switch.kind, switch.epoch, switch.step), (SwitchKind::Initialize, 1, SwitchStep::Promoting));
    assert_eq!(switch.to.as_deref(), Some("demo-0"));
    let status = written(&decision);
    assert_eq!(status.catalog.as_ref().map(|catalog| catalog.formatted), Some(false));
    assert_eq!(order_for("demo-0", status), Order::Serve { epoch: 1, gate: None, format: Some(UUID.to_owned()) });
}

#[test]
fn waits_for_a_member_that_is_not_heard() {
    let mut seen = created();
    silence(&mut seen, "demo-1");
    let decision = decided(&seen);
    assert!(written(&decision).catalog.is_none());
    assert!(waits(&decision).contains("demo-1"), "{}", waits(&decision));
    assert!(decision.actions.contains(&Action::ApplyObjects { active: None }), "pods have to come to be heard");
    assert_eq!(written(&decision).phase, Some(Phase::Pending));
}

#[test]
fn takes_over_the_catalog_with_the_highest_head() {
    let mut seen = created();
    for (name, index) in [("demo-0", 40), ("demo-1", 50)] {
        let report = report_mut(&mut seen, name);
        report.has_catalog = true;
        report.catalog_uuid = Some("f".repeat(32));
        report.head = Some(OpId::new(7_000_002, index));
        report.epoch = 6;
    }
    let decision = decided(&seen);
    let switch = recorded(&decision);
    assert_eq!(switch.to.as_deref(), Some("demo-1"));
    assert_eq!(switch.gate, Some(OpId::new(7_000_002, 50)));
    assert_eq!(switch.epoch, 8, "above every reign that the log's terms remember");
    assert_eq!(written(&decision).catalog.as_ref().map(|catalog| catalog.uuid.clone()), Some("f".repeat(32)));
    let order = order_for("demo-1", written(&decision));
    assert!(matches!(order, Order::Serve { format: None, .. }), "{order:?}");
}

#[test]
fn catalogs_of_two_pairs_are_left_alone() {
    let mut seen = created();
    for (name, uuid) in [("demo-0", "a"), ("demo-1", "b")] {
        let report = report_mut(&mut seen, name);
        report.has_catalog = true;
        report.catalog_uuid = Some(uuid.repeat(32));
        report.head = Some(OpId::new(1, 1));
    }
    let decision = decided(&seen);
    assert!(written(&decision).catalog.is_none());
    assert!(waits(&decision).contains("different pairs"));
}

#[test]
fn the_lease_comes_after_the_record_and_serving_ends_it() {
    let mut seen = created();
    *status_mut(&mut seen) = written(&decide(&seen)).clone();
    assert_eq!(effects(&decided(&seen)), [&Action::CreateLease { epoch: 1 }]);

    let mut running = running();
    seen.lease.clone_from(&running.lease);
    lease_mut(&mut seen).epoch = 1;
    *report_mut(&mut seen, "demo-0") = report_mut(&mut running, "demo-0").clone();
    report_mut(&mut seen, "demo-0").epoch = 1;
    *status_mut(&mut seen) = written(&decided(&seen)).clone();
    assert_eq!(effects(&decided(&seen)), [&Action::Repoint { active: "demo-0".to_owned() }]);

    seen.service_active = Some("demo-0".to_owned());
    let decision = decided(&seen);
    let status = written(&decision);
    assert_eq!((status.active.as_deref(), status.epoch), (Some("demo-0"), 1));
    assert!(status.switch.is_none());
    assert_eq!(status.catalog.as_ref().map(|catalog| catalog.formatted), Some(true));
    assert_eq!(status.last_switch.as_ref().map(|receipt| receipt.kind), Some(SwitchKind::Initialize));
}

#[test]
fn an_old_lease_is_raised_before_the_first_reign() {
    let mut seen = running();
    status_mut(&mut seen).active = None;
    status_mut(&mut seen).epoch = 0;
    let first = SwitchRecord {
        from: None,
        to: Some("demo-1".to_owned()),
        ..switch(SwitchKind::Initialize, SwitchStep::Promoting)
    };
    let mut seen = with_switch(seen, first);
    assert_eq!(effects(&decided(&seen)), Vec::<&Action>::new(), "held: has to run out");
    lease_mut(&mut seen).holder = None;
    assert_eq!(effects(&decided(&seen)), [&fence(4)]);
}
