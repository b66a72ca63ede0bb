//! What the launcher decides: events and the time in, actions out. Pure.
//!
//! The keeper ([`super::keeper`]) feeds it one event after another and carries out what it says. Times are nanoseconds of the
//! boot-time clock.

use std::collections::BTreeMap;

use super::{
    protocol::{Generation, LauncherStatus, MasterState, Reply, Request, StopReason},
    restart::Restarts,
};

#[cfg(test)]
mod tests;

/// A deadline further ahead than this is refused, in nanoseconds: leases last at most two minutes, so it is a mistake in
/// units or clocks, and would switch the fence off.
pub const LONGEST_LEASE_NS: u64 = 300_000_000_000;
/// How long an ending launcher waits for its sidecar to be done, in nanoseconds; below the 30 s of a pod's default grace period.
pub const ENDING_GRACE: u64 = 20_000_000_000;
/// How long an ending launcher waits while nobody is connected, in nanoseconds: enough for a sidecar to connect again.
pub const LONELY_GRACE: u64 = 2_000_000_000;

/// Names a request that waits for its answer.
pub type Ticket = u64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client asked for something.
    Asked {
        /// Where the answer goes.
        ticket: Ticket,
        /// What is asked.
        request: Request,
        /// Whether the generation that is named has a whole catalog; `Ok` for requests that do not need one.
        catalog: Result<(), String>,
    },
    /// kudu-master was started, as [`Action::Start`] said.
    Started {
        /// Its process.
        pid: i32,
    },
    /// kudu-master could not be started.
    StartFailed {
        /// Why.
        message: String,
    },
    /// kudu-master is dead and reaped.
    Ended {
        /// When it was reaped.
        at: u64,
        /// When it was sent SIGKILL by the launcher, if it was.
        killed_at: Option<u64>,
        /// The end of its log.
        last_words: Option<String>,
    },
    /// A job is done, or failed and left nothing.
    JobDone {
        /// The request that asked for it.
        ticket: Ticket,
        /// How it went.
        result: Result<(), String>,
    },
    /// The launcher was asked by a signal to end.
    Terminate,
    /// So many clients are connected now.
    Clients {
        /// The number.
        connected: usize,
    },
    /// The time that [`Machine::wake_at`] named has come.
    Woke,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start kudu-master, then tell with [`Event::Started`] or [`Event::StartFailed`] before any other event.
    Start {
        /// The reign.
        epoch: i64,
        /// What it runs on.
        generation: Generation,
        /// When the guard kills it.
        deadline: Option<u64>,
    },
    /// Move the guard's deadline.
    MoveDeadline {
        /// The new one.
        deadline: u64,
    },
    /// Kill kudu-master; [`Event::Ended`] follows.
    Kill,
    /// Do a job, then tell with [`Event::JobDone`].
    Run {
        /// The request that asked for it.
        ticket: Ticket,
        /// The job, one of Format, CopyBase and SetTerm.
        job: Request,
    },
    /// Stop all jobs.
    CancelJobs,
    /// Answer a request.
    Answer {
        /// Which.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// End the process.
    Leave,
}

/// The launcher's state.
#[derive(Debug)]
pub struct Machine {
    instance: String,
    sync_gate: bool,
    rpc_bind: String,
    highest_epoch: i64,
    master: Master,
    /// Jobs that are queued or running, with the generation that each works on.
    jobs: BTreeMap<Ticket, Generation>,
    /// Requests that are answered once kudu-master is dead.
    until_dead: Vec<Ticket>,
    connected: usize,
    ending: Option<Ending>,
}

#[derive(Debug)]
enum Master {
    /// Nothing runs; the state as it is told.
    Off(MasterState),
    On(Reign),
}

#[derive(Debug)]
struct Reign {
    epoch: i64,
    generation: Generation,
    deadline: Option<u64>,
    starts: u32,
    restarts: Restarts,
    last_words: Option<String>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// [`Action::Start`] was given; `first` has what to go back to and whom to answer when it fails.
    Starting {
        first: Option<(Ticket, MasterState)>,
    },
    Up {
        pid: i32,
        stopping: Option<StopReason>,
    },
    /// It crashed and is started again at that time.
    Down {
        until: u64,
    },
}

#[derive(Debug, Default)]
struct Ending {
    dead_since: Option<u64>,
    told: bool,
    asked_to_exit: bool,
    left: bool,
}

impl Machine {
    /// A launcher that has never started anything. `sync_gate`: what it starts runs with the sync gate; `rpc_bind`: where that
    /// serves.
    pub fn new(instance: String, sync_gate: bool, rpc_bind: String) -> Self {
        Self {
            instance,
            sync_gate,
            rpc_bind,
            highest_epoch: i64::MIN,
            master: Master::Off(MasterState::Idle),
            jobs: BTreeMap::new(),
            until_dead: Vec::new(),
            connected: 0,
            ending: None,
        }
    }

