//! Three pairs as their controller would have written them, one with a problem.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use kudu_pair::api::KuduMasterPair;
use serde_json::{Value, json};

use crate::make_namespace;

/// Namespaces and names.
pub(super) const PAIRS: [(&str, &str); 3] =
    [("analytics", "warehouse"), ("observability", "metrics"), ("shop", "orders")];

fn ago(seconds: f64) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs_f64(seconds);
    format!("{at:.6}")
}

fn condition(type_: &str, status: &str, reason: &str, message: &str, since: f64) -> Value {
    json!({ "type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(since.floor()) })
}

fn standby(name: &str, index: i64, lag: i64) -> Value {
    let head = (index - lag).max(1);
    json!({
        "name": name, "role": "Standby", "state": "Streaming", "head": format!("5000001.{head}"), "lagOps": lag,
        "lagBytes": lag * 190, "lagMilliseconds": if lag == 0 { 0 } else { 30 + lag * 4 }, "lagSampledAt": ago(0.3),
        "caughtUpAt": ago(0.3), "pendingOps": 1_200 + index % 300, "predictedReplayMilliseconds": 310,
    })
}

fn receipt(words: [&str; 5], epoch: i64, since: f64, seconds: [&str; 4]) -> Value {
    let [kind, from, to, lost, why] = words;
    let from = (!from.is_empty()).then_some(from);
    json!({
        "kind": kind, "epoch": epoch, "from": from, "to": to, "opsLost": lost, "outcome": "Completed", "why": why,
        "startedAt": ago(since + 8.0), "finishedAt": ago(since), "detectSeconds": seconds[0], "fenceSeconds": seconds[1],
        "replaySeconds": seconds[2], "repointSeconds": seconds[3],
    })
}

/// The status of a pair so long after the beginning.
fn status(name: &str, at: Duration) -> Value {
    let seconds = at.as_secs_f64();
    let index = 81_000 + at.as_millis() as i64 / 90;
    let wave = |period: f64, most: f64| (most * (0.5 + 0.5 * (seconds / period).sin()).powi(3)).round() as i64;
    let (one, two) = (format!("{name}-1"), format!("{name}-2"));
    let zero = format!("{name}-0");
    let active = json!({ "name": zero, "role": "Active", "state": "Serving", "head": format!("5000001.{index}"), "killMilliseconds": 23 });
    let planned = "the annotation kudupair.io/switchover asked for it";
    let mut switches = vec![
        receipt(["Switchover", &one, &zero, "0", planned], 5, 11_400.0, ["0.0", "0.2", "0.7", "0.1"]),
        receipt(
            ["Initialize", "", &zero, "0", "the first active of the pair"],
            1,
            3_500_000.0,
            ["0.0", "0.1", "2.9", "0.1"],
        ),
    ];
    let mut members = vec![active, standby(&one, index, wave(5.0, 9.0))];
    let mut conditions = vec![
        condition("Ready", "True", "Serving", &format!("{zero} serves in epoch 5"), 11_400.0),
        condition("StandbysInSync", "True", "Streaming", "every standby receives the active's log", 11_000.0),
        condition("AutomaticFailover", "True", "Allowed", "0 of 3 failovers within an hour are used", 9_000.0),
    ];
    let (mut phase, mut gaps) = ("Running", json!([]));
    if name == "orders" {
        phase = "Degraded";
        let lost = "the Lease of orders-2 was not renewed for 6 s";
        switches[0] = receipt(["Failover", &two, &zero, "4", lost], 5, 1_260.0, ["5.4", "0.3", "0.9", "0.1"]);
        let drill = "a node was drained";
        switches.insert(1, receipt(["Switchover", &zero, &two, "0", drill], 4, 86_000.0, ["0.0", "0.3", "0.6", "0.1"]));
        switches
            .insert(2, receipt(["Failover", &one, &zero, "unknown", lost], 3, 690_000.0, ["6.1", "0.2", "1.8", "0.1"]));
        members[1] = standby(&one, index, wave(7.0, 140.0));
        members.push(json!({
            "name": two, "role": "Unknown", "state": "Unreachable", "head": "4000001.80944",
            "message": "its pod does not answer; see the pod's events and the log of its container replication",
        }));
        conditions[1] = condition("StandbysInSync", "False", "StandbyBehind", "orders-2 does not answer", 95.0);
        let gap = "4 operations that only orders-2 had (orders-2-4000001.80948) are kept: created table refunds, altered table \
            carts; kubectl kudupair gap plan -n shop orders-2-4000001.80948 orders";
        conditions.push(condition("GapPending", "True", "DecisionNeeded", gap, 1_100.0));
        gaps = json!([{
            "name": "orders-2-4000001.80948", "member": two, "oldEpoch": 4, "head": "4000001.80948", "newEpoch": 5, "newActive": zero,
            "ops": 4, "bytes": 2_231, "keptAt": ago(1_100.0), "state": "Pending", "diffHead": "4000001.80944",
            "changes": ["created table refunds", "altered table carts"],
        }]);
    }
    let lag = members[1]["lagOps"].as_i64().unwrap_or_default();
    json!({
        "observedGeneration": 1, "phase": phase, "active": zero, "epoch": 5, "lag": format!("{lag} ops"), "lagSampledAt": ago(0.3),
        "catalog": { "uuid": "0123456789abcdef0123456789abcdef", "formatted": true }, "members": members, "switches": switches,
        "gaps": gaps, "conditions": conditions,
    })
}

/// Makes the pairs.
pub(super) async fn make(admin: &Client) {
    for (namespace, name) in PAIRS {
        make_namespace(admin, namespace).await;
        let standbys = if name == "orders" { 2 } else { 1 };
        let spec = json!({ "standbys": standbys, "switchBack": { "gap": "Ask" } });
        let pair = json!({
            "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": name }, "spec": spec,
        });
        let pair: KuduMasterPair = serde_json::from_value(pair).expect("a pair");
        Api::namespaced(admin.clone(), namespace).create(&PostParams::default(), &pair).await.expect("taken");
    }
}

/// Writes this into a pair's status.
pub(super) async fn say(admin: &Client, (namespace, name): (&str, &str), status: &Value) {
    let pairs: Api<KuduMasterPair> = Api::namespaced(admin.clone(), namespace);
    let change = json!({ "status": status });
    pairs.patch_status(name, &PatchParams::default(), &Patch::Merge(&change)).await.expect("taken");
}

/// Lets these pairs live: numbers change and Leases are renewed, for as long as it is polled.
pub(super) async fn live(admin: &Client, pairs: &[(&str, &str)]) {
    let begun = Instant::now();
    loop {
        for pair @ (namespace, name) in pairs {
            say(admin, *pair, &status(name, begun.elapsed())).await;
            let leases: Api<Lease> = Api::namespaced(admin.clone(), namespace);
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {
                    "name": format!("{name}-active"), "labels": { "kudupair.io/pair": name },
                    "annotations": { "kudupair.io/epoch": "5", "kudupair.io/lease-duration-milliseconds": "6000" },
                },
                "spec": { "holderIdentity": format!("{name}-0/uid/1"), "leaseDurationSeconds": 6, "renewTime": ago(0.0) },
            });
            let params = PatchParams::apply("member").force();
            leases.patch(&format!("{name}-active"), &params, &Patch::Apply(&lease)).await.expect("taken");
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}
