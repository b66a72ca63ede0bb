//! The plain manifests of `deploy/kustomize` are what the chart makes.

use std::{collections::BTreeMap, path::Path, process::Command};

use kube::{ResourceExt as _, api::DynamicObject};
use serde_json::Value;

use super::{
    RELEASE, RELEASE_NAMESPACE, all_numbers_alike, documents::is_current, helm::Shell, objects, root, template,
};
use crate::{empty_server, server};

const HEAD: &str = "# Written by `make manifests` from charts/kudu-pair.\n";

#[test]
fn written_by_make_manifests_are_the_plain_manifests() {
    let Some(programs) = server::programs() else { return };
    let rendered = template(&programs, RELEASE, RELEASE_NAMESPACE, &["crds.install=false"]).expect("good values");
    let documents = rendered.split("\n---\n").filter(|document| document.contains("kind:") && !is_hook(document));
    let documents: Vec<_> = documents.map(without_helm).collect();
    is_current("deploy/kustomize/base/operator.yaml", &(HEAD.to_owned() + &documents.join("---\n")));
}

fn is_hook(document: &str) -> bool {
    document.contains("helm.sh/hook:")
}

/// A document without what only Helm has a use for.
fn without_helm(document: &str) -> String {
    let of_helm = |line: &str| {
        line.is_empty()
            || ["---", "# Source:", "helm.sh/chart:", "app.kubernetes.io/managed-by: Helm"]
                .iter()
                .any(|of_helm| line.trim_start().starts_with(of_helm))
    };
    document.lines().map(str::trim_end).filter(|line| !of_helm(line)).map(|line| format!("{line}\n")).collect()
}

/// The same objects, by whatever way they are installed.
#[test]
fn helm_and_kustomize_make_the_same_objects() {
    let Some(programs) = server::programs() else { return };
    let cases: [(&str, &[&str]); 3] = [
        ("base", &[]),
        ("overlays/namespaced", &["watchNamespaces={kudu}"]),
        ("overlays/private-registry", &["image.registry=registry.example", "imagePullSecrets[0].name=registry"]),
    ];
    for (folder, values) in cases {
        let mut built = by_name(&objects(&kustomize(&programs, folder)));
        built.remove(&format!("Namespace /{RELEASE_NAMESPACE}")).expect("`helm install --create-namespace` makes it");
        let rendered = template(&programs, RELEASE, RELEASE_NAMESPACE, values).expect("good values");
        let rendered = by_name(&objects(&rendered));
        assert_eq!(built.keys().collect::<Vec<_>>(), rendered.keys().collect::<Vec<_>>(), "{folder}");
        for (name, object) in &rendered {
            assert_eq!(built[name], *object, "{folder}: {name}");
        }
    }
}

fn kustomize(programs: &Path, folder: &str) -> String {
    let output = Command::new(programs.join("kubectl"))
        .args(["kustomize", &format!("deploy/kustomize/{folder}")])
        .current_dir(root())
        .output()
        .expect("kubectl runs");
    assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Kind, namespace and name of each object, and the object without what only Helm has a use for.
fn by_name(objects: &[DynamicObject]) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for object in objects {
        if object.annotations().contains_key("helm.sh/hook") {
            continue;
        }
        let kind = &object.types.as_ref().expect("a kind").kind;
        let name = format!("{kind} {}/{}", object.namespace().unwrap_or_default(), object.name_any());
        let mut value = serde_json::to_value(object).expect("JSON");
        all_numbers_alike(&mut value);
        for metadata in ["/metadata", "/spec/template/metadata"] {
            if let Some(metadata) = value.pointer_mut(metadata) {
                forget_helm(metadata, &["helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy"]);
            }
        }
        if kind == "CustomResourceDefinition" {
            // The chart puts its labels onto it.
            value["metadata"]["labels"] = Value::Null;
        }
        assert!(found.insert(name.clone(), value).is_none(), "{name} is there twice");
    }
    found
}

fn forget_helm(metadata: &mut Value, names: &[&str]) {
    for kind in ["labels", "annotations"] {
        let Some(entries) = metadata.get_mut(kind).and_then(Value::as_object_mut) else { continue };
        entries.retain(|name, _| !names.contains(&name.as_str()));
        if entries.is_empty() {
            metadata.as_object_mut().expect("metadata").remove(kind);
        }
    }
}

#[tokio::test]
async fn kubectl_applies_the_plain_manifests() {
    let Some(server) = empty_server().await else { return };
    let shell = Shell::new(&server, &server::programs().expect("the server runs"));
    shell.must("kubectl create namespace kudu");
    for folder in ["base", "overlays/private-registry", "overlays/namespaced"] {
        shell.must(&format!("kubectl apply --server-side -k deploy/kustomize/{folder}"));
    }
    shell.must("kubectl apply --server-side --force-conflicts -k deploy/kustomize/crd");
    let role = shell.must("kubectl get role --namespace kudu --output name");
    assert_eq!(role.lines().count(), 2, "controller and node agent: {role}");
    shell.must("kubectl delete -f deploy/kustomize/base/operator.yaml --wait=false");
    shell.must("kubectl get crd kudumasterpairs.kudupair.io");
}
