//! What the book shows of YAML, and those of its commands that talk to an API server, on a real one with a pair's objects. What
//! would change something is a dry run there.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use kudu_pair::sidecar::coordinator::ManualConfig;
use serde_json::Value;

use crate::{
    all_pages,
    commands::{self, Trial},
    root,
    server::{self, ApiServer},
};

/// What a block of YAML is.
#[derive(Debug, PartialEq)]
enum Yaml {
    /// Objects of the API.
    Objects,
    /// The spec of a pair.
    Spec,
    /// A sidecar's file, without Kubernetes.
    Sidecar,
    /// Values of the chart.
    Values,
}

/// What a block of YAML is, by its first document's keys.
fn kind(text: &str) -> Result<Yaml, String> {
    let first = text.split("\n---\n").next().unwrap_or_default();
    let document: Value = serde_yaml::from_str(first).map_err(|error| error.to_string())?;
    let keys: Vec<_> = document.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    let has = |key: &str| keys.contains(&key);
    let values = std::fs::read_to_string(root().join("charts/kudu-pair/values.yaml")).expect("the chart's values");
    let values: Value = serde_yaml::from_str(&values).expect("YAML");
    let all_are_values = !keys.is_empty() && keys.iter().all(|key| values.get(key).is_some());
    let known = [
        (Yaml::Objects, has("apiVersion") && has("kind")),
        (Yaml::Spec, keys == ["spec"]),
        (Yaml::Sidecar, has("member") && has("walDir")),
        (Yaml::Values, all_are_values),
    ];
    let found = known.into_iter().find(|(_, is_it)| *is_it).map(|(kind, _)| kind);
    found.ok_or_else(|| format!("nobody knows what this is, with the keys {keys:?}"))
}

/// Every block of YAML with its place.
fn blocks() -> Vec<(String, String)> {
    let of_page = |page: &crate::markdown::Page| {
        let yaml = page.blocks().into_iter().filter(|block| block.language == "yaml");
        yaml.map(|block| (format!("{}:{}", page.name, block.line), block.text)).collect::<Vec<_>>()
    };
    all_pages().iter().flat_map(of_page).collect()
}

#[test]
fn every_block_of_yaml_is_of_a_kind_that_we_know() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let file = scratch.path().join("kudu-pair.yaml");
    let mut wrong = Vec::new();
    for (place, text) in blocks() {
        let checked = kind(&text).and_then(|kind| {
            if kind == Yaml::Sidecar {
                std::fs::write(&file, &text).map_err(|error| error.to_string())?;
                ManualConfig::read(&file)?;
            }
            Ok(())
        });
        wrong.extend(checked.err().map(|why| format!("{place}: {why}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `kubectl` and `helm`, with a server to talk to.
struct Tools {
    folder: PathBuf,
    kubeconfig: PathBuf,
    scratch: tempfile::TempDir,
}

impl Tools {
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new("timeout")
            .arg("60")
            .arg(self.folder.join(program))
            .args(arguments)
            .current_dir(root())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.scratch.path())
            .env("HOME", self.scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program}: {error}; run deploy/local/cluster build"))?;
        let mut stdin = child.stdin.take().expect("a pipe");
        // A program that reads nothing may have ended already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn kubectl(&self, arguments: &[&str]) {
        let done = self.run("kubectl", arguments, "");
        assert!(done.is_ok(), "kubectl {}: {done:?}", arguments.join(" "));
    }

    /// Makes the objects that commands of the book name.
    fn prepare(&self) {
        self.kubectl(&["apply", "--server-side", "-f", "crds"]);
        self.kubectl(&["wait", "--for=condition=Established", "crd/kudumasterpairs.kudupair.io", "--timeout=60s"]);
        self.kubectl(&["apply", "-f", "tests/book/world.yaml"]);
        self.kubectl(&[
            "patch",
            "kmp",
            "demo",
            "-n",
            "kudu",
            "--subresource=status",
            "--type=merge",
            "--patch-file",
            "tests/book/status.yaml",
        ]);
        self.kubectl(&["config", "set-context", "--current", "--namespace=kudu"]);
        self.kubectl(&["apply", "-f", "deploy/examples/tablet-servers.yaml"]);
    }

    fn apply(&self, text: &str) -> Result<String, String> {
        self.run("kubectl", &["apply", "--dry-run=server", "--validate=strict", "-f", "-"], text)
    }

    fn yaml(&self, text: &str) -> Result<String, String> {
        match kind(text)? {
            Yaml::Objects => self.apply(text),
            Yaml::Spec => {
                let head = "apiVersion: kudupair.io/v1alpha1\nkind: KuduMasterPair\nmetadata: {name: example}\n";
                self.apply(&format!("{head}{text}"))
            }
            Yaml::Values => {
                self.run("helm", &["template", "example", "charts/kudu-pair", "--kube-version=1.34.0", "-f", "-"], text)
            }
            Yaml::Sidecar => Ok(String::new()),
        }
    }

    fn command(&self, command: &crate::shell::Command) -> Result<String, String> {
        let words: Vec<_> = command.words.iter().map(String::as_str).collect();
        let (program, arguments) = words.split_first().ok_or("an empty command")?;
        let (program, arguments) = match (*program, arguments) {
            ("helm", _) => ("helm", for_helm(arguments)?),
            (_, ["kudupair", rest @ ..]) => (env!("CARGO_BIN_EXE_kubectl-kudupair"), for_kubectl(rest)?),
            _ => ("kubectl", for_kubectl(arguments)?),
        };
        match self.run(program, &arguments, command.input.as_deref().unwrap_or_default()) {
            Err(why) if arguments.first() == Some(&"create") && why.contains("AlreadyExists") => Ok(why),
            other => other,
        }
    }
}

/// The same command, so that it changes nothing and ends.
fn for_kubectl<'a>(arguments: &[&'a str]) -> Result<Vec<&'a str>, String> {
    let verb = *arguments.first().ok_or("no verb")?;
    let mut arguments: Vec<_> = arguments.iter().copied().filter(|word| !["--watch", "-w"].contains(word)).collect();
    match verb {
        "annotate" | "apply" | "cordon" | "create" | "delete" | "drain" | "label" | "patch" | "scale" | "uncordon" => {
            arguments.push("--dry-run=server");
            Ok(arguments)
        }
        "config" | "describe" | "events" | "explain" | "get" | "status" | "wait" => Ok(arguments),
        other => Err(format!("nobody tries kubectl {other}, and no reason is given")),
    }
}