    /// How the launcher is.
    pub fn status(&self) -> LauncherStatus {
        let master = match &self.master {
            Master::Off(state) => state.clone(),
            Master::On(reign) => MasterState::Running {
                epoch: reign.epoch,
                generation: reign.generation.clone(),
                pid: match reign.phase {
                    Phase::Up { pid, .. } => Some(pid),
                    Phase::Starting { .. } | Phase::Down { .. } => None,
                },
                starts: reign.starts,
                deadline_boot_ns: reign.deadline,
            },
        };
        LauncherStatus {
            instance: self.instance.clone(),
            sync_gate: self.sync_gate,
            rpc_bind: Some(self.rpc_bind.clone()),
            master,
        }
    }

    /// When [`Event::Woke`] is due.
    pub fn wake_at(&self) -> Option<u64> {
        let master = match &self.master {
            Master::Off(_) => None,
            Master::On(reign) => match reign.phase {
                Phase::Up { stopping: Some(_), .. } | Phase::Starting { .. } => None,
                Phase::Up { .. } => reign.deadline,
                Phase::Down { until } => Some(reign.deadline.map_or(until, |deadline| deadline.min(until))),
            },
        };
        let leave = self.ending.as_ref().filter(|ending| !ending.left).and_then(|ending| {
            let grace = if self.connected == 0 { LONELY_GRACE } else { ENDING_GRACE };
            ending.dead_since.map(|since| since.saturating_add(grace))
        });
        [master, leave].into_iter().flatten().min()
    }

    /// Takes one event at a time that never goes backwards.
    pub fn handle(&mut self, event: Event, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        // Whatever happened, a lease that is over comes first.
        self.check_lease(now, &mut actions);
        match event {
            Event::Asked { ticket, request, catalog } => self.asked(ticket, request, catalog, now, &mut actions),
            Event::Started { pid } => self.started(pid, now, &mut actions),
            Event::StartFailed { message } => self.start_failed(message, now, &mut actions),
            Event::Ended { at, killed_at, last_words } => {
                let kill_micros = killed_at.map_or(0, |sent| at.saturating_sub(sent) / 1000);
                self.ended(kill_micros, last_words, now, &mut actions);
            }
            Event::JobDone { ticket, result } => {
                self.jobs.remove(&ticket);
                match result {
                    Ok(()) => self.done(ticket, &mut actions),
                    Err(message) => refuse(ticket, message, &mut actions),
                }
            }
            Event::Terminate => self.terminate(now, &mut actions),
            Event::Clients { connected } => self.connected = connected,
            Event::Woke => {}
        }
        self.restart_when_due(now, &mut actions);
        self.leave_when_done(now, &mut actions);
        actions
    }

    fn asked(
        &mut self,
        ticket: Ticket,
        request: Request,
        catalog: Result<(), String>,
        now: u64,
        actions: &mut Vec<Action>,
    ) {
        match request {
            Request::Status => self.done(ticket, actions),
            Request::Start { epoch, generation, deadline_boot_ns } => {
                let possible = self.may_start(epoch, &generation, deadline_boot_ns, catalog, now);
                match possible {
                    Ok(Start::Anew) => self.start(ticket, epoch, generation, deadline_boot_ns, actions),
                    Ok(Start::RunsAlready) => {
                        self.extend(deadline_boot_ns, actions);
                        self.done(ticket, actions);
                    }
                    Err(message) => refuse(ticket, message, actions),
                }
            }
            Request::Renew { epoch, deadline_boot_ns } => match self.may_renew(epoch, deadline_boot_ns, now) {
                Ok(()) => {
                    self.extend(deadline_boot_ns, actions);
                    self.done(ticket, actions);
                }
                Err(message) => refuse(ticket, message, actions),
            },
            Request::Stop => {
                self.until_dead.push(ticket);
                self.stop(StopReason::Asked, now, actions);
            }
            Request::Exit => {
                self.ending.get_or_insert_default().asked_to_exit = true;
                self.until_dead.push(ticket);
                actions.push(Action::CancelJobs);
                self.stop(StopReason::Ending, now, actions);
            }
            Request::Format { ref generation, .. }
            | Request::CopyBase { ref generation, .. }
            | Request::SetTerm { ref generation, .. } => match self.may_work_on(generation).and(catalog) {
                Ok(()) => {
                    self.jobs.insert(ticket, generation.clone());
                    actions.push(Action::Run { ticket, job: request });
                }
                Err(message) => refuse(ticket, message, actions),
            },
        }
    }

