//! The chart: what Helm makes of it, and that a real API server takes that.

mod documents;
mod helm;
mod kustomize;
mod network;
mod pods;
mod values;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;

use crate::server;

/// Release and namespace that documents and manifests speak of.
const RELEASE: &str = "kudu-pair";
const RELEASE_NAMESPACE: &str = "kudu-pair-system";

/// Renders the chart and applies everything but the CRD, as Helm would; the answer is what was applied.
pub(crate) async fn install(
    client: &Client,
    programs: &Path,
    release: &str,
    namespace: &str,
    values: &[&str],
) -> Vec<DynamicObject> {
    let rendered = template(programs, release, namespace, values).expect("the values are good");
    apply(client, &objects(&rendered)).await
}

/// Applies everything but the CRD; a pod, which cannot be changed, is only made on trial.
async fn apply(client: &Client, objects: &[DynamicObject]) -> Vec<DynamicObject> {
    let mut applied = Vec::new();
    for object in objects {
        let types = object.types.clone().expect("a kind");
        if types.kind == "CustomResourceDefinition" {
            continue;
        }
        let kind = GroupVersionKind::try_from(&types).expect("a group, a version and a kind");
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let live = if types.kind == "Pod" {
            api.create(&PostParams { dry_run: true, ..Default::default() }, object).await
        } else {
            let params = PatchParams::apply("helm").validation_strict();
            api.patch(&object.name_any(), &params, &Patch::Apply(object)).await
        };
        applied.push(live.unwrap_or_else(|error| panic!("{} {}: {error}", types.kind, object.name_any())));
    }
    applied
}

/// What `helm template` prints with these `--set` values, or what it says is wrong with them.
pub(crate) fn template(programs: &Path, release: &str, namespace: &str, values: &[&str]) -> Result<String, String> {
    let set: Vec<_> = values.iter().flat_map(|value| ["--set", value]).collect();
    render(programs, release, namespace, &set)
}

/// What `helm template` prints with a file of `chart/values`, for the release that documents speak of.
fn template_of_file(programs: &Path, file: &str) -> String {
    let path = root().join("tests/apiserver/chart/values").join(file);
    let path = path.to_str().expect("a path of text");
    render(programs, RELEASE, RELEASE_NAMESPACE, &["--values", path]).expect("the values are good")
}

fn render(programs: &Path, release: &str, namespace: &str, values: &[&str]) -> Result<String, String> {
    let mut helm = Command::new(programs.join("helm"));
    helm.args(["template", release, "charts/kudu-pair", "--namespace", namespace, "--kube-version", "1.34.0"]);
    let output = helm.args(values).current_dir(root()).output().expect("helm runs");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("text"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The project.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn objects(rendered: &str) -> Vec<DynamicObject> {
    rendered
        .split("\n---\n")
        .filter(|document| document.contains("kind:"))
        .map(|document| serde_yaml::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}")))
        .collect()
}

pub(crate) fn find(objects: &[DynamicObject], kind: &str) -> Option<Value> {
    let of_kind = |object: &&DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == kind);
    objects.iter().find(of_kind).map(|object| serde_json::to_value(object).expect("JSON"))
}

#[test]
fn helm_finds_nothing_wrong() {
    let Some(programs) = server::programs() else { return };
    let output = Command::new(programs.join("helm"))
        .args(["lint", "charts/kudu-pair", "--strict", "--kube-version", "1.34.0"])
        .current_dir(root())
        .output()
        .expect("helm runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Helm reads YAML 1.1 and writes the file anew; the definition that it installs is still the one of the code.
#[test]
fn the_chart_installs_the_definition_of_the_code_and_keeps_it() {
    let Some(programs) = server::programs() else { return };
    let rendered = objects(&template(&programs, "op", "kudu", &[]).expect("the defaults are good"));
    let mut installed = find(&rendered, "CustomResourceDefinition").expect("the definition");
    assert_eq!(installed["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    let mut wanted = serde_json::to_value(kudu_pair::api::crd::definition()).expect("JSON");
    for definition in [&mut installed, &mut wanted] {
        definition["metadata"] = Value::Null;
        all_numbers_alike(definition);
    }
    assert_eq!(installed, wanted);

    let without = objects(&template(&programs, "op", "kudu", &["crds.install=false"]).expect("good values"));
    assert_eq!(find(&without, "CustomResourceDefinition"), None);
}

/// `4.0` and `4` are the same number to an API server.
fn all_numbers_alike(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().expect("a number").into(),
        Value::Array(items) => items.iter_mut().for_each(all_numbers_alike),
        Value::Object(fields) => fields.values_mut().for_each(all_numbers_alike),
        _ => {}
    }
}
