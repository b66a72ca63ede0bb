//! Both ends of the stream over a simulated network, simulated disks and simulated time, with everything going wrong.
//!
//! The real `feed`, `follower`, `diff`, `sender`, frames, messages and anchors run here; the shells around them are simulated.
//! Each seed is a life of a pair with one to four standbys. A failure names its seed:
//! `SIMULATION_SEED=n cargo test --test simulation` runs that one alone.

mod disk;
mod ends;
mod faults;
mod invariants;
mod network;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::world::World;

const SEEDS: u64 = 500;
const THREADS: u64 = 4;

#[test]
fn every_seed_keeps_the_promises() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let seed = seed.parse().expect("SIMULATION_SEED is a number");
        println!("{:?}", World::new(seed).live());
        return;
    }
    let deeds = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let seeds = (0..SEEDS).filter(|seed| seed % THREADS == thread);
                    seeds.map(run).fold(world::Deeds::default(), world::Deeds::plus)
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.fold(world::Deeds::default(), world::Deeds::plus)
    });
    println!("{deeds:?}");
    deeds.assert_all_happened();
}

fn run(seed: u64) -> world::Deeds {
    catch_unwind(AssertUnwindSafe(|| World::new(seed).live())).unwrap_or_else(|panic| {
        println!("seed {seed} failed; replay it with SIMULATION_SEED={seed} cargo test --test simulation");
        resume_unwind(panic)
    })
}