    fn may_start(
        &self,
        epoch: i64,
        generation: &Generation,
        deadline: Option<u64>,
        catalog: Result<(), String>,
        now: u64,
    ) -> Result<Start, String> {
        if self.ending.is_some() {
            return Err("the launcher is ending and starts nothing any more".to_owned());
        }
        if epoch < self.highest_epoch {
            let highest = self.highest_epoch;
            return Err(format!("epoch {epoch} is over: this launcher has been asked to serve epoch {highest}"));
        }
        check_deadline(deadline, now)?;
        if let Master::On(reign) = &self.master {
            if (reign.epoch, &reign.generation) != (epoch, generation) {
                let (epoch, generation) = (reign.epoch, &reign.generation);
                return Err(format!("kudu-master runs on {generation} in epoch {epoch}; stop it first"));
            }
            if matches!(reign.phase, Phase::Up { stopping: Some(_), .. }) {
                return Err("kudu-master is being stopped; start it again when it has".to_owned());
            }
            same_kind_of_lease(reign.deadline, deadline)?;
            return Ok(Start::RunsAlready);
        }
        catalog?;
        if self.jobs.values().any(|busy| busy == generation) {
            return Err(format!("a job still works on {generation}; start it when that has ended"));
        }
        Ok(Start::Anew)
    }

    fn start(
        &mut self,
        ticket: Ticket,
        epoch: i64,
        generation: Generation,
        deadline: Option<u64>,
        actions: &mut Vec<Action>,
    ) {
        self.highest_epoch = epoch;
        let before = self.status().master;
        self.master = Master::On(Reign {
            epoch,
            generation: generation.clone(),
            deadline,
            starts: 0,
            restarts: Restarts::default(),
            last_words: None,
            phase: Phase::Starting { first: Some((ticket, before)) },
        });
        actions.push(Action::Start { epoch, generation, deadline });
    }

    fn started(&mut self, pid: i32, now: u64, actions: &mut Vec<Action>) {
        let Master::On(reign) = &mut self.master else { return };
        reign.starts = reign.starts.saturating_add(1);
        reign.restarts.started(now);
        let before = std::mem::replace(&mut reign.phase, Phase::Up { pid, stopping: None });
        if let Phase::Starting { first: Some((ticket, _)) } = before {
            self.done(ticket, actions);
        }
    }

    fn start_failed(&mut self, message: String, now: u64, actions: &mut Vec<Action>) {
        let Master::On(reign) = &mut self.master else { return };
        let Phase::Starting { first } = &mut reign.phase else { return };
        match first.take() {
            Some((ticket, before)) => {
                self.master = Master::Off(before);
                refuse(ticket, message, actions);
            }
            // A restart that fails is one more crash.
            None => {
                reign.restarts.started(now);
                self.crashed(Some(message), now, actions);
            }
        }
    }

    fn may_renew(&self, epoch: i64, deadline: Option<u64>, now: u64) -> Result<(), String> {
        let reign = match &self.master {
            Master::On(reign) if reign.epoch == epoch => reign,
            Master::On(reign) => {
                return Err(format!("epoch {} is running, not epoch {epoch}; there is nothing to renew", reign.epoch));
            }
            Master::Off(_) => return Err(format!("nothing of epoch {epoch} is running; there is nothing to renew")),
        };
        if let Phase::Up { stopping: Some(reason), .. } = reign.phase {
            return Err(format!("kudu-master is being stopped ({reason:?}); there is nothing to renew"));
        }
        same_kind_of_lease(reign.deadline, deadline)?;
        check_deadline(deadline, now)
    }

    /// Moves the deadline forwards, never back.
    fn extend(&mut self, deadline: Option<u64>, actions: &mut Vec<Action>) {
        let Master::On(reign) = &mut self.master else { return };
        if let (Some(old), Some(new)) = (reign.deadline, deadline)
            && new > old
        {
            reign.deadline = Some(new);
            actions.push(Action::MoveDeadline { deadline: new });
        }
    }

    fn may_work_on(&self, generation: &Generation) -> Result<(), String> {
        if self.ending.is_some() {
            return Err("the launcher is ending and does nothing any more".to_owned());
        }
        match &self.master {
            Master::On(reign) if &reign.generation == generation => {
                Err(format!("kudu-master runs on {generation}; stop it first"))
            }
            _ => Ok(()),
        }
    }

    fn stop(&mut self, reason: StopReason, now: u64, actions: &mut Vec<Action>) {
        match &mut self.master {
            Master::On(Reign { phase: Phase::Up { stopping, .. }, .. }) => {
                if stopping.is_none() {
                    *stopping = Some(reason);
                    actions.push(Action::Kill);
                }
            }
            Master::On(_) => self.dead(reason, 0, now, actions),
            Master::Off(_) => self.answer_the_waiting(now, actions),
        }
    }

