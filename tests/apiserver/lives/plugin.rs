//! The kubectl plugin as a process, against a real API server and real controllers, and without controllers.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
};
use kudu_pair::api::{KuduMasterPair, names::SWITCHOVER_ANNOTATION};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{door::Trouble, kubelet_logs, members::PAIR, world::World};
use crate::{chart, make_namespace, server, server_with_pairs};

const NAMESPACE: &str = "plugin";
/// So often `status` is timed, and so long half of them may take: what it shows of 50 pairs has to come at once.
const RUNS: usize = 21;
const QUICK: Duration = Duration::from_millis(300);

/// The plugin with one kubeconfig.
struct Plugin<'a> {
    kubeconfig: &'a Path,
}

/// What it said.
#[derive(Debug)]
struct Said {
    exit: Option<i32>,
    out: String,
    err: String,
}

impl Plugin<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kudupair"));
        command.args(["--namespace", NAMESPACE, "--kubeconfig"]).arg(self.kubeconfig).args(args);
        command
    }

    async fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().await.expect("the plugin runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said { exit: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it shows in three seconds, until it is interrupted.
    async fn for_a_while(&self, args: &[&str]) -> String {
        let mut command = self.command(args);
        let running = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("the plugin runs");
        tokio::time::sleep(Duration::from_secs(3)).await;
        let id = running.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it runs");
        kill_process(id, Signal::INT).expect("it runs");
        String::from_utf8(running.wait_with_output().await.expect("its output").stdout).expect("text")
    }

    /// Runs it and checks its exit status, and that it says all of this.
    async fn says(&self, args: &[&str], exit: i32, words: &[&str]) -> Said {
        let said = self.run(args).await;
        assert_eq!(said.exit, Some(exit), "{args:?}: {said:#?}");
        for word in words {
            assert!(said.out.contains(word) || said.err.contains(word), "{args:?} does not say {word:?}: {said:#?}");
        }
        assert!(!said.out.contains('\x1b'), "colours without a terminal: {said:#?}");
        said
    }
}

/// A kubeconfig like this one, with other fields of the user and the cluster.
fn other(kubeconfig: &Path, user: Value, cluster: Value) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(kubeconfig).expect("the kubeconfig");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let merge = |into: &mut Value, from: Value| {
        into.as_object_mut().expect("an object").extend(from.as_object().cloned().into_iter().flatten());
    };
    merge(&mut config["users"][0]["user"], user);
    merge(&mut config["clusters"][0]["cluster"], cluster);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("written");
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugin_shows_a_pair_and_asks_its_controller() {
    let Some(server) = server_with_pairs().await else { return };
    let admin = server.admin();
    make_namespace(&admin, "operator").await;
    chart::install(&admin, &server::programs().expect("the server runs"), "kudu-pair", "operator", &[]).await;
    let kubeconfig = server.kubeconfig();
    let plugin = Plugin { kubeconfig: &kubeconfig };
    let world = World::begin(&server, ("operator", "kudu-pair"), NAMESPACE, Trouble::None).await;

    plugin.says(&["status"], 1, &["there is no pair in namespace plugin", "status -A"]).await;
    world.make(json!({})).await;
    world.until_running().await;
    shows(&plugin).await;
    switches(&plugin, &world).await;
    pauses(&plugin).await;
    fences(&plugin, &world).await;
    approves(&plugin, &world).await;
    drills(&plugin, &world).await;
    reads_logs(&plugin, &admin).await;
    reports(&plugin).await;
    errors(&kubeconfig).await;
    without_controllers(&plugin, &world).await;
    fifty_pairs(&plugin, &world).await;
    world.end(false);
}

