//! What values do, and which of them are refused.

use kube::{ResourceExt as _, api::DynamicObject};
use serde_json::{Value, json};

use super::{find, objects, template, template_of_file};
use crate::server;

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

    let page = |values: &[&str]| {
        let controller = find(&render(values), "Deployment").expect("the controller");
        let env = controller["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned();
        env.into_iter()
            .flatten()
            .find(|variable| variable["name"] == "PAGE_LISTEN")
            .map(|variable| variable["value"].clone())
    };
    assert_eq!(page(&[]), None, "the program's own default");
    assert_eq!(page(&["page.port=9000"]), Some("127.0.0.1:9000".into()), "behind a port-forward only");
    assert_eq!(page(&["page.enabled=false", "page.port=9000"]), Some("off".into()));

    let of_the_platform = render(&["podSecurityContext.runAsUser=null", "podSecurityContext.runAsGroup=null"]);
    let pod = find(&of_the_platform, "Deployment").expect("the controller")["spec"]["template"]["spec"].clone();
    let context = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    assert_eq!(pod["securityContext"], context, "a platform that chooses users itself");

    let class = find(&render(&["priorityClass.create=true"]), "PriorityClass").expect("a PriorityClass");
    for (kind, value) in [("Deployment", "priorityClassName=own"), ("DaemonSet", "nodeAgent.priorityClassName=own")] {
        let named = |values: &[&str]| {
            find(&render(values), kind).expect("it")["spec"]["template"]["spec"]["priorityClassName"].clone()
        };
        assert_eq!(named(&["priorityClass.create=true"]), class["metadata"]["name"]);
        assert_eq!(named(&["priorityClass.create=true", value]), "own");
        assert_eq!(named(&[]), Value::Null);
    }

    let command =
        |values: &[&str]| find(&render(values), "Pod").expect("the test")["spec"]["containers"][0]["command"].clone();
    assert_eq!(command(&["test.pair=demo"]), json!(["kudu", "cluster", "ksck", "demo.kudu.svc:7051"]));
    assert_eq!(command(&["test.pair=demo", "test.namespace=team"])[3], "demo.team.svc:7051");
    assert!(command(&[])[2].as_str().expect("a script").contains("No pair is named"));
}

#[test]
fn an_image_is_named_by_registry_repository_and_tag_or_digest() {
    let Some(programs) = server::programs() else { return };
    let digest = format!("sha256:{}", "4c".repeat(32));
    let by_digest = format!("image.digest={digest}");
    for (values, image) in [
        (vec![], "kudu-pair:0.1.0".to_owned()),
        (vec!["image.registry=registry.example:5000"], "registry.example:5000/kudu-pair:0.1.0".to_owned()),
        (
            vec!["image.repository=registry.example:5000/team/kudu-pair"],
            "registry.example:5000/team/kudu-pair:0.1.0".to_owned(),
        ),
        (
            vec!["image.registry=registry.example", "image.tag=v9", &by_digest],
            format!("registry.example/kudu-pair@{digest}"),
        ),
    ] {
        let rendered = objects(&template(&programs, "op", "kudu", &values).expect("good values"));
        for kind in ["Deployment", "DaemonSet"] {
            let container = find(&rendered, kind).expect("it")["spec"]["template"]["spec"]["containers"][0].clone();
            assert_eq!(container["image"], image, "{kind} with {values:?}");
        }
    }
}

#[test]
fn with_named_namespaces_nothing_is_allowed_in_others() {
    let Some(programs) = server::programs() else { return };
    let rendered = objects(&template(&programs, "op", "kudu", &["watchNamespaces={team-a,team-b}"]).expect("good"));
    assert_eq!((find(&rendered, "ClusterRole"), find(&rendered, "ClusterRoleBinding")), (None, None));
    for kind in ["Role", "RoleBinding"] {
        let mut places: Vec<_> = of_kind(&rendered, kind)
            .map(|object| (object.namespace().expect("a namespace"), object.name_any()))
            .collect();
        places.sort();
        let names = |namespace: &str| {
            ["op-kudu-pair", "op-kudu-pair-node-agent"].map(|name| (namespace.to_owned(), name.to_owned()))
        };
        let leader = [("kudu".to_owned(), "op-kudu-pair-leader".to_owned())];
        assert_eq!(places, [&leader[..], &names("team-a"), &names("team-b")].concat(), "{kind}");
    }
    for kind in ["Deployment", "DaemonSet"] {
        let container = find(&rendered, kind).expect("it")["spec"]["template"]["spec"]["containers"][0].clone();
        let env = container["env"].as_array().expect("variables").clone();
        assert!(env.contains(&json!({ "name": "WATCH_NAMESPACES", "value": "team-a,team-b" })), "{kind}: {env:?}");
    }
}

