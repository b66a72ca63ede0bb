//! A timer on the boot-time clock.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer that goes off once, at an absolute time.
#[derive(Debug)]
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    /// One that is not set.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?))
    }

    /// Sets it to a reading of the boot-time clock in nanoseconds, or switches it off. One that is past goes off at once.
    pub(super) fn set(&self, at: Option<u64>) -> io::Result<()> {
        let value = at.map_or(Timespec { tv_sec: 0, tv_nsec: 0 }, |at| Timespec {
            // A time of zero would switch the timer off.
            tv_sec: (at.max(1) / 1_000_000_000).try_into().unwrap_or(i64::MAX),
            tv_nsec: (at.max(1) % 1_000_000_000) as _,
        });
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    /// Waits until it goes off; or until a signal came, which the caller takes for a reason to look at the time.
    pub(super) fn wait(&self) -> io::Result<()> {
        match rustix::io::read(&self.0, &mut [0; 8]) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