async fn shows(plugin: &Plugin<'_>) {
    let words = [
        "demo in namespace plugin: Running, epoch 1",
        "held by demo-0",
        "MEMBER",
        "Streaming",
        "A SWITCH NOW would go to demo-1",
    ];
    plugin.says(&["status", PAIR], 0, &words).await;
    plugin.says(&["status"], 0, &words).await;
    plugin.says(&["status", "-A"], 0, &["NAMESPACE", "plugin", "demo-0"]).await;
    let said = plugin.says(&["status", PAIR, "-o", "json"], 0, &[]).await;
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(report["switchNow"], json!({ "possible": true, "to": "demo-1", "blockers": [] }));
    assert!(report["statusAgeSeconds"].as_u64().is_some_and(|age| age < 60), "{report}");
    assert_eq!((&report["lease"]["holder"], &report["controllerSilent"]), (&json!("demo-0"), &json!(false)));
    plugin.says(&["status", PAIR, "-o", "yaml"], 0, &["phase: Running", "switchNow:"]).await;
    let words = ["demo in namespace plugin is Running", "leaseDuration", "yes  it would go to demo-1"];
    plugin.says(&["explain"], 0, &words).await;
    let watched = plugin.for_a_while(&["status", PAIR, "-w"]).await;
    assert!(watched.matches("A SWITCH NOW would go to demo-1").count() >= 2, "{watched}");
    plugin.says(&["status", "shop"], 1, &["there is no pair \"shop\"", "name one of demo"]).await;
    plugin.says(&["__complete", "--", "status", "de"], 0, &["demo\n:4"]).await;
    plugin.says(&["__complete", "--", "-n", "elsewhere", "status", ""], 0, &[":4"]).await;
}

async fn switches(plugin: &Plugin<'_>, world: &World) {
    plugin.says(&["switchover", PAIR, "--dry-run"], 0, &["yes: demo-1 would take over"]).await;
    plugin.says(&["switchover", "--dry-run", "--to", "demo-7"], 3, &["no:", "\"demo-7\" is no member"]).await;
    assert_eq!(world.status().await.epoch, 1, "a dry run did something");
    plugin.says(&["switchover", PAIR, "--to", "demo-1"], 0, &["done: demo-1 took over from demo-0 in epoch 2"]).await;
    plugin.says(&["switchover", PAIR, "--to", "demo-1"], 3, &["refused: demo-1 is the active already"]).await;
    world.until_running().await;
    let said = plugin.says(&["switchover", "-o", "json"], 0, &[]).await;
    let outcome: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&outcome["answer"], &outcome["receipt"]["to"]), (&json!("Completed"), &json!("demo-0")), "{outcome}");
    assert_eq!(outcome["receipt"]["opsLost"], "0");
    world.until_running().await;
}

async fn pauses(plugin: &Plugin<'_>) {
    plugin.says(&["pause", PAIR], 0, &["demo is paused"]).await;
    plugin.says(&["status"], 0, &["! The pair is paused", "A SWITCH NOW is blocked", "spec.paused is true"]).await;
    plugin.says(&["switchover"], 3, &["refused: spec.paused is true"]).await;
    plugin.says(&["resume"], 0, &["demo goes on"]).await;
}

async fn fences(plugin: &Plugin<'_>, world: &World) {
    plugin
        .says(&["fence", "demo-7"], 3, &["refused: \"demo-7\" is no member of demo; name one of demo-0, demo-1"])
        .await;
    plugin.says(&["unfence", "demo-1"], 3, &["refused: demo-1 is not fenced; nobody is"]).await;
    plugin.says(&["fence", "demo-1", PAIR], 0, &["done: demo-1 may not serve until unfenced; demo-0 is active"]).await;
    plugin.says(&["status"], 0, &["demo-1: fenced", "A SWITCH NOW is blocked"]).await;
    plugin.says(&["switchover"], 3, &["refused: demo-1 is fenced"]).await;
    plugin
        .says(&["fence", "demo-0"], 3, &["refused: nobody would be left to serve", "demo-1 may not serve either"])
        .await;
    plugin.says(&["unfence", "demo-1"], 0, &["done: every member may serve"]).await;
    // The active hands over first.
    plugin.says(&["fence", "demo-0"], 0, &["done: demo-0 may not serve until unfenced; demo-1 is active"]).await;
    world.until_running().await;
    plugin.says(&["switchover"], 3, &["refused: demo-0 is fenced"]).await;
    let said = plugin.says(&["unfence", "demo-0", "-o", "json"], 0, &[]).await;
    let said: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&said["fenced"], &said["done"]), (&json!([]), &json!(true)), "{said}");
    plugin.says(&["switchover"], 0, &["done: demo-0 took over"]).await;
    world.until_running().await;
}

