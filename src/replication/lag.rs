//! How far a standby is behind the active's log: in operations, in bytes, in time.
//!
//! The meter remembers of the log, in parts, how long it was and since when each part can have been there. What it says errs
//! to the high side, never to the low one: an operation counts as written right after the last look at the log that did not
//! show it, and of a part that was acknowledged in part all bytes count. It remembers at most [`MOST_PARTS`] parts; when there
//! are more it joins two neighbours: those by which a lag would be overstated least, beside what it is.

use std::{collections::VecDeque, time::Duration};

use crate::wal::OpId;

/// Most parts that are remembered, 40 KiB: the lag of a standby that is away for a day is overstated by a few percent.
const MOST_PARTS: usize = 1024;

/// A sample older than this is no proof that a standby has everything: it answers each heartbeat, so several answers are
/// missing, or the active cannot read its own log.
pub const FRESH: Duration = Duration::from_millis(1500);

/// What is known of an active's log.
#[derive(Debug, Default)]
pub struct LagMeter {
    /// Index of the first operation that was seen.
    first: Option<i64>,
    head: Option<OpId>,
    /// Of all operations that were seen.
    bytes: u64,
    /// When the last look began that came to the log's end.
    looked: Option<Duration>,
    parts: VecDeque<Part>,
}

/// A part of the log.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Index of its last operation.
    last: i64,
    /// Bytes of the log up to its end.
    bytes: u64,
    /// None of it was there before; none: it was there before the first look.
    since: Option<Duration>,
}

/// How far a standby is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Operations that it has not acknowledged; none: it acknowledged all that is known, but that is old.
    pub ops: Option<u64>,
    /// Their bytes, at most; none: not known.
    pub bytes: Option<u64>,
    /// Age of the oldest of them, at most; none: not known, as for operations from before the first look.
    pub time: Option<Duration>,
    /// Age of what this is measured by: the last look at the log's end, or the last acknowledgement, the older one.
    pub sample_age: Duration,
}

impl LagMeter {
    /// Notes the next operations of the log, with the bytes of each.
    pub fn saw(&mut self, ops: impl IntoIterator<Item = (OpId, u64)>) {
        let mut last = None;
        for (op, bytes) in ops {
            self.first.get_or_insert(op.index);
            self.bytes = self.bytes.saturating_add(bytes);
            last = Some(op);
        }
        if let Some(last) = last {
            self.head = Some(last);
            self.parts.push_back(Part { last: last.index, bytes: self.bytes, since: self.looked });
            if self.parts.len() > MOST_PARTS {
                self.make_room();
            }
        }
    }

    /// Notes that a look that began at this time has come to the log's end.
    pub fn came_to_end(&mut self, began: Duration) {
        self.looked = Some(began);
    }

    /// Forgets everything: the log is read anew from its beginning.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// How far a standby is behind that said at `heard` that it has everything up to `replicate_head`. None before the log was
    /// once read to its end.
    pub fn lag(&self, replicate_head: OpId, heard: Duration, now: Duration) -> Option<Lag> {
        let sample_age = now.saturating_sub(self.looked?.min(heard));
        let head = self.head?;
        let ops = u64::try_from(head.index.saturating_sub(replicate_head.index)).unwrap_or(0);
        if ops == 0 {
            let nothing = sample_age <= FRESH;
            return Some(Lag {
                ops: nothing.then_some(0),
                bytes: nothing.then_some(0),
                time: nothing.then_some(Duration::ZERO),
                sample_age,
            });
        }
        let oldest = self.parts.partition_point(|part| part.last <= replicate_head.index);
        let before = oldest.checked_sub(1).and_then(|before| self.parts.get(before)).map_or(0, |part| part.bytes);
        // What the log does not begin with any more was never counted.
        let counted = self.first.is_some_and(|first| first <= replicate_head.index.saturating_add(1));
        let since = self.parts.get(oldest).and_then(|part| part.since).filter(|_| counted);
        Some(Lag {
            ops: Some(ops),
            bytes: counted.then(|| self.bytes.saturating_sub(before)),
            time: since.map(|since| now.saturating_sub(since)),
            sample_age,
        })
    }

    /// Joins two neighbours, but never one whose time is known and one whose time is not.
    fn make_room(&mut self) {
        let now = self.looked.unwrap_or_default();
        let mut before = 0;
        let mut cheapest = None;
        for (place, (one, next)) in self.parts.iter().zip(self.parts.iter().skip(1)).enumerate() {
            // A standby that has all of the one would seem to lack it, and what it lacks would seem as old as the one.
            let bytes = share(one.bytes.saturating_sub(before).into(), self.bytes.saturating_sub(one.bytes).into());
            before = one.bytes;
            let time = match (one.since, next.since) {
                (Some(one), Some(next)) => {
                    share(next.saturating_sub(one).as_nanos(), now.saturating_sub(next).as_nanos())
                }
                (None, None) => 0,
                _ => continue,
            };
            let cost = bytes.saturating_add(time);
            if cheapest.is_none_or(|(least, _)| cost < least) {
                cheapest = Some((cost, place));
            }
        }
        if let Some(one) = cheapest.and_then(|(_, place)| self.parts.remove(place))
            && let Some(next) = cheapest.and_then(|(_, place)| self.parts.get_mut(place))
        {
            next.since = one.since;
        }
    }
}

