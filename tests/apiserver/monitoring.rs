//! Alerts: that they parse, fire on their faults and not on a healthy idle pair, and that the chart hands them on as they are.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use crate::{
    alerts::{alerts, alerts_file, dashboard_queries, read, root, text, wrong_words},
    chart::{find, objects, template},
    server,
};

/// `promtool`; none where it is not installed, which is an error under `CI`.
fn promtool() -> Option<PathBuf> {
    let tool = PathBuf::from("/usr/bin/promtool");
    if tool.exists() {
        return Some(tool);
    }
    let why = "no promtool; run tests/alerts/packages";
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

fn passes(words: &[&str], file: &std::path::Path) {
    let Some(tool) = promtool() else { return };
    let output = Command::new(tool).args(words).arg(file).output().expect("promtool runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

#[test]
fn the_alerts_parse() {
    passes(&["check", "rules"], &alerts_file());
}

#[test]
fn each_alert_fires_and_clears_and_none_fires_on_a_healthy_idle_pair() {
    let tests = root().join("tests/alerts/alerts.test.yaml");
    let words = std::fs::read_to_string(&tests).expect("the tests");
    for alert in alerts() {
        let name = text(&alert["alert"]);
        let firing = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}");
        let cleared = format!("ALERTS{{alertname=\"{name}\"}}");
        assert!(words.contains(&firing) && words.contains(&cleared), "nobody tries {name}");
    }
    passes(&["test", "rules"], &tests);
}

#[test]
fn alerts_speak_of_what_is_measured_and_have_a_runbook() {
    let (table, metrics) = (read("docs/alerts.md"), read("docs/metrics.md"));
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let (name, query) = (text(&alert["alert"]), text(&alert["expr"]));
        let wrong = wrong_words(&query);
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let runbook = text(&alert["annotations"]["runbook_url"]);
        assert_eq!(runbook, format!("docs/runbooks/{name}.md"));
        let page = read(&runbook);
        assert!(page.starts_with(&format!("# {name}\n")) && page.contains(&query), "{runbook} tells of another query");
        for part in ["What it means", "How to look", "What to do", "When it is safe to wait"] {
            assert!(page.contains(&format!("\n## {part}\n")), "{runbook} lacks: {part}");
        }
        let (severity, after) = (text(&alert["labels"]["severity"]), text(&alert["for"]));
        let row = format!("| [{name}](runbooks/{name}.md) | {severity} | {after} | ");
        assert!(table.contains(&row), "docs/alerts.md lacks: {row}");
        assert!(page.contains(&format!("Severity: {severity}. Fires when this holds for {after}:")), "{runbook}");
        let words = query.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let read: BTreeSet<_> =
            words.filter(|word| word.starts_with("kudupair_")).map(|word| format!("`{word}`")).collect();
        let row = format!("| [{name}](runbooks/{name}.md) | {} |\n", read.into_iter().collect::<Vec<_>>().join(", "));
        assert!(metrics.contains(&row), "docs/metrics.md lacks: {row}");
        names.insert(name);
    }
    let rows = table.lines().filter(|line| line.starts_with("| [KuduPair")).count();
    assert_eq!(rows, names.len(), "docs/alerts.md lists an alert that is not there");
    let pages = std::fs::read_dir(root().join("docs/runbooks")).expect("the runbooks").count();
    assert_eq!(pages, names.len(), "there is a runbook of an alert that is not there");
}

#[test]
fn the_dashboard_asks_for_what_is_measured() {
    let rules: Vec<_> = (1..)
        .zip(dashboard_queries())
        .map(|(number, query)| {
            let wrong = wrong_words(&query);
            assert!(wrong.is_empty(), "{query}: {wrong:?}");
            serde_json::json!({ "record": format!("query_{number}"), "expr": query })
        })
        .collect();
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let file = scratch.path().join("queries.yaml");
    // JSON is YAML, and a rule's expression is parsed.
    let group = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(&file, group.to_string()).expect("a file");
    passes(&["check", "rules"], &file);
}

#[test]
fn queries_are_looked_through() {
    assert_eq!(wrong_words("max by (namespace, pair) (kudupair_condition{type=\"a,b\", reason!~\"x\"}) == 1"), [""; 0]);
    assert_eq!(wrong_words("kudupair_nothing > 1"), ["kudupair_nothing is not documented"]);
    assert_eq!(wrong_words("kudupair_leader{pair=\"x\"}"), ["kudupair_leader has no label pair"]);
    assert_eq!(wrong_words("sum by (gap) (kudupair_epoch)"), ["no metric here has gap"]);
    assert_eq!(wrong_words("rate(kudupair_reconcile_duration_seconds_bucket{le=\"1\"}[5m])"), [""; 0]);
}

#[test]
fn the_chart_makes_what_is_asked_for_and_hands_the_alerts_on() {
    let Some(programs) = server::programs() else { return };
    let render = |values: &[&str]| objects(&template(&programs, "op", "kudu", values).expect("good values"));
    let kinds = |values: &[&str]| {
        let objects = render(values);
        let kinds = ["PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap", "Service"];
        kinds.into_iter().filter(|kind| find(&objects, kind).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&[]), [""; 0], "what needs the Prometheus Operator is there only when it is asked for");
    assert_eq!(kinds(&["metrics.podMonitor.enabled=true"]), ["PodMonitor"]);
    assert_eq!(kinds(&["metrics.serviceMonitor.enabled=true"]), ["ServiceMonitor", "Service"]);
    assert_eq!(kinds(&["metrics.rules.enabled=true"]), ["PrometheusRule"]);
    let dashboard = find(&render(&["metrics.dashboard.enabled=true"]), "ConfigMap").expect("the dashboard");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(text(&dashboard["data"]["kudu-pair.json"]), read("charts/kudu-pair/files/dashboard.json"));

    let values = ["metrics.rules.enabled=true", "metrics.rules.runbookBase=https://book.example/runbooks/"];
    let rules = find(&render(&[values[0], values[1], "metrics.rules.labels.release=prometheus"]), "PrometheusRule");
    let rules = rules.expect("the alerts");
    assert_eq!(rules["metadata"]["labels"]["release"], "prometheus");
    let mut wanted = alerts();
    for alert in &mut wanted {
        let name = text(&alert["alert"]);
        alert["annotations"]["runbook_url"] = format!("https://book.example/runbooks/{name}.md").into();
    }
    assert_eq!(rules["spec"]["groups"][0]["rules"], serde_json::Value::from(wanted));

    let both = ["metrics.podMonitor.enabled=true", "metrics.serviceMonitor.enabled=true"];
    for values in [&both[..], &["metrics.podMonitor.interval=often"], &["metrics.rules.runbookBase="]] {
        let error = template(&programs, "op", "kudu", values).expect_err("bad values");
        assert!(error.contains("don't meet the specifications of the schema"), "{error}");
    }
}
