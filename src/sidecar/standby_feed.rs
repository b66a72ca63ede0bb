//! The active's side of the link: serves its log to every standby of the pair that registers, and takes the gaps that they hand over.
//!
//! What to do is decided by [`feed`](crate::replication::feed); here is the connection, the log and the time.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    SidecarError,
    acknowledgements::{Acknowledgements, Stream},
    asking::Asking,
    board::{Board, StandbyFacts},
    coordinator::Coordinator,
    desk::Desk,
    gaps::GapStore,
    lags::Lags,
    link::Link,
    reread::Rereader,
    shipping::{Current, Heads, Shipping, blocking},
};
use crate::{
    failover::failsafe::Ask,
    replication::{
        Message, Rolling,
        feed::{self, Action, Event, Identified},
        hang_up::HangUp,
        message::Register,
    },
    wal::{LogEntry, OpId, Replicate},
    waldir::{HeldTail, TailError, TailState},
};

/// Pause before the next connection is accepted when one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Most bytes that are read of the log again for a digest at once; what is more comes with the next digest.
const DIGEST_BYTES: usize = 4 * 1024 * 1024;

/// Feeds whoever connects until `stop`.
pub(super) async fn serve(listener: TcpListener, hall: Hall, stop: CancellationToken) {
    let hall = Arc::new(hall);
    let mut feeds = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = feeds.join_next(), if !feeds.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let hall = Arc::clone(&hall);
                    feeds.spawn(async move {
                        if let Err(error) = hall.feed(stream, address).await {
                            tracing::info!(%error, %address, "a standby's stream ended");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: waiting is all that helps.
                    tracing::warn!(%error, "a standby could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// What all feeds share.
#[derive(Debug)]
pub(super) struct Hall {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) current: Current,
    pub(super) board: Arc<Board>,
    pub(super) acknowledgements: Acknowledgements,
    pub(super) asking: Asking,
    pub(super) gaps: GapStore,
    pub(super) turns: Turns,
}

/// Who is fed, and who may take a base.
#[derive(Debug)]
pub(super) struct Turns {
    /// The stream of each standby; a newer one ends the one before.
    streams: Mutex<BTreeMap<String, CancellationToken>>,
    /// The turn to take a new base: one standby at a time loads the active with that.
    base: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { streams: Mutex::default(), base: Arc::new(Semaphore::new(1)) }
    }
}

impl Hall {
    async fn feed(&self, stream: TcpStream, address: SocketAddr) -> Result<(), SidecarError> {
        let link = Link::accept(stream, address, self.coordinator.security()).await?;
        let mut connection = Connection {
            hall: self,
            address,
            link,
            begun: Instant::now(),
            questions: self.asking.questions(),
            standby: address.to_string(),
            reign: None,
            tail: None,
            rereader: None,
            extending: None,
            place: None,
            wants_base: false,
            base_turn: None,
        };
        connection.run().await
    }

    /// Gives a standby its place among those that are fed.
    fn place(&self, member: &str, after: OpId, lags: Arc<Lags>) -> Place<'_> {
        let token = CancellationToken::new();
        let before =
            self.turns.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(member.to_owned(), token.clone());
        if let Some(before) = before {
            before.cancel();
        }
        let stream = self.acknowledgements.stream(member, after);
        let place = Place { hall: self, member: member.to_owned(), replaced: token, stream, lags };
        place.acknowledged(after);
        place
    }
}

/// A standby's place among those that are fed; given up when dropped, unless a newer connection has it.
struct Place<'a> {
    hall: &'a Hall,
    member: String,
    replaced: CancellationToken,
    /// The same for whoever waits for the standby.
    stream: Stream,
    /// How far it is behind the log that it is fed from.
    lags: Arc<Lags>,
}

impl Place<'_> {
    /// The one spot where a standby's acknowledgement becomes known to this member.
    fn acknowledged(&self, replicate_head: OpId) {
        // The lock keeps a newer connection from taking the place meanwhile.
        let _streams = self.hall.turns.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.replaced.is_cancelled() {
            let facts = StandbyFacts { replicate_head, heard: Instant::now(), lags: Arc::clone(&self.lags) };
            self.hall.board.facts().standbys.insert(self.member.clone(), facts);
            self.stream.acknowledged(replicate_head);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut streams = self.hall.turns.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.replaced.is_cancelled() {
            streams.remove(&self.member);
            self.hall.board.facts().standbys.remove(&self.member);
        }
    }
}

/// One connection with one standby.
struct Connection<'a> {
    hall: &'a Hall,
    address: SocketAddr,
    link: Link,
    begun: Instant,
    /// What the active asks all its standbys.
    questions: watch::Receiver<Option<(i64, Ask)>>,
    /// Its name, once it is known.
    standby: String,
    reign: Option<Watched>,
    tail: Option<HeldTail>,
    /// Reads the log once more, for the digest.
    rereader: Option<Rereader<HeldTail>>,
    extending: Option<JoinHandle<Extended>>,
    place: Option<Place<'a>>,
    /// Whether the standby waits for its turn to take a new base, or has it.
    wants_base: bool,
    /// Its turn, which ends with the connection at the latest.
    base_turn: Option<OwnedSemaphorePermit>,
}