async fn approves(plugin: &Plugin<'_>, world: &World) {
    plugin.says(&["failover"], 3, &["no failover waits for approval", "switchover -n plugin demo"]).await;
    world.patch(json!({ "spec": { "failover": { "mode": "Approval" } } })).await;
    world.members.lock().power_off("demo-0");
    let asks = |status: &kudu_pair::api::PairStatus| {
        status.conditions.iter().any(|one| one.type_ == "Ready" && one.reason == "ApprovalNeeded")
    };
    world.until("asking", asks).await;
    plugin.says(&["failover"], 0, &["demo-1 takes over", "Epoch    6", "failover -n plugin demo --approve"]).await;
    plugin.says(&["failover", "--approve=6/demo-0/0"], 3, &["6/demo-0/0 is not what is asked for now"]).await;
    plugin.says(&["failover", "--approve"], 0, &["done: demo-1 took over from demo-0 in epoch 6"]).await;
    world.members.lock().power_on("demo-0");
    world.until_running().await;
}

async fn drills(plugin: &Plugin<'_>, world: &World) {
    plugin.says(&["drill", "--history"], 0, &["no drill was made yet"]).await;
    plugin.says(&["drill", "--to", "demo-1"], 3, &["no drill is begun", "is the active already"]).await;
    let said = plugin.says(&["drill", PAIR], 0, &["demo-1 -> demo-0", "demo-0 -> demo-1", "IN SYNC AFTER"]).await;
    println!("{}", said.out);
    let status = world.until_running().await;
    assert_eq!((status.epoch, status.active.as_deref()), (8, Some("demo-1")), "there and back");
    let said = plugin.says(&["drill", "--history", "-o", "json"], 0, &[]).await;
    let drills: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&drills[0]["there"]["epoch"], &drills[0]["back"]["epoch"]), (&json!(7), &json!(8)), "{drills}");
}

async fn reads_logs(plugin: &Plugin<'_>, admin: &Client) {
    // Without a node nobody has logged anything.
    plugin.says(&["logs"], 0, &["nothing was logged"]).await;
    kubelet_logs::begin(admin, NAMESPACE, &["demo-0", "demo-1"]).await;
    let said = plugin.says(&["logs"], 0, &["kudu-master of demo-0", "replication of demo-1"]).await;
    let order: Vec<_> = said.out.lines().map(|line| line.split_whitespace().nth(1).expect("a member")).collect();
    assert_eq!(order, ["demo-0", "demo-0", "demo-1", "demo-1", "demo-0", "demo-0", "demo-1", "demo-1"], "{}", said.out);
    let said = plugin.says(&["logs", "-m", "demo-1", "-c", "replication", "-o", "json"], 0, &[]).await;
    let line: Value = serde_json::from_str(said.out.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["container"], &line["role"]), (&json!("replication"), &json!("-")), "long before this pair");
    plugin.says(&["logs", "-m", "demo-7"], 1, &["there is no pod \"demo-7\"", "demo-0, demo-1"]).await;
    // A log that ends is opened again, and nothing is shown twice.
    assert_eq!(plugin.for_a_while(&["logs", "-f"]).await.lines().count(), 8);
}

