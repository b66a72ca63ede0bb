//! A pair, its API server and its controllers, in one life.

use std::{collections::BTreeMap, rc::Rc};

use kudu_pair::api::{Phase, names};

use super::{END, TICK, api::Api, controller::Controller, dice::Dice, member::Member, synchronous};
use crate::fixture;

pub(super) struct World {
    pub(super) at: u64,
    pub(super) dice: Dice,
    pub(super) api: Api,
    pub(super) members: Vec<Member>,
    pub(super) controllers: Vec<Controller>,
    /// Links between members that are cut, by their numbers.
    pub(super) cuts: BTreeMap<(usize, usize), u64>,
    pub(super) formats: u32,
    pub(super) requests: u64,
    pub(super) fault_at: u64,
    pub(super) tell: bool,
    pub(super) switches: u32,
    /// What was asked for and what was acknowledged, in a life of a synchronous pair.
    pub(super) sync: Option<synchronous::Sync>,
}

impl World {
    pub(super) fn new(seed: u64, tell: bool) -> Self {
        let mut dice = Dice(seed);
        let standbys = if dice.percent(50) { 1 } else { 2 };
        let mut pair = fixture::created().pair;
        pair.spec.standbys = standbys;
        // The faults come faster than any budget allows.
        pair.spec.failover.failovers_per_hour = 1_000;
        let members = names::members("demo", standbys).into_iter().map(Member::new).collect();
        let api = Api {
            pair,
            status: Rc::default(),
            pair_version: 1,
            lease: None,
            service: None,
            versions: 1,
            away_until: 0,
        };
        Self {
            at: 0,
            api,
            members,
            controllers: vec![Controller::new(0), Controller::new(u64::MAX)],
            cuts: BTreeMap::new(),
            formats: 0,
            requests: 0,
            fault_at: dice.between(1_000, 8_000),
            dice,
            tell,
            switches: 0,
            sync: None,
        }
    }

    pub(super) fn say(&self, text: impl FnOnce() -> String) {
        if self.tell {
            println!("{:>7} {}", self.at, text());
        }
    }

    pub(super) fn live(&mut self) {
        while self.at < END {
            self.at += TICK;
            self.fault();
            self.person();
            for number in 0..self.members.len() {
                self.launcher(number);
                self.sidecar(number);
            }
            for number in 0..self.controllers.len() {
                self.controller(number);
            }
            let running: Vec<_> =
                self.members.iter().filter(|member| member.master.is_some()).map(|member| &member.name).collect();
            assert!(running.len() <= 1, "two masters run at {}: {running:?}", self.at);
            assert!(self.formats <= 1, "formatted again at {}", self.at);
        }
        let status = self.api.status();
        assert_eq!(status.phase, Some(Phase::Running), "not healed: {status:#?}");
        assert_eq!(status.switch, None);
        assert_eq!(self.api.service, status.active);
    }
}