/// A reign whose log is read for a standby.
struct Watched {
    shipping: Arc<Shipping>,
    heads: watch::Receiver<Heads>,
    serving: watch::Receiver<bool>,
    asked: watch::Receiver<u64>,
}

impl Watched {
    fn new(shipping: Arc<Shipping>) -> Self {
        Self { heads: shipping.heads(), serving: shipping.serving(), asked: shipping.asked(), shipping }
    }

    /// The next thing that changes: the log, the master, or that the log is no longer offered.
    async fn changed(&mut self) -> Event {
        let changed = tokio::select! {
            biased;
            () = self.shipping.ended() => false,
            // The log is read for the standby at the same time as for the gate, and not after it.
            Ok(()) = self.asked.changed() => return Event::MayHoldMore,
            changed = self.heads.changed() => changed.is_ok(),
            changed = self.serving.changed() => changed.is_ok(),
        };
        if changed { Event::Beat(self.shipping.beat()) } else { Event::ReignEnded }
    }
}

impl Connection<'_> {
    async fn run(&mut self) -> Result<(), SidecarError> {
        let mut feed = feed::Feed::new(self.hall.board.pair(), self.begun.elapsed());
        loop {
            let wake_at = feed.wake_at().unwrap_or(Duration::MAX);
            let mut event = tokio::select! {
                biased;
                () = replaced(self.place.as_ref()) => Some(Event::Replaced),
                // Rare, and not to wait behind a busy stream.
                Ok(()) = self.questions.changed() => self.question(),
                event = changed(self.reign.as_mut()) => Some(event),
                received = self.link.receive() => match received? {
                    (_, Message::Deliver(deliver)) if self.reign.is_none() => {
                        let Hall { coordinator, board, gaps, current, .. } = self.hall;
                        let desk = Desk { coordinator, board, gaps, reign: current.get() };
                        return desk.take(&mut self.link, self.address, *deliver).await;
                    }
                    (epoch, message) => Some(Event::Received { epoch, message }),
                },
                Ok(turn) = Arc::clone(&self.hall.turns.base).acquire_owned(),
                    if self.wants_base && self.base_turn.is_none() =>
                {
                    self.base_turn = Some(turn);
                    self.give_turn().await?
                }
                extended = finished(&mut self.extending) => {
                    self.rereader = extended.rereader;
                    Some(Event::Extended(extended.rolling))
                }
                () = sleep(wake_at.saturating_sub(self.begun.elapsed())) => Some(Event::Tick),
            };
            let mut actions = VecDeque::new();
            loop {
                if let Some(event) = event.take() {
                    actions.extend(feed.on(self.begun.elapsed(), event));
                }
                let Some(action) = actions.pop_front() else { break };
                event = match action {
                    Action::HangUp(HangUp::ReignEnded | HangUp::BaseNeeded(_)) => return Ok(()),
                    Action::HangUp(reason) => {
                        return Err(SidecarError::HangUp { peer: self.standby.clone(), reason });
                    }
                    other => self.carry_out(other).await?,
                };
            }
        }
    }

    /// Carries out one action; returns what came of it, when that is an event.
    async fn carry_out(&mut self, action: Action) -> Result<Option<Event>, SidecarError> {
        match action {
            Action::Identify(register) => {
                self.standby.clone_from(&register.member);
                self.link.rename_peer(&register.member);
                Ok(Some(Event::Identified(self.identify(&register))))
            }
            Action::ReadDigest(op) => {
                let Some(reign) = &self.reign else { return Ok(Some(Event::ReignEnded)) };
                Ok(Some(Event::DigestRead(reign.shipping.digest_of(op).await?)))
            }
            Action::Send { epoch, message } => self.send(epoch, message).await,
            Action::Begin { member, after } => {
                let Some(reign) = &self.reign else { return Ok(Some(Event::ReignEnded)) };
                self.tail = Some(reign.shipping.tail(after));
                self.place = Some(self.hall.place(&member, after, reign.shipping.lags()));
                Ok(None)
            }
            Action::ReadLog => {
                let Some(tail) = self.tail.take() else { return Ok(Some(Event::ReignEnded)) };
                let (tail, ops) = next_ops(tail).await;
                self.tail = Some(tail);
                Ok(Some(Event::LogRead(ops?)))
            }
            Action::Extend { rolling, to } => {
                let Some(reign) = &self.reign else { return Ok(Some(Event::ReignEnded)) };
                let shipping = Arc::clone(&reign.shipping);
                let rereader = self.rereader.take().filter(|rereader| rereader.at() == rolling.at());
                self.extending = Some(spawn_blocking(move || extend(&shipping, rereader, rolling, to)));
                Ok(None)
            }
            Action::Acknowledged(replicate_head) => {
                if let Some(place) = &self.place {
                    place.acknowledged(replicate_head);
                }
                Ok(None)
            }
            Action::WantBase(wanted) => {
                self.wants_base = wanted;
                if !wanted {
                    self.base_turn = None;
                }
                Ok(None)
            }
            Action::Pledged(answer) => {
                if self.place.is_some() {
                    self.hall.asking.answered(&self.standby, answer);
                }
                Ok(None)
            }
            // The connection ends with it.
            Action::HangUp(_) => Ok(None),
        }
    }

    /// What the active asks, when it is the active of this stream's reign.
    fn question(&mut self) -> Option<Event> {
        let (epoch, ask) = (*self.questions.borrow_and_update())?;
        let own = self.reign.as_ref().is_some_and(|reign| reign.shipping.epoch() == epoch);
        own.then_some(Event::AskPledge(ask))
    }

    /// Tells the standby that it may take a base now.
    async fn give_turn(&mut self) -> Result<Option<Event>, SidecarError> {
        tracing::info!(member = self.standby, "a standby takes a new base");
        let epoch = self.reign.as_ref().map_or(0, |reign| reign.shipping.epoch());
        self.send(epoch, Message::BaseTurn).await
    }

    /// Sends, unless that takes longer than a standby may be silent, or the reign ends meanwhile.
    async fn send(&mut self, epoch: i64, message: Message) -> Result<Option<Event>, SidecarError> {
        if let Message::Answer(answer) = &message {
            tracing::info!(member = self.standby, ?answer, "a standby registered");
        }
        let ended = async {
            match &self.reign {
                Some(reign) => reign.shipping.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            sent = timeout(feed::SILENCE_LIMIT, self.link.send(epoch, message)) => match sent {
                Ok(sent) => sent.map(|()| None),
                Err(_) => Err(SidecarError::HangUp {
                    peer: self.standby.clone(),
                    reason: HangUp::Silent(feed::SILENCE_LIMIT),
                }),
            },
            () = ended => Ok(Some(Event::ReignEnded)),
            () = replaced(self.place.as_ref()) => Ok(Some(Event::Replaced)),
        }
    }

    fn identify(&mut self, register: &Register) -> Identified {
        let (name, ip) = (&register.member, self.address.ip());
        let stranger = match self.hall.coordinator.admits(name, ip) {
            true => self.link.impostor(&self.hall.coordinator.certificate_name(name)),
            false => Some(format!("{name:?} at {ip} is no member of this pair")),
        };
        if let Some(reason) = stranger {
            tracing::warn!(member = name, %ip, reason, "a registration is refused");
            return Identified::Stranger(reason);
        }
        let Some(shipping) = self.hall.current.get() else { return Identified::NotActive };
        // What changes from here on is told; what changed before is in the answer.
        let watched = Watched::new(shipping);
        let reign = watched.shipping.reign();
        self.reign = Some(watched);
        Identified::Reign(reign)
    }
}

