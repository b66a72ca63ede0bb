//! Stands in for a kubelet whom the API server asks for logs.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Binding, Node, Pod};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// The node's name, which a bug report must not tell.
pub(crate) const NODE: &str = "worker-7.example";

/// What every container of every pod logged.
pub(crate) fn log(pod: &str, container: &str) -> String {
    let second = if pod.ends_with('0') { 1 } else { 2 };
    format!(
        "2026-03-01T12:00:0{second}.5Z {container} of {pod} at 10.20.30.40:7051 on {NODE}\n2026-03-01T12:00:09Z {pod} ends\n"
    )
}

/// A node whose kubelet answers, with these pods on it.
pub(crate) async fn begin(admin: &Client, namespace: &str, pods: &[&str]) {
    let certified = rcgen::generate_simple_self_signed(["kubelet".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a configuration")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(acceptor.clone(), stream));
        }
    });

    let nodes: Api<Node> = Api::all(admin.clone());
    let node = serde_json::from_value(json!({ "metadata": { "name": NODE } })).expect("a node");
    nodes.create(&PostParams::default(), &node).await.expect("taken");
    let status = json!({ "status": {
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } }
    } });
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(status)).await.expect("taken");
    let api: Api<Pod> = Api::namespaced(admin.clone(), namespace);
    for pod in pods {
        let binding: Binding = serde_json::from_value(json!({
            "metadata": { "name": pod }, "target": { "apiVersion": "v1", "kind": "Node", "name": NODE }
        }))
        .expect("a binding");
        let _: serde_json::Value =
            api.create_subresource("binding", pod, &PostParams::default(), &binding).await.expect("bound");
    }
}

/// One request on one connection, `/containerLogs/NAMESPACE/POD/CONTAINER`.
async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split_whitespace().nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let mut parts = path.trim_start_matches("/containerLogs/").split('/').skip(1);
    let body = log(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
