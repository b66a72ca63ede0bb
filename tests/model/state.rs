//! One state of a pair: what is on disks, in the API server, in processes and on the way between them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use kudu_pair::{
    api::PairStatus,
    failover::{action::Action, lease::LeaseClock, tenure::LeaseView},
    replication::acknowledgement::{Acknowledgement, Covers, Ticket},
    wal::OpId,
};

use crate::shown::Shown;

/// A round is this long by every clock.
pub(crate) const ROUND_MS: u64 = 2_000;

/// Who takes a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Actor {
    /// The controller looks at everything and decides.
    Look,
    /// What it decided arrives at the API server.
    Act,
    /// Sidecar and launcher of a member.
    Member(usize),
}

/// What a controller decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) actions: Shown<Vec<Action>>,
    /// Whether status and Lease are the versions that it had seen.
    pub(crate) is_of_this_status: bool,
    pub(crate) is_of_this_lease: bool,
}

/// One state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) round: u8,
    /// Nobody has taken a turn in this round: the moment at which something may go wrong.
    pub(crate) is_new_round: bool,
    /// Who has something to look at.
    pub(crate) due: BTreeSet<Actor>,
    /// Who does not take a turn in this round.
    pub(crate) asleep: BTreeSet<Actor>,
    pub(crate) faults_left: u8,
    pub(crate) operations_left: u8,
    pub(crate) asked: bool,
    pub(crate) status: Shown<PairStatus>,
    pub(crate) lease: Shown<Lease>,
    pub(crate) service: Option<String>,
    /// The controller's, while the Lease is the version that it counts for.
    pub(crate) clock: Option<Shown<LeaseClock>>,
    pub(crate) pending: Option<Pending>,
    pub(crate) members: Vec<Member>,
    /// Links between members that carry nothing, by their numbers.
    pub(crate) cuts: BTreeSet<(usize, usize)>,
    /// What clients were told that it is done.
    pub(crate) acknowledged: BTreeSet<OpId>,
    /// Promises that a step broke.
    pub(crate) broken: BTreeSet<&'static str>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Its disk.
    pub(crate) log: Vec<OpId>,
    pub(crate) obeyed: i64,
    pub(crate) released: Option<i64>,
    /// The round in which its pod is back; none while it is there.
    pub(crate) down_until: Option<u8>,
    /// Runs of its launcher so far.
    pub(crate) instance: u8,
    /// Neither the API server nor the controller can be reached.
    pub(crate) is_cut: bool,
    pub(crate) view: Shown<PairStatus>,
    pub(crate) failed: Option<i64>,
    /// Whether it has renewed the Lease in this round.
    pub(crate) has_renewed: bool,
    /// It hears nothing of the pair's status, though it reaches the API server.
    pub(crate) is_deaf: bool,
    pub(crate) master: Option<Master>,
}

/// A kudu-master that runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Master {
    pub(crate) epoch: i64,
    pub(crate) deadline_ms: u64,
    /// What holds it back; none when it acknowledges by itself.
    pub(crate) gate: Option<Gate>,
    pub(crate) is_open: bool,
}

/// The sync gate's side of a master.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Gate {
    pub(crate) machine: Shown<Acknowledgement>,
    pub(crate) waiting: BTreeMap<Ticket, Shown<Covers>>,
    pub(crate) tickets: Ticket,
    /// The stream of each standby.
    pub(crate) streams: BTreeMap<usize, u64>,
    pub(crate) connections: u64,
}

impl Member {
    pub(crate) fn is_up(&self) -> bool {
        self.down_until.is_none()
    }

    pub(crate) fn head(&self) -> Option<OpId> {
        self.log.last().copied()
    }

    pub(crate) fn identity(&self) -> String {
        format!("{0}/uid-{0}/{1}", self.name, self.instance)
    }

    /// Whether it answers clients.
    pub(crate) fn serves(&self) -> bool {
        self.master.as_ref().is_some_and(|master| master.is_open)
    }

    /// Writes one operation under a term of the reign.
    pub(crate) fn append(&mut self, term: i64) -> OpId {
        let op = OpId::new(term, self.head().map_or(1, |head| head.index + 1));
        self.log.push(op);
        op
    }
}

impl State {
    pub(crate) fn now_ms(&self) -> u64 {
        u64::from(self.round) * ROUND_MS
    }

    pub(crate) fn masters(&self) -> usize {
        self.members.iter().filter(|member| member.master.is_some()).count()
    }

    /// Whether the pair does what it is there for.
    pub(crate) fn serves(&self) -> bool {
        let active = self.members.iter().find(|member| member.serves());
        active.is_some_and(|active| self.service.as_ref() == Some(&active.name)) && self.status.switch.is_none()
    }

    pub(crate) fn is_linked(&self, one: usize, other: usize) -> bool {
        !self.cuts.contains(&(one.min(other), one.max(other)))
    }

    pub(crate) fn number_of(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    /// Replaces the Lease, whatever version it has. Versions are not counted: what matters is whether one is the one that was seen.
    pub(crate) fn write_lease(&mut self, lease: Lease) {
        self.lease = Shown::new(lease);
        self.clock = None;
        if let Some(pending) = &mut self.pending {
            pending.is_of_this_lease = false;
        }
    }

    pub(crate) fn write_status(&mut self, status: PairStatus) {
        self.status = Shown::new(status);
        if let Some(pending) = &mut self.pending {
            pending.is_of_this_status = false;
        }
    }

    /// What others may have to react to; a renewal is nothing of that.
    pub(crate) fn outside(&self) -> impl PartialEq + '_ {
        let members = self.members.iter();
        let members = members.map(|member| (&member.log, member.master.is_some(), member.serves(), member.obeyed));
        (&self.status, LeaseView::of(&self.lease), &self.service, members.collect::<Vec<_>>())
    }
}
