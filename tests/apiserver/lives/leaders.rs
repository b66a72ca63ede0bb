//! The leader is lost at each write of each step, in every kind of switch: the next one finishes, and nobody could tell.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use kudu_pair::api::{Answer, PairStatus, Phase, names::SWITCHOVER_ANNOTATION};
use serde_json::{Value, json};

use super::{door::Trouble, world::World};
use crate::{chart, make_namespace, server, server_with_pairs};

/// What a pair goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Initialize,
    Switchover,
    Failover,
    Upgrade,
    Scale,
}

const STAGES: [Stage; 5] = [Stage::Initialize, Stage::Switchover, Stage::Failover, Stage::Upgrade, Stage::Scale];

/// So many pairs live at once: more would be too slow for the times of their Leases.
const AT_ONCE: usize = 4;

/// Makes a pair and brings it through one stage, with trouble in that stage only.
async fn live(world: &World, stage: Stage) -> Value {
    world.troubles.arm(stage == Stage::Initialize);
    world.make(json!({})).await;
    world.until_running().await;
    world.troubles.arm(true);
    match stage {
        Stage::Initialize => {}
        Stage::Switchover => switchover(world, "any").await,
        Stage::Failover => failover(world).await,
        Stage::Upgrade => upgrade(world).await,
        Stage::Scale => scale(world).await,
    }
    world.troubles.arm(false);
    world.until_running().await;
    world.outcome().await
}

/// Asks for a switchover to `member`. One that is refused, because the standby does not stream at that moment, is asked for again, as a person
/// would.
async fn switchover(world: &World, member: &str) {
    for request in 1.. {
        let request = format!("{member}@{request}");
        world.annotate(SWITCHOVER_ANNOTATION, &request).await;
        let over = |status: &PairStatus| {
            let answer = status.switchover.as_ref().filter(|answer| answer.request == request);
            answer.is_some_and(|answer| answer.answer != Answer::Accepted)
        };
        let status = world.until("answered", over).await;
        world.until_running().await;
        match status.switchover.map(|answer| answer.answer) {
            Some(Answer::Completed) => return,
            Some(Answer::Refused) => {}
            other => panic!("{}: {other:?}", world.name),
        }
    }
}

async fn failover(world: &World) {
    let log = world.members.lock().power_off("demo-0");
    let status = world.until("failed over", |status| status.switch.is_none() && status.epoch == 2).await;
    assert_eq!((status.active.as_deref(), status.phase), (Some("demo-1"), Some(Phase::Degraded)), "{}", world.name);
    let lost = world.members.lock().lacks("demo-1", &log);
    world.members.lock().power_on("demo-0");
    world.until("known what was lost", |status| status.switches[0].ops_lost == lost.to_string()).await;
    world.until_running().await;
}

async fn upgrade(world: &World) {
    let changed = world.patch(json!({ "spec": { "kudu": { "flags": { "default_num_replicas": "1" } } } })).await;
    let done = |status: &PairStatus| {
        let up_to_date = |one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            one.type_ == "UpToDate" && one.status == "True"
        };
        status.observed_generation == changed.metadata.generation
            && status.conditions.iter().any(up_to_date)
            && status.epoch == 2
    };
    world.until("up to date", done).await;
    world.until_running().await;
    // Each pod was made anew once, standbys first.
    assert_eq!(world.history.deleted_pods(), ["demo-1", "demo-0"], "{}", world.name);
}

async fn scale(world: &World) {
    world.patch(json!({ "spec": { "standbys": 2 } })).await;
    let streams = |status: &PairStatus| status.members.len() == 3 && status.phase == Some(Phase::Running);
    world.until("three members", streams).await;
    switchover(world, "demo-2").await;
    world.patch(json!({ "spec": { "standbys": 1 } })).await;
    world.until("two members", |status| status.members.len() == 2 && status.epoch == 3).await;
    assert_eq!(world.history.deleted_pods(), ["demo-2"], "{}", world.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_finishes_whatever_the_last_one_had_begun() {
    let Some(server) = server_with_pairs().await else { return };
    let admin = server.admin();
    make_namespace(&admin, "operator").await;
    let programs = server::programs().expect("the server runs");
    chart::install(&admin, &programs, "kudu-pair", "operator", &[]).await;

    let troubles = [Trouble::None, Trouble::Kill, Trouble::Freeze, Trouble::Interfere];
    let lives = troubles.into_iter().flat_map(|trouble| STAGES.map(|stage| (trouble, stage)));
    let server = &server;
    let lives = lives.map(|(trouble, stage)| async move {
        let begun = std::time::Instant::now();
        let namespace = format!("{trouble:?}-{stage:?}").to_lowercase();
        let world = World::begin(server, ("operator", "kudu-pair"), &namespace, trouble).await;
        let outcome = live(&world, stage).await;
        let (seen, stale) = (world.troubles.seen(), world.troubles.stale());
        println!("{namespace}: {:.1} s, {} troubles", begun.elapsed().as_secs_f64(), seen.len());
        for (at, count) in &seen {
            println!("    {at}: {count}");
        }
        for stale in stale {
            println!("    stale at {}: {}", stale.at, stale.answer);
        }
        assert_eq!(seen.is_empty(), trouble == Trouble::None, "{namespace}: no trouble came up");
        world.end(matches!(trouble, Trouble::None | Trouble::Kill));
        ((trouble, stage), outcome)
    });
    let outcomes: Vec<_> = stream::iter(lives).buffer_unordered(AT_ONCE).collect().await;
    println!("{} lives", outcomes.len());
    let calm: BTreeMap<_, _> = outcomes
        .iter()
        .filter(|((trouble, _), _)| *trouble == Trouble::None)
        .map(|((_, stage), outcome)| (*stage, outcome))
        .collect();
    for ((trouble, stage), outcome) in &outcomes {
        assert_eq!(outcome, calm[stage], "{trouble:?} in {stage:?} left something else than a calm life");
    }
}
