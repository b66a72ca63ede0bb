//! The keeper: the thread that carries out what the [`machine`](super::machine) decides.
//!
//! It starts kudu-master, and the kernel kills that with this thread; so it ends only when the launcher does.

use std::{
    collections::HashMap,
    io,
    path::Path,
    process::Child,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::clock::{boot_ns, unix_millis};

use super::{
    catalog,
    child::Held,
    flags::{Addresses, master_args},
    gate::{Gate, GateError},
    guard::Guard,
    jobs::{Job, Workshop, start_worker},
    machine::{Action, Event, Machine, Ticket},
    output::Output,
    protocol::{Reply, Request},
    reigns::{Reign, ReignEvent, Reigns},
    second_guard::{Mishap, SecondGuard},
    tools::Cancel,
};

/// What the keeper is told.
#[derive(Debug)]
pub enum Message {
    /// A client asked.
    Asked {
        /// What.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
        /// Cancelled when the client hangs up.
        cancel: Cancel,
    },
    /// Something happened.
    Event(Event),
    /// Something happened to the second guard, and was seen to.
    SecondGuard(Mishap),
}

/// The keeper's thread.
struct Keeper {
    machine: Machine,
    instance: String,
    workshop: Workshop,
    addresses: Addresses,
    gate: Option<Gate>,
    guard: Guard,
    second_guard: SecondGuard,
    reigns: Reigns,
    jobs: mpsc::Sender<Job>,
    messages: mpsc::Sender<Message>,
    asked: HashMap<Ticket, (oneshot::Sender<Reply>, Cancel)>,
    next_ticket: Ticket,
    /// The reign of the process that runs, for its last record.
    running: Option<Reign>,
}

/// Starts the keeper with its guard and worker. With a gate every kudu-master runs with it, or not at all. `left` is completed
/// when the launcher may end.
pub fn start(
    instance: String,
    workshop: Workshop,
    addresses: Addresses,
    gate: Option<Gate>,
) -> io::Result<(mpsc::Sender<Message>, oneshot::Receiver<()>)> {
    let (messages, inbox) = mpsc::channel();
    let (leave, left) = oneshot::channel();
    let fired = messages.clone();
    // The keeper reads its own state at each message; when it is gone, so is the process.
    let guard = Guard::start(move || drop(fired.send(Message::Event(Event::Woke))))?;
    let mishaps = messages.clone();
    let second_guard = SecondGuard::start(Arc::clone(&workshop.children), guard.clone(), move |mishap| {
        drop(mishaps.send(Message::SecondGuard(mishap)));
    })?;
    let done = messages.clone();
    let jobs = start_worker(workshop.clone(), move |ticket, result| {
        drop(done.send(Message::Event(Event::JobDone { ticket, result })));
    })?;
    let mut keeper = Keeper {
        machine: Machine::new(instance.clone(), gate.is_some(), addresses.rpc_bind.clone()),
        instance,
        reigns: Reigns::new(workshop.volumes.own_files().to_owned()),
        workshop,
        addresses,
        gate,
        guard,
        second_guard,
        jobs,
        messages: messages.clone(),
        asked: HashMap::new(),
        next_ticket: 0,
        running: None,
    };
    thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        keeper.run(&inbox);
        // Nobody listens only when the process ends anyway.
        let _ = leave.send(());
        // The end of this thread would kill what it started; the end of the process does that as well, and is next.
        thread::park();
    })?;
    Ok((messages, left))
}