#[test]
fn extra_labels_and_annotations_are_on_everything() {
    let Some(programs) = server::programs() else { return };
    let rendered = objects(&template_of_file(&programs, "everything.yaml"));
    for object in &rendered {
        let name = format!("{} {}", object.types.as_ref().expect("a kind").kind, object.name_any());
        let mut metadata = vec![serde_json::to_value(&object.metadata).expect("JSON")];
        metadata.extend(object.data.pointer("/spec/template/metadata").cloned());
        for metadata in metadata {
            assert_eq!(metadata["labels"]["cost-center"], "42", "{name}");
            assert_eq!(metadata["annotations"]["example.com/owner"], "data-platform", "{name}");
        }
    }
    let selector = find(&rendered, "Deployment").expect("the controller")["spec"]["selector"]["matchLabels"].clone();
    assert_eq!(selector.as_object().expect("labels").len(), 3, "a selector cannot be changed later");
}

#[test]
fn a_spread_without_a_selector_is_about_the_controllers() {
    let Some(programs) = server::programs() else { return };
    let deployment = find(&objects(&template_of_file(&programs, "everything.yaml")), "Deployment").expect("it");
    let constraints = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"].clone();
    assert_eq!(constraints[0]["labelSelector"]["matchLabels"], deployment["spec"]["selector"]["matchLabels"]);
    assert_eq!(constraints[1]["labelSelector"], json!({ "matchLabels": { "app": "own" } }));
}

/// What the whole of it looks like, without the definition; each difference is to be looked at.
#[test]
fn renders_as_it_was_reviewed() {
    let Some(programs) = server::programs() else { return };
    for name in ["default", "namespaced", "private-registry", "everything"] {
        let rendered = template_of_file(&programs, &format!("{name}.yaml"));
        let documents =
            rendered.split("\n---\n").filter(|document| !document.contains("kind: CustomResourceDefinition"));
        insta::assert_snapshot!(name, documents.collect::<Vec<_>>().join("\n---\n"));
    }
}

fn of_kind<'a>(objects: &'a [DynamicObject], kind: &'a str) -> impl Iterator<Item = &'a DynamicObject> {
    objects.iter().filter(move |object| object.types.as_ref().is_some_and(|types| types.kind == kind))
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
        ("watchNamespace=team", "watchNamespace"),
        ("watchNamespaces={Team}", "watchNamespaces"),
        ("watchNamespaces={team,team}", "watchNamespaces"),
        ("image.registry=registry.example/", "registry"),
        ("image.repository=kudu-pair:v9", "repository"),
        ("image.tag=v9@sha256:1", "tag"),
        ("image.digest=4c1f", "digest"),
        ("crds.install=maybe", "install"),
        ("imagePullSecrets[0].secret=x", "imagePullSecrets"),
        ("crds.keep=1", "keep"),
        ("extraLabels.app\\.kubernetes\\.io/name=x", "extraLabels"),
        ("extraAnnotations.helm\\.sh/hook=x", "extraAnnotations"),
        ("extraEnv[0].nam=x", "extraEnv"),
        ("resources.limit.cpu=1", "resources"),
        ("podSecurityContext=none", "podSecurityContext"),
        ("affinity.nodeAffinty=x", "affinity"),
        ("topologySpreadConstraints[0].maxSkew=1", "topologySpreadConstraints"),
        ("priorityClass.value=1000000001", "value"),
        ("networkPolicy.enable=true", "networkPolicy"),
        ("networkPolicy.clientsFrom[0].podLabels=x", "clientsFrom"),
        ("networkPolicy.memberNamespaces={a_b}", "memberNamespaces"),
        ("nodeAgent.namespace=Agents", "namespace"),
        ("nodeAgent.enabled=maybe", "enabled"),
        ("nodeAgent.healthPort=0", "healthPort"),
        ("nodeAgent.hostNetwork=false", "hostNetwork"),
        ("page.enabled=maybe", "enabled"),
        ("page.port=0", "port"),
        ("page.listen=0.0.0.0:80", "listen"),
        ("test.kuduImage=", "kuduImage"),
    ] {
        let error = template(&programs, "op", "kudu", &[value]).expect_err(value);
        assert!(
            error.contains("don't meet the specifications of the schema") && error.contains(field),
            "{value}: {error}"
        );
    }
}
