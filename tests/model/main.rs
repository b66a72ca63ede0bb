//! A model of the whole protocol: every state that a small pair can come to, driven by the very functions that the program runs.
//!
//! **What must hold in every state** ([`promises`]): at most one kudu-master runs; whoever serves has every operation that was acknowledged
//! synchronously; nobody is started below the recorded head; a standby that streams holds nothing but what its active has; and once the faults
//! are over, the pair serves again.
//!
//! The decisions are the program's: `decide`, `order_for`, `tenure`, `LeaseClock`, `Acknowledgement`, `diff`. The model ([`model`], [`member`]) has
//! what is between them: an API server, disks, links, and what may go wrong. `docs/adr/0021-model.md` says what it leaves out.
//!
//! [`guards::Guard`] names the places where the protocol says no. With any one of them broken the model must fail, or it would not be looking.
//!
//! `cargo nextest run --test model --no-capture` prints how many states there were.

#[allow(dead_code, reason = "the decision tables use all of it")]
#[path = "../failover/fixture.rs"]
mod fixture;
mod guards;
mod member;
mod model;
mod promises;
mod setup;
mod shown;
mod state;

use std::{collections::BTreeSet, time::Instant};

use guards::{BROKEN, Broken};
use model::Pair;
use promises::ALL_HAPPENED;
use setup::Setup;
use stateright::{Checker as _, HasDiscoveries, Model as _};

const THREADS: usize = 2;

#[test]
fn every_state_keeps_the_promises() {
    let mut happened = BTreeSet::new();
    println!("{:38} {:>9} {:>6} {:>8}", "pair", "states", "depth", "seconds");
    for setup in setup::whole() {
        let (name, begun) = (setup.name, Instant::now());
        let checked = Pair::new(setup).checker().threads(THREADS).spawn_bfs().join();
        let seconds = begun.elapsed().as_secs_f32();
        println!("{name:38} {:>9} {:>6} {seconds:>8.1}", checked.unique_state_count(), checked.max_depth());
        checked.assert_properties();
        happened.extend(checked.model().seen());
    }
    let missing: Vec<_> = ALL_HAPPENED.iter().filter(|what| !happened.contains(what)).collect();
    assert!(missing.is_empty(), "too tame: nothing of {missing:?} came up");
}

#[test]
fn each_guard_is_needed() {
    println!("{:18} {:44} {:>9} {:>6} {:>8}", "guard broken", "promise broken by it", "states", "steps", "seconds");
    for Broken { guard, promise, setup } in BROKEN {
        let (name, begun) = (format!("{guard:?}"), Instant::now());
        let model = Pair::new(Setup { broken: Some(guard), promises: vec![promise], ..setup() });
        let checked = model.checker().threads(THREADS).finish_when(HasDiscoveries::Any).spawn_bfs().join();
        let found = checked.discovery(promise);
        assert!(found.is_some(), "without {guard:?} the model still finds that {promise}");
        let (states, seconds) = (checked.unique_state_count(), begun.elapsed().as_secs_f32());
        let steps = found.map_or(0, |path| path.into_actions().len());
        println!("{name:18} {promise:44} {states:>9} {steps:>6} {seconds:>8.1}");
    }
}
