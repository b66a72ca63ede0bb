//! What a promotion of this standby would have to replay, and when a new base is taken so that it stays little.
//!
//! Operations past the base are applied only at a promotion, one by one: recovery is the time to replicate and the time to
//! replay. The bound is therefore stated as time. A new base makes what is past it little again; taking it loads the active,
//! so it is taken seldom, by one standby at a time, and never while a switch is under way.

use std::time::Duration;

use crate::api::RefreshSpec;

/// Operations that a promoted kudu-master applies in a second, until a promotion has measured it.
pub const OPS_PER_SECOND: u32 = 6000;
/// A measurement from fewer operations says more about the start of a process than about them.
const MEASURED_OPS: u64 = 1000;
/// What measurements are believed; outside of it something else was measured.
const BELIEVED_OPS_PER_SECOND: std::ops::RangeInclusive<u32> = 500..=100_000;
/// The part of the bound at which the first standby wants a new base, in percent; the rest is for what arrives meanwhile.
const EARLIEST_PERCENT: u64 = 60;
/// Standbys begin within so many percent of the bound of each other, so that they do not all ask at once.
const SPREAD_PERCENT: u64 = 20;
/// Pause after a new base, at least.
const REST: Duration = Duration::from_secs(10);
/// Pause after a new base in times of what it took: at most a tenth of the time is spent on taking bases.
const REST_FACTOR: u32 = 10;
/// Pause after the first failure; each further one doubles it.
const FIRST_BACK_OFF: Duration = Duration::from_secs(5);
/// The longest pause after a failure.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);

/// How much may be pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayBounds {
    /// How long a promotion may take to replay it.
    pub replay: Duration,
    /// How many bytes it may have.
    pub bytes: u64,
    /// How many bytes the copy of a base may read from the active in a second.
    pub copy_bytes_per_second: u64,
}

impl From<&RefreshSpec> for ReplayBounds {
    fn from(spec: &RefreshSpec) -> Self {
        let number = |number: i32| u64::try_from(number).unwrap_or_default();
        let bytes = |mebibytes: i32| number(mebibytes).saturating_mul(1 << 20);
        Self {
            replay: Duration::from_millis(number(spec.replay_milliseconds)),
            bytes: bytes(spec.pending_mebibytes),
            copy_bytes_per_second: bytes(spec.copy_mebibytes_per_second),
        }
    }
}

/// What is past the base on a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pending {
    /// Number of operations.
    pub ops: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Pending {
    /// How long a promotion is predicted to replay it, at a rate in operations per second.
    pub fn replay_time(self, ops_per_second: u32) -> Duration {
        Duration::from_millis(self.ops.saturating_mul(1000) / u64::from(ops_per_second.max(1)))
    }

    /// Whether it has reached this part of a bound, in percent.
    fn reaches(self, bounds: &ReplayBounds, ops_per_second: u32, percent: u64) -> bool {
        let passes =
            |pending: u128, bound: u128| pending.saturating_mul(100) >= bound.saturating_mul(u128::from(percent));
        self.ops > 0
            && (passes(self.replay_time(ops_per_second).as_millis(), bounds.replay.as_millis())
                || passes(self.bytes.into(), bounds.bytes.into()))
    }
}

/// The rate that a promotion has shown, in operations per second; none when it says too little.
pub fn measured_rate(ops: u64, took: Duration) -> Option<u32> {
    if ops < MEASURED_OPS {
        return None;
    }
    let millis = took.as_millis().max(1);
    let rate = u128::from(ops).saturating_mul(1000) / millis;
    u32::try_from(rate).ok().filter(|rate| BELIEVED_OPS_PER_SECOND.contains(rate))
}

/// What a standby sees when it decides whether to take a new base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// What is past the base.
    pub pending: Pending,
    /// The rate of a promotion.
    pub ops_per_second: u32,
    /// Whether the stream goes on and the active serves: so no switch is known to be under way.
    pub steady: bool,
    /// Whether the active lets this standby take a base now.
    pub granted: bool,
}

/// What a standby does about its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Ask the active for leave to take one.
    Ask,
    /// Take one now.
    Take,
}

/// Decides when a standby takes a new base. Times are readings of any clock that only goes forward.
#[derive(Debug, Clone)]
pub struct Refresher {
    bounds: ReplayBounds,
    percent: u64,
    asking: bool,
    not_before: Duration,
    failures: u32,
}

impl Refresher {
    /// For the standby of this name, which spreads standbys.
    pub fn new(bounds: ReplayBounds, member: &str) -> Self {
        let spread = u64::from(crc32c::crc32c(member.as_bytes())) % SPREAD_PERCENT.saturating_add(1);
        let percent = EARLIEST_PERCENT.saturating_add(spread);
        Self { bounds, percent, asking: false, not_before: Duration::ZERO, failures: 0 }
    }

    /// Other bounds from now on.
    pub fn set_bounds(&mut self, bounds: ReplayBounds) {
        self.bounds = bounds;
    }

