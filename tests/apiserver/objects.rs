//! A pair's objects, applied by the controller's own ServiceAccount with the rights that the chart gives it, and the
//! rights of the sidecars.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    coordination::v1::Lease,
    core::v1::{PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Secret, Service, ServiceAccount, Volume},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use kudu_pair::{
    api::{KuduMasterPair, names},
    controller::{
        apply::{self, ApplyError},
        build::{self, BuildInput, PairObjects},
    },
};
use serde_json::json;

use crate::{chart, make_namespace, server, server_with_pairs};

const OPERATOR_NAMESPACE: &str = "kudu-operator";
const NAMESPACE: &str = "kudu";
const CONTROLLER: &str = "kudu-pair";
/// A second release of the chart, for one namespace only.
const NARROW: &str = "kudu-pair-narrow";
const IMAGE: &str = "kudu-pair:test";

/// Makes the pair that a user would write as `spec`, in [`NAMESPACE`].
async fn make_pair(admin: &Client, name: &str, spec: serde_json::Value) -> KuduMasterPair {
    let api: Api<KuduMasterPair> = Api::namespaced(admin.clone(), NAMESPACE);
    let pair = serde_json::from_value(json!({
        "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": name }, "spec": spec
    }));
    api.create(&PostParams::default(), &pair.expect("a pair")).await.expect("the pair is taken")
}

fn objects(pair: &KuduMasterPair, active: Option<&str>) -> PairObjects {
    PairObjects::build(&BuildInput::new(pair, IMAGE).expect("a whole pair"), active)
}

/// The resourceVersion of each object of the pair `name`.
async fn versions(client: &Client, name: &str) -> BTreeMap<&'static str, Option<String>> {
    async fn version<K>(client: &Client, name: &str) -> Option<String>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
        api.get(name).await.expect("it was applied").meta().resource_version.clone()
    }
    BTreeMap::from([
        ("Service", version::<Service>(client, name).await),
        ("Service of the members", version::<Service>(client, &names::members_service(name)).await),
        ("ServiceAccount", version::<ServiceAccount>(client, name).await),
        ("Role", version::<Role>(client, name).await),
        ("RoleBinding", version::<RoleBinding>(client, name).await),
        ("PodDisruptionBudget", version::<PodDisruptionBudget>(client, name).await),
        ("StatefulSet", version::<StatefulSet>(client, name).await),
    ])
}

#[tokio::test]
async fn the_controller_can_apply_a_pair_with_the_rights_of_the_chart() {
    let Some(server) = server_with_pairs().await else { return };
    let admin = server.admin();
    make_namespace(&admin, OPERATOR_NAMESPACE).await;
    make_namespace(&admin, NAMESPACE).await;
    let programs = server::programs().expect("the server runs");
    let chart = chart::install(&admin, &programs, CONTROLLER, OPERATOR_NAMESPACE, &["test.pair=demo"]).await;
    let controller = server.service_account(OPERATOR_NAMESPACE, CONTROLLER);

    the_controller_is_a_restricted_pod(&admin, &chart).await;
    apply_twice_changes_nothing(&admin, &controller).await;
    members_are_restricted_pods(&admin).await;
    the_service_is_repointed(&admin, &controller).await;
    a_new_size_is_told_and_the_rest_applied(&admin, &controller).await;
    what_belongs_to_somebody_else_is_left_alone(&admin, &controller).await;
    the_lease_is_made_once(&admin, &controller).await;
    the_controller_may_do_no_more_than_it_needs(&admin, CONTROLLER).await;
    a_sidecar_may_read_its_pair_and_hold_its_lease(&server.service_account(NAMESPACE, "demo")).await;

    chart::install(&admin, &programs, NARROW, OPERATOR_NAMESPACE, &[&format!("watchNamespaces={{{NAMESPACE}}}")]).await;
    the_controller_may_do_no_more_than_it_needs(&admin, NARROW).await;
    for verb in ["get", "list", "create"] {
        assert!(!may_do(&admin, NARROW, "default", "", "services", verb).await, "{verb} outside of watchNamespaces");
    }
}

