//! A member: its disk, its kudu-master, what its sidecar knows, and what it reports.

use std::rc::Rc;

use kudu_pair::{
    api::{MemberState, PairStatus, Role},
    failover::{
        member::{GapReport, MemberReport},
        order::{Order, order_for},
    },
    wal::OpId,
};

use super::{KILL_TIME, api::ToyLease, dice::Dice, synchronous};
use crate::fixture;

pub(super) struct Master {
    /// What holds it back; none when it acknowledges by itself.
    pub(super) gate: Option<synchronous::Gate>,
    pub(super) epoch: i64,
    pub(super) deadline: u64,
    pub(super) ready_at: u64,
    pub(super) dies_at: Option<u64>,
}

pub(super) struct Member {
    pub(super) name: String,
    /// Its disk: survives everything.
    pub(super) log: Option<Vec<OpId>>,
    pub(super) obeyed: i64,
    /// Its log when its kudu-master stopped last.
    pub(super) log_at_stop: Vec<OpId>,
    /// What only it had at its first rejoin in this reign: durable before its log is cut, or the loss would be forgotten.
    pub(super) gap: Option<GapReport>,
    /// Its pod.
    pub(super) down_until: u64,
    pub(super) instance: u64,
    pub(super) master: Option<Master>,
    /// Its sidecar.
    pub(super) hung_until: u64,
    pub(super) cut_from_api_until: u64,
    /// Its watch of the pair brings nothing.
    pub(super) deaf_until: u64,
    pub(super) cut_from_controllers_until: u64,
    pub(super) view: Rc<PairStatus>,
    pub(super) lease_view: Option<ToyLease>,
    pub(super) held: Option<(i64, u64)>,
    pub(super) renew_at: u64,
    pub(super) failed: Option<i64>,
    pub(super) standing_down: bool,
    pub(super) copied_at: Option<u64>,
    pub(super) active_heard_at: Option<u64>,
    pub(super) active_head: Option<OpId>,
}

impl Member {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            log: None,
            obeyed: 0,
            log_at_stop: Vec::new(),
            gap: None,
            down_until: 0,
            instance: 1,
            master: None,
            hung_until: 0,
            cut_from_api_until: 0,
            deaf_until: 0,
            cut_from_controllers_until: 0,
            view: Rc::default(),
            lease_view: None,
            held: None,
            renew_at: 0,
            failed: None,
            standing_down: false,
            copied_at: None,
            active_heard_at: None,
            active_head: None,
        }
    }

    pub(super) fn identity(&self) -> String {
        format!("{0}/uid-{0}/{1}", self.name, self.instance)
    }

    pub(super) fn head(&self) -> Option<OpId> {
        self.log.as_ref().and_then(|log| log.last().copied())
    }

    pub(super) fn serves(&self, at: u64) -> bool {
        self.master.as_ref().is_some_and(|master| master.dies_at.is_none() && at >= master.ready_at && master.is_open())
    }

    pub(super) fn append(&mut self, term: i64) {
        let log = self.log.get_or_insert_default();
        let index = log.last().map_or(1, |last| last.index + 1);
        log.push(OpId::new(term, index));
    }

    pub(super) fn master_is_gone(&mut self) {
        if self.master.take().is_some() {
            self.log_at_stop = self.log.clone().unwrap_or_default();
        }
    }

    /// All processes of the pod end, and begin anew at that time with nothing but the disk.
    pub(super) fn crash(&mut self, back_at: u64) {
        self.master_is_gone();
        let (log, obeyed, log_at_stop) = (self.log.take(), self.obeyed, std::mem::take(&mut self.log_at_stop));
        let (instance, gap) = (self.instance + 1, self.gap.take());
        let cuts = (self.cut_from_api_until, self.cut_from_controllers_until);
        *self = Self { log, obeyed, log_at_stop, instance, gap, down_until: back_at, ..Self::new(self.name.clone()) };
        (self.cut_from_api_until, self.cut_from_controllers_until) = cuts;
    }

    pub(super) fn kill(&mut self, at: u64, dice: &mut Dice) {
        if let Some(master) = &mut self.master {
            master.dies_at.get_or_insert(at + dice.below(KILL_TIME));
        }
    }

    pub(super) fn report(&self, at: u64) -> MemberReport {
        let order = order_for(&self.name, &self.view);
        let state = match order {
            Order::Serve { epoch, .. } if self.failed == Some(epoch) => MemberState::Failed,
            Order::Serve { .. } if self.serves(at) => MemberState::Serving,
            Order::Serve { .. } => MemberState::Promoting,
            Order::StandDown { .. } => MemberState::StandingDown,
            Order::Follow { .. } if self.copied_at.is_some_and(|copied| at - copied < 500) => MemberState::Streaming,
            Order::Follow { .. } => MemberState::Connecting,
            Order::Wait => MemberState::Waiting,
        };
        MemberReport {
            identity: self.identity(),
            epoch: self.obeyed,
            role: if self.master.is_some() { Role::Active } else { Role::Standby },
            state,
            has_catalog: self.log.is_some(),
            catalog_uuid: self.log.as_ref().map(|_| fixture::UUID.to_owned()),
            head: self.head(),
            applied_head: self.head().filter(|_| self.serves(at)),
            active_head: self.active_head,
            active_heard_milliseconds_ago: self.active_heard_at.map(|heard| at - heard),
            master_stopped: self.master.is_none(),
            gap: self.gap.clone(),
            ..fixture::report(&self.name)
        }
    }
}
