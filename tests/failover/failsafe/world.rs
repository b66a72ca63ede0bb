//! One life, instant by instant.

use std::collections::BTreeMap;

use kudu_pair::failover::lease::LeaseClock;

use super::{
    Broken, DRIFT, END, LEASE_DURATION, TICK,
    toys::{Dice, Lease, Mail, Pod, Volume, Write, found, name},
};

pub(super) struct World {
    pub(super) at: u64,
    pub(super) dice: Dice,
    pub(super) broken: Broken,
    pub(super) tell: bool,
    pub(super) lease: Lease,
    pub(super) versions: u64,
    /// Every order that there was; the last one stands, and a stale read shows an earlier one.
    pub(super) ordered: Vec<(i64, String)>,
    pub(super) wanted: usize,
    pub(super) api_away_until: u64,
    pub(super) pods: Vec<Pod>,
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) cuts: BTreeMap<(usize, usize), u64>,
    pub(super) writes: Vec<Write>,
    pub(super) mail: Vec<(u64, usize, usize, Mail)>,
    pub(super) controller: Option<LeaseClock>,
    pub(super) controller_rate: u64,
    pub(super) controller_away_until: u64,
    /// The next renewal is carried out, its answer is lost, and the active is cut off from then on.
    pub(super) cut_the_next_active_that_writes: bool,
    pub(super) fault_at: u64,
    pub(super) uids: u64,
    pub(super) takeovers: u64,
    /// Milliseconds in which a master ran by pledges alone: its Lease had not been renewed for all of its duration.
    pub(super) stayed: u64,
}

impl World {
    pub(super) fn new(seed: u64, broken: Broken, tell: bool) -> Self {
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let wanted = usize::try_from(dice.between(2, 4)).unwrap();
        let controller_rate = 1_000 - DRIFT + dice.below(2 * DRIFT);
        let lease = Lease { version: 1, holder: None, epoch: 1, final_head: None, roster: None };
        let mut world = Self {
            at: 0,
            broken,
            tell,
            lease,
            versions: 1,
            ordered: vec![(1, name(0))],
            wanted,
            api_away_until: 0,
            pods: Vec::new(),
            volumes: BTreeMap::new(),
            cuts: BTreeMap::new(),
            writes: Vec::new(),
            mail: Vec::new(),
            controller: None,
            controller_rate,
            controller_away_until: 0,
            cut_the_next_active_that_writes: false,
            fault_at: dice.between(2_000, 8_000),
            uids: 0,
            takeovers: 0,
            stayed: 0,
            dice,
        };
        (0..wanted).for_each(|number| world.pod(name(number)));
        world
    }

    pub(super) fn say(&self, text: impl FnOnce() -> String) {
        if self.tell {
            println!("{:>7} {}", self.at, text());
        }
    }

    pub(super) fn pod(&mut self, name: String) {
        self.uids += 1;
        let rate = 1_000 - DRIFT + self.dice.below(2 * DRIFT);
        let mut pod = Pod {
            name: name.clone(),
            uid: self.uids,
            instance: 1,
            rate,
            offset: self.dice.below(1_000_000),
            has_volume: true,
            sidecar_back_at: self.at,
            cut_from_api_until: 0,
            ordered: (0, String::new()),
            bound_until: 0,
            reign: None,
            request: None,
            master: None,
            renewed_at: 0,
        };
        let volume = self.volumes.entry(name).or_default();
        pod.bound_until = found(volume, &pod, self.at);
        self.pods.push(pod);
    }

    pub(super) fn live(&mut self) {
        while self.at < END {
            self.at += TICK;
            self.fault();
            self.writes_arrive();
            self.mail_arrives();
            for number in 0..self.pods.len() {
                self.launcher(number);
                self.sidecar(number);
            }
            self.control();
            let running: Vec<_> =
                self.pods.iter().filter(|pod| pod.master.is_some()).map(|pod| (pod.identity(), &pod.master)).collect();
            assert!(running.len() <= 1, "two masters run at {}: {running:?}", self.at);
            let at = self.at;
            let stays = |pod: &&Pod| pod.master.is_some() && at > pod.renewed_at + LEASE_DURATION;
            self.stayed += if self.pods.iter().any(|pod| stays(&pod)) { TICK } else { 0 };
        }
    }
}
