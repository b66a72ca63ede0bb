//! How many failovers are made without a pause, so that members that fail in turn do not hand the pair to and fro for ever.

use std::time::Duration;

use jiff::Timestamp;

use super::bounds::{CLOCK_SKEW, FAILOVER_WINDOW, FIRST_PAUSE, LONGEST_PAUSE};
use crate::api::{PairStatus, Receipt, SwitchKind};

/// How the budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Failovers to another member within the last hour.
    pub(crate) used: usize,
    /// Until when the next one waits, if it has to.
    pub(crate) until: Option<Timestamp>,
}

/// How the budget of so many failovers an hour stands.
pub(crate) fn of(status: &PairStatus, failovers_per_hour: i32, now: Timestamp) -> Budget {
    let recent = |receipt: &&Receipt| {
        let finished = receipt.finished_at.0;
        // What lies ahead by more than clocks differ was recorded by one that was wrong.
        let ahead = Duration::try_from(finished.duration_since(now)).unwrap_or_default();
        let ago = if ahead > CLOCK_SKEW {
            Duration::MAX
        } else {
            Duration::try_from(now.duration_since(finished)).unwrap_or_default()
        };
        // The old active that comes back to serve has handed nothing over.
        receipt.kind == SwitchKind::Failover && receipt.from.as_ref() != Some(&receipt.to) && ago < FAILOVER_WINDOW
    };
    let failovers: Vec<_> = status.switches.iter().filter(recent).collect();
    let allowed = usize::try_from(failovers_per_hour).unwrap_or_default();
    let until = failovers.first().zip(failovers.len().checked_sub(allowed)).and_then(|(last, over)| {
        let doublings = u32::try_from(over).unwrap_or(u32::MAX).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        last.finished_at.0.checked_add(pause).ok()
    });
    Budget { used: failovers.len(), until: until.filter(|until| *until > now) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        api::{SwitchRecord, SwitchStep},
        failover::receipt,
    };

    const MINUTE: Duration = Duration::from_secs(60);

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    /// A switch that ended so many minutes ago.
    fn ended(minutes_ago: u32, kind: SwitchKind, to: &str) -> Receipt {
        let at = now().checked_sub(MINUTE * minutes_ago).unwrap();
        let switch =
            SwitchRecord { from: Some("demo-0".to_owned()), ..SwitchRecord::new(kind, 4, SwitchStep::Repointing, at) };
        receipt::receipt(&switch, to.to_owned(), at)
    }

    fn budget(minutes_ago: &[u32], per_hour: i32) -> Budget {
        let switches = minutes_ago.iter().map(|ago| ended(*ago, SwitchKind::Failover, "demo-1")).collect();
        of(&PairStatus { switches, ..PairStatus::default() }, per_hour, now())
    }

    #[rstest]
    #[case::fresh(&[], 3, None)]
    #[case::two_members_lost_one_after_the_other(&[0, 0], 3, None)]
    #[case::a_fourth_waits_a_minute(&[0, 1, 2], 3, Some(1))]
    #[case::and_no_longer(&[1, 1, 2], 3, None)]
    #[case::then_two(&[0, 1, 2, 3], 3, Some(2))]
    #[case::then_four_of_which_three_are_over(&[3, 4, 5, 6, 7], 3, Some(1))]
    #[case::a_quarter_of_an_hour_at_most(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 3, Some(15))]
    #[case::an_hour_ago_is_forgotten(&[0, 1, 60], 3, None)]
    #[case::a_greater_budget(&[0, 0, 0, 0], 5, None)]
    #[case::the_smallest(&[0], 1, Some(1))]
    fn pauses_grow(#[case] minutes_ago: &[u32], #[case] per_hour: i32, #[case] waits: Option<u32>) {
        let expected = waits.map(|minutes| now().checked_add(MINUTE * minutes).unwrap());
        assert_eq!(budget(minutes_ago, per_hour).until, expected);
    }

    #[test]
    fn planned_switches_and_returns_to_the_old_active_do_not_count() {
        let mut switches = vec![ended(0, SwitchKind::Switchover, "demo-1"); 4];
        switches.extend(vec![ended(0, SwitchKind::Failover, "demo-0"); 4]);
        let status = PairStatus { switches, ..PairStatus::default() };
        assert_eq!(of(&status, 1, now()), Budget { used: 0, until: None });
    }
}