async fn changed(reign: Option<&mut Watched>) -> Event {
    match reign {
        Some(reign) => reign.changed().await,
        None => std::future::pending().await,
    }
}

async fn replaced(place: Option<&Place<'_>>) {
    match place {
        Some(place) => place.replaced.cancelled().await,
        None => std::future::pending().await,
    }
}

/// A digest that was extended, and what read the log for it, if that can go on.
struct Extended {
    rereader: Option<Rereader<HeldTail>>,
    rolling: Option<Rolling>,
}

fn extend(shipping: &Shipping, rereader: Option<Rereader<HeldTail>>, rolling: Rolling, to: OpId) -> Extended {
    let mut rereader = rereader.unwrap_or_else(|| Rereader::new(shipping.tail(rolling.at()), rolling.at()));
    let mut extended = rolling;
    match rereader.extend(&mut extended, to, DIGEST_BYTES) {
        Ok(_) => Extended { rereader: Some(rereader), rolling: Some(extended) },
        // kudu-master is writing its log anew.
        Err(TailError::Read(error)) => {
            tracing::debug!(%error, "the log cannot be read again now");
            Extended { rereader: None, rolling: Some(rolling) }
        }
        Err(error @ (TailError::Gone { .. } | TailError::Diverged { .. })) => {
            tracing::info!(%error, "the logs are compared from a later operation on");
            Extended { rereader: None, rolling: None }
        }
    }
}

/// Resolves when the digest is extended; never when none is.
async fn finished(extending: &mut Option<JoinHandle<Extended>>) -> Extended {
    let Some(task) = extending else { return std::future::pending().await };
    let extended = task.await;
    *extending = None;
    match extended {
        Ok(extended) => extended,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The operations that are next in the log; empty at its end.
async fn next_ops(mut tail: HeldTail) -> (HeldTail, Result<Vec<Replicate>, TailError>) {
    blocking(move || {
        loop {
            match tail.poll() {
                Ok(batch) if batch.entries.is_empty() && batch.state != TailState::More => {
                    return (tail, Ok(Vec::new()));
                }
                Ok(batch) => {
                    // COMMITs name stores of this member and would lose data on another: they stay here.
                    let ops: Vec<_> = batch.entries.into_iter().filter_map(into_replicate).collect();
                    if !ops.is_empty() {
                        return (tail, Ok(ops));
                    }
                }
                Err(error) => return (tail, Err(error)),
            }
        }
    })
    .await
}

fn into_replicate(entry: LogEntry) -> Option<Replicate> {
    match entry {
        LogEntry::Replicate(replicate) => Some(replicate),
        LogEntry::Commit(_) => None,
    }
}
