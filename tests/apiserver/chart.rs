//! The chart: what Helm makes of it, and that a real API server takes that.

use std::{path::Path, process::Command};

use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;

use crate::server;

/// Renders the chart and applies everything but the CRD, as Helm would; the answer is what was applied.
pub(crate) async fn install(
    client: &Client,
    programs: &Path,
    release: &str,
    namespace: &str,
    values: &[&str],
) -> Vec<DynamicObject> {
    let mut applied = Vec::new();
    for object in objects(&template(programs, release, namespace, values).expect("the values are good")) {
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
        let params = PatchParams::apply("helm").validation_strict();
        let live = api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await;
        applied.push(live.unwrap_or_else(|error| panic!("{} {}: {error}", types.kind, object.name_any())));
    }
    applied
}

/// What `helm template` prints with these `--set` values, or what it says is wrong with them.
fn template(programs: &Path, release: &str, namespace: &str, values: &[&str]) -> Result<String, String> {
    let mut helm = Command::new(programs.join("helm"));
    helm.args(["template", release, "charts/kudu-pair", "--namespace", namespace, "--kube-version", "1.34.0"]);
    helm.args(values.iter().flat_map(|value| ["--set", value]));
    let output = helm.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("helm runs");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("text"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn objects(rendered: &str) -> Vec<DynamicObject> {
    rendered
        .split("\n---\n")
        .filter(|document| document.contains("kind:"))
        .map(|document| serde_yaml::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}")))
        .collect()
}

fn find(objects: &[DynamicObject], kind: &str) -> Option<Value> {
    let of_kind = |object: &&DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == kind);
    objects.iter().find(of_kind).map(|object| serde_json::to_value(object).expect("JSON"))
}

#[test]
fn helm_finds_nothing_wrong() {
    let Some(programs) = server::programs() else { return };
    let output = Command::new(programs.join("helm"))
        .args(["lint", "charts/kudu-pair", "--strict", "--kube-version", "1.34.0"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
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

#[test]
fn values_do_what_they_say() {
    let Some(programs) = server::programs() else { return };
    let render = |values: &[&str]| objects(&template(&programs, "op", "kudu", values).expect("good values"));

    let one = render(&["replicas=1", "image.repository=registry.example/kudu-pair", "image.tag=v9"]);
    assert_eq!(find(&one, "PodDisruptionBudget"), None, "one controller with a budget could never be drained");
    let controller =
        find(&one, "Deployment").expect("the controller")["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(controller["image"], "registry.example/kudu-pair:v9");
    let env = controller["env"].as_array().expect("variables");
    let operator_image = env.iter().find(|variable| variable["name"] == "OPERATOR_IMAGE").expect("the members' image");
    assert_eq!(operator_image["value"], controller["image"]);

    let narrow = render(&["watchNamespace=team"]);
    assert_eq!(find(&narrow, "ClusterRole"), None, "a controller of one namespace needs no right in another");
    assert!(
        template(&programs, "op", "kudu", &["watchNamespace=team"]).expect("good values").contains("WATCH_NAMESPACE")
    );

    let without = render(&["nodeAgent.enabled=false"]);
    let agents =
        |objects: &[DynamicObject]| objects.iter().filter(|object| object.name_any().contains("agent")).count();
    assert_eq!((agents(&without), agents(&render(&[]))), (0, 4), "account, role, binding, DaemonSet");
    let agent = find(&render(&["nodeAgent.healthPort=9", "image.tag=v9"]), "DaemonSet").expect("the node agents");
    let agent = agent["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(agent["image"], "kudu-pair:v9");
    assert_eq!(agent["env"][0]["value"], "127.0.0.1:9");
    assert_eq!(
        (&agent["readinessProbe"]["httpGet"]["port"], &agent["livenessProbe"]["httpGet"]["port"]),
        (&9.into(), &9.into())
    );

    let command =
        |values: &[&str]| find(&render(values), "Pod").expect("the test")["spec"]["containers"][0]["command"].clone();
    assert_eq!(command(&["test.pair=demo"]), serde_json::json!(["kudu", "cluster", "ksck", "demo.kudu.svc:7051"]));
    assert_eq!(command(&["test.pair=demo", "test.namespace=team"])[3], "demo.team.svc:7051");
    assert!(command(&[])[2].as_str().expect("a script").contains("No pair is named"));
}

#[test]
fn bad_values_are_refused() {
    let Some(programs) = server::programs() else { return };
    for (value, field) in [
        ("replicas=0", "replicas"),
        ("replicas=two", "replicas"),
        ("replica=2", "replica"),
        ("image.repository=", "repository"),
        ("image.name=x", "name"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("watchNamespace=Team", "watchNamespace"),
        ("crds.install=maybe", "install"),
        ("imagePullSecrets[0].secret=x", "imagePullSecrets"),
        ("nodeAgent.enabled=maybe", "enabled"),
        ("nodeAgent.healthPort=0", "healthPort"),
        ("nodeAgent.hostNetwork=false", "hostNetwork"),
        ("test.kuduImage=", "kuduImage"),
    ] {
        let error = template(&programs, "op", "kudu", &[value]).expect_err(value);
        assert!(
            error.contains("don't meet the specifications of the schema") && error.contains(field),
            "{value}: {error}"
        );
    }
}

#[test]
fn every_value_is_described() {
    let schema: Value = serde_json::from_str(include_str!("../../charts/kudu-pair/values.schema.json")).expect("JSON");
    let values: Value = serde_yaml::from_str(include_str!("../../charts/kudu-pair/values.yaml")).expect("YAML");
    let mut wrong = Vec::new();
    describe("", &schema, &values, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every value has a description in the schema, and every object refuses what it does not know.
fn describe(path: &str, schema: &Value, values: &Value, wrong: &mut Vec<String>) {
    if schema["additionalProperties"] != false {
        wrong.push(format!("{path} takes any value"));
    }
    for (name, value) in values.as_object().into_iter().flatten() {
        let (path, field) = (format!("{path}.{name}"), &schema["properties"][name]);
        if !field["description"].is_string() {
            wrong.push(format!("{path} is not described"));
        }
        if field["properties"].is_object() {
            describe(&path, field, value, wrong);
        }
    }
}