/// What part of a lag this is, in millionths.
fn share(part: u128, lag: u128) -> u128 {
    part.saturating_mul(1_000_000).checked_div(lag.max(1)).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn op(index: i64) -> OpId {
        OpId::new(1, index)
    }

    fn ops(indexes: std::ops::RangeInclusive<i64>) -> impl Iterator<Item = (OpId, u64)> {
        indexes.map(|index| (op(index), 100))
    }

    /// A log of ten operations, then one of which three more are seen in each of two looks.
    fn meter() -> LagMeter {
        let mut meter = LagMeter::default();
        meter.saw(ops(1..=10));
        for (began, seen) in [(1000, None), (1010, Some(11..=13)), (1020, Some(14..=16))] {
            meter.saw(seen.into_iter().flat_map(ops));
            meter.came_to_end(ms(began));
        }
        meter
    }

    fn lag(meter: &LagMeter, index: i64) -> (Option<u64>, Option<u64>, Option<Duration>) {
        let lag = meter.lag(op(index), ms(1029), ms(1030)).unwrap();
        assert_eq!(lag.sample_age, ms(10));
        (lag.ops, lag.bytes, lag.time)
    }

    #[test]
    fn nothing_is_known_before_the_log_was_read_to_its_end() {
        let mut meter = LagMeter::default();
        meter.saw(ops(1..=10));
        assert_eq!(meter.lag(op(10), ms(1), ms(1)), None);
    }

    #[test]
    fn a_standby_that_has_everything_is_not_behind() {
        assert_eq!(lag(&meter(), 16), (Some(0), Some(0), Some(ms(0))));
        // Its stream can be ahead of the look at the log.
        assert_eq!(lag(&meter(), 17), (Some(0), Some(0), Some(ms(0))));
    }

    #[test]
    fn what_is_missing_counts_from_the_look_that_did_not_show_it() {
        assert_eq!(lag(&meter(), 13), (Some(3), Some(300), Some(ms(20))));
        assert_eq!(lag(&meter(), 10), (Some(6), Some(600), Some(ms(30))));
        // Of a part that was acknowledged in part everything counts.
        assert_eq!(lag(&meter(), 12), (Some(4), Some(600), Some(ms(30))));
    }

    #[test]
    fn how_old_is_what_was_there_before_is_not_known() {
        assert_eq!(lag(&meter(), 4), (Some(12), Some(1600), None));
    }

    #[test]
    fn what_the_log_does_not_begin_with_is_not_counted() {
        let mut meter = LagMeter::default();
        meter.came_to_end(ms(1000));
        meter.saw(ops(50..=60));
        meter.came_to_end(ms(1020));
        assert_eq!(lag(&meter, 49), (Some(11), Some(1100), Some(ms(30))));
        assert_eq!(lag(&meter, 48), (Some(12), None, None));
    }

    #[test]
    fn a_stalled_stream_is_never_without_lag() {
        let meter = meter();
        let at = |heard: u64, now: u64| meter.lag(op(16), ms(heard), ms(now)).unwrap();
        assert_eq!(at(1021, 1020 + 1500).ops, Some(0));
        let stale = at(1000, 1000 + 1501);
        assert_eq!(stale, Lag { ops: None, bytes: None, time: None, sample_age: ms(1501) });
        // Heard just now, but the log cannot be read.
        assert_eq!(at(9000, 9000), Lag { ops: None, bytes: None, time: None, sample_age: ms(7980) });
        // What is known to be missing is shown, and it grows.
        let behind = meter.lag(op(13), ms(1021), ms(9000)).unwrap();
        assert_eq!((behind.ops, behind.time, behind.sample_age), (Some(3), Some(ms(7990)), ms(7980)));
    }

    proptest! {
        /// Whatever is written and acknowledged when: no lag is understated, and none by much overstated.
        #[test]
        fn it_errs_to_the_high_side(
            looks in prop::collection::vec((1_u64..40, 0_i64..4), 1..4000), acknowledged in 0_i64..8000, silence in 0_u64..500
        ) {
            let mut meter = LagMeter::default();
            meter.came_to_end(ms(0));
            let (mut now, mut head) = (0, 0);
            let mut written = Vec::new();
            for (pause, count) in looks {
                // Written at some time between the two looks; here at the first possible one.
                written.extend((0..count).map(|_| ms(now)));
                now += pause;
                meter.saw(ops(head + 1..=head + count));
                head += count;
                meter.came_to_end(ms(now));
                prop_assert!(meter.parts.len() <= MOST_PARTS);
            }
            now += silence;
            let acknowledged = acknowledged.min(head);
            let Some(lag) = meter.lag(op(acknowledged), ms(now), ms(now)) else { return Ok(()) };
            prop_assert_eq!(lag.ops, Some((head - acknowledged).unsigned_abs()));
            let true_time = usize::try_from(acknowledged).ok().and_then(|next| written.get(next)).map(|at| ms(now) - *at);
            let (time, bytes) = (lag.time.unwrap(), lag.bytes.unwrap());
            let (true_time, true_bytes) = (true_time.unwrap_or_default(), (head - acknowledged).unsigned_abs() * 100);
            prop_assert!(time >= true_time && bytes >= true_bytes, "{lag:?} is less than {true_time:?} and {true_bytes}");
            prop_assert!(time <= true_time + true_time / 20 + ms(40), "{time:?} is much more than {true_time:?}");
            prop_assert!(bytes <= true_bytes + true_bytes / 20 + 300, "{bytes} is much more than {true_bytes}");
        }
    }
}
