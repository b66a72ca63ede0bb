//! A pair of real members with its real controller, scraped by a real Prometheus.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{Namespace, Pod, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use kudu_pair::api::{KuduMasterPair, PairStatus, Phase, names};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    apiserver::{self, ApiServer, free_port},
    kudu::{Home, TabletServer},
    member::{Cluster, Member, PAIR, PATIENCE, program},
    prometheus::{self, Prometheus},
};

const NAMESPACE: &str = "kudu";
/// Of the standby's log: enough for all that a pair of a few tables keeps.
const DISK_MEGABYTES: u32 = 1024;
/// Two members with their controller, and whoever stands in for kubelets and the StatefulSet controller.
pub(super) struct World {
    // The processes end before the API server that they talk to.
    tablets: Option<TabletServer>,
    pub(super) client: Home,
    pub(super) prometheus: Prometheus,
    controller: Option<Child>,
    pub(super) a: Member,
    /// Its log is on a small disk.
    pub(super) b: Member,
    health: SocketAddr,
    runtime: Runtime,
    admin: Client,
    server: ApiServer,
    folder: tempfile::TempDir,
}

impl World {
    /// A pair that runs, and a Prometheus that has seen it. None where something of that is not installed.
    pub(super) fn begin() -> Option<Self> {
        let (programs, prometheus) = (apiserver::programs()?, prometheus::program()?);
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(ApiServer::start(&programs));
        let admin = runtime.block_on(async {
            let admin = server.admin();
            prepare(&admin).await;
            admin
        });
        let folder = tempfile::tempdir().expect("a folder");
        let health = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let member = |name| {
            let mut member = Member::new(name, "");
            member.rpc = format!("{}:{}", member.ip, names::RPC_PORT);
            member
        };
        let (mut a, mut b) = (member("demo-0"), member("demo-1"));
        let hosts = folder.path().join("hosts");
        let lines =
            [&a, &b].map(|member| format!("{} {}\n", member.ip, names::member_host(PAIR, member.name, NAMESPACE)));
        // Kudu wants this machine's own name as well.
        let known = fs::read_to_string("/etc/hosts").expect("the names that this machine knows");
        fs::write(&hosts, format!("{known}\n{}", lines.concat())).expect("a file of names");
        b.use_small_disk(DISK_MEGABYTES);
        let cluster = Cluster { kubeconfig: server.kubeconfig(), namespace: NAMESPACE.to_owned(), hosts };
        let targets = [&a, &b].map(|member| format!("{}:{}", member.ip, names::REPORT_PORT));
        let prometheus = Prometheus::new(prometheus, &health.to_string(), &targets, NAMESPACE);
        let mut controller = None;
        begin_controller(&mut controller, &server.kubeconfig(), health, folder.path());
        runtime.block_on(make_pods(&admin, &mut [&mut a, &mut b]));
        for member in [&mut a, &mut b] {
            // What it asks for is in the pair's spec.
            member.make_synchronous(&json!({}));
            member.join(cluster.clone());
            member.start();
        }
        let client = Home::new(a.ip);
        let mut world =
            Self { tablets: None, client, prometheus, controller, a, b, health, runtime, admin, server, folder };
        world.until("Running", |status| status.phase == Some(Phase::Running) && status.switch.is_none());
        world.tablets = Some(TabletServer::start(&world.client));
        world.prometheus.start();
        world.client.create_table("written", 2);
        world.calms_down();
        Some(world)
    }

    pub(super) fn status(&self) -> PairStatus {
        let pairs: Api<KuduMasterPair> = Api::namespaced(self.admin.clone(), NAMESPACE);
        self.runtime.block_on(pairs.get(PAIR)).expect("the pair").status.unwrap_or_default()
    }

