//! The two clocks of the launcher.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the kernel's boot-time clock, which never steps and counts while the machine sleeps.
pub fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // Both parts are positive: the clock starts at boot.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + u64::from(now.tv_nsec.unsigned_abs() as u32)
}

/// Milliseconds since 1970, for records that people compare across machines. No decision is taken by it.
pub fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
