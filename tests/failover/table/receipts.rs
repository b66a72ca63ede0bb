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
