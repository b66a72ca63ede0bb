//! The second guard: a process of its own that kills kudu-master at its deadline when the launcher itself stands still.
//!
//! The first guard ([`super::guard`]) is a thread of the launcher. A SIGSTOP that hits the launcher, a debugger, or a freezer
//! stops it, while kudu-master goes on. So a small process with a session of its own (`kudu-pair launcher-guard`, [`run`]) has a
//! descriptor of kudu-master and the deadline as well, and a timer of its own. It has no lock, no log and no file but its socket.
//!
//! - kudu-master is executed only once the process has acknowledged that it watches ([`SecondGuard::watch`]).
//! - A deadline that is moved is sent to it, and not waited for: one that does not arrive only kills earlier.
//! - The launcher's death closes the socket; then it kills what it watches and leaves.
//! - Its own death, or three seconds without an answer, makes the launcher start another one, which watches what it did. When that
//!   takes too long, the launcher kills kudu-master.
//!
//! The thread that sees to this does no I/O but on the socket, for the same reasons as the first guard.

mod process;
mod wire;

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, socketpair,
    sockopt::{Timeout, set_socket_timeout},
};

pub use process::run;

use self::wire::{HungUp, Order};
use super::{child::Children, guard::Guard};
use crate::clock::boot_ns;

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "launcher-guard";

/// How often it is looked whether the process answers.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// A process that does not answer for so long stands still, in nanoseconds. One that is only late is replaced at no other cost.
const PATIENCE_NS: u64 = 3_000_000_000;
/// How long kudu-master may run without a second guard before it is killed, in nanoseconds. Another one is there in milliseconds; a
/// machine so busy that it takes seconds is no reason for an outage, since the first guard watches meanwhile.
const UNWATCHED_NS: u64 = 10_000_000_000;
/// How long a start of kudu-master waits for a process that watches it: less than its sidecar waits for the start.
const ARMING: Duration = Duration::from_secs(4);
/// A process that ended sooner than this is not replaced at once, in nanoseconds.
const SHORT_LIFE_NS: u64 = 1_000_000_000;
/// What is waited then.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// What became of the process, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mishap {
    /// It ended or stood still, and another one watches now.
    Replaced(String),
    /// kudu-master was killed, since no process has watched it for too long.
    Unwatched,
}

/// The keeper's handle on the second guard.
#[derive(Debug, Clone)]
pub struct SecondGuard {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    armed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The socket of the process that runs.
    line: Option<Arc<OwnedFd>>,
    watched: Option<Watched>,
    /// Number of the last order.
    last: u64,
    /// Number of the last order that the process has acknowledged.
    acknowledged: u64,
    /// Since when an order waits to be acknowledged.
    waiting_since: Option<u64>,
}

#[derive(Debug)]
struct Watched {
    victim: OwnedFd,
    deadline: Option<u64>,
    /// Number of the order to watch it, once it was given to the process that runs.
    order: Option<u64>,
    /// Since when no process is known to watch it.
    unwatched_since: Option<u64>,
}

impl SecondGuard {
    /// Starts the process, and the thread that sees to it. `told` is told of mishaps and must not block.
    pub fn start(children: Arc<Children>, first: Guard, told: impl Fn(Mishap) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let guard = Self { shared: Arc::clone(&shared) };
        thread::Builder::new().name("second-guard".to_owned()).spawn(move || {
            loop {
                let begun = boot_ns();
                let why = shared.follow_one(&children, &first, &told);
                shared.lose_line();
                told(Mishap::Replaced(why));
                if boot_ns().saturating_sub(begun) < SHORT_LIFE_NS {
                    thread::sleep(RESTART_PAUSE);
                }
                shared.kill_unwatched(&first, &told);
            }
        })?;
        Ok(guard)
    }

    /// Lets the process watch another one until its deadline; returns once it does.
    ///
    /// # Errors
    /// When it does not. Nothing is watched then.
    pub fn watch(&self, victim: OwnedFd, deadline: Option<u64>) -> io::Result<()> {
        let mut state = self.shared.state();
        state.watched = Some(Watched { victim, deadline, order: None, unwatched_since: Some(boot_ns()) });
        state.arm();
        let waited = self.shared.armed.wait_timeout_while(state, ARMING, |state| !state.is_watching());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_watching() {
            return Ok(());
        }
        state.watched = None;
        Err(io::Error::new(io::ErrorKind::TimedOut, "no second guard watches it"))
    }