impl Keeper {
    fn run(&mut self, inbox: &mpsc::Receiver<Message>) {
        loop {
            let message = match self.machine.wake_at() {
                Some(at) => inbox.recv_timeout(Duration::from_nanos(at.saturating_sub(boot_ns()))),
                None => inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            };
            let event = match message {
                Ok(Message::Asked { request, reply, cancel }) => self.take_in(request, reply, cancel),
                Ok(Message::Event(event)) => self.complete(event),
                Ok(Message::SecondGuard(mishap)) => {
                    report(&mishap);
                    Event::Woke
                }
                Err(mpsc::RecvTimeoutError::Timeout) => Event::Woke,
                // The keeper holds a sender itself.
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            let mut next = Some(event);
            while let Some(event) = next.take() {
                for action in self.machine.handle(event, boot_ns()) {
                    match self.carry_out(action) {
                        Outcome::Nothing => {}
                        Outcome::Event(event) => next = Some(event),
                        Outcome::Leave => return,
                    }
                }
            }
        }
    }

    fn take_in(&mut self, request: Request, reply: oneshot::Sender<Reply>, cancel: Cancel) -> Event {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.asked.insert(ticket, (reply, cancel));
        let catalog = match &request {
            Request::Start { generation, .. } => self.check_catalog(generation),
            _ => Ok(()),
        };
        if !matches!(request, Request::Status | Request::Renew { .. }) {
            tracing::info!(?request, "asked");
        }
        Event::Asked { ticket, request, catalog }
    }

    fn check_catalog(&self, generation: &str) -> Result<(), String> {
        let folders = self.workshop.volumes.folders(generation).map_err(|error| error.to_string())?;
        catalog::check(&folders.wal, &folders.data).map_err(|error| error.to_string())
    }

    /// Adds what only the keeper knows, and writes down the end of a reign.
    fn complete(&mut self, event: Event) -> Event {
        let Event::Ended { at, last_words, .. } = event else { return event };
        let killed_at = self.forget();
        if let Some(reign) = self.running.take() {
            let reign = Reign { event: ReignEvent::Ended, unix_millis: unix_millis(), boot_ns: at, ..reign };
            tracing::info!(
                epoch = reign.epoch,
                generation = reign.generation,
                pid = reign.pid,
                unix_millis = reign.unix_millis,
                boot_ns = reign.boot_ns,
                killed = killed_at.is_some(),
                kill_micros = killed_at.map_or(0, |sent| at.saturating_sub(sent) / 1000),
                "kudu-master ended"
            );
            self.record(&reign);
        }
        Event::Ended { at, killed_at, last_words }
    }

    fn carry_out(&mut self, action: Action) -> Outcome {
        match action {
            Action::Start { epoch, generation, deadline } => {
                return Outcome::Event(match self.start(epoch, generation, deadline) {
                    Ok(pid) => Event::Started { pid },
                    Err(error) => {
                        tracing::error!(epoch, %error, "kudu-master was not started");
                        Event::StartFailed { message: format!("kudu-master cannot be started: {error}") }
                    }
                });
            }
            Action::MoveDeadline { deadline } => {
                self.second_guard.move_deadline(deadline);
                self.guard.move_deadline(deadline);
            }
            Action::Kill => self.guard.kill(),
            Action::Run { ticket, job } => {
                let cancel = self.asked.get(&ticket).map(|(_, cancel)| cancel.clone()).unwrap_or_default();
                // The worker lives as long as the launcher.
                let _ = self.jobs.send(Job { ticket, request: job, cancel });
            }
            Action::CancelJobs => self.asked.values().for_each(|(_, cancel)| cancel.cancel()),
            Action::Answer { ticket, reply } => {
                if let Reply::Refused { message } = &reply {
                    tracing::warn!(message, "refused");
                }
                if let Some((sender, _)) = self.asked.remove(&ticket) {
                    // The client may have hung up.
                    let _ = sender.send(reply);
                }
            }
            Action::Leave => return Outcome::Leave,
        }
        Outcome::Nothing
    }

    /// Starts kudu-master. Its program is executed after both guards watch it, and never past the deadline.
    fn start(&mut self, epoch: i64, generation: String, deadline: Option<u64>) -> Result<i32, StartError> {
        let Workshop { programs, volumes, children, user_flags } = &self.workshop;
        let folders = volumes.folders(&generation).map_err(|error| StartError(error.to_string()))?;
        let gated = self.gate.is_some();
        let args =
            master_args(user_flags, &folders.wal, &folders.data, programs.www().as_deref(), &self.addresses, gated);
        let mut environment = programs.environment().to_vec();
        environment.extend(self.gate.iter().flat_map(Gate::environment));
        let held = children.hold(&programs.master(), &args, &environment)?;
        let pid = held.pid();
        if let Err(error) = self.watch(&held, deadline) {
            held.give_up(children);
            self.forget();
            return Err(error);
        }
        let event = ReignEvent::Started;
        let instance = self.instance.clone();
        let reign = Reign { event, instance, epoch, generation, pid, unix_millis: unix_millis(), boot_ns: boot_ns() };
        self.record(&reign);
        let child = match self.release(held, &programs.master()) {
            Ok(child) => child,
            Err(error) => {
                self.forget();
                self.record(&Reign {
                    event: ReignEvent::Ended,
                    unix_millis: unix_millis(),
                    boot_ns: boot_ns(),
                    ..reign
                });
                return Err(error);
            }
        };
        tracing::info!(
            epoch,
            generation = reign.generation,
            pid,
            unix_millis = reign.unix_millis,
            boot_ns = reign.boot_ns,
            "kudu-master started"
        );
        self.running = Some(reign);
        self.wait_for(child);
        Ok(pid)
    }

    /// Lets both guards watch a child.
    fn watch(&self, held: &Held, deadline: Option<u64>) -> Result<(), StartError> {
        self.second_guard.watch(held.pidfd()?, deadline)?;
        match self.guard.watch(held.pidfd()?, deadline) {
            true => Ok(()),
            false => Err(StartError("the deadline has passed".to_owned())),
        }
    }

    /// What the guards watched is dead. When it was killed, if it was killed by the launcher.
    fn forget(&self) -> Option<u64> {
        self.second_guard.forget();
        self.guard.forget()
    }

    /// Lets a child become kudu-master; with the gate in it, or it is killed.
    fn release(&self, held: Held, program: &Path) -> Result<Child, StartError> {
        let pid = held.pid();
        let children = &self.workshop.children;
        let mut child = held.release(children)?;
        if let Some(Err(error)) = self.gate.as_ref().map(|gate| gate.wait_until_loaded(pid, program)) {
            // Either fails only when it is dead already.
            let _ = child.kill();
            let _ = children.wait(&mut child);
            return Err(error.into());
        }
        Ok(child)
    }

    /// Tells the keeper when a master is dead.
    fn wait_for(&self, mut child: Child) {
        let children = Arc::clone(&self.workshop.children);
        let messages = self.messages.clone();
        thread::spawn(move || {
            let output = Output::follow(&mut child);
            if let Err(error) = children.wait(&mut child) {
                // It can only mean that someone else reaped it; then it is dead as well.
                tracing::error!(%error, "kudu-master cannot be waited for");
            }
            let at = boot_ns();
            let last_words = output.last_words();
            let _ = messages.send(Message::Event(Event::Ended { at, killed_at: None, last_words }));
        });
    }

    fn record(&self, reign: &Reign) {
        if let Err(error) = self.reigns.append(reign) {
            tracing::warn!(%error, "the record of reigns cannot be written");
        }
    }
}

fn report(mishap: &Mishap) {
    match mishap {
        Mishap::Replaced(why) => tracing::warn!(why, "the second guard is replaced"),
        Mishap::Unwatched => tracing::error!("no second guard can be started: kudu-master is killed"),
    }
}

enum Outcome {
    Nothing,
    Event(Event),
    Leave,
}

#[derive(thiserror::Error, Debug)]
#[error("{0}")]
struct StartError(String);

impl From<GateError> for StartError {
    fn from(error: GateError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}