/// Makes, on trial, the pod that a workload would make; the namespace refuses pods that are not `restricted`.
async fn try_pod(admin: &Client, namespace: &str, template: PodTemplateSpec, claims: &[String]) {
    let mut spec = template.spec.expect("a pod");
    // The StatefulSet controller adds these.
    spec.volumes.get_or_insert_default().extend(claims.iter().map(|name| Volume {
        name: name.clone(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: None }),
        ..Default::default()
    }));
    let pod = Pod {
        metadata: ObjectMeta { name: Some("trial".to_owned()), ..template.metadata.unwrap_or_default() },
        spec: Some(spec),
        ..Default::default()
    };
    let on_trial = PostParams { dry_run: true, ..Default::default() };
    Api::<Pod>::namespaced(admin.clone(), namespace).create(&on_trial, &pod).await.expect("a restricted pod");
}

async fn the_controller_is_a_restricted_pod(admin: &Client, chart: &[DynamicObject]) {
    let deployment = chart.iter().find(|object| object.types.as_ref().is_some_and(|types| types.kind == "Deployment"));
    let template = deployment.expect("the controller").data["spec"]["template"].clone();
    let template = serde_json::from_value(template).expect("a pod");
    try_pod(admin, OPERATOR_NAMESPACE, template, &[]).await;
}

async fn members_are_restricted_pods(admin: &Client) {
    let live = Api::<StatefulSet>::namespaced(admin.clone(), NAMESPACE).get("demo").await.expect("the members");
    let spec = live.spec.expect("a spec");
    let claims: Vec<_> =
        spec.volume_claim_templates.into_iter().flatten().filter_map(|claim| claim.metadata.name).collect();
    assert_eq!(claims, ["wal", "data"]);
    try_pod(admin, NAMESPACE, spec.template, &claims).await;
}

async fn apply_twice_changes_nothing(admin: &Client, controller: &Client) {
    let spec = json!({ "storage": { "wal": { "size": "1024Mi" }, "data": { "size": "1.5Gi" } },
        "resources": { "requests": { "cpu": 1, "memory": "1Gi" } }, "kudu": { "flags": { "default_num_replicas": "1" } } });
    let pair = make_pair(admin, "demo", spec).await;
    let wanted = objects(&pair, Some("demo-0"));
    let first = apply::apply(controller, &wanted).await.expect("applied");
    assert_eq!(first.immutable_changes, Vec::<String>::new());
    let before = versions(admin, "demo").await;
    let second = apply::apply(controller, &wanted).await.expect("applied again");
    assert_eq!(second, first);
    assert_eq!(versions(admin, "demo").await, before, "applying the same again wrote something");
}

async fn the_service_is_repointed(admin: &Client, controller: &Client) {
    let api: Api<Service> = Api::namespaced(admin.clone(), NAMESPACE);
    let pair = Api::<KuduMasterPair>::namespaced(admin.clone(), NAMESPACE).get("demo").await.expect("the pair");
    for (active, selected) in [(Some("demo-1"), "demo-1"), (None, build::NOBODY), (Some("demo-0"), "demo-0")] {
        let service = objects(&pair, active).active_service;
        apply::apply_active_service(controller, &service).await.expect("repointed");
        let live = api.get("demo").await.expect("the Service").spec.expect("a spec");
        assert_eq!(live.selector.expect("a selector")[names::POD_NAME_LABEL], selected);
        assert_ne!(live.cluster_ip.as_deref(), Some("None"), "clients keep one address");
    }
}

