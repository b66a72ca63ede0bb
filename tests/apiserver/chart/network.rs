//! Who gets through the chart's NetworkPolicies, judged as Kubernetes documents them; no network plug-in is here to try.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::PodTemplateSpec,
        networking::v1::{NetworkPolicy, NetworkPolicyPeer},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::ResourceExt as _;
use kudu_pair::controller::build::{BuildInput, PairObjects};
use serde_json::json;

use super::{RELEASE, RELEASE_NAMESPACE, find, objects, render};
use crate::server;

type Labels = BTreeMap<String, String>;

/// Who opens a connection.
#[derive(Clone, Copy)]
struct Origin<'a> {
    namespace: &'a str,
    labels: &'a Labels,
}

/// The chart's policies, the labels of its controllers and their ports.
struct Rendered {
    policies: Vec<NetworkPolicy>,
    controllers: PodTemplateSpec,
}

fn rendered(values: &[&str]) -> Option<Rendered> {
    let programs = server::programs()?;
    let values: Vec<_> =
        ["networkPolicy.enabled=true"].iter().chain(values).flat_map(|value| ["--set", value]).collect();
    let objects = objects(&render(&programs, RELEASE, RELEASE_NAMESPACE, &values).expect("good values"));
    let policies =
        objects.iter().filter(|object| object.types.as_ref().is_some_and(|types| types.kind == "NetworkPolicy"));
    let policies =
        policies.map(|policy| serde_json::to_value(policy).and_then(serde_json::from_value).expect("a policy"));
    let deployment = find(&objects, "Deployment").expect("the controllers");
    let controllers = serde_json::from_value(deployment["spec"]["template"].clone()).expect("a pod");
    Some(Rendered { policies: policies.collect(), controllers })
}

impl Rendered {
    fn of(&self, namespace: &str) -> &NetworkPolicy {
        let found = self.policies.iter().find(|policy| policy.namespace().as_deref() == Some(namespace));
        found.unwrap_or_else(|| panic!("no policy in {namespace}"))
    }
}

/// The pod of a member of a pair in the namespace `team`, as the operator makes it.
fn member() -> PodTemplateSpec {
    let pair = serde_json::from_value(json!({
        "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair",
        "metadata": { "name": "demo", "namespace": "team", "uid": "u" }, "spec": {}
    }));
    let pair = pair.expect("a pair");
    let objects = PairObjects::build(&BuildInput::new(&pair, "kudu-pair:test").expect("a whole pair"), None);
    objects.stateful_set.spec.expect("a spec").template
}

fn labels(pod: &PodTemplateSpec) -> &Labels {
    pod.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref()).expect("labels")
}

fn ports(pod: &PodTemplateSpec) -> Vec<i32> {
    let containers = &pod.spec.as_ref().expect("a pod").containers;
    let mut ports: Vec<_> = containers.iter().flat_map(|container| container.ports.iter().flatten()).collect();
    ports.sort_by_key(|port| port.container_port);
    ports.iter().map(|port| port.container_port).collect()
}

#[test]
fn members_are_reached_by_those_that_have_business_with_them() {
    let Some(open) = rendered(&["watchNamespaces={team}"]) else { return };
    let member = member();
    let somebody = Labels::from([("app".to_owned(), "shop".to_owned())]);
    assert_eq!(ports(&member), [7051, 7061, 8051, 8061], "a new port needs a rule, and a line here");
    let from = |namespace, labels| Origin { namespace, labels };
    let cases = [
        (from("elsewhere", &somebody), [true, false, true, false]),
        (from("team", &somebody), [true, false, true, false]),
        (from("team", labels(&member)), [true, true, true, true]),
        (from("elsewhere", labels(&member)), [true, false, true, false]),
        (from(RELEASE_NAMESPACE, labels(&open.controllers)), [true, false, true, true]),
        (from(RELEASE_NAMESPACE, &somebody), [true, false, true, false]),
        (from("elsewhere", labels(&open.controllers)), [true, false, true, false]),
    ];
    let policy = open.of("team");
    for (from, expected) in cases {
        let reached = [7051, 7061, 8051, 8061].map(|port| lets_in(policy, labels(&member), port, from));
        assert_eq!(reached, expected, "{} {:?}", from.namespace, from.labels);
    }

    let peer = "networkPolicy.clientsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=shop";
    let closed = rendered(&["networkPolicy.memberNamespaces={team}", peer]).expect("rendered before");
    let masters = |from| [7051, 8051].map(|port| lets_in(closed.of("team"), labels(&member), port, from));
    assert_eq!(masters(from("shop", &somebody)), [true, true]);
    assert_eq!(masters(from("elsewhere", &somebody)), [false, false]);
    assert_eq!(masters(from("team", labels(&member))), [true, true], "members reach each other");
}

#[test]
fn controllers_are_reached_on_the_ports_that_they_have() {
    let Some(open) = rendered(&[]) else { return };
    assert_eq!(open.policies.len(), 1, "no namespace of pairs is named");
    let somebody = Labels::from([("app".to_owned(), "shop".to_owned())]);
    let from = |namespace| Origin { namespace, labels: &somebody };
    for port in ports(&open.controllers) {
        let policy = open.of(RELEASE_NAMESPACE);
        assert!(lets_in(policy, labels(&open.controllers), port, from("elsewhere")), "nobody reaches port {port}");
        assert!(!lets_in(policy, labels(&open.controllers), 22, from("elsewhere")));
    }
    let peer = "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring";
    let closed = rendered(&[peer]).expect("rendered before");
    let metrics = |namespace| lets_in(closed.of(RELEASE_NAMESPACE), labels(&closed.controllers), 8080, from(namespace));
    assert_eq!((metrics("monitoring"), metrics("elsewhere")), (true, false));
}

/// Whether a pod with these labels, in the policy's namespace, takes a connection.
fn lets_in(policy: &NetworkPolicy, pod: &Labels, port: i32, from: Origin<'_>) -> bool {
    let spec = policy.spec.as_ref().expect("a spec");
    assert!(spec.pod_selector.as_ref().is_some_and(|selector| selects(selector, pod)), "the policy is not about it");
    assert_eq!(spec.policy_types.as_deref(), Some(&["Ingress".to_owned()][..]));
    spec.ingress.iter().flatten().any(|rule| {
        let mut ports = rule.ports.iter().flatten().map(|of| of.port.as_ref());
        let to_it = rule.ports.is_none() || ports.any(|of| of == Some(&IntOrString::Int(port)));
        let mut peers = rule.from.iter().flatten();
        to_it && (rule.from.is_none() || peers.any(|peer| is_peer(peer, policy, from)))
    })
}

fn is_peer(peer: &NetworkPolicyPeer, policy: &NetworkPolicy, from: Origin<'_>) -> bool {
    assert_eq!(peer.ip_block, None, "addresses are not judged here");
    let name = Labels::from([("kubernetes.io/metadata.name".to_owned(), from.namespace.to_owned())]);
    let of_the_namespace = match &peer.namespace_selector {
        Some(selector) => selects(selector, &name),
        None => policy.namespace().as_deref() == Some(from.namespace),
    };
    of_the_namespace && peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, from.labels))
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let mut wanted = selector.match_labels.iter().flatten();
    let mut rules = selector.match_expressions.iter().flatten();
    wanted.all(|(name, value)| labels.get(name) == Some(value))
        && rules.all(|rule| {
            assert_eq!(rule.operator, "Exists", "another operator is not judged here");
            labels.contains_key(&rule.key)
        })
}
