//! Lives of a pair whose API server comes and goes: the real rules of pledges and of the Lease, between toy members.
//!
//! All that is not one of those rules is as bad as it can be: the controller takes anybody for the next active, whether or not
//! the old one is heard, and members pledge although they reach the API server. What must hold at every instant: at most one
//! kudu-master runs. `FAILSAFE_SEED=n` replays one life, `FAILSAFE_LIVES=n` lives more of them.
//!
//! Each rule is broken in turn ([`Broken`]), and then two masters do run at once in some life.

use std::time::Duration;

use kudu_pair::failover::failsafe::Times;

mod faults;
mod member;
mod outside;
mod toys;
mod world;

use world::World;

const TICK: u64 = 20;
const END: u64 = 150_000;
const RENEW_INTERVAL: u64 = 1_000;
const RENEW_DEADLINE: u64 = 4_000;
const LEASE_DURATION: u64 = 6_000;
const KILL_TIME: u64 = 1_000;
/// A request to the API server that is not answered by then is given up.
const REQUEST_TIMEOUT: u64 = 1_500;
/// Most that a clock may be wrong, in thousandths: what the clock margin of 500 ms allows for over these times.
const DRIFT: u64 = 40;

const TIMES: Times = Times {
    renew_interval: Duration::from_millis(RENEW_INTERVAL),
    renew_deadline: Duration::from_millis(RENEW_DEADLINE),
    lease_duration: Duration::from_millis(LEASE_DURATION),
};

/// A rule that a life is lived without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// Nothing.
    None,
    /// Whoever has pledged takes the Lease all the same.
    PledgesAreForgotten,
    /// A pledge is in memory only.
    PledgesDoNotOutliveARestart,
    /// Whoever is not on the roster takes the Lease as well.
    StrangersTakeTheLease,
    /// The roster that may have been written counts only once it is known that it was.
    UncertainRostersDoNotCount,
    /// One member need not pledge.
    OneIsNotAsked,
    /// The active's deadline counts from when it is answered.
    CountsFromTheAnswer,
    /// Who lost its volume pledges on.
    PledgesWithoutAVolume,
    /// An active need not have its own volume.
    ActiveWithoutAVolume,
    /// A pledge binds for a shorter time than was asked.
    PledgesAreTooShort,
}

fn live(seed: u64, broken: Broken, tell: bool) -> (u64, u64) {
    let mut world = World::new(seed, broken, tell);
    world.live();
    (world.takeovers, world.stayed)
}

#[test]
fn lives_without_an_api_server() {
    if let Ok(seed) = std::env::var("FAILSAFE_SEED") {
        live(seed.parse().unwrap(), Broken::None, true);
        return;
    }
    let lives = std::env::var("FAILSAFE_LIVES").map_or(270, |lives| lives.parse().unwrap());
    let (mut takeovers, mut stayed) = (0, 0);
    for seed in 0..lives {
        let lived = std::panic::catch_unwind(|| live(seed, Broken::None, false));
        let lived = lived.unwrap_or_else(|_| panic!("FAILSAFE_SEED={seed} replays this"));
        takeovers += lived.0;
        stayed += lived.1;
    }
    let stayed = stayed / 1_000;
    println!("{takeovers} takeovers in {lives} lives, and {stayed} s in which a master ran by pledges alone");
    assert!(takeovers > lives * 2, "the faults were too tame: {takeovers} takeovers");
    assert!(stayed > lives * 4, "the API server was hardly away: {stayed} s");
}

/// Without any one of the rules two masters run at once.
#[rstest::rstest]
fn each_rule_is_needed(
    #[values(
        Broken::PledgesAreForgotten,
        Broken::PledgesDoNotOutliveARestart,
        Broken::StrangersTakeTheLease,
        Broken::UncertainRostersDoNotCount,
        Broken::OneIsNotAsked,
        Broken::CountsFromTheAnswer,
        Broken::PledgesWithoutAVolume,
        Broken::ActiveWithoutAVolume,
        Broken::PledgesAreTooShort
    )]
    broken: Broken,
) {
    let two = |seed: &u64| std::panic::catch_unwind(|| live(*seed, broken, false)).is_err();
    let seed = (0..2_000).find(two);
    println!("{broken:?}: two masters ran at once with seed {seed:?}");
    assert!(seed.is_some(), "nothing shows that this rule is needed");
}
