//! The page in a headless Chromium, which `tests/browser/drive.mjs` drives: it looks, and says what is to happen next.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use kube::Client;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use super::{Controller, pairs};
use crate::{make_namespace, server, server_with_pairs};

/// Where the driver and its modules are; none where they were not installed, which is an error under `CI`.
fn driver() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let missing =
        [PathBuf::from("/usr/bin/chromium"), folder.join("node_modules")].into_iter().find(|path| !path.exists());
    let Some(missing) = missing else { return Some(folder.join("drive.mjs")) };
    let why = format!("no {}; run tests/browser/packages", missing.display());
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

/// Rights to see pairs and to lead, and no others: what the pairs' statuses say stays.
async fn may_look(admin: &Client, kubeconfig: PathBuf, namespace: &str) -> tempfile::NamedTempFile {
    make_namespace(admin, namespace).await;
    let group = |kind: &str, name: &str, body: serde_json::Value| {
        let mut object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name },
        });
        object.as_object_mut().expect("an object").extend(body.as_object().cloned().into_iter().flatten());
        object
    };
    let rules = json!({ "rules": [
        { "apiGroups": ["kudupair.io"], "resources": ["kudumasterpairs"], "verbs": ["get", "list", "watch"] },
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "list", "watch", "create", "update"] },
    ] });
    let role = serde_json::from_value(group("ClusterRole", "look", rules)).expect("a role");
    let binding = json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "look" },
        "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "looker" }],
    });
    let binding = serde_json::from_value(group("ClusterRoleBinding", "look", binding)).expect("a binding");
    let params = kube::api::PostParams::default();
    let roles: kube::Api<k8s_openapi::api::rbac::v1::ClusterRole> = kube::Api::all(admin.clone());
    roles.create(&params, &role).await.expect("taken");
    let bindings: kube::Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = kube::Api::all(admin.clone());
    bindings.create(&params, &binding).await.expect("taken");
    let mut config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(kubeconfig).expect("the kubeconfig")).expect("JSON");
    config["users"][0]["user"]["as"] = json!("looker");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("written");
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_in_a_browser() {
    let Some(driver) = driver() else { return };
    let Some(server) = server_with_pairs().await else { return };
    let admin = server.admin();
    let kubeconfig = may_look(&admin, server.kubeconfig(), "operator").await;
    let page: SocketAddr = ([127, 0, 0, 1], server::free_port()).into();
    let start = || Controller::start(kubeconfig.path(), "operator", page);
    let mut controller = Some(start());
    super::until_shown(page, "that the API server answers", |view| view["warnings"] == json!([])).await;

    let mut browser = Command::new("node")
        .arg(driver)
        .arg(format!("http://localhost:{}/", page.port()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node runs");
    let mut go_on = browser.stdin.take().expect("its input");
    let mut lines = BufReader::new(browser.stdout.take().expect("its output")).lines();
    let mut life = None;
    while let Some(line) = lines.next_line().await.expect("its output") {
        match line.as_str() {
            "make pairs" => {
                pairs::make(&admin).await;
                let admin = admin.clone();
                life = Some(tokio::spawn(async move { pairs::live(&admin, &pairs::PAIRS).await }));
            }
            "lose an active" => {
                if let Some(life) = life.take() {
                    life.abort();
                    let _ = life.await;
                }
                let message =
                    "the active is lost; <script>document.title = 'broken'</script><img src=x onerror=alert(1)>";
                let ready = json!({
                    "type": "Ready", "status": "False", "reason": "ApprovalNeeded", "message": message,
                    "lastTransitionTime": "2026-03-01T11:00:00Z",
                });
                let status = json!({ "phase": "Down", "conditions": [ready] });
                pairs::say(&admin, ("analytics", "warehouse"), &status).await;
            }
            "stop the controller" => drop(controller.take()),
            "start the controller" => controller = Some(start()),
            other => {
                println!("{other}");
                continue;
            }
        }
        go_on.write_all(b"done\n").await.expect("it listens");
    }
    let ended = browser.wait().await.expect("it ends");
    if let Some(life) = life {
        life.abort();
    }
    assert!(ended.success(), "see what the browser printed");
}
