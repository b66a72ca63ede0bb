//! A real Prometheus scrapes a real pair and its real controller while faults are made: alerts fire and clear, and every query is
//! answered. Needs root, for the members' names, and what `tests/alerts/packages` installs.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use kudu_pair::api::{GapState, Phase, names};
use serde_json::json;

use crate::{
    kudu,
    words::{alerts, dashboard_queries, documented, text},
};

mod world;

use world::World;

/// So long a healthy pair is looked at. Alerts wait for a second here, so that is long.
const QUIET: Duration = Duration::from_secs(20);

/// Parts of queries that a pair without the thing has no sample of.
const NOTHING: [&str; 9] = [
    // In plain text.
    "certificate_end",
    // No switch under way, no kill yet, no gap.
    "switch_started",
    "kill_seconds",
    "gap_bytes",
    // What is not as it should be.
    "status=\"False\"} == 1",
    "status=\"True\"} == 1",
    // Ended before Prometheus looked.
    "switches_total",
    "changes(",
    // Nothing went wrong.
    "reconcile_errors_total",
];

#[test]
fn alerts_fire_when_faults_are_made_and_clear_and_every_query_is_answered() {
    let Some(mut world) = World::begin() else { return };

    println!("a healthy idle pair:");
    let begun = Instant::now();
    while begun.elapsed() < QUIET {
        let alerts = world.prometheus.alerts();
        assert!(alerts.is_empty(), "{alerts:?}");
        thread::sleep(Duration::from_millis(500));
    }
    let queries = dashboard_queries();
    let empty: Vec<_> = queries.iter().filter(|query| world.prometheus.query(query).is_empty()).collect();
    println!(
        "    {} of {} queries of the dashboard have something to show",
        queries.len() - empty.len(),
        queries.len()
    );
    let lacking: Vec<_> = empty.iter().filter(|query| !NOTHING.iter().any(|part| query.contains(part))).collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
    for alert in alerts() {
        let fires = world.prometheus.query(&text(&alert["expr"]));
        assert!(fires.is_empty(), "{alert}: {fires:?}");
    }

    println!("the standby is lost:");
    world.b.crash();
    world.fires("KuduPairNoPromotableStandby");
    world.fires("KuduPairStandbyBehind");
    // Until then nobody waits, since nobody writes.
    assert!(!world.prometheus.alerts().iter().any(|(alert, _)| alert == "KuduPairWritesBlocked"));
    assert!(!world.client.try_create_table("waits", 2), "it was acknowledged without its standby");
    world.fires("KuduPairWritesBlocked");
    world.b.start();
    world.calms_down();

    println!("the controller is lost:");
    world.kill_controller();
    world.fires("KuduPairNoController");
    world.begin_controller();
    world.calms_down();

    println!("somebody pauses the pair:");
    world.patch(json!({ "paused": true }));
    world.fires("KuduPairPaused");
    world.patch(json!({ "paused": false }));
    world.calms_down();

    println!("the active is lost, and a person has to approve:");
    world.patch(json!({ "failover": { "mode": "Approval" } }));
    thread::sleep(Duration::from_secs(2));
    world.a.crash();
    world.fires("KuduPairFailoverWaits");
    world.fires("KuduPairNotServing");
    world.a.start();
    world.calms_down();

    println!("the standby's volume is nearly full:");
    world.b.disk().fill(32 << 20);
    world.fires("KuduPairDiskNearlyFull");
    fs::remove_file(world.b.path("wal/ballast")).expect("the ballast");
    world.calms_down();

    println!("the standby is lost, and its active may go on without it:");
    world.patch(json!({
        "failover": { "mode": "Automatic" }, "replication": { "whenUnavailable": "Degrade", "timeoutMilliseconds": 2000 }
    }));
    thread::sleep(Duration::from_secs(2));
    world.b.crash();
    world.client.create_table("without_a_copy", 2);
    world.fires("KuduPairSyncDegraded");
    world.b.start();
    world.calms_down();

    println!("the active is lost with what only it had, and comes back:");
    let loss = json!({ "maxLossOps": 1000, "maxLossSeconds": 600 });
    world.patch(json!({
        "failover": loss, "replication": { "acknowledgement": { "mode": "Async" } }, "switchBack": { "gap": "Ask" }
    }));
    thread::sleep(Duration::from_secs(2));
    assert_eq!(world.status().active.as_deref(), Some(world.a.name));
    world.b.crash_sidecar();
    world.client.create_table("only_on_the_lost", 2);
    world.a.crash();
    world.b.start_sidecar();
    world.until("the other serves", |status| status.active.as_deref() == Some(world.b.name) && status.switch.is_none());
    world.a.start();
    world.fires("KuduPairGapPending");
    let gap = world.status().gaps.into_iter().find(|gap| gap.state == GapState::Pending).expect("a gap");
    world.annotate(names::GAP_ANNOTATION, &format!("discard:{}", gap.name));
    world.calms_down();

    let never: Vec<_> = documented().into_keys().filter(|name| !world.prometheus.has_seen(name)).collect();
    println!("no sample was there of {never:?}");
    let of_switches =
        ["kudupair_switches_total", "kudupair_receipt_ops_lost", "kudupair_sidecar_lease_margin_seconds_bucket"];
    assert!(!never.iter().any(|name| of_switches.contains(&name.as_str())), "{never:?}");
    kudu::wait_for("an active", || world.status().phase == Some(Phase::Running));
}
