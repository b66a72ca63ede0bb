use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use jiff::Timestamp;

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
                "lagMilliseconds": 40, "lagSampledAt": "2026-03-01T12:00:01.500000Z", "pendingOps": 18,
                "predictedReplayMilliseconds": 70, "verifiedHead": "4.117", "verifiedAt": "2026-03-01T12:00:00.500000Z"
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

fn view(status: PairStatus) -> PairView {
    let spec = serde_json::from_value(json!({})).unwrap();
    PairView { namespace: "data".to_owned(), name: "demo".to_owned(), spec, status }
}

/// The page of a member of which everything is known.
fn full_member_page(role: &str, state: &str) -> String {
    let report = json!({
        "pair": "demo", "member": "demo-1", "identity": "demo-1/uid/launcher", "epoch": 4, "role": role, "state": state,
        "hasCatalog": true, "head": "4.120", "activeHeardMillisecondsAgo": 150, "masterStopped": false, "pendingOps": 18,
        "pendingBytes": 2700, "predictedReplayMilliseconds": 70,
        "standbys": [{
            "member": "demo-0", "replicateHead": "4.118", "heardMillisecondsAgo": 12,
            "lag": { "ops": 2, "bytes": 300, "milliseconds": 40, "sampleMillisecondsAgo": 12 }
        }],
    });
    let view = MemberView {
        report: serde_json::from_value(report).unwrap(),
        base_taken: Some(Timestamp::from_second(1_772_366_400).unwrap()),
        volumes: vec![
            Volume { name: "wal", size_bytes: 8 << 30, free_bytes: 6 << 30 },
            Volume { name: "data", size_bytes: 4 << 30, free_bytes: 3 << 30 },
        ],
        certificate_ends: Some(Timestamp::from_second(1_780_142_400).unwrap()),
        oldest_wait: Some(Duration::from_millis(3)),
    };
    let counters = MemberCounters::default();
    counters.acknowledged(Duration::from_micros(1700));
    counters.renewed(Duration::from_millis(2950));
    member_page(&counters, view)
}

/// The page of a controller that has seen the pair's last switch end, and one error.
fn full_page() -> String {
    let counters = Counters::default();
    let before = PairStatus { last_switch: None, ..status() };
    counters.status_written("data", "demo", Some(&before), &status());
    counters.reconciled(Duration::from_millis(15), None);
    counters.reconciled(Duration::from_millis(25), Some("Conflict"));
    page(&counters, Some(vec![view(status())]))
}

/// Without the buckets, which are Prometheus' own. Counters of a family come in no particular order.
fn calm(page: &str) -> String {
    let mut lines: Vec<_> = page.lines().filter(|line| !line.contains("_bucket{")).collect();
    for samples in lines.split_mut(|line| line.starts_with('#')) {
        samples.sort_unstable();
    }
    lines.join("\n")
}

#[test]
fn everything_known() {
    insta::assert_snapshot!(calm(&full_page()));
}

#[test]
fn everything_known_of_a_standby() {
    insta::assert_snapshot!(calm(&full_member_page("Standby", "Streaming")));
}

#[test]
fn an_active_tells_of_its_standbys_and_not_of_a_base() {
    let page = full_member_page("Active", "Serving");
    let lag = r#"kudupair_sidecar_standby_lag_ops{pair="demo",member="demo-1",standby="demo-0"} 2.0"#;
    assert!(page.contains(lag), "{page}");
    assert!(!page.contains("base_taken_timestamp_seconds{"), "{page}");
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
    let page = page(&Counters::default(), Some(vec![view(status)]));
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

/// The rows of several pages, of a metric that is on more than one of them that which has labels.
fn table(pages: &[String]) -> String {
    let mut all = BTreeMap::<String, String>::new();
    for row in pages.iter().flat_map(|page| rows(page)) {
        let name = row.split('`').nth(1).unwrap_or_default().to_owned();
        let known = all.entry(name).or_default();
        if row.len() > known.len() {
            *known = row;
        }
    }
    let rows: Vec<_> = all.into_values().collect();
    format!("| Name | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n{}\n", rows.join("\n"))
}

#[test]
fn the_documentation_lists_every_metric() {
    let members = [("Active", "Serving"), ("Standby", "Streaming")].map(|(role, state)| full_member_page(role, state));
    let tables = [("controllers", table(&[full_page()])), ("sidecars", table(&members))];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let is = std::fs::read_to_string(path).unwrap();
    let mut wanted = is.clone();
    for (name, table) in tables {
        let marks = [format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n")];
        let [begin, end] = marks.map(|mark| wanted.find(&mark).map(|at| (at, at + mark.len())).unwrap());
        wanted = format!("{}\n{table}\n{}", &wanted[..begin.1], &wanted[end.0..]);
    }
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(path, wanted).unwrap();
    } else {
        assert!(is == wanted, "docs/metrics.md is not what it was generated from; run this with INSTA_UPDATE=always");
    }
}
