//! When an operation may be acknowledged: the active's side of synchronous replication.
//!
//! kudu-master's sync gate asks for a permit each time that Kudu syncs its log, and Kudu acknowledges what the sync covers only
//! after the permit. The machine permits when enough standbys have the log up to there. It keeps, in a record that stands in
//! the pair's Lease, which standbys are promised to have everything.
//!
//! # What holds
//!
//! **Whatever record the Lease holds, at least `quorum` of its `members` have on their disks everything that was ever permitted**
//! (`seen`). For that:
//!
//! 1. A record is only asked for when that is true of it at that moment.
//! 2. While a write is under way, or its outcome is not known, both the old and the new record may stand: an operation is
//!    permitted only when each record that may stand allows it.
//! 3. Nothing is permitted before the first record of the reign was written.
//!
//! And **an operation is permitted only when as many standbys have it as the user asked for, or a record that says
//! `degraded` stands**. The NO_OP with which a master opens its term is the exception: no client asked for it. It waits only
//! until all before it, which clients can see from then on, is where the record says. So does the sync at the end of a start,
//! which covers the log as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    api::{SyncRecord, WhenUnavailable},
    wal::OpId,
};

/// Pause before a record that was not written is written again.
const WRITE_PAUSE: Duration = Duration::from_millis(200);

/// For so long operations are held back, at most, while a standby that is to join has nearly everything: without that one that
/// acknowledges a moment later than the next operation comes would never join. A standby that streams is behind by one
/// round trip and one flush, as a rule under 10 ms.
pub const JOIN_PAUSE: Duration = Duration::from_millis(100);
/// After a pause in which nobody could join, so long none is made: one that has much to catch up slows operations by a
/// twentieth, not more.
pub const JOIN_REST: Duration = Duration::from_secs(2);

/// Names a sync that waits.
pub type Ticket = u64;

/// How many standbys must have an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// None.
    Async,
    /// Every one.
    All,
    /// So many.
    Any(usize),
}

/// What the user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many standbys must have an operation.
    pub rule: Rule,
    /// The standbys that there should be.
    pub standbys: BTreeSet<String>,
    /// What happens when too few have it.
    pub when_unavailable: WhenUnavailable,
    /// After so long without an operation a standby counts as unavailable.
    pub timeout: Duration,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// kudu-master began to sync its log.
    Asked {
        /// Names the sync.
        ticket: Ticket,
        /// What it covers.
        covers: Covers,
    },
    /// Nobody waits for the permit any more.
    Withdrawn {
        /// The sync.
        ticket: Ticket,
    },
    /// A standby's stream began.
    Joined {
        /// The standby.
        member: String,
        /// Tells this stream from the standby's others; later ones have higher numbers.
        connection: u64,
        /// The last operation on its disk.
        head: OpId,
    },
    /// A standby has more on its disk.
    Acknowledged {
        /// The standby.
        member: String,
        /// Its stream.
        connection: u64,
        /// The last operation on its disk.
        head: OpId,
    },
    /// A standby's stream ended.
    Left {
        /// The standby.
        member: String,
        /// Its stream.
        connection: u64,
    },
    /// The user asks for something else.
    Policy(Policy),
    /// What became of the write that [`Action::Write`] asked for.
    Wrote(Outcome),
    /// The time that [`Acknowledgement::wake_at`] named has come.
    Woke,
}

/// What a sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// The log up to this operation, which a client may have asked for.
    Operations(OpId),
    /// The NO_OP that opens a term; before it the log ends at this operation, if it has one.
    Opening(Option<OpId>),
}

impl Covers {
    /// The last operation that clients can see once it is permitted.
    fn shows(self) -> Option<OpId> {
        match self {
            Self::Operations(op) => Some(op),
            Self::Opening(before) => before,
        }
    }
}

/// What became of a write of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It stands, and no other one can any more.
    Written,
    /// It was not written and never will be.
    NotWritten,
    /// It may stand, now or later.
    Unknown,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Let a sync return.
    Permit {
        /// The sync.
        ticket: Ticket,
    },
    /// Replace the record in the Lease, then tell with [`Event::Wrote`]; none: the active acknowledges by itself. One at a time.
    Write {
        /// The record.
        record: Option<SyncRecord>,
    },
}

