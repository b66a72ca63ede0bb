//! How often a crashed kudu-master is restarted in place, and how soon. Pure.

use std::collections::VecDeque;

/// Starts that are remembered: a crash longer ago says nothing about the next one. Nanoseconds.
pub const WINDOW_NS: u64 = 60_000_000_000;

/// Waiting time before each restart within [`WINDOW_NS`], in milliseconds.
///
/// The first is none: a killed process is back on its own files in 0.1 to 0.25 s, sooner than any standby. The others
/// add up to 3.6 s, below the 6 s after which a lost Lease would be noticed, so that a master that will not come back is given
/// up, and its Lease released, about when a dead one would have been replaced.
pub const DELAYS_MS: [u64; 4] = [0, 100, 500, 3000];

/// The starts of one reign that still count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    starts: VecDeque<u64>,
}

impl Restarts {
    /// Remembers a start.
    pub fn started(&mut self, now: u64) {
        self.starts.push_back(now);
    }

    /// When to start again after a crash; `None` when it crashed too often.
    pub fn after_crash(&mut self, now: u64) -> Option<u64> {
        self.starts.retain(|start| now.saturating_sub(*start) < WINDOW_NS);
        let nth = self.starts.len().saturating_sub(1);
        DELAYS_MS.get(nth).map(|delay| now + delay * 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_the_fifth_crash_in_a_minute_is_the_last() {
        let mut restarts = Restarts::default();
        let mut now = 0;
        for delay in DELAYS_MS {
            restarts.started(now);
            let again = restarts.after_crash(now + 1).expect("a restart");
            assert_eq!(again, now + 1 + delay * 1_000_000);
            now = again;
        }
        restarts.started(now);
        assert_eq!(restarts.after_crash(now + 1), None);
    }

    #[test]
    fn a_crash_after_a_quiet_minute_counts_as_the_first() {
        let mut restarts = Restarts::default();
        restarts.started(0);
        restarts.started(1);
        restarts.started(2);
        assert_eq!(restarts.after_crash(2 + WINDOW_NS), Some(2 + WINDOW_NS));
    }
}
