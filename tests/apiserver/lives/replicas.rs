//! Two replicas of the controller, as processes, each behind a door of its own.

use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, api::PostParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::server::free_port;

/// Name of the controllers' own Lease.
pub(crate) const LEAD: &str = "kudu-pair-controller";

struct Replica {
    process: Option<Child>,
    kubeconfig: PathBuf,
    log: PathBuf,
    health: SocketAddr,
    page: SocketAddr,
}

/// Two replicas of the controller.
pub(crate) struct Replicas {
    namespace: String,
    leads: Api<Lease>,
    replicas: Mutex<Vec<Replica>>,
    _folder: tempfile::TempDir,
}

impl Replicas {
    /// Two that are not started yet, which reach the API server through these doors.
    pub(crate) fn new(admin: &Client, namespace: &str, doors: [SocketAddr; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let replica = |(number, door): (usize, SocketAddr)| {
            let kubeconfig = folder.path().join(format!("kubeconfig-{number}"));
            let config = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "test",
                "clusters": [{ "name": "test", "cluster": { "server": format!("http://{door}") } }],
                "users": [{ "name": "test", "user": {} }],
                "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }]
            });
            std::fs::write(&kubeconfig, config.to_string()).expect("a kubeconfig");
            let log = folder.path().join(format!("controller-{number}.log"));
            let port = || SocketAddr::from(([127, 0, 0, 1], free_port()));
            Replica { process: None, kubeconfig, log, health: port(), page: port() }
        };
        Self {
            namespace: namespace.to_owned(),
            leads: Api::namespaced(admin.clone(), namespace),
            replicas: Mutex::new(doors.into_iter().enumerate().map(replica).collect()),
            _folder: folder,
        }
    }

    fn identity(&self, number: usize) -> String {
        format!("controller-{number}")
    }

    pub(crate) fn start(&self, number: usize) {
        let mut replicas = self.replicas.lock().expect("no panic");
        let replica = &mut replicas[number];
        let log = File::options().create(true).append(true).open(&replica.log).expect("a log");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_kudu-pair"), "controller"])
            .args(["--namespaces", &self.namespace, "--leader-namespace", &self.namespace])
            .args(["--operator-image", "kudu-pair:test", "--identity", &self.identity(number)])
            .args(["--health-listen", &replica.health.to_string(), "--page-listen", &replica.page.to_string()])
            .env("KUBECONFIG", &replica.kubeconfig)
            .env("RUST_LOG", "info,kudu_pair=debug")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log again"))
            .stderr(log)
            .spawn()
            .expect("setpriv and the controller");
        replica.process = Some(process);
    }

    /// Where a replica serves its page.
    pub(crate) fn page(&self, number: usize) -> SocketAddr {
        self.replicas.lock().expect("no panic")[number].page
    }

    /// kill -9. False when it does not run.
    pub(crate) fn kill(&self, number: usize) -> bool {
        let process = self.replicas.lock().expect("no panic")[number].process.take();
        let Some(mut process) = process else { return false };
        let _ = process.kill();
        let _ = process.wait();
        true
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, number: usize, signal: Signal) {
        if let Some(process) = &self.replicas.lock().expect("no panic")[number].process {
            kill_process(Pid::from_child(process), signal).expect("it runs");
        }
    }

    /// Takes the lead from a replica that is dead or frozen, as the three seconds would after which the other one takes it. For a
    /// frozen one that is harder than life: it goes on for longer than it could if the time had passed for it too.
    pub(crate) async fn end_the_lead_of(&self, number: usize) {
        while let Ok(Some(mut lease)) = self.leads.get_opt(LEAD).await {
            let Some(spec) = lease.spec.as_mut() else { return };
            if spec.holder_identity != Some(self.identity(number)) {
                return;
            }
            spec.holder_identity = None;
            if self.leads.replace(LEAD, &PostParams::default(), &lease).await.is_ok() {
                return;
            }
        }
    }

    /// What the replicas logged last.
    pub(crate) fn last_words(&self) -> String {
        let replicas = self.replicas.lock().expect("no panic");
        let tail = |replica: &Replica| {
            let log = std::fs::read_to_string(&replica.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            format!("{}:\n{}\n", replica.log.display(), lines[lines.len().saturating_sub(25)..].join("\n"))
        };
        replicas.iter().map(tail).collect()
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for number in 0..2 {
            self.kill(number);
        }
    }
}
