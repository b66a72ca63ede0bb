//! What must hold in every state, and what must come up in some life, or the rest would say little.

use stateright::Property;

use crate::{model::Pair, state::State};

/// What has to come up in some life of some pair.
pub(crate) const ALL_HAPPENED: [Happened; 6] = [
    Happened::Failover,
    Happened::Switchover,
    Happened::LateFence,
    Happened::Gap,
    Happened::Degraded,
    Happened::Killed,
];

/// What comes up in a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Happened {
    /// A failover ended.
    Failover,
    /// A planned switch ended.
    Switchover,
    /// A fence came after somebody else's write.
    LateFence,
    /// A member came back with operations of its own.
    Gap,
    /// Operations went on without a standby.
    Degraded,
    /// A kudu-master was killed at its deadline.
    Killed,
}

pub(crate) const ONE_MASTER: &str = "at most one kudu-master runs";
pub(crate) const NOTHING_LOST: &str = "whoever serves has what was acknowledged";
pub(crate) const GATE: &str = "nobody is started below the recorded head";
pub(crate) const SAME_LOG: &str = "a standby has nothing but its active's log";
pub(crate) const ENOUGH: &str = "enough standbys have what is acknowledged";
pub(crate) const SERVES_AGAIN: &str = "the pair serves once the faults are over";

/// All that is promised.
pub(crate) fn all() -> Vec<&'static str> {
    vec![ONE_MASTER, NOTHING_LOST, GATE, SAME_LOG, ENOUGH, SERVES_AGAIN]
}

/// Those that the setup asks for.
pub(crate) fn of(pair: &Pair) -> Vec<Property<Pair>> {
    let every = [
        Property::always(ONE_MASTER, |_: &Pair, state: &State| state.masters() <= 1),
        Property::always(NOTHING_LOST, |_: &Pair, state: &State| !state.broken.contains(&NOTHING_LOST)),
        Property::always(GATE, |_: &Pair, state: &State| !state.broken.contains(&GATE)),
        Property::always(SAME_LOG, |_: &Pair, state: &State| !state.broken.contains(&SAME_LOG)),
        Property::always(ENOUGH, |_: &Pair, state: &State| !state.broken.contains(&ENOUGH)),
        Property::always(SERVES_AGAIN, |pair: &Pair, state: &State| state.round < pair.setup.rounds || state.serves()),
    ];
    every.into_iter().filter(|property| pair.setup.promises.contains(&property.name)).collect()
}
