//! Going on while the API server is away: the active stays as long as every member that could take over gives its word that
//! it will not.
//!
//! The word is a **pledge**: "I take no Lease for so long", on the pledging member's own volume, counted from when it was
//! asked. The active counts from before it asked, so a pledge gives it the time that a renewal would have given it:
//! `renewDeadline + killTime + clockMargin < leaseDuration`.
//!
//! Whose pledges are needed stands in the Lease itself (the [roster](Roster)), and a member that is not there does not take the
//! Lease: so nobody can take it of whom the active does not know, whatever became of spec and pods since it last read them. The
//! active's own volume is one of them: another pod of the active's name waits for it as any other member does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::api::FailoverSpec;

/// The members that may take the Lease after its holder, the holder's own name among them: those whose pledges it needs to
/// go on without the API server. None: whoever is ordered to, because the holder does not go on without it.
pub type Roster = Option<BTreeSet<String>>;

/// The times of a pair, as its spec had them at one moment.
///
/// They are taken together: what a pledge lasts and what it allows are safe as a pair, and no two members need to see the same spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Time between two renewals.
    pub renew_interval: Duration,
    /// For how long a renewal lets kudu-master run.
    pub renew_deadline: Duration,
    /// For how long after a renewal nobody else takes the Lease.
    pub lease_duration: Duration,
}

impl From<&FailoverSpec> for Times {
    fn from(spec: &FailoverSpec) -> Self {
        let milliseconds = |count: i32| Duration::from_millis(u64::try_from(count).unwrap_or(0));
        Self {
            renew_interval: milliseconds(spec.renew_interval_milliseconds),
            renew_deadline: milliseconds(spec.renew_deadline_milliseconds),
            lease_duration: milliseconds(spec.lease_duration_milliseconds),
        }
    }
}

/// What every member on the roster is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// When it was asked, by the active's boot-time clock in nanoseconds; tells one question from another.
    pub asked: u64,
    /// For how long no Lease may be taken, in milliseconds.
    pub milliseconds: u64,
}

/// A reign that may have to go on without the API server. Times are nanoseconds of the active's boot-time clock.
#[derive(Debug)]
pub struct Failsafe {
    /// Each roster that may stand in the Lease: the one written last, and those of which it is not known whether they were.
    possible: Vec<Roster>,
    /// When what lets kudu-master run now was asked for.
    asked: u64,
    /// Until when kudu-master may run.
    deadline: u64,
    /// What was asked since the last renewal, and until when pledges in answer to it let kudu-master run.
    asks: BTreeMap<u64, u64>,
    /// Until when each member's pledge lets kudu-master run.
    pledged: BTreeMap<String, u64>,
    /// Since when it has gone on by pledges alone.
    since: Option<u64>,
}

impl Failsafe {
    /// A reign whose Lease was just taken: `asked` is when that was asked for, `deadline` until when it lets kudu-master run.
    pub fn begin(roster: Roster, asked: u64, deadline: u64) -> Self {
        Self { possible: vec![roster], asked, deadline, asks: BTreeMap::new(), pledged: BTreeMap::new(), since: None }
    }

    /// The Lease is about to be written with this roster. Until that is known to have been done, either may stand in it.
    pub fn writes(&mut self, roster: Roster) {
        if !self.possible.contains(&roster) {
            self.possible.push(roster);
        }
    }

    /// The Lease was renewed, with this roster. Returns since when the reign had gone on by pledges, when it had.
    pub fn renewed(&mut self, roster: Roster, asked: u64, deadline: u64) -> Option<u64> {
        let since = self.since;
        // Every write names the version that it replaces, so none that came before can still be carried out.
        *self = Self::begin(roster, asked, deadline.max(self.deadline));
        since
    }

    /// Until when kudu-master may run.
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Since when the reign has gone on by pledges alone.
    pub fn since(&self) -> Option<u64> {
        self.since
    }

    /// Whose pledges are needed; none: no pledge helps.
    pub fn needed(&self) -> Roster {
        let mut needed = BTreeSet::new();
        for roster in &self.possible {
            needed.extend(roster.as_ref()?.iter().cloned());
        }
        Some(needed)
    }

    /// Those without whose next pledge kudu-master runs no longer than it may now.
    pub fn missing(&self, now: u64) -> Vec<String> {
        let has = |member: &String| self.pledged.get(member).is_some_and(|until| *until > now.max(self.deadline));
        self.needed().into_iter().flatten().filter(|member| !has(member)).collect()
    }