async fn reports(plugin: &Plugin<'_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.tar.gz");
    let path = file.to_str().expect("a path");
    plugin.says(&["report", "--file", path, "--kudu-logs"], 0, &["Look through it"]).await;
    let tar = |args: &[&str]| {
        let output = std::process::Command::new("tar").args(args).arg(path).output().expect("tar runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let names = tar(&["-tzf"]);
    for name in [
        "pair.yaml",
        "status.txt",
        "explain.txt",
        "pods.yaml",
        "lease.yaml",
        "events.yaml",
        "members.log",
        "versions.txt",
    ] {
        assert!(names.contains(name), "no {name} among {names}");
    }
    let all = tar(&["-xzOf"]);
    for word in [
        "kudu-master of demo-0 at ip-",
        "on node-1",
        "demo in namespace plugin is",
        "nodeName: node-1",
        "kind: KuduMasterPair",
    ] {
        assert!(all.contains(word), "no {word:?} in the report");
    }
    for word in ["10.20.30.40", kubelet_logs::NODE, "managedFields", "10.82."] {
        assert!(!all.contains(word), "{word:?} in the report: {:?}", all.lines().find(|line| line.contains(word)));
    }
    plugin.says(&["report", "--file", "/nowhere/x", "--no-logs"], 1, &["cannot write /nowhere/x", "--file"]).await;
}

async fn errors(kubeconfig: &Path) {
    let nobody = other(kubeconfig, json!({ "as": "nobody" }), json!({}));
    let plugin = Plugin { kubeconfig: nobody.path() };
    plugin.says(&["status", PAIR], 1, &["forbidden", "the plugin needs get, list and patch"]).await;
    let nowhere = other(kubeconfig, json!({}), json!({ "server": "https://127.0.0.1:1" }));
    let plugin = Plugin { kubeconfig: nowhere.path() };
    plugin.says(&["status"], 1, &["https://127.0.0.1:1/ cannot be reached", "--context"]).await;
    let missing = Plugin { kubeconfig: Path::new("/nowhere") };
    missing.says(&["status"], 1, &["cannot use /nowhere", "--kubeconfig"]).await;
    missing.says(&["stats"], 2, &["unrecognized subcommand"]).await;
}

/// A request that nobody answers is withdrawn: a controller that comes back later does not obey it.
async fn without_controllers(plugin: &Plugin<'_>, world: &World) {
    let killed = (0..2).filter(|number| world.replicas.kill(*number)).count();
    assert_eq!(killed, 2, "{}", world.replicas.last_words());
    plugin.says(&["status"], 0, &["demo in namespace plugin: Running", "held by demo-1"]).await;
    plugin.says(&["switchover"], 4, &["no answer: nobody answered within 15 s", "was withdrawn"]).await;
    let annotations = world.pairs.get(PAIR).await.expect("the pair").metadata.annotations.unwrap_or_default();
    assert!(!annotations.contains_key(SWITCHOVER_ANNOTATION), "{annotations:?}");
    plugin.says(&["switchover", "--dry-run"], 4, &["yes: demo-0 would take over", "did not answer"]).await;
    plugin
        .says(&["fence", "demo-0"], 4, &["not done yet: it is asked for, and the controller has not taken notice"])
        .await;
    for number in 0..2 {
        world.replicas.start(number);
    }
    plugin.says(&["unfence", "demo-0"], 0, &["done: every member may serve"]).await;
    plugin.says(&["pause"], 0, &["demo is paused"]).await;
    plugin.says(&["resume"], 0, &[]).await;
    world.until_running().await;
    assert_eq!(world.status().await.epoch, 8, "the controller obeyed a request that was withdrawn");
    for number in 0..2 {
        world.replicas.kill(number);
    }
}

/// The status of one pair among fifty, and of all of them.
async fn fifty_pairs(plugin: &Plugin<'_>, world: &World) {
    let status = json!({ "status": world.status().await });
    for number in 1..50 {
        let name = format!("demo{number}");
        let pair: KuduMasterPair = serde_json::from_value(json!({
            "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": name }, "spec": {}
        }))
        .expect("a pair");
        world.pairs.create(&PostParams::default(), &pair).await.expect("taken");
        world.pairs.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.expect("taken");
    }
    println!("with 50 pairs on a real API server, {RUNS} runs each:");
    for args in [&["status"][..], &["status", PAIR]] {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let begun = Instant::now();
            plugin.says(args, 0, &[]).await;
            times.push(begun.elapsed());
        }
        times.sort();
        let (median, worst) = (times[RUNS / 2], times[RUNS - 1]);
        println!("    {}: median {} ms, worst {} ms", args.join(" "), median.as_millis(), worst.as_millis());
        assert!(median < QUICK, "{args:?} takes {median:?}");
    }
    plugin.says(&["switchover"], 1, &["more than one pair", "name one of demo, demo1"]).await;
}
