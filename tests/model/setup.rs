//! The pairs that are looked at, and how much may go wrong with them.

use kudu_pair::{
    api::{KuduMasterPair, WhenUnavailable},
    replication::acknowledgement::Rule,
};

use crate::{fixture, guards::Guard, promises};

/// A kind of thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Somebody does not take a turn in a round.
    Sleep,
    /// A member reaches neither the API server nor the controller.
    CutOff,
    /// A member hears nothing of the pair's status.
    Deafen,
    /// Two members do not reach each other.
    CutLink,
    /// A pod ends and comes back.
    Crash,
    /// A pod is away for as long as things go wrong.
    PowerOff,
    /// A pod comes back with an old disk.
    Restore,
}

/// One pair and its adversary.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) standbys: i32,
    pub(crate) rule: Rule,
    pub(crate) when_unavailable: WhenUnavailable,
    /// What may go wrong.
    pub(crate) kinds: &'static [Fault],
    /// How often.
    pub(crate) faults: u8,
    /// How many operations clients ask for.
    pub(crate) operations: u8,
    /// Whether somebody asks for a planned switch.
    pub(crate) asks: bool,
    /// A kudu-master is not killed at its deadline, as if that took for ever: then a standby that still hears it keeps another one from
    /// beginning.
    pub(crate) kills_are_late: bool,
    /// In so many rounds things go wrong; from then on everything is mended and each takes its turn.
    pub(crate) rough: u8,
    /// So many rounds there are at most.
    pub(crate) rounds: u8,
    /// The guard that is broken.
    pub(crate) broken: Option<Guard>,
    /// What is looked for.
    pub(crate) promises: Vec<&'static str>,
}

const USUAL: &[Fault] = &[Fault::Sleep, Fault::CutOff, Fault::CutLink, Fault::Crash, Fault::PowerOff];
const NETWORK: &[Fault] = &[Fault::CutOff, Fault::CutLink, Fault::PowerOff];

pub(crate) fn asynchronous() -> Setup {
    Setup {
        name: "Async",
        standbys: 1,
        rule: Rule::Async,
        when_unavailable: WhenUnavailable::Block,
        kinds: USUAL,
        faults: 1,
        operations: 1,
        asks: false,
        kills_are_late: false,
        rough: 5,
        rounds: 20,
        broken: None,
        promises: promises::all(),
    }
}

pub(crate) fn asked() -> Setup {
    Setup { name: "Async, a planned switch", asks: true, rough: 3, ..asynchronous() }
}

pub(crate) fn partitions() -> Setup {
    Setup { name: "Async, two partitions", kinds: NETWORK, faults: 2, ..asynchronous() }
}

pub(crate) fn deaf() -> Setup {
    Setup { name: "Async, a deaf member", kinds: &[Fault::CutOff, Fault::Deafen], faults: 2, ..asynchronous() }
}

/// With old disks on both sides nobody has what clients saw, and the pair waits for a person: so it need not serve again.
pub(crate) fn restored() -> Setup {
    let promises = promises::all().into_iter().filter(|promise| *promise != promises::SERVES_AGAIN).collect();
    Setup {
        name: "Async, an old disk",
        kinds: &[Fault::PowerOff, Fault::Restore],
        faults: 2,
        operations: 0,
        rough: 6,
        promises,
        ..asynchronous()
    }
}

pub(crate) fn late() -> Setup {
    Setup { name: "Async, kills come late", kinds: &[Fault::CutOff], kills_are_late: true, ..asynchronous() }
}

pub(crate) fn blocking() -> Setup {
    Setup { name: "All, Block", rule: Rule::All, ..asynchronous() }
}

pub(crate) fn degrading() -> Setup {
    Setup {
        name: "All, Degrade, two partitions",
        when_unavailable: WhenUnavailable::Degrade,
        rule: Rule::All,
        rough: 4,
        ..partitions()
    }
}

pub(crate) fn alone() -> Setup {
    Setup {
        name: "All, Degrade, then the active is lost",
        kinds: &[Fault::CutLink, Fault::PowerOff],
        rough: 8,
        ..degrading()
    }
}

pub(crate) fn two_standbys() -> Setup {
    Setup { name: "Any 1 of two standbys", standbys: 2, rule: Rule::Any(1), kinds: NETWORK, rough: 4, ..asynchronous() }
}

/// All of them, with nothing broken.
pub(crate) fn whole() -> Vec<Setup> {
    vec![
        asynchronous(),
        asked(),
        partitions(),
        deaf(),
        restored(),
        late(),
        blocking(),
        degrading(),
        alone(),
        two_standbys(),
    ]
}

impl Setup {
    pub(crate) fn is_broken(&self, guard: Guard) -> bool {
        self.broken == Some(guard)
    }

    /// The pair as a user wrote it.
    pub(crate) fn pair(&self) -> KuduMasterPair {
        let acknowledgement = match self.rule {
            Rule::Async => serde_json::json!({ "mode": "Async" }),
            Rule::All => serde_json::json!({ "mode": "All" }),
            Rule::Any(count) => serde_json::json!({ "mode": "Any", "count": count }),
        };
        let mut pair = fixture::created().pair;
        pair.spec = serde_json::from_value(serde_json::json!({
            "standbys": self.standbys,
            "replication": {
                "acknowledgement": acknowledgement,
                "whenUnavailable": format!("{:?}", self.when_unavailable),
                "timeoutMilliseconds": 2000,
            },
            "failover": { "leaseDurationMilliseconds": 6000, "renewDeadlineMilliseconds": 4000, "failoversPerHour": 1000 },
        }))
        .expect("a spec");
        pair
    }
}
