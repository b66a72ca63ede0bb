//! A pair whose API server goes away: real members, a real API server, a client that goes on. Needs root, for the members' names.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use kudu_pair::{
    api::{KuduMasterPair, MemberState, names},
    failover::bounds::STILL_SERVING,
};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    apiserver::{self, ApiServer},
    kudu::{self, Home, TabletServer},
    matrix::{changes, rpc},
    member::{Cluster, Member, PAIR, PATIENCE, lives},
    pair::{is_serving, is_streaming},
    reigns,
};

const NAMESPACE: &str = "kudu";
const UUID: &str = "0123456789abcdef0123456789abcdef";
/// How long the API server is away: more than twice the Lease.
const AWAY: Duration = Duration::from_secs(15);
/// The time from the last renewal to the death of kudu-master, by default.
const IN_TIME: Duration = Duration::from_secs(5);

/// Two members with an API server, and whoever stands in for the controller.
struct World {
    // The processes end before the API server that they talk to.
    tablets: Option<TabletServer>,
    a: Member,
    b: Member,
    client: Home,
    runtime: Runtime,
    admin: Client,
    server: ApiServer,
    _folder: tempfile::TempDir,
}

impl World {
    /// None where there is no API server to run.
    fn begin(spec: serde_json::Value) -> Option<Self> {
        let programs = apiserver::programs()?;
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(ApiServer::start(&programs));
        let admin = runtime.block_on(async {
            let admin = server.admin();
            prepare(&admin, spec).await;
            admin
        });
        let folder = tempfile::tempdir().expect("a folder");
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
        let names = fs::read_to_string("/etc/hosts").expect("the names that this machine knows");
        fs::write(&hosts, format!("{names}\n{}", lines.concat())).expect("a file of names");
        let cluster = Cluster { kubeconfig: server.kubeconfig(), namespace: NAMESPACE.to_owned(), hosts };
        for member in [&mut a, &mut b] {
            member.join(cluster.clone());
            member.start();
        }
        let client = Home::new(a.ip);
        let mut world = Self { tablets: None, a, b, client, runtime, admin, server, _folder: folder };
        world.form();
        Some(world)
    }

    /// The first reign: a formats and serves, b follows.
    fn form(&mut self) {
        self.status(json!({
            "epoch": 0,
            "catalog": { "uuid": UUID, "formatted": false },
            "switch": {
                "kind": "Initialize", "epoch": 1, "step": "Promoting", "to": "demo-0",
                "startedAt": "2026-01-01T00:00:00.000000Z"
            }
        }));
        self.a.wait_until("a serves", is_serving);
        self.status(json!({
            "epoch": 1, "active": "demo-0", "catalog": { "uuid": UUID, "formatted": true }, "switch": null
        }));
        self.b.wait_until("b streams", is_streaming);
        self.tablets = Some(TabletServer::start(&self.client));
    }

    /// What a controller would write.
    fn status(&self, status: serde_json::Value) {
        let api: Api<KuduMasterPair> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({ "status": status }));
        self.runtime.block_on(api.patch_status(PAIR, &PatchParams::default(), &patch)).expect("a status");
    }

    fn lease(&self) -> Lease {
        let api: Api<Lease> = Api::namespaced(self.admin.clone(), NAMESPACE);
        self.runtime.block_on(api.get(&names::lease(PAIR))).expect("the Lease")
    }

    fn roster(&self) -> Option<String> {
        self.lease().annotations().get(names::ROSTER_ANNOTATION).cloned()
    }

    /// Waits until kudu-master of the active is dead, and says how long that took.
    fn wait_until_stopped(&self) -> Duration {
        let begin = Instant::now();
        kudu::wait_for("the end of kudu-master", || self.a.running_master().is_none());
        begin.elapsed()
    }

    /// Creates tables one after the other for so long. Returns their number and the longest time that one took.
    fn create_tables(&self, prefix: &str, time: Duration) -> (usize, Duration) {
        let mut client = rpc::Client::new(self.client.address);
        let (begin, mut longest, mut count) = (Instant::now(), Duration::ZERO, 0);
        while begin.elapsed() < time {
            let begun = Instant::now();
            changes::create(&mut client, &format!("{prefix}_{count}"));
            longest = longest.max(begun.elapsed());
            count += 1;
        }
        (count, longest)
    }
}

/// The CRD, the namespace, the pair and its Lease for the first reign.
async fn prepare(admin: &Client, spec: serde_json::Value) {
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    let definition = kudu_pair::api::crd::definition();
    definitions.create(&PostParams::default(), &definition).await.expect("the CRD is taken");
    let name = definition.name_any();
    await_condition(definitions, &name, conditions::is_crd_established()).await.expect("the CRD is served");
    let metadata = ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let namespace = Namespace { metadata, ..Namespace::default() };
    namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
    let pairs: Api<KuduMasterPair> = Api::namespaced(admin.clone(), NAMESPACE);
    let pair = json!({
        "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": PAIR }, "spec": spec
    });
    let pair = serde_json::from_value(pair).expect("a pair");
    pairs.create(&PostParams::default(), &pair).await.expect("the pair is taken");
    let annotations = BTreeMap::from([(names::EPOCH_ANNOTATION.to_owned(), "1".to_owned())]);
    let metadata =
        ObjectMeta { name: Some(names::lease(PAIR)), annotations: Some(annotations), ..ObjectMeta::default() };
    let leases: Api<Lease> = Api::namespaced(admin.clone(), NAMESPACE);
    let lease = Lease { metadata, ..Lease::default() };
    leases.create(&PostParams::default(), &lease).await.expect("a Lease");
}

fn plaintext() -> serde_json::Value {
    json!({ "replication": { "encryption": "Plaintext" } })
}

