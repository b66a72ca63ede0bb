use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::*;
use crate::api::PairStatus;

/// A pair of which everything is known.
fn status() -> PairStatus {
    let receipt = |kind: &str, epoch: i64, lost: &str, finished: &str| {
        json!({
            "kind": kind, "epoch": epoch, "from": "demo-0", "to": "demo-1", "opsLost": lost, "outcome": "Completed",
            "acknowledgedHead": "3.99", "recordedHead": "3.100", "promotedHead": "3.98",
            "startedAt": "2026-03-01T11:59:58.000000Z", "finishedAt": finished,
            "detectSeconds": "5.0", "fenceSeconds": "1.0", "replaySeconds": "0.4", "repointSeconds": "0.6",
        })
    };
    let last = receipt("Failover", 4, "2", "2026-03-01T12:00:00.000000Z");
    let before = receipt("Switchover", 3, "unknown", "2026-03-01T11:00:00.000000Z");
    let status = json!({
        "gaps": [{
            "name": "demo-0-1000001.508", "member": "demo-0", "oldEpoch": 1, "head": "1000001.508", "newEpoch": 2,
            "newActive": "demo-1", "ops": 4, "bytes": 2231, "keptAt": "2026-01-02T03:04:05.000000Z", "state": "Pending",
        }],
        "phase": "Running", "active": "demo-1", "epoch": 4,
        "sync": { "epoch": 4, "members": ["demo-0"], "quorum": 1, "degraded": true },
        "members": [
            { "name": "demo-1", "role": "Active", "state": "Serving", "head": "4.120", "killMilliseconds": 12 },
            {
                "name": "demo-0", "role": "Standby", "state": "Streaming", "head": "4.118", "lagOps": 2, "lagBytes": 300,
                "lagMilliseconds": 40, "lagSampledAt": "2026-03-01T12:00:01.500000Z", "pendingOps": 18, "predictedReplayMilliseconds": 70
            },
        ],
        "switch": { "kind": "Switchover", "epoch": 5, "step": "Fencing", "startedAt": "2026-03-01T12:00:02.000000Z" },
        "lastSwitch": last, "switches": [last, before],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Serving", "message": "demo-1 serves",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        }],
    });
    serde_json::from_value(status).unwrap()
}

/// The page of a controller that has seen the pair's last switch end, and one error.
fn full_page() -> String {
    let counters = Counters::default();
    let before = PairStatus { last_switch: None, ..status() };
    counters.status_written("data", "demo", Some(&before), &status());
    counters.reconciled(Duration::from_millis(15), None);
    counters.reconciled(Duration::from_millis(25), Some("Conflict"));
    let view = PairView { namespace: "data".to_owned(), name: "demo".to_owned(), status: status() };
    page(&counters, Some(vec![view]))
}

#[test]
fn everything_known() {
    // Counters of a family come in no particular order; the buckets are Prometheus' own.
    let page = full_page();
    let mut lines: Vec<_> = page.lines().filter(|line| !line.contains("_bucket{")).collect();
    for samples in lines.split_mut(|line| line.starts_with('#')) {
        samples.sort_unstable();
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn one_that_does_not_lead_knows_no_pairs() {
    let page = page(&Counters::default(), None);
    assert!(page.contains("kudupair_leader 0\n"), "{page}");
    assert!(!page.contains("pair=\""), "{page}");
}

#[test]
fn a_switch_is_counted_when_it_ends_and_not_again_when_its_receipt_is_amended() {
    let counters = Counters::default();
    let mut amended = status();
    amended.last_switch.as_mut().unwrap().ops_lost = "7".to_owned();
    counters.status_written("data", "demo", None, &status());
    counters.status_written("data", "demo", Some(&status()), &status());
    counters.status_written("data", "demo", Some(&status()), &amended);
    let page = page(&counters, None);
    let expected = r#"kudupair_switches_total{namespace="data",pair="demo",kind="Failover",outcome="Completed"} 1"#;
    assert!(page.contains(expected), "{page}");
}

#[test]
fn no_two_samples_have_the_same_labels() {
    let mut status = status();
    status.switches.push(status.switches[0].clone());
    let view = PairView { namespace: "data".to_owned(), name: "demo".to_owned(), status };
    let page = page(&Counters::default(), Some(vec![view]));
    let mut samples: Vec<_> = page.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    samples.retain(|(labels, _)| !labels.starts_with('#'));
    let all = samples.len();
    samples.sort_unstable_by_key(|(labels, _)| *labels);
    samples.dedup_by_key(|(labels, _)| *labels);
    assert_eq!(samples.len(), all, "{page}");
}

/// A metric's row in the documentation: name, type, labels, meaning.
fn rows(page: &str) -> Vec<String> {
    let comment = |of: &str| -> BTreeMap<String, String> {
        let lines = page.lines().filter_map(|line| line.strip_prefix(of)?.split_once(' '));
        lines.map(|(name, text)| (name.to_owned(), text.trim_end_matches('.').to_owned())).collect()
    };
    let types = comment("# TYPE ");
    let row = |(name, help): (String, String)| {
        let kind = &types[&name];
        let suffix = if kind == "counter" { "_total" } else { "" };
        let samples = page.lines().filter(|line| {
            line.starts_with(&format!("{name}{suffix}{{")) || line.starts_with(&format!("{name}_sum{{"))
        });
        let labels =
            samples.take(1).filter_map(|line| line.split_once('{')?.1.rsplit_once('}')).flat_map(|(labels, _)| {
                labels
                    .split(',')
                    .filter_map(|label| label.split_once('='))
                    .map(|(label, _)| format!("`{label}`"))
                    .collect::<Vec<_>>()
            });
        format!("| `{name}{suffix}` | {kind} | {} | {help} |", labels.collect::<Vec<_>>().join(", "))
    };
    comment("# HELP ").into_iter().map(row).collect()
}

#[test]
fn the_documentation_lists_every_metric() {
    let documentation = include_str!("../../docs/metrics.md");
    let rows = rows(&full_page());
    let missing: Vec<_> = rows.iter().filter(|row| !documentation.contains(row.as_str())).cloned().collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks:\n{}", missing.join("\n"));
    let listed = documentation.lines().filter(|line| line.starts_with("| `kudupair_")).count();
    assert_eq!(listed, rows.len(), "docs/metrics.md lists a metric that is not there");
}
