//! The life of the second guard's process: orders come in, the time passes, a kill goes out.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Signal, pidfd_send_signal, setsid},
};

use super::wire::{self, HungUp, Order};
use crate::{clock::boot_ns, launcher::alarm::Alarm};

#[derive(Debug, Default)]
struct Watch {
    victim: Option<OwnedFd>,
    deadline: Option<u64>,
}

/// Watches for the launcher at the other end of `line`, until that hangs up; then kills.
pub fn run(line: impl AsFd) {
    // A signal to the launcher's group or session is not for its guard. It fails only for who has a session already.
    let _ = setsid();
    guard_to_the_end(line);
}

fn guard_to_the_end(line: impl AsFd) {
    let mut watch = Watch::default();
    // Whatever went wrong: nobody is left unwatched.
    drop(guard(&line, &mut watch));
    watch.kill();
}

fn guard(line: &impl AsFd, watch: &mut Watch) -> Result<(), HungUp> {
    let alarm = Alarm::new().map_err(|_| HungUp)?;
    loop {
        // All that the launcher said first: after it was frozen along with us, or we alone, the newest deadline counts.
        while let Some((number, order, victim)) = wire::receive(line)? {
            watch.obey(order, victim)?;
            wire::acknowledge(line, number);
        }
        let due = watch.deadline.is_some_and(|deadline| deadline <= boot_ns());
        if due {
            watch.kill();
            watch.deadline = None;
        }
        alarm.set(watch.deadline).map_err(|_| HungUp)?;
        let mut wakers = [PollFd::new(line, PollFlags::IN), PollFd::new(&alarm, PollFlags::IN)];
        match poll(&mut wakers, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Err(HungUp),
        }
    }
}

impl Watch {
    fn obey(&mut self, order: Order, victim: Option<OwnedFd>) -> Result<(), HungUp> {
        match order {
            // Without its process the order cannot be obeyed, and must not be acknowledged.
            Order::Watch(deadline) => *self = Self { victim: Some(victim.ok_or(HungUp)?), deadline },
            Order::Move(deadline) => self.deadline = Some(deadline),
            Order::Forget => *self = Self::default(),
        }
        Ok(())
    }

    fn kill(&self) {
        if let Some(victim) = &self.victim {
            // It fails only when the process is dead already.
            let _ = pidfd_send_signal(victim, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt,
        process::{Child, Command},
        thread::{self, JoinHandle},
        time::{Duration, Instant},
    };

    use rustix::{
        net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair},
        process::{Pid, PidfdFlags, pidfd_open},
    };

    use super::*;

    struct Guarded {
        line: OwnedFd,
        guard: JoinHandle<()>,
        victim: Child,
    }

    /// A guard that watches a process.
    fn guarded(deadline: Option<u64>) -> Guarded {
        let (line, its) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let guard = thread::spawn(move || guard_to_the_end(its));
        let victim = Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&victim), PidfdFlags::empty()).unwrap();
        wire::send(&line, 7, Order::Watch(deadline), Some(pidfd.as_fd())).unwrap();
        assert_eq!(wire::acknowledged(&line).unwrap(), Some(7));
        Guarded { line, guard, victim }
    }

    fn in_millis(millis: u64) -> u64 {
        boot_ns() + millis * 1_000_000
    }

    impl Guarded {
        fn assert_killed(&mut self) {
            assert_eq!(self.victim.wait().unwrap().signal(), Some(9));
        }

        fn leave(self) {
            drop(self.line);
            self.guard.join().unwrap();
        }
    }

    #[test]
    fn it_kills_at_the_deadline_as_last_moved_and_not_before() {
        let begin = Instant::now();
        let mut guarded = guarded(Some(in_millis(100)));
        wire::send(&guarded.line, 8, Order::Move(in_millis(300)), None).unwrap();
        guarded.assert_killed();
        assert!(begin.elapsed() >= Duration::from_millis(300));
        guarded.leave();
    }

    #[test]
    fn it_kills_when_the_launcher_is_dead() {
        let mut guarded = guarded(None);
        drop(std::mem::replace(&mut guarded.line, std::fs::File::open("/dev/null").unwrap().into()));
        guarded.assert_killed();
        guarded.leave();
    }

    #[test]
    fn it_kills_what_it_watches_when_it_does_not_understand_the_launcher() {
        let mut guarded = guarded(Some(in_millis(60_000)));
        rustix::net::send(&guarded.line, b"what?", SendFlags::empty()).unwrap();
        guarded.assert_killed();
        guarded.leave();
    }

    #[test]
    fn it_lets_go_of_what_it_was_told_to_forget() {
        let mut guarded = guarded(Some(in_millis(200)));
        wire::send(&guarded.line, 8, Order::Forget, None).unwrap();
        assert_eq!(wire::acknowledged(&guarded.line).unwrap(), Some(8));
        thread::sleep(Duration::from_millis(400));
        assert!(guarded.victim.try_wait().unwrap().is_none());
        guarded.victim.kill().unwrap();
        guarded.assert_killed();
        guarded.leave();
    }

    #[test]
    fn a_watch_without_its_process_is_not_acknowledged() {
        let mut guarded = guarded(None);
        wire::send(&guarded.line, 8, Order::Watch(None), None).unwrap();
        assert!(wire::acknowledged(&guarded.line).is_err());
        guarded.assert_killed();
        guarded.leave();
    }
}
