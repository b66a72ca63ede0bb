//! What the controller sees of a pair before it decides.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    bounds::{CLOCK_SKEW, HEARD, STILL_SERVING},
    fenced,
    lease::LeaseSeen,
    member::MemberReport,
};
use crate::{
    api::{KuduMasterPair, MemberState, PairStatus, names},
    wal::OpId,
};

/// Everything that a decision depends on.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The pair, read from the API server itself.
    pub pair: KuduMasterPair,
    /// Its Lease, read from the API server itself.
    pub lease: Option<LeaseSeen>,
    /// Each member that the spec asks for, by ordinal, and after them pods beyond the spec.
    pub members: Vec<MemberSeen>,
    /// The revision that pods should run; none while the StatefulSet controller has not looked at the latest one.
    pub update_revision: Option<String>,
    /// The member that the Service selects.
    pub service_active: Option<String>,
    /// The highest head that the active itself has reported in this reign, as this process remembers it.
    pub active_head: Option<OpId>,
    /// How the members' certificates were when this process last looked after them; none before.
    pub certificates: Option<CertificatesSeen>,
    /// How long ago this process wrote the status; none when it never did.
    pub status_written_ago: Option<Duration>,
    /// A random uuid of 32 hexadecimal digits, should a catalog have to be formatted.
    pub fresh_uuid: String,
    /// The time, for records that people read; durations are never measured by it.
    pub now: Timestamp,
}

/// How the members' certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificatesSeen {
    /// Every member has been given one.
    Issued,
    /// Not yet, or they cannot be looked after.
    Missing {
        /// One word for a condition's reason.
        reason: &'static str,
        /// What is missing and what to do.
        message: String,
    },
}

/// One member.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberSeen {
    /// Its name.
    pub name: String,
    /// Its pod, when there is one.
    pub pod: Option<PodSeen>,
    /// Its last report, when it ever reported to this process from the pod that it has now.
    pub heard: Option<Heard>,
}

/// A member's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSeen {
    /// Tells it from its successors of the same name.
    pub uid: String,
    /// The StatefulSet's revision that it was made from.
    pub revision: Option<String>,
    /// Whether the kubelet calls it ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// For how long it has existed.
    pub age: Duration,
}

/// A report and its age.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// What the member said.
    pub report: MemberReport,
    /// How long ago.
    pub ago: Duration,
}

impl MemberSeen {
    /// The member's report, when it is recent enough to say how the member is.
    pub fn report(&self) -> Option<&MemberReport> {
        self.report_within(HEARD)
    }

    /// The member's report, when it is no older than this.
    pub fn report_within(&self, bound: Duration) -> Option<&MemberReport> {
        self.heard.as_ref().filter(|heard| heard.ago <= bound).map(|heard| &heard.report)
    }
}

impl Observation {
    /// The pair's name.
    pub fn name(&self) -> &str {
        self.pair.metadata.name.as_deref().unwrap_or_default()
    }

    /// The pair's status as it was read.
    pub fn status(&self) -> PairStatus {
        self.pair.status.clone().unwrap_or_default()
    }

    /// How long a Lease lasts without a renewal.
    pub fn lease_duration(&self) -> Duration {
        milliseconds(self.pair.spec.failover.lease_duration_milliseconds)
    }

    /// How long a planned switch may take.
    pub fn switchover_timeout(&self) -> Duration {
        milliseconds(self.pair.spec.failover.switchover_timeout_milliseconds)
    }

    /// How long ago this was by the wall clock. Good for patience, never for safety.
    ///
    /// Zero when it lies ahead by what clocks differ. What lies further ahead was recorded by a clock that was wrong, and patience
    /// would last until that time has come; so it counts as long ago.
    pub fn since(&self, then: Timestamp) -> Duration {
        let ahead = Duration::try_from(then.duration_since(self.now)).unwrap_or_default();
        if ahead > CLOCK_SKEW {
            return Duration::MAX;
        }
        Duration::try_from(self.now.duration_since(then)).unwrap_or_default()
    }

    /// One member.
    pub fn member(&self, name: &str) -> Option<&MemberSeen> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The recent report of one member.
    pub fn report(&self, name: &str) -> Option<&MemberReport> {
        self.member(name)?.report()
    }

    /// The names of the members that the spec asks for, by ordinal.
    pub fn wanted(&self) -> Vec<String> {
        names::members(self.name(), self.pair.spec.standbys)
    }

    /// Whether the spec asks for this member.
    pub fn is_wanted(&self, name: &str) -> bool {
        self.wanted().iter().any(|wanted| wanted == name)
    }

    /// Whether a person keeps this member from serving.
    pub fn is_fenced(&self, name: &str) -> bool {
        fenced::names(&self.pair).contains(&name)
    }

    /// The members that the spec asks for, by ordinal.
    pub fn wanted_members(&self) -> impl Iterator<Item = &MemberSeen> {
        self.members.iter().filter(|member| self.is_wanted(&member.name))
    }

    /// The wanted members other than this one.
    pub fn standbys_of<'a>(&'a self, active: &'a str) -> impl Iterator<Item = &'a MemberSeen> {
        self.wanted_members().filter(move |member| member.name != active)
    }

