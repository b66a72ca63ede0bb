//! Whether the volume of an active's log takes writes, and what comes of it when it does not. Pure.
//!
//! A disk that stalls fails nothing: writes only do not end. kudu-master goes on answering reads, and its clients wait. Another
//! member, whose disk is well, can serve them.

use std::time::Duration;

use super::bounds::{DISK_CONFIRM, DISK_STALL};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Well,
    /// Go on, since nobody could take over, and say so.
    Stay,
    /// End the reign.
    GiveUp,
}

/// What is known of the write path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WritePath {
    /// When it was first seen to be late, on the boot-time clock in nanoseconds.
    late: Option<u64>,
}

impl WritePath {
    /// A look: the last write that ended well did so long ago; whether a standby streams that could take over.
    ///
    /// One look says nothing. A sidecar that stood still finds its own last write long ago as well.
    pub fn look(&mut self, silent: Duration, standby: bool, now: u64) -> Verdict {
        if silent < DISK_STALL {
            self.late = None;
            return Verdict::Well;
        }
        let late = Duration::from_nanos(now.saturating_sub(*self.late.get_or_insert(now)));
        match (late >= DISK_CONFIRM, standby) {
            (false, _) => Verdict::Well,
            (true, false) => Verdict::Stay,
            (true, true) => Verdict::GiveUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> u64 {
        milliseconds * 1_000_000
    }

    #[test]
    fn a_disk_that_stays_silent_is_given_up_when_a_standby_can_take_over() {
        let mut path = WritePath::default();
        assert_eq!(path.look(DISK_STALL / 2, true, at(0)), Verdict::Well);
        assert_eq!(path.look(DISK_STALL, true, at(1000)), Verdict::Well);
        let later = at(1000) + u64::try_from(DISK_CONFIRM.as_nanos()).unwrap();
        assert_eq!(path.look(DISK_STALL + DISK_CONFIRM, false, later), Verdict::Stay);
        assert_eq!(path.look(DISK_STALL + DISK_CONFIRM, true, later), Verdict::GiveUp);
    }

    #[test]
    fn a_sidecar_that_stood_still_does_not_take_that_for_its_disk() {
        let mut path = WritePath::default();
        assert_eq!(path.look(Duration::from_secs(60), true, at(0)), Verdict::Well);
        assert_eq!(path.look(Duration::ZERO, true, at(200)), Verdict::Well);
        assert_eq!(path.look(DISK_STALL, true, at(10_000)), Verdict::Well, "it counts anew");
    }
}
