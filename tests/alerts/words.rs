//! What alerts, dashboard, documentation and runbooks say, and whether it is the same. Pure, but for reading files of the tree.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn alerts_file() -> PathBuf {
    root().join("charts/kudu-pair/files/alerts.yaml")
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The alerts, as they are in the file.
pub(crate) fn alerts() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&std::fs::read_to_string(alerts_file()).expect("alerts")).expect("YAML");
    let groups = file["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules")).cloned().collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Every query of the dashboard, for all pairs.
pub(crate) fn dashboard_queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("charts/kudu-pair/files/dashboard.json")).expect("JSON");
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let targets = array(&dashboard["panels"]).into_iter().flat_map(|panel| array(&panel["targets"]));
    let queries = targets.chain(array(&dashboard["annotations"]["list"])).map(|target| text(&target["expr"]));
    let values = [("$namespace", ".*"), ("$pair", ".*"), ("$__rate_interval", "1m")];
    let filled = queries.map(|query| values.iter().fold(query, |query, (name, value)| query.replace(name, value)));
    let filled: Vec<_> = filled.collect();
    assert!(filled.len() > 30 && !filled.iter().any(|query| query.contains('$')), "{filled:#?}");
    filled
}

/// Every metric that the documentation lists, with its labels. Histograms stand for their series too.
pub(crate) fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = read("docs/metrics.md");
    let mut all = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `kudupair_")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, ..] = cells[..] else { panic!("{row}") };
        let name = name.trim_matches('`').to_owned();
        let mut labels: BTreeSet<_> = labels
            .split(", ")
            .filter(|label| !label.is_empty())
            .map(|label| label.trim_matches('`').to_owned())
            .collect();
        // Whoever scrapes adds it to what a sidecar says.
        labels.insert("namespace".to_owned());
        if kind == "histogram" {
            all.insert(format!("{name}_sum"), labels.clone());
            all.insert(format!("{name}_count"), labels.clone());
            let mut buckets = labels.clone();
            buckets.insert("le".to_owned());
            all.insert(format!("{name}_bucket"), buckets);
        } else {
            all.insert(name, labels);
        }
    }
    assert!(all.len() > 40, "docs/metrics.md has lost its tables");
    all
}

/// What a query gets wrong: metrics that are not documented, labels that they do not have.
pub(crate) fn wrong_words(query: &str) -> Vec<String> {
    let documented = documented();
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    for (at, _) in query.match_indices("kudupair_") {
        let rest = &query[at..];
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let Some(labels) = documented.get(name) else {
            wrong.push(format!("{name} is not documented"));
            continue;
        };
        known.extend(labels.iter().cloned());
        let matchers =
            behind.strip_prefix('{').and_then(|behind| behind.split_once('}')).map_or("", |(inside, _)| inside);
        for label in matched(matchers) {
            if !labels.contains(&label) {
                wrong.push(format!("{name} has no label {label}"));
            }
        }
    }
    for by in ["by (", "on (", "without (", "ignoring ("] {
        for (at, _) in query.match_indices(by) {
            let inside = query[at + by.len()..].split(')').next().unwrap_or_default();
            let labels = inside.split(',').map(str::trim).filter(|label| !label.is_empty());
            wrong.extend(
                labels.filter(|label| !known.contains(*label)).map(|label| format!("no metric here has {label}")),
            );
        }
    }
    wrong
}

/// The labels of matchers like `type="Ready", status=~"False"`; what is quoted holds no comma that would matter.
fn matched(matchers: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut quoted = false;
    let mut word = String::new();
    for character in matchers.chars() {
        match character {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '=' | '!' => {
                labels.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            ',' | ' ' | '~' => word.clear(),
            other => word.push(other),
        }
    }
    labels
}