async fn a_new_size_is_told_and_the_rest_applied(admin: &Client, controller: &Client) {
    let pairs: Api<KuduMasterPair> = Api::namespaced(admin.clone(), NAMESPACE);
    let change = json!({ "spec": { "storage": { "wal": { "size": "2Gi" } }, "standbys": 2 } });
    let pair = pairs.patch("demo", &PatchParams::default(), &Patch::Merge(change)).await.expect("the CRD allows it");
    let wanted = objects(&pair, Some("demo-1"));

    let api: Api<StatefulSet> = Api::namespaced(controller.clone(), NAMESPACE);
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let refused = api.patch("demo", &params, &Patch::Apply(&wanted.stateful_set)).await;
    assert!(refused.is_err(), "Kubernetes can change sizes by now: apply no longer has to hold them back");

    let applied = apply::apply(controller, &wanted).await.expect("no error: trying again would not help");
    assert_eq!(applied.immutable_changes.len(), 1, "{applied:?}");
    assert!(applied.immutable_changes[0].starts_with("spec.storage.wal.size: 2Gi is asked for"), "{applied:?}");
    let service = Api::<Service>::namespaced(admin.clone(), NAMESPACE).get("demo").await.expect("the Service");
    let selector = service.spec.and_then(|spec| spec.selector).expect("a selector");
    assert_eq!(selector[names::POD_NAME_LABEL], "demo-1", "a wrong size must not keep clients from the new active");
}

async fn what_belongs_to_somebody_else_is_left_alone(admin: &Client, controller: &Client) {
    let services: Api<Service> = Api::namespaced(admin.clone(), NAMESPACE);
    let theirs = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "taken" },
        "spec": { "selector": { "app": "shop" }, "ports": [{ "port": 80 }] }
    }));
    services.create(&PostParams::default(), &theirs.expect("a Service")).await.expect("somebody's Service");
    let pair = make_pair(admin, "taken", json!({})).await;
    let error = apply::apply(controller, &objects(&pair, None)).await.expect_err("it is not ours");
    assert!(matches!(error, ApplyError::NotOurs { .. }), "{error:?}");
    assert!(error.to_string().starts_with("Service taken is there already"), "{error}");
    let members = Api::<StatefulSet>::namespaced(admin.clone(), NAMESPACE).get_opt("taken").await.expect("an answer");
    assert!(members.is_none(), "members were made for an address that is not theirs");
    let live = services.get("taken").await.expect("still there").spec.and_then(|spec| spec.selector);
    assert_eq!(live.expect("a selector")["app"], "shop");
}

async fn the_lease_is_made_once(admin: &Client, controller: &Client) {
    let pair = Api::<KuduMasterPair>::namespaced(admin.clone(), NAMESPACE).get("demo").await.expect("the pair");
    let lease = build::lease(&BuildInput::new(&pair, IMAGE).expect("a whole pair"), 1);
    let api: Api<Lease> = Api::namespaced(controller.clone(), NAMESPACE);
    api.create(&PostParams::default(), &lease).await.expect("made");
    let error = api.create(&PostParams::default(), &lease).await.expect_err("it is there");
    assert!(matches!(&error, kube::Error::Api(status) if status.is_already_exists()), "{error}");
}