    pub(super) fn until(&self, what: &str, is: impl Fn(&PairStatus) -> bool) {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if is(&status) {
                return;
            }
            let log = || fs::read_to_string(self.folder.path().join("controller.log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "never {what}: {status:#?}\n{}", log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn patch(&self, spec: Value) {
        self.merge(json!({ "spec": spec }));
    }

    pub(super) fn annotate(&self, name: &str, value: &str) {
        self.merge(json!({ "metadata": { "annotations": { name: value } } }));
    }

    fn merge(&self, patch: Value) {
        let pairs: Api<KuduMasterPair> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let patch = Patch::Merge(patch);
        self.runtime.block_on(pairs.patch(PAIR, &PatchParams::default(), &patch)).expect("taken");
    }

    pub(super) fn kill_controller(&mut self) {
        end(self.controller.take());
    }

    pub(super) fn begin_controller(&mut self) {
        begin_controller(&mut self.controller, &self.server.kubeconfig(), self.health, self.folder.path());
    }

    /// Waits until this alert fires, and says how long that took.
    pub(super) fn fires(&self, alert: &str) {
        let begun = Instant::now();
        while !self.prometheus.alerts().contains(&(alert.to_owned(), "firing".to_owned())) {
            let alerts = self.prometheus.alerts();
            assert!(begun.elapsed() < PATIENCE, "{alert} does not fire: {alerts:?}, {:#?}", self.status());
            thread::sleep(Duration::from_millis(200));
        }
        println!("    {alert} fires after {:.1} s", begun.elapsed().as_secs_f64());
    }

    /// Waits until no alert is there any more.
    pub(super) fn calms_down(&self) {
        let begun = Instant::now();
        loop {
            let alerts = self.prometheus.alerts();
            if alerts.is_empty() && !self.prometheus.query("kudupair_leader == 1").is_empty() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{alerts:?} do not clear: {:#?}", self.status());
            thread::sleep(Duration::from_millis(200));
        }
        println!("    all clear after {:.1} s", begun.elapsed().as_secs_f64());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_controller();
    }
}

fn end(process: Option<Child>) {
    if let Some(mut process) = process {
        // It may be gone already.
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn begin_controller(controller: &mut Option<Child>, kubeconfig: &Path, health: SocketAddr, folder: &Path) {
    let log = File::options().create(true).append(true).open(folder.join("controller.log")).expect("a log");
    let process = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program().get_program())
        .args(["controller", "--namespace", NAMESPACE, "--leader-namespace", NAMESPACE])
        .args(["--operator-image", "kudu-pair:test", "--identity", "controller"])
        .args(["--health-listen", &health.to_string(), "--page-listen", "off"])
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log again"))
        .stderr(log)
        .spawn()
        .expect("setpriv and the controller");
    *controller = Some(process);
}

/// The CRD, the namespace and the pair.
async fn prepare(admin: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    let definition = kudu_pair::api::crd::definition();
    definitions.create(&PostParams::default(), &definition).await.expect("the CRD is taken");
    let name = definition.name_any();
    await_condition(definitions, &name, conditions::is_crd_established()).await.expect("the CRD is served");
    let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let namespace = Namespace { metadata: named(NAMESPACE), ..Namespace::default() };
    namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
    // A controller-manager would make it.
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), NAMESPACE);
    let account = ServiceAccount { metadata: named("default"), ..ServiceAccount::default() };
    accounts.create(&PostParams::default(), &account).await.expect("a ServiceAccount");
    let pairs: Api<KuduMasterPair> = Api::namespaced(admin.clone(), NAMESPACE);
    let pair = json!({
        "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": PAIR },
        "spec": { "replication": { "encryption": "Plaintext", "acknowledgement": { "mode": "All" }, "whenUnavailable": "Block" } }
    });
    let pair = serde_json::from_value(pair).expect("a pair");
    pairs.create(&PostParams::default(), &pair).await.expect("the pair is taken");
}

/// What the StatefulSet controller and the kubelets would make of the pair's StatefulSet.
async fn make_pods(admin: &Client, members: &mut [&mut Member]) {
    let stateful_sets: Api<StatefulSet> = Api::namespaced(admin.clone(), NAMESPACE);
    let begun = Instant::now();
    while stateful_sets.get_opt(PAIR).await.expect("an answer").is_none() {
        assert!(begun.elapsed() < PATIENCE, "the controller makes no StatefulSet");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pods: Api<Pod> = Api::namespaced(admin.clone(), NAMESPACE);
    for member in members {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": member.name, "labels": { names::PAIR_LABEL: PAIR, names::POD_NAME_LABEL: member.name }
            },
            "spec": { "containers": [{ "name": "replication", "image": "kudu-pair:test" }] }
        });
        let pod = serde_json::from_value(pod).expect("a pod");
        let pod: Pod = pods.create(&PostParams::default(), &pod).await.expect("a pod");
        member.pod_uid = pod.uid().expect("a uid");
        let ip = member.ip.to_string();
        let status = json!({ "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": [{ "type": "Ready", "status": "True" }]
        } });
        pods.patch_status(member.name, &PatchParams::default(), &Patch::Merge(status)).await.expect("a status");
    }
}