    /// When to ask next: when a renewal is late by half the time between two, and from then on as often as it would be renewed.
    /// None: asking is of no use.
    pub fn ask_at(&self, times: &Times) -> Option<u64> {
        self.needed()?;
        let late = after(self.asked, times.renew_interval.saturating_mul(3) / 2);
        let again = self.asks.last_key_value().map(|(asked, _)| after(*asked, times.renew_interval));
        Some(again.map_or(late, |again| again.max(late))).filter(|at| *at < self.deadline)
    }

    /// Asks, when it is time to.
    pub fn ask(&mut self, now: u64, times: &Times) -> Option<Ask> {
        self.ask_at(times).filter(|at| *at <= now && now < self.deadline)?;
        self.asks.insert(now, after(now, times.renew_deadline));
        Some(Ask { asked: now, milliseconds: u64::try_from(times.lease_duration.as_millis()).unwrap_or(u64::MAX) })
    }

    /// A member has pledged in answer to the question of `asked`. Returns the deadline when it has moved.
    ///
    /// Not once the deadline has passed: that the stay is unbroken is what makes sure that nobody took the Lease before he
    /// pledged not to.
    pub fn pledged(&mut self, member: &str, asked: u64, now: u64) -> Option<u64> {
        let allowed = *self.asks.get(&asked)?;
        let until = self.pledged.entry(member.to_owned()).or_default();
        *until = allowed.max(*until);
        let needed = self.needed()?;
        let all = needed.iter().map(|member| self.pledged.get(member).copied().unwrap_or(0)).min()?;
        if now >= self.deadline || all <= self.deadline {
            return None;
        }
        self.deadline = all;
        self.since.get_or_insert(now);
        // The latest question that all have answered stands for the renewal that could not be.
        let answered = self.asks.iter().filter(|(_, until)| **until <= all).map(|(asked, _)| *asked).max();
        self.asked = answered.unwrap_or(self.asked).max(self.asked);
        let asked = self.asked;
        self.asks.retain(|at, _| *at >= asked);
        Some(all)
    }
}

/// A pledge as it lies on a member's volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pledge {
    /// The pod that gave it, `<pod>/<uid>`.
    pub by: String,
    /// The active to which it was given.
    pub to: String,
    /// Its reign.
    pub epoch: i64,
    /// For how long after it was written no Lease may be taken, in milliseconds.
    pub milliseconds: u64,
}

impl Pledge {
    /// Until when the member may take no Lease that finds this on its volume as its sidecar starts, `now`; by its own clock.
    ///
    /// The pledge was written before, on a clock that may be another machine's, so all of it counts from now. What an active
    /// pledged to itself does not bind its own pod: that one's launcher knows whether its kudu-master runs.
    pub fn binds_until(&self, pod: &str, now: u64) -> u64 {
        let own = self.by == pod && pod.split('/').next() == Some(self.to.as_str());
        if own { now } else { after(now, Duration::from_millis(self.milliseconds)) }
    }
}

