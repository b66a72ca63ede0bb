//! Helm itself on a real API server: what becomes of the definition, and whether the notes are right.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    runtime::{
        conditions,
        wait::{Condition, await_condition},
    },
};
use kudu_pair::api::KuduMasterPair;

use super::{RELEASE, root};
use crate::{
    empty_server,
    server::{self, ApiServer},
};

const CRD: &str = "kudumasterpairs.kudupair.io";
const NAMESPACE: &str = "team";

/// A user's command line: Helm and kubectl with the rights of an administrator.
pub(super) struct Shell {
    programs: PathBuf,
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

impl Shell {
    pub(super) fn new(server: &ApiServer, programs: &Path) -> Self {
        let home = tempfile::tempdir().expect("a home");
        Self { programs: programs.to_owned(), kubeconfig: server.kubeconfig(), home }
    }

    /// What it prints, or what it says is wrong.
    pub(super) fn run(&self, script: &str) -> Result<String, String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", script])
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.home.path())
            .current_dir(root())
            .output()
            .expect("bash");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    pub(super) fn must(&self, script: &str) -> String {
        self.run(script).unwrap_or_else(|error| panic!("{script}\n{error}"))
    }
}

async fn wait_for(api: &Api<CustomResourceDefinition>, condition: impl Condition<CustomResourceDefinition>) {
    let waited = tokio::time::timeout(Duration::from_secs(30), await_condition(api.clone(), CRD, condition)).await;
    waited.expect("in time").expect("an answer");
}

#[tokio::test]
async fn the_definition_is_upgraded_with_the_chart_and_outlives_it() {
    let Some(server) = empty_server().await else { return };
    let shell = Shell::new(&server, &server::programs().expect("the server runs"));
    let crds: Api<CustomResourceDefinition> = Api::all(server.admin());
    let pairs: Api<KuduMasterPair> = Api::namespaced(server.admin(), NAMESPACE);
    let chart = format!("charts/kudu-pair --namespace {NAMESPACE}");

    let notes = shell.must(&format!("helm install {RELEASE} {chart} --create-namespace"));
    wait_for(&crds, conditions::is_crd_established()).await;
    what_the_notes_say_works(&shell, &notes);
    let uid = pairs.get("demo").await.expect("the pair of the notes").metadata.uid;

    // An older definition, as an earlier version of the chart would have left it.
    let older =
        format!(r#"kubectl patch crd {CRD} --type merge -p '{{"spec": {{"names": {{"shortNames": ["old"]}}}}}}'"#);
    let short_names = async || crds.get(CRD).await.expect("the definition").spec.names.short_names.unwrap_or_default();
    for upgrade in
        ["kubectl apply --server-side --force-conflicts -f crds/".to_owned(), format!("helm upgrade {RELEASE} {chart}")]
    {
        shell.must(&older);
        assert_eq!(short_names().await, ["old"]);
        shell.must(&upgrade);
        assert_eq!(short_names().await, ["kmp"], "{upgrade}");
    }

    // No longer the chart's, or not there at all: pairs stay.
    shell.must(&format!("helm upgrade {RELEASE} {chart} --set crds.install=false"));
    shell.must(&format!("helm upgrade {RELEASE} {chart} --set crds.install=true"));
    shell.must(&format!("helm uninstall {RELEASE} --namespace {NAMESPACE}"));
    assert_eq!(pairs.get("demo").await.expect("the pair is still there").metadata.uid, uid);

    // Another release takes the definition over only when it is told to.
    let refused = shell.run(&format!("helm install other {chart}")).expect_err("it belongs to kudu-pair");
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    shell.must(&format!("helm install other {chart} --take-ownership"));
    shell.must(&format!("helm upgrade other {chart} --set crds.keep=false"));
    assert_eq!(pairs.get("demo").await.expect("the pair is still there").metadata.uid, uid);
    shell.must(&format!("helm uninstall other --namespace {NAMESPACE}"));
    wait_for(&crds, |found: Option<&CustomResourceDefinition>| found.is_none()).await;
}

/// Runs each command of the notes, as one who copies it does. No pod runs here, so there is no log.
fn what_the_notes_say_works(shell: &Shell, notes: &str) {
    let mut lines = notes.lines();
    let mut commands = 0;
    while let Some(line) = lines.next() {
        if !line.starts_with("kubectl ") || line.starts_with("kubectl logs ") {
            continue;
        }
        let mut command = vec![line];
        if line.ends_with("<<'END'") {
            command.extend(lines.by_ref().take_while(|line| *line != "END"));
            command.push("END");
        }
        let answer = shell.must(&command.join("\n"));
        assert!(answer.contains("demo") || answer.contains("labeled"), "{line}: {answer}");
        commands += 1;
    }
    assert_eq!(commands, 3, "apply, get, label:\n{notes}");
}