    /// The highest head known for `active`: its own reports, what its standbys heard of it, what the status remembers of it,
    /// and what it had when it became active.
    pub fn known_head(&self, active: &str) -> Option<OpId> {
        let own = self.member(active).and_then(|member| member.heard.as_ref()).and_then(|heard| heard.report.head);
        let heard = self
            .standbys_of(active)
            .filter_map(|member| member.heard.as_ref())
            .filter_map(|heard| heard.report.active_head);
        let remembered = self.pair.status.iter().flat_map(|status| &status.members);
        let remembered = remembered.filter(|member| member.name == active).filter_map(|member| member.head);
        let receipt = self.pair.status.as_ref().and_then(|status| status.last_switch.as_ref());
        let inherited = receipt.filter(|receipt| receipt.to == active).and_then(|receipt| receipt.promoted_head);
        heard.chain(remembered).chain(own).chain(self.active_head).chain(inherited).max()
    }

    /// How many operations `standby` is behind `active`; none when one of the two is not heard, so that a standby that
    /// stalls is never shown as being in sync.
    pub fn lag(&self, standby: &MemberSeen, active: &str) -> Option<i64> {
        let report = standby.report()?;
        let hears_it = report.active_heard_milliseconds_ago.is_some_and(|ago| Duration::from_millis(ago) <= HEARD);
        let told = self.report(active).and_then(|report| report.head);
        let heard = report.active_head.filter(|_| hears_it);
        let active_head = told.max(heard)?;
        Some((active_head.index - report.head?.index).max(0))
    }

    /// The moment so long before now.
    pub(crate) fn ago(&self, ago: Duration) -> Timestamp {
        self.now.checked_sub(ago).unwrap_or(self.now)
    }

    /// The last moment at which `member` is known to have had all of the log of `active` in the reign of the status, as far as this
    /// process knows or the status remembers.
    pub(crate) fn caught_up_at(&self, member: &MemberSeen, active: &str) -> Option<Timestamp> {
        let status = self.pair.status.as_ref()?;
        let remembered = status.members.iter().find(|before| before.name == member.name);
        // What lies ahead was recorded by a clock that was wrong, and would make a loss look young for as long.
        let lies_ahead =
            |at: &Timestamp| Duration::try_from(at.duration_since(self.now)).is_ok_and(|ahead| ahead > CLOCK_SKEW);
        let remembered = remembered.and_then(|before| before.caught_up_at.as_ref()).map(|at| at.0);
        let remembered = remembered.filter(|at| !lies_ahead(at));
        let of_this_reign =
            |member: &&MemberSeen| member.heard.as_ref().is_some_and(|heard| heard.report.epoch == status.epoch);
        let heard = Some(member).filter(of_this_reign).and_then(|member| member.heard.as_ref());
        let seen = heard.and_then(|Heard { report, ago }| {
            let has = |head: OpId| report.head.is_some_and(|own| own >= head);
            let told = report.active_head.filter(|head| has(*head)).and(report.active_heard_milliseconds_ago);
            let told = told.map(|heard| ago.saturating_add(Duration::from_millis(heard)));
            let active = self.member(active).filter(of_this_reign).and_then(|active| active.heard.as_ref());
            let compared = active.filter(|active| active.report.head.is_some_and(has)).map(|active| active.ago);
            let measured = active.and_then(|active| {
                let lag = active.report.standbys.iter().find(|standby| standby.member == member.name)?.lag?;
                let behind = lag.sample_milliseconds_ago.saturating_add(lag.milliseconds?);
                Some(active.ago.saturating_add(Duration::from_millis(behind)))
            });
            told.into_iter().chain(compared).chain(measured).min()
        });
        remembered.max(seen.map(|ago| self.ago(ago)))
    }

    /// The last op that `active` is known to have acknowledged in the reign of the status: the highest that it said it applied.
    pub(crate) fn known_acknowledged(&self, active: &str) -> Option<OpId> {
        let epoch = self.pair.status.as_ref().map(|status| status.epoch)?;
        let heard = self.member(active)?.heard.as_ref()?;
        heard.report.applied_head.filter(|_| heard.report.epoch == epoch)
    }

    /// Somebody who has heard `active` serve just now, although its Lease is over.
    pub fn still_serving<'a>(&'a self, active: &'a str) -> Option<&'a str> {
        if self.report(active).is_some_and(|report| report.master_stopped) {
            return None;
        }
        let itself = self.member(active).filter(|member| {
            member.report_within(STILL_SERVING).is_some_and(|report| report.state == MemberState::Serving)
        });
        let heard_by = |member: &&MemberSeen| {
            member.heard.as_ref().is_some_and(|heard| {
                let heard_it = heard.report.active_heard_milliseconds_ago.map(Duration::from_millis);
                heard_it.is_some_and(|ago| ago.saturating_add(heard.ago) < STILL_SERVING)
            })
        };
        itself.or_else(|| self.standbys_of(active).find(heard_by)).map(|member| member.name.as_str())
    }

    /// The epoch of the next reign: above every one that the status, the switch or the Lease knows of.
    pub fn next_epoch(&self) -> i64 {
        let status = self.pair.status.as_ref();
        let switch = status.and_then(|status| status.switch.as_ref()).map_or(0, |switch| switch.epoch);
        let lease = self.lease.as_ref().map_or(0, |lease| lease.epoch);
        status.map_or(0, |status| status.epoch).max(switch).max(lease) + 1
    }
}

/// A number of milliseconds from the spec, where the API server holds it above zero.
fn milliseconds(number: i32) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}