/// Asks the API server what the controller may do, as written in the chart.
async fn the_controller_may_do_no_more_than_it_needs(admin: &Client, account: &str) {
    let may = ["get", "list", "watch", "create", "patch"];
    let owned =
        [("", "services"), ("", "serviceaccounts"), ("apps", "statefulsets"), ("policy", "poddisruptionbudgets")];
    let roles = [("rbac.authorization.k8s.io", "roles"), ("rbac.authorization.k8s.io", "rolebindings")];
    let mut wanted: Vec<(&str, &str, &str, bool)> = Vec::new();
    for (group, resource) in owned.into_iter().chain(roles) {
        wanted.extend(may.map(|verb| (group, resource, verb, true)));
        wanted.extend(["delete", "deletecollection", "escalate", "bind"].map(|verb| (group, resource, verb, false)));
    }
    for verb in ["get", "list", "watch"] {
        wanted.extend([("kudupair.io", "kudumasterpairs", verb, true), ("", "pods", verb, true)]);
        wanted.extend([("", "persistentvolumeclaims", verb, false), ("coordination.k8s.io", "leases", verb, true)]);
        wanted.extend([("", "nodes", verb, false), ("", "configmaps", verb, false)]);
        wanted.extend([("", "secrets", verb, verb == "get")]);
    }
    for (verb, expected) in [("create", true), ("update", true), ("patch", false), ("delete", false)] {
        wanted.push(("", "secrets", verb, expected));
    }
    for (verb, expected) in [("get", true), ("create", true), ("patch", true), ("list", false), ("delete", false)] {
        wanted.push(("cert-manager.io", "certificates", verb, expected));
    }
    wanted.extend([
        ("kudupair.io", "kudumasterpairs/status", "update", true),
        ("kudupair.io", "kudumasterpairs", "patch", false),
        ("kudupair.io", "kudumasterpairs", "delete", false),
        ("coordination.k8s.io", "leases", "create", true),
        ("coordination.k8s.io", "leases", "update", true),
        ("coordination.k8s.io", "leases", "delete", false),
        ("", "pods", "delete", true),
        ("", "pods", "create", false),
        ("", "pods/exec", "create", false),
        ("", "persistentvolumeclaims", "delete", false),
        ("events.k8s.io", "events", "create", true),
    ]);
    for (group, resource, verb, expected) in wanted {
        let allowed = may_do(admin, account, NAMESPACE, group, resource, verb).await;
        assert_eq!(allowed, expected, "may the controller {verb} {resource}.{group}?");
    }
}

async fn may_do(admin: &Client, account: &str, namespace: &str, group: &str, resource: &str, verb: &str) -> bool {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{account}")),
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(verb.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        },
        ..Default::default()
    };
    let answer = Api::all(admin.clone()).create(&PostParams::default(), &review).await.expect("an answer");
    answer.status.expect("a verdict").allowed
}

async fn a_sidecar_may_read_its_pair_and_hold_its_lease(sidecar: &Client) {
    let pairs: Api<KuduMasterPair> = Api::namespaced(sidecar.clone(), NAMESPACE);
    pairs.get("demo").await.expect("its pair");
    let own = ListParams::default().fields("metadata.name=demo");
    assert_eq!(pairs.list(&own).await.expect("its pair by a list, as a watch begins").items.len(), 1);
    forbidden(pairs.list(&ListParams::default()).await.map(drop), "list all pairs");
    forbidden(pairs.get("taken").await.map(drop), "read another pair");

    let leases: Api<Lease> = Api::namespaced(sidecar.clone(), NAMESPACE);
    let mut lease = leases.get(&names::lease("demo")).await.expect("its Lease");
    lease.spec.get_or_insert_default().holder_identity = Some("demo-0".to_owned());
    leases.replace(&names::lease("demo"), &PostParams::default(), &lease).await.expect("takes its Lease");
    forbidden(leases.get(&names::lease("taken")).await.map(drop), "read another pair's Lease");
    let other = Lease { metadata: ObjectMeta { name: Some("x".to_owned()), ..Default::default() }, spec: None };
    forbidden(leases.create(&PostParams::default(), &other).await.map(drop), "make a Lease");

    let secrets: Api<Secret> = Api::namespaced(sidecar.clone(), NAMESPACE);
    forbidden(secrets.list(&ListParams::default()).await.map(drop), "read Secrets");
    let pods: Api<Pod> = Api::namespaced(sidecar.clone(), NAMESPACE);
    forbidden(pods.list(&ListParams::default()).await.map(drop), "read pods");
}

fn forbidden(answer: kube::Result<()>, what: &str) {
    assert!(
        matches!(&answer, Err(kube::Error::Api(status)) if status.is_forbidden()),
        "a sidecar could {what}: {answer:?}"
    );
}
