//! A real etcd and a real kube-apiserver on loopback, for the length of one test.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kube::{Client, Config};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const ADMIN_TOKEN: &str = "admin-of-this-test";
const START_TIME: Duration = Duration::from_secs(120);

/// The two processes; they end with this value.
pub(crate) struct ApiServer {
    etcd: Child,
    apiserver: Child,
    port: u16,
    // Last, so that the folder goes after the processes that write into it.
    scratch: TempDir,
}

impl ApiServer {
    /// Starts both and waits until the API server is ready.
    pub(crate) async fn start(programs: &Path) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let (etcd_port, peer_port, port) = (free_port(), free_port(), free_port());
        write_credentials(scratch.path());
        let mut server = Self {
            etcd: spawn_etcd(programs, scratch.path(), etcd_port, peer_port),
            apiserver: spawn_apiserver(programs, scratch.path(), etcd_port, port),
            port,
            scratch,
        };
        server.wait_until_ready().await;
        server
    }

    /// A client that may do everything.
    pub(crate) fn admin(&self) -> Client {
        Client::try_from(self.config()).expect("a client")
    }

    /// A client that may do what this ServiceAccount may.
    pub(crate) fn service_account(&self, namespace: &str, name: &str) -> Client {
        let mut config = self.config();
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{namespace}:{name}"));
        config.auth_info.impersonate_groups =
            Some(vec!["system:authenticated".to_owned(), "system:serviceaccounts".to_owned()]);
        Client::try_from(config).expect("a client")
    }

    /// A kubeconfig for a process that may do everything.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let path = self.scratch.path().join("kubeconfig");
        let cluster = serde_json::json!({
            "server": format!("https://127.0.0.1:{}", self.port), "insecure-skip-tls-verify": true
        });
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "users": [{ "name": "test", "user": { "token": ADMIN_TOKEN } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }]
        });
        fs::write(&path, config.to_string()).expect("a kubeconfig");
        path
    }

    /// Stops the API server in its tracks: it takes connections and answers nobody.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen API server go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.apiserver), signal).expect("the API server is there");
    }

    fn config(&self) -> Config {
        let mut config = Config::new(format!("https://127.0.0.1:{}", self.port).parse().expect("a URL"));
        config.auth_info.token = Some(ADMIN_TOKEN.to_owned().into());
        // The API server signs its own certificate, into the scratch folder; nobody else listens on that port.
        config.accept_invalid_certs = true;
        config
    }

    async fn wait_until_ready(&mut self) {
        let client = self.admin();
        let deadline = Instant::now() + START_TIME;
        loop {
            let request = hyper::Request::get("/readyz").body(Vec::new()).expect("a request");
            let answer = client.request_text(request).await;
            if answer.as_deref().is_ok_and(|text| text == "ok") {
                return;
            }
            let ended = self.apiserver.try_wait().expect("the state of a child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the API server is not ready: {answer:?}; ended: {ended:?}\n{}",
                self.last_words()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn last_words(&self) -> String {
        let tail = |name: &str| {
            let log = fs::read_to_string(self.scratch.path().join(name)).unwrap_or_default();
            log.lines().rev().take(10).map(|line| format!("{name}: {line}\n")).collect::<String>()
        };
        tail("etcd.log") + &tail("apiserver.log")
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for child in [&mut self.apiserver, &mut self.etcd] {
            // It may be gone already, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The folder with `etcd`, `kube-apiserver`, `kubectl` and `helm`: `KUDU_PAIR_KUBE_BIN`, or where `deploy/local/cluster build` puts them.
///
/// `None`, with a word about it, where they were not built; under `CI` that is an error, so that no run is green unproved.
pub(crate) fn programs() -> Option<PathBuf> {
    let folder = std::env::var_os("KUDU_PAIR_KUBE_BIN").map_or_else(|| cache().join("bin"), PathBuf::from);
    let mut needed = ["etcd", "kube-apiserver", "kubectl", "helm"].into_iter();
    let Some(missing) = needed.find(|program| !folder.join(program).exists()) else { return Some(folder) };
    let why = format!("no {missing} in {}; run deploy/local/cluster build", folder.display());
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

/// The cache of `deploy/local`.
fn cache() -> PathBuf {
    if let Some(cache) = std::env::var_os("KUDU_PAIR_CACHE") {
        return PathBuf::from(cache);
    }
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("kudu-pair")
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A process that ends with the thread that made it, even when the test is killed.
fn spawn(program: &Path, log: &Path, args: &[String]) -> Child {
    let log = File::create(log).expect("a log file");
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log file again"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {} by setpriv: {error}", program.display()))
}

fn spawn_etcd(programs: &Path, scratch: &Path, port: u16, peer_port: u16) -> Child {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let args = [
        format!("--data-dir={}", scratch.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
    ];
    spawn(&programs.join("etcd"), &scratch.join("etcd.log"), &args)
}

fn spawn_apiserver(programs: &Path, scratch: &Path, etcd_port: u16, port: u16) -> Child {
    let file = |name: &str| scratch.join(name).display().to_string();
    let args = [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", file("certificates")),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.82.0.0/16".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.key")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
    ];
    spawn(&programs.join("kube-apiserver"), &scratch.join("apiserver.log"), &args)
}

fn write_credentials(scratch: &Path) {
    fs::write(scratch.join("tokens.csv"), format!("{ADMIN_TOKEN},admin,admin,system:masters\n")).expect("tokens.csv");
    let made = Command::new("openssl")
        .args(["ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out"])
        .arg(scratch.join("accounts.key"))
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl cannot make a key");
}
