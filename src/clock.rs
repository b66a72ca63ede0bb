//! The boot-time clock: the one that leases are counted on.
//!
//! `CLOCK_BOOTTIME` never steps, counts while the machine sleeps, and reads the same in all containers of a pod.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine was started.
pub fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // The kernel's clock is never negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// A reading of the clock so much after another.
pub fn after(boot_ns: u64, wait: Duration) -> u64 {
    boot_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

/// Milliseconds since 1970, for records that people compare across machines. Nothing but the length of a short wait is decided
/// by it.
pub fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
