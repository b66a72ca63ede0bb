//! The node agent's rights and its pod, as the chart makes them.

use std::{net::SocketAddr, time::Duration};

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    authorization::v1::{ResourceRule, SelfSubjectRulesReview, SelfSubjectRulesReviewSpec},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, PostParams},
};
use kudu_pair::agent::{self, Options};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::{chart, make_namespace, server, server_with_pairs};

const NAMESPACE: &str = "kudu-operator";
const AGENT: &str = "kudu-pair-node-agent";

#[tokio::test]
async fn the_node_agent_runs_with_the_least_rights() {
    let Some(server) = server_with_pairs().await else { return };
    let admin = server.admin();
    make_namespace(&admin, NAMESPACE).await;
    make_namespace(&admin, "team").await;
    let programs = server::programs().expect("the server runs");
    let made = chart::install(&admin, &programs, "kudu-pair", NAMESPACE, &[]).await;
    has_the_least_of_a_node(&made);

    let account = server.service_account(NAMESPACE, AGENT);
    assert_eq!(rights(&account, "team").await, READS);
    assert_eq!(rights(&account, NAMESPACE).await, READS);
    becomes_ready(account, None).await;

    chart::install(&admin, &programs, "kudu-pair-narrow", NAMESPACE, &["watchNamespaces={team}"]).await;
    let narrow = server.service_account(NAMESPACE, "kudu-pair-narrow-node-agent");
    assert_eq!(rights(&narrow, "team").await, READS);
    assert_eq!(rights(&narrow, NAMESPACE).await, [""; 0]);
    becomes_ready(narrow, Some("team")).await;
}

const READS: [&str; 4] = [
    "list .services",
    "list discovery.k8s.io.endpointslices",
    "watch .services",
    "watch discovery.k8s.io.endpointslices",
];

/// All that an account may do in a namespace but ask about itself.
async fn rights(account: &Client, namespace: &str) -> Vec<String> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) },
        ..Default::default()
    };
    let answer = Api::all(account.clone()).create(&PostParams::default(), &review).await.expect("an answer");
    let rules = answer.status.expect("rights").resource_rules;
    let about_itself = |rule: &ResourceRule| {
        rule.api_groups
            .iter()
            .flatten()
            .all(|group| ["authorization.k8s.io", "authentication.k8s.io"].contains(&group.as_str()))
    };
    let mut rights = Vec::new();
    for rule in rules.iter().filter(|rule| !about_itself(rule)) {
        for (verb, group) in
            rule.verbs.iter().flat_map(|verb| rule.api_groups.iter().flatten().map(move |group| (verb, group)))
        {
            rights.extend(rule.resources.iter().flatten().map(|resource| format!("{verb} {group}.{resource}")));
        }
    }
    rights.sort();
    rights
}

fn has_the_least_of_a_node(made: &[DynamicObject]) {
    let found = made.iter().find(|object| object.types.as_ref().is_some_and(|types| types.kind == "DaemonSet"));
    let found = serde_json::to_value(found.expect("the node agents")).expect("JSON");
    let daemon_set: DaemonSet = serde_json::from_value(found).expect("a DaemonSet");
    assert_eq!(daemon_set.name_any(), AGENT);
    let pod = daemon_set.spec.expect("a spec").template.spec.expect("a pod");
    assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc, &pod.volumes), (Some(true), None, None, &None));
    let [container] = &pod.containers[..] else { panic!("one container") };
    assert_eq!(
        serde_json::to_value(&container.security_context).expect("JSON"),
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"] }
        })
    );
    let tolerations = serde_json::to_value(&pod.tolerations).expect("JSON");
    assert_eq!(tolerations, json!([{ "operator": "Exists" }]), "clients may run on any node");
}

/// With these rights it comes to know where Services lead, and says so.
async fn becomes_ready(client: Client, namespace: Option<&str>) {
    let health_listen = ([127, 0, 0, 1], server::free_port()).into();
    let options = Options { namespaces: namespace.map(str::to_owned).into_iter().collect(), health_listen };
    let stop = CancellationToken::new();
    let agent = tokio::spawn(agent::run(client, options, stop.clone()));
    let ready = async {
        while !is_ready(health_listen).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready).await.expect("is ready");
    stop.cancel();
    agent.await.expect("no panic").expect("ends when told to");
}

async fn is_ready(health: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(health).await else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await;
    asked.is_ok() && stream.read_to_string(&mut answer).await.is_ok() && answer.starts_with("HTTP/1.0 200")
}
