//! What the chart says about itself: its table of values, and what Artifact Hub shows.

use std::fs;

use kube::{Api, ResourceExt as _, api::PostParams};
use kudu_pair::api::{KuduMasterPair, crd};
use serde_json::Value;

use super::root;
use crate::{make_namespace, server_with_pairs};

const BEGIN: &str = "<!-- values: written by `make manifests` -->\n";
const END: &str = "<!-- /values -->\n";

/// A file that a test writes when `make manifests` asks for it, and otherwise holds against what it should be.
pub(super) fn is_current(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("WRITE_MANIFESTS").is_some() {
        fs::write(&file, wanted).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let found = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(found == wanted, "{path} is not what the chart says; run make manifests");
}

#[test]
fn written_by_make_manifests_is_the_table_of_values() {
    let (schema, values) = (schema(), values());
    let mut table = "| value | default | what it is |\n|---|---|---|\n".to_owned();
    rows("", &schema, &values, &mut table);
    let path = "charts/kudu-pair/README.md";
    let readme = fs::read_to_string(root().join(path)).expect("the chart's README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where the table ends");
    is_current(path, &[before, BEGIN, &table, END, after].concat());
}

/// A row for each value that has no values in it, or none with a name of its own.
fn rows(path: &str, schema: &Value, values: &Value, table: &mut String) {
    for (name, value) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let field = &schema["properties"][name];
        if field["properties"].is_object() && value.as_object().is_some_and(|fields| !fields.is_empty()) {
            rows(&path, field, value, table);
        } else {
            let description = field["description"].as_str().unwrap_or_else(|| panic!("{path} is not described"));
            table.push_str(&format!("| `{path}` | `{value}` | {description} |\n"));
        }
    }
}

#[test]
fn every_value_is_described_and_nothing_else_is() {
    let mut wrong = Vec::new();
    describe("", &schema(), &values(), &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every value has a description in the schema, the schema has no other, and every object refuses what it does not know.
fn describe(path: &str, schema: &Value, values: &Value, wrong: &mut Vec<String>) {
    if schema["additionalProperties"] != false {
        wrong.push(format!("{path} takes any value"));
    }
    for (name, value) in values.as_object().into_iter().flatten() {
        let (path, field) = (format!("{path}.{name}"), &schema["properties"][name]);
        if !field["description"].is_string() {
            wrong.push(format!("{path} is not described"));
        }
        if field["properties"].is_object() && value.as_object().is_some_and(|fields| !fields.is_empty()) {
            describe(&path, field, value, wrong);
        }
    }
    for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
        // A parent chart sets it.
        if values.get(name).is_none() && name != "global" {
            wrong.push(format!("{path}.{name} is no value"));
        }
    }
}

/// What Artifact Hub shows is what the chart installs.
#[tokio::test]
async fn annotations_for_artifact_hub_are_true() {
    let chart = yaml(include_str!("../../../charts/kudu-pair/Chart.yaml"));
    let annotation = |name: &str| yaml(chart["annotations"][format!("artifacthub.io/{name}")].as_str().expect(name));
    assert_eq!(
        (&chart["annotations"]["artifacthub.io/license"], &chart["version"]),
        (&"Apache-2.0".into(), &version())
    );

    let definition = crd::definition();
    let version_of_the_crd = &definition.spec.versions[0];
    let crds = annotation("crds");
    assert_eq!(crds[0]["name"], definition.name_any());
    assert_eq!(crds[0]["kind"], definition.spec.names.kind);
    assert_eq!(crds[0]["version"], version_of_the_crd.name);

    let values = values();
    let operator = format!("{}:{}", values["image"]["repository"].as_str().expect("text"), text(&chart["appVersion"]));
    let images = annotation("images");
    assert_eq!((&images[0]["image"], &images[1]["image"]), (&operator.into(), &values["test"]["kuduImage"]));
    for change in annotation("changes").as_array().expect("changes") {
        let kinds = ["added", "changed", "deprecated", "removed", "fixed", "security"];
        assert!(kinds.contains(&text(&change["kind"])) && change["description"].is_string(), "{change}");
    }

    let Some(server) = server_with_pairs().await else { return };
    make_namespace(&server.admin(), "examples").await;
    let api: Api<KuduMasterPair> = Api::namespaced(server.admin(), "examples");
    for example in annotation("crdsExamples").as_array().expect("examples") {
        let pair = serde_json::from_value(example.clone()).expect("a pair");
        let on_trial = PostParams { dry_run: true, ..Default::default() };
        api.create(&on_trial, &pair).await.unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

fn version() -> Value {
    env!("CARGO_PKG_VERSION").into()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../charts/kudu-pair/values.schema.json")).expect("JSON")
}

fn values() -> Value {
    yaml(include_str!("../../../charts/kudu-pair/values.yaml"))
}