/// A standby as its streams show it.
#[derive(Debug, Clone)]
struct Standby {
    connection: u64,
    head: OpId,
    gone_since: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Waiting {
    covers: Covers,
    since: Duration,
}

/// The state of one reign.
#[derive(Debug, Clone)]
pub struct Acknowledgement {
    epoch: i64,
    policy: Policy,
    standbys: BTreeMap<String, Standby>,
    waiting: BTreeMap<Ticket, Waiting>,
    /// The last operation that clients may have seen.
    seen: Option<OpId>,
    /// The last operation that this machine knows to have been permitted: not more than `seen`, which may be more than is true.
    permitted: Option<OpId>,
    /// The records that may stand; empty until the first one of this reign was written.
    may_stand: Vec<Option<SyncRecord>>,
    /// The record that is being written.
    writing: Option<Option<SyncRecord>>,
    write_at: Duration,
    /// Since when operations are held back for a standby that is to join.
    paused_since: Option<Duration>,
    /// No earlier than then they are again.
    pause_at: Duration,
    now: Duration,
}

impl Acknowledgement {
    /// A reign that begins with a log that ends at `head`.
    pub fn new(epoch: i64, policy: Policy, head: Option<OpId>) -> Self {
        Self { permitted: head, ..Self::taken_over(epoch, policy, head) }
    }

    /// A reign that has been going on, with a log that ends at `head`. What of it was permitted is not known.
    pub fn taken_over(epoch: i64, policy: Policy, head: Option<OpId>) -> Self {
        Self {
            epoch,
            policy,
            standbys: BTreeMap::new(),
            waiting: BTreeMap::new(),
            seen: head,
            permitted: None,
            may_stand: Vec::new(),
            writing: None,
            write_at: Duration::ZERO,
            paused_since: None,
            pause_at: Duration::ZERO,
            now: Duration::ZERO,
        }
    }

    /// The record that stands, when that is known; none within: the active acknowledges by itself.
    pub fn record(&self) -> Option<&Option<SyncRecord>> {
        match self.may_stand.as_slice() {
            [record] => Some(record),
            _ => None,
        }
    }

    /// How many syncs wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes one event, at a time by a clock that never steps back.
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        self.now = self.now.max(now);
        match event {
            Event::Asked { ticket, covers } => {
                self.waiting.insert(ticket, Waiting { covers, since: self.now });
            }
            Event::Withdrawn { ticket } => drop(self.waiting.remove(&ticket)),
            Event::Joined { member, connection, head } => self.joined(member, connection, head),
            Event::Acknowledged { member, connection, head } => {
                let stream = self.standbys.get_mut(&member).filter(|standby| standby.connection == connection);
                if let Some(standby) = stream {
                    standby.head = standby.head.max(head);
                }
            }
            Event::Left { member, connection } => {
                let stream = self.standbys.get_mut(&member).filter(|standby| standby.connection == connection);
                if let Some(standby) = stream {
                    standby.gone_since = Some(self.now);
                }
            }
            Event::Policy(policy) => self.policy = policy,
            Event::Wrote(outcome) => self.wrote(outcome),
            Event::Woke => {}
        }
        // What can be permitted under the record that stands need not be permitted under another one.
        let mut actions = self.permit();
        actions.extend(self.write());
        actions
    }

    /// When [`Event::Woke`] is due; none: only after another event.
    pub fn wake_at(&self) -> Option<Duration> {
        let timeout = self.policy.timeout;
        let asked = self.waiting.values().map(|waiting| waiting.since.saturating_add(timeout));
        let gone = self.standbys.values().filter_map(|standby| standby.gone_since).map(|at| at.saturating_add(timeout));
        let write = Some(self.write_at);
        let paused = self.paused_since.map(|since| since.saturating_add(JOIN_PAUSE));
        asked.chain(gone).chain(write).chain(paused).filter(|at| *at > self.now).min()
    }

    /// A stream that began later says how the standby is now, whatever an older one says; its disk may be another.
    fn joined(&mut self, member: String, connection: u64, head: OpId) {
        let known = self.standbys.get(&member);
        if known.is_none_or(|standby| standby.connection <= connection) {
            self.standbys.insert(member, Standby { connection, head, gone_since: None });
        }
    }

