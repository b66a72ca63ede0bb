//! The guard: kills kudu-master when its deadline passes, whatever else hangs.
//!
//! One plain thread sleeps in a `read` of a timer on the boot-time clock. It shares one small state with the keeper behind a lock
//! that nobody holds across I/O, signals through a process descriptor, which cannot mean another process, and logs nothing, since
//! a log whose reader is stuck would stop it. A deadline that was moved just before it woke is seen under the lock.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::process::{Signal, pidfd_send_signal};

use super::alarm::Alarm;
use crate::clock::boot_ns;

/// The keeper's handle on the guard.
#[derive(Debug, Clone)]
pub struct Guard {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    alarm: Alarm,
    watch: Mutex<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    victim: Option<OwnedFd>,
    deadline: Option<u64>,
    killed_at: Option<u64>,
}

impl Guard {
    /// Starts the guard's thread. `fired` is called after each kill at a deadline and must not block.
    pub fn start(fired: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { alarm: Alarm::new()?, watch: Mutex::default() });
        let guard = Self { shared: Arc::clone(&shared) };
        thread::Builder::new().name("guard".to_owned()).spawn(move || {
            loop {
                if shared.alarm.wait().is_err() {
                    // The only caller who can know of a broken timer is the process itself: end it, and the kernel kills kudu-master.
                    std::process::abort();
                }
                if shared.kill_when_due() {
                    fired();
                }
            }
        })?;
        Ok(guard)
    }

    /// Watches a process until its deadline. False when the deadline has passed already; then the process is killed.
    pub fn watch(&self, victim: OwnedFd, deadline: Option<u64>) -> bool {
        *self.shared.lock() = Watch { victim: Some(victim), deadline, killed_at: None };
        self.shared.set_timer(deadline);
        !self.shared.kill_when_due()
    }

    /// Moves the deadline.
    pub fn move_deadline(&self, deadline: u64) {
        let mut watch = self.shared.lock();
        watch.deadline = Some(deadline);
        self.shared.set_timer(watch.deadline);
    }

    /// Kills the process now.
    pub fn kill(&self) {
        self.shared.lock().kill();
    }

    /// The process is dead and reaped. When it was killed, if it was killed by the launcher.
    pub fn forget(&self) -> Option<u64> {
        let mut watch = self.shared.lock();
        self.shared.set_timer(None);
        std::mem::take(&mut *watch).killed_at
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watch> {
        // A panic elsewhere aborts the process; there is no state to distrust.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill_when_due(&self) -> bool {
        let mut watch = self.lock();
        let due = watch.victim.is_some() && watch.deadline.is_some_and(|deadline| deadline <= boot_ns());
        if due {
            watch.kill();
        }
        due
    }

    fn set_timer(&self, deadline: Option<u64>) {
        if self.alarm.set(deadline).is_err() {
            std::process::abort();
        }
    }
}

impl Watch {
    fn kill(&mut self) {
        if let Some(victim) = &self.victim {
            self.killed_at.get_or_insert_with(boot_ns);
            // It fails only when the process is dead already.
            let _ = pidfd_send_signal(victim, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command},
        sync::mpsc,
        time::{Duration, Instant},
    };

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    fn sleeper() -> (Child, OwnedFd) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        (child, pidfd)
    }

    #[test]
    fn it_kills_at_the_deadline_as_last_moved_and_not_before() {
        let (sender, fired) = mpsc::channel();
        let guard = Guard::start(move || sender.send(()).unwrap()).unwrap();
        let (mut child, pidfd) = sleeper();
        let begin = Instant::now();
        assert!(guard.watch(pidfd, Some(boot_ns() + 50_000_000)));
        guard.move_deadline(boot_ns() + 200_000_000);
        fired.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(200));
        assert!(!child.wait().unwrap().success());
        assert!(guard.forget().is_some());
    }

    #[test]
    fn a_shorter_deadline_of_a_later_reign_counts() {
        let (sender, fired) = mpsc::channel();
        let guard = Guard::start(move || sender.send(()).unwrap()).unwrap();
        let (mut first, pidfd) = sleeper();
        guard.watch(pidfd, Some(boot_ns() + 100_000_000_000));
        guard.kill();
        first.wait().unwrap();
        guard.forget();
        let (mut second, pidfd) = sleeper();
        guard.watch(pidfd, Some(boot_ns() + 50_000_000));
        fired.recv_timeout(Duration::from_secs(20)).unwrap();
        second.wait().unwrap();
    }

    #[test]
    fn a_deadline_that_has_passed_kills_at_once() {
        let guard = Guard::start(|| ()).unwrap();
        let (mut child, pidfd) = sleeper();
        assert!(!guard.watch(pidfd, Some(boot_ns() - 1)));
        assert!(!child.wait().unwrap().success());
    }
}
