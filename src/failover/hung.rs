//! Whether a kudu-master that runs is hung, and what comes of it. Pure: observations and the time in, a verdict out.
//!
//! A process that hangs, whatever the reason, is killed and started again on its own files in a fraction of a second, sooner
//! than any standby serves. One that hangs again soon hangs for a reason that a start does not cure (its disk, its node, its
//! catalog's size): the reign is given up, and another member may take over.

use super::bounds::{HUNG_AGAIN, HUNG_PROBES, PROBE_START};

/// What a probe saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The master answered, whatever it said.
    Answered,
    /// It took the connection and did not answer in time.
    Silent,
    /// Nobody was there to answer: it is starting, or dead, which its launcher sees.
    Absent,
    /// It was silent while operations waited for standbys, which can take all its threads.
    Excused,
}

/// What is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Well,
    /// Kill it and start it again in the same reign.
    Restart,
    /// End the reign.
    GiveUp,
}

/// What is known of one reign's kudu-master. Times are readings of the boot-time clock, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// When the process began, as far as is known.
    began: u64,
    /// Whether this process has answered.
    answered: bool,
    /// Probes in a row that it did not answer.
    silent: u32,
    /// When one of this reign was restarted for it last.
    restarted: Option<u64>,
}

impl Pulse {
    /// Of a process that began now.
    pub fn new(now: u64) -> Self {
        Self { began: now, answered: false, silent: 0, restarted: None }
    }

    /// Another process runs now, after a crash or a restart.
    pub fn began(&mut self, now: u64) {
        *self = Self { restarted: self.restarted, ..Self::new(now) };
    }

    /// A probe has ended. A verdict other than [`Verdict::Well`] counts as carried out.
    pub fn saw(&mut self, seen: Seen, now: u64) -> Verdict {
        match seen {
            Seen::Answered => (self.answered, self.silent) = (true, 0),
            Seen::Absent | Seen::Excused => self.silent = 0,
            Seen::Silent => self.silent = self.silent.saturating_add(1),
        }
        // A start opens files and rewrites the log before anybody is answered.
        let starting = !self.answered && now.saturating_sub(self.began) < nanoseconds(PROBE_START);
        if self.silent < HUNG_PROBES || starting {
            return Verdict::Well;
        }
        let again = self.restarted.is_some_and(|at| now.saturating_sub(at) < nanoseconds(HUNG_AGAIN));
        if again {
            return Verdict::GiveUp;
        }
        self.restarted = Some(now);
        self.began(now);
        Verdict::Restart
    }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A master that has answered at its first second.
    fn well() -> Pulse {
        let mut pulse = Pulse::new(0);
        assert_eq!(pulse.saw(Seen::Answered, SECOND), Verdict::Well);
        pulse
    }

    /// The verdict after so many silent probes, one a second.
    fn silent(pulse: &mut Pulse, probes: u32, from: u64) -> Verdict {
        (0..u64::from(probes)).map(|nth| pulse.saw(Seen::Silent, from + nth * SECOND)).last().unwrap()
    }

    #[test]
    fn it_is_restarted_once_and_given_up_when_it_hangs_again_soon() {
        let mut pulse = well();
        assert_eq!(silent(&mut pulse, HUNG_PROBES - 1, 10 * SECOND), Verdict::Well);
        assert_eq!(pulse.saw(Seen::Silent, 20 * SECOND), Verdict::Restart);
        pulse.saw(Seen::Answered, 21 * SECOND);
        assert_eq!(silent(&mut pulse, HUNG_PROBES, 30 * SECOND), Verdict::GiveUp);
    }

    #[test]
    fn it_is_restarted_again_when_it_hangs_long_after() {
        let mut pulse = well();
        assert_eq!(silent(&mut pulse, HUNG_PROBES, 10 * SECOND), Verdict::Restart);
        pulse.saw(Seen::Answered, 20 * SECOND);
        let later = 20 * SECOND + nanoseconds(HUNG_AGAIN);
        assert_eq!(silent(&mut pulse, HUNG_PROBES, later), Verdict::Restart);
    }

    #[test]
    fn one_answer_or_nobody_there_begins_the_count_anew() {
        for between in [Seen::Answered, Seen::Absent, Seen::Excused] {
            let mut pulse = well();
            assert_eq!(silent(&mut pulse, HUNG_PROBES - 1, 10 * SECOND), Verdict::Well);
            assert_eq!(pulse.saw(between, 12 * SECOND), Verdict::Well);
            assert_eq!(silent(&mut pulse, HUNG_PROBES - 1, 13 * SECOND), Verdict::Well);
        }
    }

    #[test]
    fn a_process_that_starts_has_longer_but_not_for_ever() {
        let mut pulse = well();
        pulse.began(10 * SECOND);
        assert_eq!(silent(&mut pulse, 10, 11 * SECOND), Verdict::Well);
        assert_eq!(pulse.saw(Seen::Silent, 10 * SECOND + nanoseconds(PROBE_START)), Verdict::Restart);
        assert_eq!(silent(&mut pulse, 10, 71 * SECOND), Verdict::Well, "it is started anew");
    }

    #[test]
    fn a_crash_between_two_hangs_does_not_hide_the_first() {
        let mut pulse = well();
        assert_eq!(silent(&mut pulse, HUNG_PROBES, 10 * SECOND), Verdict::Restart);
        pulse.began(20 * SECOND);
        pulse.saw(Seen::Answered, 21 * SECOND);
        assert_eq!(silent(&mut pulse, HUNG_PROBES, 22 * SECOND), Verdict::GiveUp);
    }
}
