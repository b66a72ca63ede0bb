//! Which segments of its log an active keeps for its standbys, and when it lets them go.
//!
//! Kudu has nothing like a replication slot: it removes a segment when it no longer needs it itself. A second name for its file keeps
//! what is in it. Each segment gets one while some standby has not acknowledged all of it; it costs nothing until Kudu removes its
//! own name. From then on its bytes count, against a cap and against the space that is left on the volume: the disk of the
//! active never fills because of a standby. What is let go is the oldest first, and a standby that needed it takes a base.

use std::collections::{BTreeMap, BTreeSet};

use crate::wal::{OpId, TermHistory};

/// What is kept at most unless something else is asked for.
pub const DEFAULT_CAP_BYTES: u64 = 1024 * 1024 * 1024;

/// Identity of a segment's file on its volume: the number of its inode.
pub type SegmentId = u64;

/// A segment of the active's log, in Kudu's folder, or kept, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its identity.
    pub id: SegmentId,
    /// What it holds; none while Kudu still writes to it.
    pub history: Option<TermHistory>,
    /// Bytes that it takes on the volume.
    pub bytes: u64,
    /// Whether Kudu has a name for it.
    pub live: bool,
    /// Whether it is kept.
    pub held: bool,
}

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that may be on the volume for standbys alone; 0 keeps nothing.
    pub cap_bytes: u64,
    /// Bytes of the volume that stay free: below that, segments are let go until it is reached.
    pub floor_bytes: u64,
}

/// What to do about what was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Segments to keep from now on.
    pub link: Vec<SegmentId>,
    /// Segments to let go, the oldest first.
    pub release: Vec<SegmentId>,
    /// Standbys that need more than may be kept: they will take a base, and nothing more is kept for them.
    pub given_up: BTreeSet<String>,
}

/// Decides over the segments that are there, the standbys with what each has on its disk, and the free space of the volume.
///
/// A standby needs the operation that it acknowledged last, too: by its digest the logs are compared.
#[must_use]
pub fn plan(segments: &[Segment], standbys: &BTreeMap<String, OpId>, free_bytes: u64, limits: Limits) -> Plan {
    let live = LiveLog::of(segments);
    let mut wanted = standbys.clone();
    let mut given_up = BTreeSet::new();
    let total = |needed: bool, wanted: &BTreeMap<String, OpId>| {
        let paid = segments.iter().filter(|segment| segment.held && !segment.live);
        paid.filter(|segment| live.is_needed(segment, wanted) == needed)
            .fold(0_u64, |sum, segment| sum.saturating_add(segment.bytes))
    };
    // The one that is furthest behind needs all that any other needs, so each turn gives room or ends.
    while let Some(furthest) = wanted.values().min().copied() {
        let needed = total(true, &wanted);
        let room = free_bytes.saturating_add(total(false, &wanted)) >= limits.floor_bytes;
        if limits.cap_bytes > 0 && needed <= limits.cap_bytes && (room || needed == 0) {
            break;
        }
        given_up.extend(wanted.extract_if(.., |_, head| *head == furthest).map(|(member, _)| member));
    }
    let needed = |segment: &&Segment| live.is_needed(segment, &wanted);
    let link = segments.iter().filter(|segment| segment.live && !segment.held).filter(needed);
    let mut release: Vec<_> = segments.iter().filter(|segment| segment.held && !needed(segment)).collect();
    release.sort_by_key(|segment| (segment.last(), segment.id));
    Plan {
        link: link.map(|segment| segment.id).collect(),
        release: release.into_iter().map(|segment| segment.id).collect(),
        given_up,
    }
}

impl Segment {
    fn last(&self) -> Option<OpId> {
        self.history.as_ref().and_then(TermHistory::last)
    }
}

/// What Kudu's own folder holds, as far as it is closed.
struct LiveLog {
    first: Option<OpId>,
    last: Option<OpId>,
}

impl LiveLog {
    fn of(segments: &[Segment]) -> Self {
        let histories =
            || segments.iter().filter(|segment| segment.live).filter_map(|segment| segment.history.as_ref());
        Self {
            first: histories().filter_map(TermHistory::first).min_by_key(|first| first.index),
            last: histories().filter_map(TermHistory::last).max(),
        }
    }

    fn is_needed(&self, segment: &Segment, standbys: &BTreeMap<String, OpId>) -> bool {
        let Some(history) = &segment.history else {
            // Whatever Kudu writes to it is behind all that was acknowledged.
            return !standbys.is_empty();
        };
        let (Some(first), Some(last)) = (history.first(), history.last()) else { return false };
        standbys.values().any(|head| last >= *head) && (segment.live || !self.covers(first, last))
    }