/// A reading of the clock so much after another.
fn after(at: u64, wait: Duration) -> u64 {
    at.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        renew_interval: Duration::from_secs(1),
        renew_deadline: Duration::from_secs(4),
        lease_duration: Duration::from_secs(6),
    };

    fn ms(milliseconds: u64) -> u64 {
        milliseconds * 1_000_000
    }

    fn roster(names: &[&str]) -> Roster {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// A reign whose Lease was renewed at second 10.
    fn reign(names: &[&str]) -> Failsafe {
        Failsafe::begin(roster(names), ms(10_000), ms(14_000))
    }

    fn asked(failsafe: &mut Failsafe, at: u64) -> u64 {
        failsafe.ask(ms(at), &TIMES).expect("it is time to ask").asked
    }

    #[test]
    fn it_asks_when_a_renewal_is_late_and_then_as_often_as_it_would_be_renewed() {
        let mut failsafe = reign(&["p-0", "p-1"]);
        assert_eq!(failsafe.ask(ms(11_499), &TIMES), None);
        assert_eq!(failsafe.ask(ms(11_500), &TIMES), Some(Ask { asked: ms(11_500), milliseconds: 6000 }));
        assert_eq!(failsafe.ask_at(&TIMES), Some(ms(12_500)));
        assert_eq!(failsafe.ask(ms(12_499), &TIMES), None);
        asked(&mut failsafe, 12_500);
        asked(&mut failsafe, 13_900);
        assert_eq!(failsafe.ask_at(&TIMES), None, "after the deadline nothing helps");
        assert_eq!(failsafe.ask(ms(14_000), &TIMES), None);
    }

    #[test]
    fn it_goes_on_when_all_have_pledged_for_as_long_as_the_oldest_question_allows() {
        let mut failsafe = reign(&["p-0", "p-1", "p-2"]);
        let first = asked(&mut failsafe, 11_500);
        assert_eq!(failsafe.pledged("p-0", first, ms(11_600)), None);
        assert_eq!(failsafe.pledged("p-1", first, ms(11_700)), None);
        assert_eq!(failsafe.missing(ms(11_700)), ["p-2"]);
        let second = asked(&mut failsafe, 12_500);
        assert_eq!(
            failsafe.pledged("p-2", second, ms(12_600)),
            Some(ms(15_500)),
            "p-0 and p-1 answered the first only"
        );
        assert_eq!(failsafe.pledged("p-0", second, ms(12_700)), None);
        assert_eq!(failsafe.pledged("p-1", second, ms(12_800)), Some(ms(16_500)));
        assert_eq!(failsafe.since(), Some(ms(12_600)));
        assert_eq!(failsafe.ask_at(&TIMES), Some(ms(14_000)));
        assert_eq!(failsafe.renewed(roster(&["p-0"]), ms(14_100), ms(18_100)), Some(ms(12_600)));
        assert_eq!(failsafe.since(), None);
    }

    #[test]
    fn what_is_pledged_after_the_deadline_is_too_late() {
        let mut failsafe = reign(&["p-0", "p-1"]);
        let asked = asked(&mut failsafe, 13_900);
        failsafe.pledged("p-0", asked, ms(13_950));
        assert_eq!(failsafe.pledged("p-1", asked, ms(14_000)), None);
        assert_eq!(failsafe.deadline(), ms(14_000));
    }

    #[test]
    fn an_answer_to_what_was_not_asked_since_the_renewal_does_not_count() {
        let mut failsafe = reign(&["p-1"]);
        let before = asked(&mut failsafe, 11_500);
        failsafe.renewed(roster(&["p-1"]), ms(11_600), ms(15_600));
        assert_eq!(failsafe.pledged("p-1", before, ms(11_700)), None);
        assert_eq!(failsafe.pledged("p-1", ms(99_000), ms(11_700)), None);
    }

    #[test]
    fn those_of_a_roster_that_may_have_been_written_are_needed_too() {
        let mut failsafe = reign(&["p-0", "p-1"]);
        failsafe.writes(roster(&["p-0", "p-2"]));
        assert_eq!(failsafe.needed(), roster(&["p-0", "p-1", "p-2"]));
        failsafe.writes(None);
        assert_eq!(failsafe.needed(), None, "then anybody may take it");
        assert_eq!(failsafe.ask_at(&TIMES), None);
        failsafe.renewed(roster(&["p-0", "p-2"]), ms(11_000), ms(15_000));
        assert_eq!(failsafe.needed(), roster(&["p-0", "p-2"]));
    }

    #[test]
    fn a_shorter_time_in_the_spec_shortens_what_older_pledges_allow_together() {
        let mut failsafe = Failsafe::begin(roster(&["p-1", "p-2"]), ms(0), ms(50_000));
        let long = Times { renew_deadline: Duration::from_secs(50), lease_duration: Duration::from_secs(60), ..TIMES };
        let first = failsafe.ask(ms(40_000), &long).unwrap().asked;
        let second = failsafe.ask(ms(48_000), &TIMES).unwrap().asked;
        assert_eq!(failsafe.pledged("p-1", first, ms(48_100)), None);
        // Its pledge ends at 54 s, long before the 90 s that the first question would allow.
        assert_eq!(failsafe.pledged("p-2", second, ms(48_200)), Some(ms(52_000)));
    }

    #[test]
    fn a_pledge_that_is_found_binds_from_the_start_of_whoever_finds_it_but_not_its_own_active() {
        let pledge = |by: &str, to: &str| Pledge { by: by.into(), to: to.into(), epoch: 3, milliseconds: 6000 };
        assert_eq!(pledge("p-1/u", "p-0").binds_until("p-1/u", ms(100)), ms(6100));
        assert_eq!(pledge("p-1/u", "p-0").binds_until("p-1/v", ms(100)), ms(6100));
        assert_eq!(pledge("p-0/u", "p-0").binds_until("p-0/u", ms(100)), ms(100));
        assert_eq!(pledge("p-0/u", "p-0").binds_until("p-0/v", ms(100)), ms(6100), "another pod on its volume");
    }
}
