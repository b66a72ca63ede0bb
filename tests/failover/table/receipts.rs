//! What a switch did.

use super::*;

#[test]
fn unknown_becomes_a_number_when_the_old_active_is_back() {
    let mut seen = running();
    let record = SwitchRecord {
        from: Some("demo-1".to_owned()),
        to: Some("demo-0".to_owned()),
        epoch: 3,
        recorded_head: Some(op(99)),
        gate: Some(op(99)),
        ..switch(SwitchKind::Failover, SwitchStep::Repointing)
    };
    let receipt = kudu_pair::failover::receipt::receipt(&record, "demo-0".to_owned(), now());
    assert_eq!(receipt.ops_lost, "unknown");
    status_mut(&mut seen).last_switch = Some(receipt);
    let gap = |epoch| Some(GapReport { epoch, ops: 2, diff_head: None, own_head: None });
    report_mut(&mut seen, "demo-1").gap = gap(2);
    assert_eq!(written(&decided(&seen)).last_switch.as_ref().unwrap().ops_lost, "unknown", "another reign's gap");
    report_mut(&mut seen, "demo-1").gap = gap(3);
    assert_eq!(written(&decided(&seen)).last_switch.as_ref().unwrap().ops_lost, "2");
}

#[rstest]
#[case::proven(true, op(105), op(100), "5")]
#[case::nothing(true, op(105), op(105), "0")]
#[case::not_proven(false, op(105), op(105), "unknown")]
#[case::another_reign(true, op(105), OpId::new(2_000_000, 104), "unknown")]
fn a_number_only_when_proven(#[case] is_final: bool, #[case] head: OpId, #[case] gate: OpId, #[case] lost: &str) {
    let record = SwitchRecord {
        to: Some("demo-1".to_owned()),
        recorded_head: Some(head),
        recorded_head_final: is_final,
        gate: Some(gate),
        ..switch(SwitchKind::Failover, SwitchStep::Repointing)
    };
    assert_eq!(kudu_pair::failover::receipt::receipt(&record, "demo-1".to_owned(), now()).ops_lost, lost);
}

/// The end of the switch to this epoch.
fn ended(mut seen: Observation, epoch: i64) -> Observation {
    let record = SwitchRecord {
        epoch,
        to: Some("demo-1".to_owned()),
        request: Some("any".to_owned()),
        approval: Some(format!("{epoch}/demo-1/unknown")),
        acknowledged_head: Some(op(99)),
        why: Some("demo-0 did not renew its Lease for 6.0 s".to_owned()),
        ..switch(SwitchKind::Failover, SwitchStep::Repointing)
    };
    seen = with_switch(seen, record);
    seen.service_active = Some("demo-1".to_owned());
    let decision = decided(&seen);
    assert!(
        decision
            .actions
            .iter()
            .any(|action| matches!(action, Action::Event(event) if event.note.contains("acknowledged 3000000.99")))
    );
    *status_mut(&mut seen) = written(&decision).clone();
    seen
}

#[test]
fn the_last_ten_are_kept_the_newest_first() {
    let mut seen = running();
    for epoch in 4..16 {
        seen = ended(seen, epoch);
        let status = seen.status();
        assert_eq!(status.switches.first(), status.last_switch.as_ref());
        assert_eq!(status.approval.unwrap().answer, Answer::Completed);
        assert_eq!(status.switchover.unwrap().answer, Answer::Completed);
    }
    let epochs: Vec<_> = seen.status().switches.iter().map(|receipt| receipt.epoch).collect();
    assert_eq!(epochs, (6..16).rev().collect::<Vec<_>>());
    insta::assert_json_snapshot!("receipt_with_everything", seen.status().switches[0]);
}

#[test]
fn a_loss_that_is_known_later_is_put_into_the_history_too() {
    let mut seen = ended(running(), 4);
    seen.pair.status.as_mut().unwrap().active = Some("demo-1".to_owned());
    let lease = lease_mut(&mut seen);
    (lease.holder, lease.epoch) = (Some("demo-1/uid-demo-1/i1".to_owned()), 4);
    report_mut(&mut seen, "demo-0").gap = Some(GapReport { epoch: 4, ops: 7, diff_head: None, own_head: None });
    let status = written(&decided(&seen)).clone();
    assert_eq!((status.switches[0].ops_lost.as_str(), status.last_switch.unwrap().ops_lost.as_str()), ("7", "7"));
}