    /// Whether Kudu keeps these operations itself: each of its starts writes its log anew, and the old segments are kept for
    /// what the new ones do not hold.
    fn covers(&self, first: OpId, last: OpId) -> bool {
        self.first.is_some_and(|own| own.index <= first.index) && self.last.is_some_and(|own| own >= last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MANY: Limits = Limits { cap_bytes: 1000, floor_bytes: 0 };

    fn op(index: i64) -> OpId {
        OpId::new(1, index)
    }

    fn segment(id: SegmentId, ops: std::ops::RangeInclusive<i64>, live: bool, held: bool) -> Segment {
        Segment { id, history: Some(ops.map(op).collect()), bytes: 10, live, held }
    }

    fn open(id: SegmentId, held: bool) -> Segment {
        Segment { id, history: None, bytes: 10, live: true, held }
    }

    fn standbys(heads: &[(&str, i64)]) -> BTreeMap<String, OpId> {
        heads.iter().map(|(member, head)| ((*member).to_owned(), op(*head))).collect()
    }

    #[test]
    fn what_a_standby_lacks_is_kept_and_the_rest_let_go() {
        let segments = [segment(1, 1..=5, true, true), segment(2, 6..=9, true, false), open(3, false)];
        let plan = plan(&segments, &standbys(&[("b", 6), ("c", 8)]), 0, MANY);
        assert_eq!(plan, Plan { link: vec![2, 3], release: vec![1], given_up: [].into() });
    }

    #[test]
    fn the_operation_that_was_acknowledged_last_is_kept() {
        let segments = [segment(1, 1..=5, true, false), open(2, true)];
        assert_eq!(plan(&segments, &standbys(&[("b", 5)]), 0, MANY).link, [1]);
        assert!(plan(&segments, &standbys(&[("b", 6)]), 0, MANY).link.is_empty());
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let segments = [segment(1, 1..=5, false, true), segment(2, 6..=9, true, true), open(3, true)];
        assert_eq!(plan(&segments, &BTreeMap::new(), 0, MANY).release, [3, 1, 2]);
        let none = plan(&segments, &standbys(&[("b", 1)]), 0, Limits { cap_bytes: 0, ..MANY });
        assert_eq!((none.release.len(), none.given_up.len()), (3, 1));
    }

    #[test]
    fn beyond_the_cap_the_one_furthest_behind_is_given_up() {
        let segments: Vec<_> =
            (0..6_i64).map(|n| segment(n.unsigned_abs(), n * 10 + 1..=n * 10 + 10, n > 3, true)).collect();
        let limits = Limits { cap_bytes: 20, floor_bytes: 0 };
        let plan = plan(&segments, &standbys(&[("b", 5), ("c", 25)]), 0, limits);
        assert_eq!(plan.given_up, ["b".to_owned()].into());
        assert_eq!(plan.release, [0, 1]);
    }

    #[test]
    fn a_volume_that_fills_up_gives_all_that_it_must() {
        let segments = [segment(1, 1..=5, false, true), segment(2, 6..=9, false, true), open(3, true)];
        let wanted = standbys(&[("b", 2), ("c", 7)]);
        let with_free = |free| plan(&segments, &wanted, free, Limits { cap_bytes: 1000, floor_bytes: 100 });
        assert!(with_free(100).given_up.is_empty());
        assert_eq!(with_free(90).given_up, ["b".to_owned()].into());
        assert_eq!(with_free(80).given_up.len(), 2);
        // What is still Kudu's takes no space of ours.
        let live = [segment(1, 1..=5, true, true), open(3, true)];
        assert!(plan(&live, &wanted, 0, Limits { cap_bytes: 1000, floor_bytes: 100 }).given_up.is_empty());
    }

    #[test]
    fn what_a_start_of_kudu_wrote_anew_is_not_kept_twice() {
        let old = [segment(1, 1..=5, false, true), segment(2, 6..=9, false, true)];
        let anew = segment(3, 1..=9, true, true);
        let half = segment(3, 4..=7, true, true);
        let wanted = standbys(&[("b", 2)]);
        assert_eq!(plan(&[&old[..], &[anew]].concat(), &wanted, 0, MANY).release, [1, 2]);
        assert!(plan(&[&old[..], &[half]].concat(), &wanted, 0, MANY).release.is_empty());
    }

    proptest! {
        /// After each plan is carried out, what is kept for standbys alone fits, and each that was not given up has all it needs.
        #[test]
        fn it_fits_or_somebody_is_given_up(
            gone in 0_u64..12, cap in 0_u64..120, floor in 0_u64..120, free in 0_u64..120, heads in prop::collection::vec(1_i64..130, 0..4)
        ) {
            let segments: Vec<_> = (0..12_u64)
                .map(|n| { let first = i64::try_from(n).unwrap() * 10 + 1; segment(n, first..=first + 9, n >= gone, true) })
                .collect();
            let heads: BTreeMap<_, _> = heads.iter().enumerate().map(|(n, head)| (format!("s{n}"), op(*head))).collect();
            let limits = Limits { cap_bytes: cap, floor_bytes: floor };
            let plan = plan(&segments, &heads, free, limits);
            let paid = |released: bool| {
                segments.iter().filter(|s| !s.live && plan.release.contains(&s.id) == released).map(|s| s.bytes).sum::<u64>()
            };
            prop_assert!(paid(false) <= cap);
            prop_assert!(free + paid(true) >= floor || paid(false) == 0);
            for (member, head) in &heads {
                if !plan.given_up.contains(member) {
                    let lost = segments.iter().filter(|s| s.last() >= Some(*head)).any(|s| plan.release.contains(&s.id));
                    prop_assert!(!lost, "{member} at {head} lost a segment: {plan:?}");
                }
            }
        }
    }
}