    /// Moves the deadline.
    pub fn move_deadline(&self, deadline: u64) {
        let mut state = self.shared.state();
        if let Some(watched) = &mut state.watched {
            watched.deadline = Some(deadline);
            state.order(Order::Move(deadline));
        }
    }

    /// The process that was watched is dead and reaped.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.watched = None;
        state.order(Order::Forget);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere aborts the process; there is no state to distrust.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process and follows it to its end. Returns why it is no guard any more.
    fn follow_one(&self, children: &Children, first: &Guard, told: &impl Fn(Mishap)) -> String {
        let (mut process, line) = match spawn(children) {
            Ok(spawned) => spawned,
            Err(error) => return format!("the second guard cannot be started: {error}"),
        };
        {
            let mut state = self.state();
            state.line = Some(Arc::clone(&line));
            state.arm();
        }
        let why = self.listen(&line, first, told);
        // Dead before its socket is closed: one that only stood still would take that for the launcher's death, and kill.
        drop(process.kill());
        match (children.wait(&mut process), why) {
            (_, Some(why)) => why,
            (Ok(status), None) => match status.signal() {
                Some(signal) => format!("the second guard was ended by signal {signal}"),
                None => format!("the second guard ended: {status}"),
            },
            (Err(error), None) => format!("the second guard ended: {error}"),
        }
    }

    /// Takes acknowledgements until the process is dead; or says that it stands still.
    fn listen(&self, line: &OwnedFd, first: &Guard, told: &impl Fn(Mishap)) -> Option<String> {
        loop {
            match wire::acknowledged(line) {
                Ok(Some(number)) => self.acknowledge(number),
                Ok(None) => {}
                Err(HungUp) => return None,
            }
            self.kill_unwatched(first, told);
            let since = self.state().waiting_since;
            if since.is_some_and(|since| boot_ns().saturating_sub(since) >= PATIENCE_NS) {
                return Some("the second guard stands still".to_owned());
            }
        }
    }

    fn acknowledge(&self, number: u64) {
        let mut state = self.state();
        state.acknowledged = number;
        state.waiting_since = (number < state.last).then(boot_ns);
        if let Some(watched) = &mut state.watched
            && watched.order.is_some_and(|order| order <= number)
        {
            watched.unwatched_since = None;
            self.armed.notify_all();
        }
    }

    /// The process is dead.
    fn lose_line(&self) {
        let mut state = self.state();
        state.line = None;
        state.waiting_since = None;
        if let Some(watched) = &mut state.watched {
            watched.order = None;
            watched.unwatched_since.get_or_insert_with(boot_ns);
        }
    }

    fn kill_unwatched(&self, first: &Guard, told: &impl Fn(Mishap)) {
        let mut state = self.state();
        let since = state.watched.as_ref().and_then(|watched| watched.unwatched_since);
        if since.is_some_and(|since| boot_ns().saturating_sub(since) >= UNWATCHED_NS) {
            state.watched = None;
            first.kill();
            told(Mishap::Unwatched);
        }
    }
}

impl State {
    /// Gives the process that runs the order to watch.
    fn arm(&mut self) {
        let (Some(line), Some(watched)) = (&self.line, &mut self.watched) else { return };
        self.last += 1;
        self.waiting_since.get_or_insert_with(boot_ns);
        let sent = wire::send(line, self.last, Order::Watch(watched.deadline), Some(watched.victim.as_fd()));
        // An acknowledgement of a later order would not mean one that was not sent.
        watched.order = sent.is_ok().then_some(self.last);
    }

    fn is_watching(&self) -> bool {
        self.watched.as_ref().is_some_and(|watched| watched.unwatched_since.is_none())
    }

    fn order(&mut self, order: Order) {
        let Some(line) = &self.line else { return };
        self.last += 1;
        self.waiting_since.get_or_insert_with(boot_ns);
        // What cannot be sent is not acknowledged, and the process replaced.
        drop(wire::send(line, self.last, order, None));
    }
}

/// Starts a process; returns it with the launcher's end of its socket.
fn spawn(children: &Children) -> io::Result<(Child, Arc<OwnedFd>)> {
    let (ours, its) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&ours, Timeout::Recv, Some(LOOK_PAUSE))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(SUBCOMMAND).stdin(its).stdout(Stdio::null()).stderr(Stdio::null());
    Ok((children.spawn(&mut command)?, Arc::new(ours)))
}