#[test]
fn tables_are_created_while_the_api_server_is_away() {
    let Some(world) = World::begin(plaintext()) else { return };
    assert_eq!(world.roster().as_deref(), Some("demo-0,demo-1"));
    let master = world.a.running_master();
    world.create_tables("before", Duration::from_secs(1));

    world.server.freeze();
    let (count, longest) = world.create_tables("during", AWAY);
    println!("{count} tables in {} s without the API server, the slowest in {longest:?}", AWAY.as_secs());
    assert!(master.is_some() && world.a.running_master() == master, "kudu-master was started again");
    let stay = world.a.status().stay.expect("it has gone on");
    assert!(!stay.over && stay.milliseconds > 8_000, "{stay:?}");

    world.server.thaw();
    let report = world.a.wait_until("a renewal", |report| report.stay.as_ref().is_some_and(|stay| stay.over));
    println!("it went on without the API server for {} ms", report.stay.expect("a stay").milliseconds);
    // The pledge goes from the volumes, so that it delays nobody later.
    for member in [&world.a, &world.b] {
        kudu::wait_for("the end of the pledge", || !member.path("wal").join("pledge.json").exists());
    }
    world.create_tables("after", Duration::from_secs(1));
    assert_eq!(world.a.running_master(), master);
    reigns::assert_one_master_at_a_time(&[&world.a, &world.b]);
}

#[test]
fn it_stops_in_time_when_a_standby_cannot_be_asked_and_waits_when_that_one_pledged() {
    let Some(mut world) = World::begin(plaintext()) else { return };
    world.server.freeze();
    let began = Instant::now();
    world.a.wait_until("a stay", |report| report.stay.is_some());
    println!("the API server was away for {:?} when the first pledge came", began.elapsed());
    // Whoever restarts has forgotten nothing that it pledged.
    world.b.crash_sidecar();
    let took = world.wait_until_stopped();
    println!("kudu-master was dead {took:?} after the standby");
    assert!(took < IN_TIME, "{took:?}");
    assert!(world.a.status().stay.is_some_and(|stay| stay.over));

    // The controller, which sees nobody renew, would choose b now.
    world.b.start_sidecar();
    let back = Instant::now();
    world.server.thaw();
    kudu::wait_for("the API server", || {
        let api: Api<Lease> = Api::namespaced(world.admin.clone(), NAMESPACE);
        world.runtime.block_on(api.get(&names::lease(PAIR))).is_ok()
    });
    world.status(json!({
        "switch": {
            "kind": "Failover", "epoch": 2, "step": "Promoting", "from": "demo-0", "to": "demo-1",
            "startedAt": "2026-01-01T00:00:00.000000Z"
        }
    }));
    let api: Api<Lease> = Api::namespaced(world.admin.clone(), NAMESPACE);
    let fence = json!({
        "metadata": { "annotations": { names::EPOCH_ANNOTATION: "2" } }, "spec": { "holderIdentity": null }
    });
    world
        .runtime
        .block_on(api.patch(&names::lease(PAIR), &PatchParams::default(), &Patch::Merge(fence)))
        .expect("a fence");
    world.b.wait_until("the reason why it waits", |report| {
        report.message.as_ref().is_some_and(|message| message.contains("pledged")) || is_serving(report)
    });
    world.b.wait_until("b serves", is_serving);
    let waited = back.elapsed();
    println!("b served {waited:?} after its sidecar was started again");
    assert!(waited > Duration::from_secs(6), "it had pledged to wait, and served after {waited:?}");
    assert!(waited < PATIENCE);
    reigns::assert_one_master_at_a_time(&[&world.a, &world.b]);
}

#[test]
fn it_stops_when_it_is_told_to() {
    let mut spec = plaintext();
    spec["failover"] = json!({ "apiServerLoss": "Stop" });
    let Some(world) = World::begin(spec) else { return };
    assert_eq!(world.roster(), None);
    world.server.freeze();
    let took = world.wait_until_stopped();
    println!("kudu-master was dead {took:?} after the API server was gone");
    assert!(took < IN_TIME + Duration::from_secs(1), "{took:?}");
    world.server.thaw();
    world.a.wait_until("the same reign", is_serving);
}

#[test]
fn a_lease_is_let_go_when_the_launcher_takes_no_renewal() {
    let Some(world) = World::begin(plaintext()) else { return };
    let master = world.a.running_master().expect("a kudu-master");
    let renewed = || world.lease().spec.and_then(|spec| spec.renew_time);
    world.a.freeze_launcher();
    let began = Instant::now();
    kudu::wait_for("the end of kudu-master", || !lives(master));
    println!("kudu-master was dead {:?} after its launcher stood still", began.elapsed());
    assert!(began.elapsed() < IN_TIME);
    // Another could take over once nobody has renewed for the Lease's time.
    let (mut last, mut since) = (renewed(), Instant::now());
    while since.elapsed() < Duration::from_secs(6) {
        assert!(began.elapsed() < PATIENCE, "the Lease is renewed for a launcher that stands still");
        std::thread::sleep(Duration::from_millis(100));
        let now = renewed();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    println!("the Lease was over {:?} after the launcher stood still", began.elapsed());
    // Whoever is still said to serve is not succeeded, whatever the Lease says.
    assert_eq!(world.a.status().state, MemberState::StandingDown);
    let heard = world.b.status().active_heard_milliseconds_ago;
    assert!(
        heard.is_none_or(|ago| Duration::from_millis(ago) >= STILL_SERVING),
        "it was heard to serve {heard:?} ms ago"
    );

    // Nobody took over here, so it serves again.
    world.a.wake_launcher();
    world.a.wait_until("the same reign", is_serving);
    world.create_tables("after", Duration::from_secs(1));
    reigns::assert_one_master_at_a_time(&[&world.a, &world.b]);
}