    fn ended(&mut self, kill_micros: u64, last_words: Option<String>, now: u64, actions: &mut Vec<Action>) {
        let Master::On(Reign { phase: Phase::Up { stopping, .. }, .. }) = &self.master else { return };
        match *stopping {
            Some(reason) => self.dead(reason, kill_micros, now, actions),
            None => self.crashed(last_words, now, actions),
        }
    }

    fn crashed(&mut self, last_words: Option<String>, now: u64, actions: &mut Vec<Action>) {
        let Master::On(reign) = &mut self.master else { return };
        reign.last_words = last_words;
        match reign.restarts.after_crash(now) {
            Some(until) => reign.phase = Phase::Down { until },
            None => self.dead(StopReason::CrashLoop, 0, now, actions),
        }
    }

    /// kudu-master is dead, and stays so.
    fn dead(&mut self, reason: StopReason, kill_micros: u64, now: u64, actions: &mut Vec<Action>) {
        let Master::On(reign) = &mut self.master else { return };
        let last_words = reign.last_words.take();
        self.master = Master::Off(MasterState::Stopped { epoch: reign.epoch, reason, kill_micros, last_words });
        self.answer_the_waiting(now, actions);
    }

    fn answer_the_waiting(&mut self, now: u64, actions: &mut Vec<Action>) {
        if let Some(ending) = &mut self.ending {
            ending.dead_since.get_or_insert(now);
        }
        for ticket in std::mem::take(&mut self.until_dead) {
            self.done(ticket, actions);
        }
    }

    fn check_lease(&mut self, now: u64, actions: &mut Vec<Action>) {
        let Master::On(reign) = &self.master else { return };
        if reign.deadline.is_some_and(|deadline| deadline <= now) && !matches!(reign.phase, Phase::Starting { .. }) {
            // The guard has killed it by now; to kill twice does no harm.
            self.stop(StopReason::LeaseOver, now, actions);
        }
    }

    fn restart_when_due(&mut self, now: u64, actions: &mut Vec<Action>) {
        let Master::On(reign) = &mut self.master else { return };
        if let Phase::Down { until } = reign.phase
            && until <= now
        {
            reign.phase = Phase::Starting { first: None };
            let (epoch, generation, deadline) = (reign.epoch, reign.generation.clone(), reign.deadline);
            actions.push(Action::Start { epoch, generation, deadline });
        }
    }

    fn terminate(&mut self, now: u64, actions: &mut Vec<Action>) {
        if self.ending.is_some() {
            // Asked twice: whoever asks is in a hurry. The kernel kills what still runs.
            self.ending.get_or_insert_default().asked_to_exit = true;
        } else {
            self.ending = Some(Ending::default());
            actions.push(Action::CancelJobs);
        }
        self.stop(StopReason::Ending, now, actions);
    }

    fn leave_when_done(&mut self, now: u64, actions: &mut Vec<Action>) {
        let connected = self.connected;
        let Some(ending) = &mut self.ending else { return };
        let Some(since) = ending.dead_since else { return };
        let gone = connected == 0 && (ending.told || now >= since.saturating_add(LONELY_GRACE));
        let done = ending.asked_to_exit || gone || now >= since.saturating_add(ENDING_GRACE);
        if done && !ending.left {
            ending.left = true;
            actions.push(Action::Leave);
        }
    }

    fn done(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        if let Some(ending) = &mut self.ending {
            ending.told |= ending.dead_since.is_some();
        }
        actions.push(Action::Answer { ticket, reply: Reply::Done(self.status()) });
    }
}

enum Start {
    Anew,
    RunsAlready,
}

fn check_deadline(deadline: Option<u64>, now: u64) -> Result<(), String> {
    let Some(deadline) = deadline else { return Ok(()) };
    if deadline <= now {
        let late = (now - deadline) / 1_000_000;
        return Err(format!("the deadline passed {late} ms ago; take the lease again first"));
    }
    if deadline - now > LONGEST_LEASE_NS {
        let ahead = (deadline - now) / 1_000_000_000;
        return Err(format!(
            "the deadline is {ahead} s ahead, and no lease lasts over {} s; deadlines are nanoseconds of CLOCK_BOOTTIME",
            LONGEST_LEASE_NS / 1_000_000_000
        ));
    }
    Ok(())
}

/// A reign has a deadline from its start to its end, or never has one: a message without one must not switch the fence off.
fn same_kind_of_lease(old: Option<u64>, new: Option<u64>) -> Result<(), String> {
    match (old, new) {
        (Some(_), None) => Err("this reign runs under a lease; renew it with a deadline".to_owned()),
        (None, Some(_)) => {
            Err("this reign was started without a lease; renew it without a deadline, or stop it first".to_owned())
        }
        _ => Ok(()),
    }
}

fn refuse(ticket: Ticket, message: String, actions: &mut Vec<Action>) {
    actions.push(Action::Answer { ticket, reply: Reply::Refused { message } });
}
