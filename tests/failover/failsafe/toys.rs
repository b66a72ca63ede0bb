//! What a life is made of: a Lease, writes on their way, pods with their clocks, volumes.

use kudu_pair::{
    failover::{
        failsafe::{Ask, Failsafe, Pledge, Roster},
        tenure::LeaseView,
    },
    wal::OpId,
};

/// One life follows from one seed.
pub(super) struct Dice(pub(super) fastrand::Rng);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound.max(1))
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..most)
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lease {
    pub(super) version: u64,
    pub(super) holder: Option<String>,
    pub(super) epoch: i64,
    pub(super) final_head: Option<OpId>,
    pub(super) roster: Roster,
}

impl Lease {
    pub(super) fn view(&self) -> LeaseView {
        LeaseView {
            resource_version: self.version.to_string(),
            holder: self.holder.clone(),
            epoch: self.epoch,
            final_head: self.final_head,
            roster: self.roster.clone(),
        }
    }
}

/// What a request does when it arrives.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Take,
    Renew,
    Release,
}

/// A write on its way to the API server; it arrives even when nobody waits for it any more.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) change: Change,
    pub(super) version: u64,
    pub(super) identity: String,
    pub(super) epoch: i64,
    pub(super) roster: Roster,
    pub(super) asked: u64,
    pub(super) arrives_at: u64,
    pub(super) answered_at: u64,
    pub(super) given_up_at: u64,
    pub(super) done: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Master {
    pub(super) epoch: i64,
    /// By the pod's own clock, in nanoseconds.
    pub(super) deadline: u64,
    pub(super) dies_at: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Reign {
    pub(super) epoch: i64,
    pub(super) failsafe: Failsafe,
    pub(super) renew_at: u64,
}

/// A pod with its node's clock.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) uid: u64,
    pub(super) instance: u64,
    pub(super) rate: u64,
    pub(super) offset: u64,
    /// Whether its name's volume is its own; another pod may have it since.
    pub(super) has_volume: bool,
    pub(super) sidecar_back_at: u64,
    pub(super) cut_from_api_until: u64,
    /// What it knows of who is to serve.
    pub(super) ordered: (i64, String),
    pub(super) bound_until: u64,
    pub(super) reign: Option<Reign>,
    pub(super) request: Option<usize>,
    pub(super) master: Option<Master>,
    pub(super) renewed_at: u64,
}

impl Pod {
    pub(super) fn pod(&self) -> String {
        format!("{}/uid-{}", self.name, self.uid)
    }

    pub(super) fn identity(&self) -> String {
        format!("{}/{}", self.pod(), self.instance)
    }

    /// Its clock, in nanoseconds.
    pub(super) fn clock(&self, at: u64) -> u64 {
        (self.offset + at) * self.rate * 1_000
    }
}

#[derive(Debug, Default)]
pub(super) struct Volume {
    pub(super) pledge: Option<Pledge>,
    pub(super) obeyed: i64,
}

#[derive(Debug)]
pub(super) enum Mail {
    Ask { epoch: i64, ask: Ask },
    Pledge { epoch: i64, asked: u64 },
}

pub(super) fn name(number: usize) -> String {
    format!("p-{number}")
}

/// Until when a sidecar that starts then on this volume is bound.
pub(super) fn found(volume: &Volume, pod: &Pod, at: u64) -> u64 {
    let now = pod.clock(at);
    volume.pledge.as_ref().filter(|_| pod.has_volume).map_or(0, |pledge| pledge.binds_until(&pod.pod(), now))
}