    fn wrote(&mut self, outcome: Outcome) {
        let Some(record) = self.writing.take() else { return };
        match outcome {
            Outcome::Written => self.may_stand = vec![record],
            Outcome::NotWritten => self.write_at = self.now.saturating_add(WRITE_PAUSE),
            Outcome::Unknown => {
                // Before the first record of the reign is known to stand nothing is permitted anyhow.
                if !self.may_stand.is_empty() && !self.may_stand.contains(&record) {
                    self.may_stand.push(record);
                }
                self.write_at = self.now.saturating_add(WRITE_PAUSE);
            }
        }
    }

    fn permit(&mut self) -> Vec<Action> {
        if self.may_stand.is_empty() {
            return Vec::new();
        }
        self.look_at_pause();
        let permitted: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| self.allowed(waiting.covers))
            .filter(|(_, waiting)| self.paused_since.is_none() || matches!(waiting.covers, Covers::Opening(_)))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in &permitted {
            if let Some(waiting) = self.waiting.remove(ticket) {
                self.seen = self.seen.max(waiting.covers.shows());
                self.permitted = self.permitted.max(waiting.covers.shows());
            }
        }
        permitted.into_iter().map(|ticket| Action::Permit { ticket }).collect()
    }

    /// Begins or ends a pause for a standby that is to join. To hold an operation back is always safe.
    fn look_at_pause(&mut self) {
        let somebody_could_join = self.is_degraded() && !self.waiting.is_empty() && self.is_joining();
        match self.paused_since {
            Some(since) if !somebody_could_join || self.now >= since.saturating_add(JOIN_PAUSE) => {
                self.paused_since = None;
                self.pause_at = self.now.saturating_add(JOIN_REST);
            }
            None if somebody_could_join && self.now >= self.pause_at => self.paused_since = Some(self.now),
            _ => {}
        }
    }

    fn is_degraded(&self) -> bool {
        matches!(self.record(), Some(Some(record)) if record.degraded)
    }

    /// Whether a standby streams that does not count yet. One that has everything by now counts once its record is written, and an
    /// operation that was permitted just before would put that off again.
    fn is_joining(&self) -> bool {
        let counts = |member: &String| matches!(self.record(), Some(Some(record)) if record.members.contains(member));
        let streams = |member: &String| self.standbys.get(member).is_some_and(|standby| standby.gone_since.is_none());
        self.policy.standbys.iter().any(|member| streams(member) && !counts(member))
    }

    /// Whether every record that may stand allows it.
    fn allowed(&self, covers: Covers) -> bool {
        self.may_stand.iter().chain(&self.writing).all(|record| self.allows(record.as_ref(), covers))
    }

    fn allows(&self, record: Option<&SyncRecord>, covers: Covers) -> bool {
        let Some(record) = record else { return self.policy.rule == Rule::Async };
        let shows_nothing_new = covers.shows() <= self.permitted;
        let enough = matches!(covers, Covers::Opening(_)) || shows_nothing_new || self.is_sufficient(record);
        enough && self.holds(&record.members, record.quorum_size(), covers.shows())
    }

    /// Whether a record is what the user asks for.
    fn is_sufficient(&self, record: &SyncRecord) -> bool {
        if record.degraded {
            return self.policy.when_unavailable == WhenUnavailable::Degrade;
        }
        self.is_full(&record.members, record.quorum_size())
    }

    fn is_full(&self, members: &BTreeSet<String>, quorum: usize) -> bool {
        match self.policy.rule {
            Rule::Async => true,
            Rule::All => members.is_superset(&self.policy.standbys) && quorum >= members.len(),
            Rule::Any(count) => quorum >= count,
        }
    }

    /// Whether at least `quorum` of `members` have the log up to `op`.
    fn holds(&self, members: &BTreeSet<String>, quorum: usize, op: Option<OpId>) -> bool {
        members.iter().filter(|member| self.has(member, op)).count() >= quorum
    }

    fn has(&self, member: &str, op: Option<OpId>) -> bool {
        self.standbys.get(member).is_some_and(|standby| op.is_none_or(|op| standby.head >= op))
    }

    fn write(&mut self) -> Option<Action> {
        if self.writing.is_some() || self.now < self.write_at {
            return None;
        }
        let record = self.wanted();
        let settled =
            matches!(self.may_stand.as_slice(), [stands] if promises_the_same(stands.as_ref(), record.as_ref()));
        if settled {
            return None;
        }
        self.writing = Some(record.clone());
        Some(Action::Write { record })
    }

    /// The record that should stand. It is true now: its quorum has all that clients may have seen.
    fn wanted(&self) -> Option<SyncRecord> {
        if self.policy.rule == Rule::Async {
            return None;
        }
        // Beginning with nobody is always true, and those that are there join in a moment.
        let Some(stands) = self.may_stand.last() else { return Some(SyncRecord::none(self.epoch)) };
        let stands = stands.clone().unwrap_or_else(|| SyncRecord::none(self.epoch));
        let stays = |member: &String| !self.is_to_leave(member, &stands);
        let joins = |member: &String| self.is_caught_up(member) && !self.keeps_waiting(member, |_| true);
        let members: BTreeSet<_> = stands
            .members
            .iter()
            .filter(|member| stays(member))
            .chain(self.policy.standbys.iter().filter(|member| joins(member)))
            .cloned()
            .collect();
        let quorum = match self.policy.rule {
            Rule::Async => 0,
            Rule::All => members.len(),
            Rule::Any(count) => count.min(members.len()),
        };
        if !self.holds(&members, quorum, self.seen) {
            // The slower ones of a quorum have to catch up first.
            return Some(stands);
        }
        let degraded = !self.is_full(&members, quorum)
            && self.policy.when_unavailable == WhenUnavailable::Degrade
            && (stands.degraded || self.operation_is_overdue());
        let floor = members.iter().filter_map(|member| self.standbys.get(member)).map(|standby| standby.head).min();
        Some(SyncRecord {
            epoch: self.epoch,
            quorum: i32::try_from(quorum).unwrap_or(i32::MAX),
            members,
            degraded,
            floor,
        })
    }

    /// Whether a standby that streams has all that clients may have seen.
    fn is_caught_up(&self, member: &str) -> bool {
        self.has(member, self.seen) && self.standbys.get(member).is_some_and(|standby| standby.gone_since.is_none())
    }

    /// Whether a member can no longer count.
    fn is_to_leave(&self, member: &String, record: &SyncRecord) -> bool {
        let Some(standby) = self.standbys.get(member) else { return true };
        // It had more when it was counted: its disk is another one than it was.
        let each_counts = record.quorum_size() >= record.members.len();
        let is_another = standby.head < record.floor.unwrap_or_default() || each_counts && !self.has(member, self.seen);
        if is_another || !self.policy.standbys.contains(member) {
            return true;
        }
        // Without it enough are left, or the user lets it be so.
        let dispensable = match self.policy.rule {
            Rule::Async | Rule::All => false,
            Rule::Any(count) => record.members.len() > count,
        } || self.policy.when_unavailable == WhenUnavailable::Degrade;
        let overdue = self.keeps_waiting(member, |covers| dispensable || matches!(covers, Covers::Opening(_)));
        let gone = standby.gone_since.is_some_and(|since| self.now >= since.saturating_add(self.policy.timeout));
        let quorum_remains = matches!(self.policy.rule, Rule::Any(count) if record.members.len() > count);
        overdue || gone && quorum_remains
    }

    /// Whether one such has waited for too long that a standby does not have. Its stream may still be there: a peer that went silent is
    /// given up later than operations may wait, and must not count again meanwhile.
    fn keeps_waiting(&self, member: &str, such: impl Fn(&Covers) -> bool) -> bool {
        self.overdue().any(|covers| such(&covers) && !self.has(member, covers.shows()))
    }

    /// What has waited for too long.
    fn overdue(&self) -> impl Iterator<Item = Covers> {
        let timeout = self.policy.timeout;
        let is_overdue = move |waiting: &&Waiting| self.now >= waiting.since.saturating_add(timeout);
        self.waiting.values().filter(is_overdue).map(|waiting| waiting.covers)
    }

    fn operation_is_overdue(&self) -> bool {
        self.overdue().any(|covers| matches!(covers, Covers::Operations(_)))
    }
}

/// Whether two records differ in nothing but how far the members were when they were written.
fn promises_the_same(one: Option<&SyncRecord>, other: Option<&SyncRecord>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            (one.epoch, &one.members, one.quorum, one.degraded)
                == (other.epoch, &other.members, other.quorum, other.degraded)
        }
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