    /// What to do now. Asked for again until it is done; whoever has asked goes on to want it until it has it, though the
    /// measured rate may have risen since.
    #[must_use]
    pub fn step(&mut self, now: Duration, seen: &Observation) -> Step {
        if now < self.not_before || !seen.steady {
            self.asking = false;
            return Step::Keep;
        }
        self.asking = self.asking || seen.pending.reaches(&self.bounds, seen.ops_per_second, self.percent);
        match (self.asking, seen.granted) {
            (false, _) => Step::Keep,
            (true, false) => Step::Ask,
            (true, true) => Step::Take,
        }
    }

    /// A base was taken, which took so long.
    pub fn taken(&mut self, now: Duration, took: Duration) {
        self.asking = false;
        self.failures = 0;
        self.not_before = now.saturating_add(REST.max(took.saturating_mul(REST_FACTOR)));
    }

    /// It could not be taken. Returns the pause before the next attempt.
    pub fn failed(&mut self, now: Duration) -> Duration {
        self.asking = false;
        let pause = FIRST_BACK_OFF.saturating_mul(1 << self.failures.min(16)).min(LONGEST_BACK_OFF);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn bounds() -> ReplayBounds {
        (&RefreshSpec::default()).into()
    }

    fn seen(ops: u64) -> Observation {
        let pending = Pending { ops, bytes: ops * 455 };
        Observation { pending, ops_per_second: OPS_PER_SECOND, steady: true, granted: true }
    }

    fn refresher() -> Refresher {
        Refresher::new(bounds(), "demo-1")
    }

    #[test]
    fn the_bound_is_time_and_reached_before_it_is_passed() {
        // Two seconds at 6000 operations a second.
        assert_eq!(seen(12_000).pending.replay_time(OPS_PER_SECOND), seconds(2));
        for member in ["demo-0", "demo-1", "demo-2", "demo-3", "demo-4"] {
            let mut refresher = Refresher::new(bounds(), member);
            assert_eq!(refresher.step(seconds(1), &seen(7199)), Step::Keep, "{member}");
            assert_eq!(refresher.step(seconds(1), &seen(9600)), Step::Take, "{member}");
        }
    }

    #[test]
    fn few_long_operations_reach_the_bound_too() {
        let long = Observation { pending: Pending { ops: 10, bytes: 64 << 20 }, ..seen(0) };
        assert_eq!(refresher().step(seconds(1), &long), Step::Take);
    }

    #[test]
    fn standbys_begin_at_different_times() {
        let percent = |member| Refresher::new(bounds(), member).percent;
        assert_ne!(percent("demo-1"), percent("demo-2"));
    }

    #[test]
    fn nothing_is_taken_without_leave() {
        let waiting = Observation { granted: false, ..seen(20_000) };
        let mut refresher = refresher();
        assert_eq!(refresher.step(seconds(1), &waiting), Step::Ask);
        assert_eq!(refresher.step(seconds(9), &waiting), Step::Ask);
        assert_eq!(refresher.step(seconds(10), &seen(20_000)), Step::Take);
    }

    #[test]
    fn who_asks_goes_on_to_ask_though_it_is_just_below_the_bound_again() {
        let waiting = |ops| Observation { granted: false, ..seen(ops) };
        let mut refresher = refresher();
        assert_eq!(refresher.step(seconds(1), &waiting(9600)), Step::Ask);
        assert_eq!(refresher.step(seconds(2), &waiting(7000)), Step::Ask);
    }

    #[test]
    fn nothing_is_taken_while_a_switch_may_be_under_way() {
        let unsteady = Observation { steady: false, ..seen(20_000) };
        let mut refresher = refresher();
        assert_eq!(refresher.step(seconds(1), &unsteady), Step::Keep);
        assert_eq!(refresher.step(seconds(2), &seen(20_000)), Step::Take);
    }

    #[test]
    fn a_slow_copy_is_followed_by_a_long_rest() {
        let mut refresher = refresher();
        refresher.taken(seconds(100), seconds(30));
        assert_eq!(refresher.step(seconds(399), &seen(50_000)), Step::Keep);
        assert_eq!(refresher.step(seconds(400), &seen(50_000)), Step::Take);
        refresher.taken(seconds(500), Duration::from_millis(400));
        assert_eq!(refresher.step(seconds(509), &seen(50_000)), Step::Keep);
        assert_eq!(refresher.step(seconds(510), &seen(50_000)), Step::Take);
    }

    #[test]
    fn failures_are_repeated_ever_more_seldom() {
        let mut refresher = refresher();
        let pauses: Vec<_> = (0..8).map(|_| refresher.failed(seconds(0)).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(refresher.step(seconds(299), &seen(50_000)), Step::Keep);
        refresher.taken(seconds(400), seconds(1));
        assert_eq!(refresher.failed(seconds(500)), seconds(5));
    }

    #[test]
    fn only_measurements_that_can_be_meant_are_believed() {
        assert_eq!(measured_rate(40_000, Duration::from_millis(6500)), Some(6153));
        assert_eq!(measured_rate(999, seconds(1)), None);
        assert_eq!(measured_rate(1000, seconds(60)), None);
        assert_eq!(measured_rate(1_000_000, Duration::from_millis(1)), None);
    }
}