/// What helm would install, without a server.
fn for_helm<'a>(arguments: &[&'a str]) -> Result<Vec<&'a str>, String> {
    /// These are about the way in which it is installed.
    const WAYS: [&str; 6] =
        ["--create-namespace", "--install", "--reset-then-reuse-values", "--reuse-values", "--wait", "--atomic"];
    match arguments.split_first() {
        Some((&("install" | "upgrade"), rest)) => {
            let kept = rest.iter().copied().filter(|word| !WAYS.contains(word));
            Ok(["template", "--kube-version=1.34.0"].into_iter().chain(kept).collect())
        }
        Some((&("lint" | "show" | "template"), _)) => Ok(arguments.to_vec()),
        other => Err(format!("nobody tries helm {other:?}, and no reason is given")),
    }
}

#[tokio::test]
async fn a_real_api_server_takes_the_books_yaml_and_commands() {
    let Some(programs) = server::programs() else { return };
    // Another test of this process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let server = ApiServer::start(&programs).await;
    let tools =
        Tools { folder: programs, kubeconfig: server.kubeconfig(), scratch: tempfile::tempdir().expect("a folder") };
    tools.prepare();

    let mut wrong = Vec::new();
    let yaml = blocks();
    for (place, text) in &yaml {
        wrong.extend(tools.yaml(text).err().map(|why| format!("{place}: {why}")));
    }
    let is_for_it = |command: &crate::shell::Command| commands::trial(command) == Ok(Trial::Server);
    let commands: Vec<_> = commands::all().into_iter().filter(|(_, command)| is_for_it(command)).collect();
    for (place, command) in &commands {
        let tried = tools.command(command);
        wrong.extend(tried.err().map(|why| format!("{place}: {}: {why}", command.words.join(" "))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} blocks of YAML and {} commands", yaml.len(), commands.len());
}

#[test]
fn a_command_is_changed_so_that_nothing_comes_of_it() {
    assert_eq!(for_kubectl(&["delete", "pod", "demo-0"]), Ok(vec!["delete", "pod", "demo-0", "--dry-run=server"]));
    assert_eq!(for_kubectl(&["get", "kmp", "-w"]), Ok(vec!["get", "kmp"]));
    assert!(for_kubectl(&["edit", "kmp"]).is_err());
    let helm = ["install", "kudu-pair", "charts/kudu-pair", "--create-namespace"];
    assert_eq!(for_helm(&helm), Ok(vec!["template", "--kube-version=1.34.0", "kudu-pair", "charts/kudu-pair"]));
}
