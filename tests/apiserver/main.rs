//! The CRD, the objects and the rights against a real API server: what only it can judge.
//!
//! No cluster is needed: etcd and kube-apiserver run for the length of each test. See [`server::programs`].

#[path = "../alerts/words.rs"]
mod alerts;
mod certificates;
mod chart;
mod lives;
mod monitoring;
mod namespaces;
mod node_agent;
mod objects;
mod page;
mod refusals;
mod server;

use k8s_openapi::{
    api::core::v1::{Namespace, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, PostParams},
    runtime::{conditions, wait::await_condition},
};

use server::ApiServer;

/// A server as it is when a cluster is new; `None` where there is no API server to run.
async fn empty_server() -> Option<ApiServer> {
    // Another test of this process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Some(ApiServer::start(&server::programs()?).await)
}

/// A server that knows `KuduMasterPair`; `None` where there is no API server to run.
async fn server_with_pairs() -> Option<ApiServer> {
    let server = empty_server().await?;
    let api: Api<CustomResourceDefinition> = Api::all(server.admin());
    let definition = kudu_pair::api::crd::definition();
    api.create(&PostParams::default(), &definition).await.expect("the API server takes the CRD, CEL rules and all");
    await_condition(api, &definition.name_any(), conditions::is_crd_established()).await.expect("the CRD is served");
    Some(server)
}

/// A namespace as a careful cluster has it: pods that are not `restricted` are refused.
async fn make_namespace(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let enforce = ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned());
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some([enforce].into()), ..Default::default() };
    let namespace = Namespace { metadata, ..Default::default() };
    namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
    // A controller-manager would make it.
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("default".to_owned()), ..Default::default() },
        ..Default::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    accounts.create(&PostParams::default(), &account).await.expect("a ServiceAccount");
}
