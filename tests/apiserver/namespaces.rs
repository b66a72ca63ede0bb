//! A controller of several namespaces, with the rights that the chart gives it.

use std::{net::SocketAddr, time::Duration};

use k8s_openapi::api::{apps::v1::StatefulSet, rbac::v1::Role};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use kudu_pair::{
    api::KuduMasterPair,
    controller::{self, Options},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::{chart, make_namespace, server, server_with_pairs};

const OPERATOR_NAMESPACE: &str = "kudu-operator";
const CONTROLLER: &str = "kudu-pair";

#[tokio::test]
async fn a_namespace_without_its_role_keeps_only_its_own_pairs_waiting() {
    let Some(server) = server_with_pairs().await else { return };
    let (admin, programs) = (server.admin(), server::programs().expect("the server runs"));
    for namespace in [OPERATOR_NAMESPACE, "team-a", "team-b", "nobodys"] {
        make_namespace(&admin, namespace).await;
    }
    let install = async || {
        chart::install(&admin, &programs, CONTROLLER, OPERATOR_NAMESPACE, &["watchNamespaces={team-a,team-b}"]).await
    };
    install().await;
    let roles: Api<Role> = Api::namespaced(admin.clone(), "team-b");
    roles.delete(CONTROLLER, &DeleteParams::default()).await.expect("the Role was there");

    let health: SocketAddr = ([127, 0, 0, 1], server::free_port()).into();
    let options = Options {
        namespaces: vec!["team-a".to_owned(), "team-b".to_owned()],
        operator_image: "kudu-pair:test".to_owned(),
        leader_namespace: OPERATOR_NAMESPACE.to_owned(),
        identity: "controller-0".to_owned(),
        health_listen: health,
        page_listen: "off".parse().expect("no page"),
    };
    let stop = CancellationToken::new();
    let account = server.service_account(OPERATOR_NAMESPACE, CONTROLLER);
    let running = tokio::spawn(controller::run(account, options, stop.clone().cancelled_owned()));

    for namespace in ["team-a", "team-b", "nobodys"] {
        make_pair(&admin, namespace).await;
    }
    wait_for("the members in team-a", async || has_members(&admin, "team-a").await).await;
    let answer = ready(health).await;
    assert!(answer.starts_with("HTTP/1.0 503") && answer.contains("namespace team-b"), "{answer}");
    assert!(!answer.contains("namespace team-a"), "{answer}");
    assert!(!has_members(&admin, "team-b").await, "without a right to make them");

    install().await;
    wait_for("the members in team-b", async || has_members(&admin, "team-b").await).await;
    wait_for("readiness", async || ready(health).await.starts_with("HTTP/1.0 200")).await;
    assert!(!has_members(&admin, "nobodys").await, "nobody asked to look there");

    stop.cancel();
    running.await.expect("no panic").expect("ends when told to");
}

async fn make_pair(admin: &Client, namespace: &str) {
    let pair = json!({
        "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": "demo" }, "spec": {}
    });
    let pair: KuduMasterPair = serde_json::from_value(pair).expect("a pair");
    Api::namespaced(admin.clone(), namespace).create(&PostParams::default(), &pair).await.expect("the pair is taken");
}

async fn has_members(admin: &Client, namespace: &str) -> bool {
    let api: Api<StatefulSet> = Api::namespaced(admin.clone(), namespace);
    api.get_opt("demo").await.expect("an answer").is_some()
}

async fn wait_for(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{what}: not within 30 s"));
}

async fn ready(health: SocketAddr) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(health).await
        && stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await.is_ok()
    {
        // What was read before an error is all there is.
        let _ = stream.read_to_string(&mut answer).await;
    }
    answer
}
