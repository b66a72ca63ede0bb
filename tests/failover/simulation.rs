//! Whole lives of a pair: the real decisions and the real orders, with toy members, a toy API server, and faults.
//!
//! What must hold at every instant: at most one kudu-master runs; epochs only grow; a catalog is formatted once; a receipt
//! that names a number of lost operations names the true one. And once the faults are over, every switch ends and the pair
//! runs.
//!
//! With `lives_of_a_synchronous_pair` and `lives_without_an_api_server` there are 500 lives. One follows from one seed:
//! `SIMULATION_SEED=n` replays it with its story; `SIMULATION_LIVES=n` runs more of them.

mod api;
mod controller;
mod dice;
mod faults;
mod member;
mod sidecar;
mod synchronous;
mod world;

use world::World;

const TICK: u64 = 20;
const FAULTS_UNTIL: u64 = 90_000;
const END: u64 = 240_000;
const RENEW_INTERVAL: u64 = 1_000;
const RENEW_DEADLINE: u64 = 4_000;
const KILL_TIME: u64 = 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn live(seed: u64, tell: bool) -> u32 {
    let mut world = World::new(seed, tell);
    world.live();
    world.switches
}

#[test]
fn lives_of_a_pair() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        live(seed.parse().unwrap(), true);
        return;
    }
    let lives = std::env::var("SIMULATION_LIVES").map_or(150, |lives| lives.parse().unwrap());
    let mut switches = 0;
    for seed in 0..lives {
        let lived = std::panic::catch_unwind(|| live(seed, false));
        switches += lived.unwrap_or_else(|_| panic!("SIMULATION_SEED={seed} replays this"));
    }
    println!("{switches} switches in {lives} lives");
    assert!(u64::from(switches) > lives * 2, "the faults were too tame: {switches} switches");
}
