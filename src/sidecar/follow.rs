//! The duty of a standby: hold the active's log.
//!
//! What to do is decided by [`follower`](crate::replication::follower); here is the connection, the disk and the time.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

use super::{
    SidecarError, base,
    comparison::Comparison,
    coordinator::Contact,
    courier::Courier,
    gaps::Finder,
    generation,
    link::Link,
    member::{Duty, Member},
    refresh::Refresh,
    retention,
    shipping::blocking,
};
use crate::{
    api::{LogFault, MemberState, Role},
    failover::{failsafe::Ask, member::GapReport},
    launcher::protocol::Request,
    replication::{
        Message,
        follower::{Action, Event, Follower, ReadBack},
        message::{Heartbeat, PledgeAnswer, Register},
    },
    wal::{OpId, Replicate},
    waldir::{AppendError, LogAppender},
};

/// Pause before the active is looked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Follows `active` until the order changes.
pub(super) async fn run(member: &mut Member, duty: &mut Duty, epoch: i64, active: &str) -> Result<(), SidecarError> {
    member.stop_master().await?;
    member.obey(epoch)?;
    member.tidy().await?;
    retention::clear(&member.config.wal_dir, None)?;
    {
        let mut facts = member.board.facts();
        (facts.active_head, facts.active_heard, facts.applied_head) = (None, None, None);
        facts.verified = None;
        facts.standbys.clear();
        facts.delivered.clear();
    }
    // Whoever chooses the next active has to know it also when the old one is not there to register with.
    match member.look_at_log().await {
        Err(SidecarError::Read(error)) if error.is_damage() => member.condemn(LogFault::Damaged, error.to_string())?,
        looked => looked?,
    }
    let refresh = Refresh::new(member);
    let mut standby = Standby {
        member,
        active,
        log: None,
        refresh,
        comparison: Comparison::default(),
        courier: Courier::default(),
        asked: None,
        contact: None,
    };
    loop {
        standby.member.board.enter(Role::Standby, MemberState::Connecting);
        let ended = standby.follow(duty).await;
        if duty.is_over() {
            return Ok(());
        }
        match ended {
            Ok(()) => {}
            Err(error @ (SidecarError::Link { .. } | SidecarError::HangUp { .. })) => {
                tracing::info!(%error, "the active is looked for again");
                standby.member.board.enter(Role::Standby, MemberState::Connecting);
                standby.member.board.facts().message = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = duty.over() => return Ok(()),
            () = sleep(RETRY_PAUSE) => {}
        }
    }
}

/// A standby between two connections.
struct Standby<'a> {
    member: &'a mut Member,
    active: &'a str,
    /// The own log, read once and kept open: a connection that was cut costs no second reading. None until it is read, while
    /// it is written to, after a failed write, and without a catalog.
    log: Option<LogAppender>,
    refresh: Refresh,
    comparison: Comparison,
    courier: Courier,
    /// The latest question for a pledge that is not answered.
    asked: Option<Ask>,
    /// The API server being looked for, because of it.
    contact: Option<JoinHandle<Contact>>,
}

/// Why a connection is no longer needed.
enum End {
    Ordered,
    Base { uuid: String },
}

impl Standby<'_> {
    async fn follow(&mut self, duty: &mut Duty) -> Result<(), SidecarError> {
        let addresses = self.member.coordinator.addresses(self.active);
        self.member.board.facts().master_rpc = Some(addresses.rpc.clone());
        let own = self.member.config.link_listen.ip();
        let link = tokio::select! {
            () = duty.over() => return Ok(()),
            link = Link::connect(self.active, &addresses, own, self.member.coordinator.security()) => link?,
        };
        let register = self.open_log().await?;
        let mut storing = None;
        let end = self.converse(duty, link, register, &addresses.rpc, &mut storing).await;
        self.refresh.disconnected();
        self.comparison.disconnected();
        // What was begun to be stored is finished: the log is closed only when nobody writes to it.
        if let Some(stored) = storing {
            self.stored(stored.await).map(drop)?;
        }
        match end? {
            End::Ordered => Ok(()),
            End::Base { uuid } => {
                self.log = None;
                base::take(self.member, uuid, &addresses.rpc).await
            }
        }
    }

    /// Opens the own log, if there is one, and says what it holds.
    ///
    /// A log that is damaged is as good as none. That costs nothing that was acknowledged: this member was told to follow an
    /// active, and only when that one has opened a reign which is not older than any that this member obeyed does it give a
    /// base. Whoever opened the reign has all that was acknowledged before ([`promise`](crate::failover)), or a person has
    /// accepted the loss. The damaged log stays in use until the base counts, and is kept in quarantine then. A member that is
    /// told to serve does not come here.
    async fn open_log(&mut self) -> Result<Register, SidecarError> {
        if self.log.is_none()
            && let Some(folder) = self.log_folder()
        {
            match blocking(move || LogAppender::open(&folder)).await {
                Ok(log) => self.log = Some(log),
                Err(error) if error.is_damage() => self.member.condemn(LogFault::Damaged, error.to_string())?,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(log) = &self.log {
            self.refresh.saw(self.member, log);
        }
        let history = self.log.as_ref().map(|log| log.summary().history.clone());
        self.member.board.facts().head = history.as_ref().and_then(|history| history.last());
        let last = history.as_ref().and_then(|history| history.last());
        let compare_from = self.comparison.from(&self.member.anchors.current(), last);
        let config = &self.member.config;
        Ok(Register { pair: config.pair.clone(), member: config.member.clone(), history, compare_from })
    }

    /// Carries out what the follower decides until the connection ends.
    async fn converse(
        &mut self,
        duty: &mut Duty,
        mut link: Link,
        register: Register,
        rpc: &str,
        storing: &mut Option<Storing>,
    ) -> Result<End, SidecarError> {
        let begun = Instant::now();
        (self.asked, self.contact) = (None, None);
        let anchors = self.member.anchors.current();
        let compare_from = register.compare_from;
        let (mut follower, actions) = Follower::begin(begun.elapsed(), register, anchors.epoch, anchors.is_unfit());
        let mut actions = VecDeque::from(actions);
        loop {
            // Before anything more is stored: a busy stream leaves the log at rest nowhere else.
            if follower.is_streaming() {
                let before = self.member.anchors.current().generation;
                if let Some(message) = self.refresh.step(self.member, &mut self.log, rpc).await? {
                    link.send(follower.epoch(), message).await?;
                }
                let anchors = self.member.anchors.current();
                if let Some(base_head) = anchors.base_head.filter(|_| anchors.generation != before) {
                    self.member.board.facts().verified = None;
                    actions.extend(follower.on(begun.elapsed(), Event::NewBase(base_head)));
                }
            }
            while let Some(action) = actions.pop_front() {
                let event = match action {
                    Action::HangUp(reason) => {
                        return Err(SidecarError::HangUp { peer: self.active.to_owned(), reason });
                    }
                    Action::TakeBase { uuid } => return Ok(End::Base { uuid }),
                    Action::Store(ops) => {
                        *storing = Some(self.store(ops)?);
                        None
                    }
                    Action::Note(found) => {
                        self.note(found, compare_from).await?;
                        None
                    }
                    other => self.carry_out(&mut link, other).await?,
                };
                if let Some(event) = event {
                    actions.extend(follower.on(begun.elapsed(), event));
                }
            }
            if follower.is_streaming() {
                self.member.board.enter(Role::Standby, MemberState::Streaming);
                self.courier.set_out(self.member, self.active, follower.epoch());
            }
            let wake_at = follower.wake_at().unwrap_or(Duration::MAX);
            let event = tokio::select! {
                biased;
                () = duty.over() => return Ok(End::Ordered),
                stored = finished(storing) => Event::Stored(self.stored(stored)?),
                // Not to wait behind a busy stream.
                contact = found(&mut self.contact) => {
                    if let Some(message) = self.pledge(contact, follower.epoch()).await {
                        link.send(follower.epoch(), message).await?;
                    }
                    continue;
                }
                received = link.receive(), if follower.listens() => {
                    let (epoch, message) = received?;
                    Event::Received { epoch, message }
                }
                () = self.refresh.progress() => continue,
                returned = self.courier.returned() => {
                    self.member.gap_returned(returned).await;
                    continue;
                }
                (generation, found) = self.comparison.finished() => {
                    let in_use = self.member.anchors.current().generation;
                    // What was read of a generation that was being removed says nothing.
                    let found = if in_use == Some(generation) { found? } else { ReadBack::Replaced };
                    Event::ReadBack(found)
                }
                () = sleep(wake_at.saturating_sub(begun.elapsed())) => Event::Tick,
            };
            actions.extend(follower.on(begun.elapsed(), event));
        }
    }

    /// Carries out one action; returns what came of it, when that is an event.
    async fn carry_out(&mut self, link: &mut Link, action: Action) -> Result<Option<Event>, SidecarError> {
        match action {
            Action::Obey(epoch) => self.member.obey(epoch)?,
            Action::Send { epoch, message } => link.send(epoch, message).await?,
            Action::ReadDigest(op) => {
                let digest = match self.log_folder() {
                    Some(folder) => blocking(move || super::log::digest_at(&folder, op)).await?,
                    None => None,
                };
                return Ok(Some(Event::DigestRead(digest)));
            }
            Action::RaiseTerm(term) => {
                if let Some(generation) = self.member.anchors.current().generation {
                    self.member.call(Request::SetTerm { generation, term }).await?;
                }
                return Ok(Some(Event::TermRaised));
            }
            Action::Hear(beat) => {
                self.hear(&beat);
                self.member.settle_gaps().await;
                if let Some(pledges) = &self.member.pledges {
                    pledges.forget().await;
                }
            }
            Action::BaseTurn => self.refresh.has_turn(),
            Action::ReadBack { rolling, to } => {
                if let (Some(generation), Some(folder)) = (self.member.anchors.current().generation, self.log_folder())
                {
                    self.comparison.read_back(generation, folder, rolling, to);
                }
            }
            Action::Verified(rolling) => {
                if let Some(generation) = self.member.anchors.current().generation {
                    self.comparison.verified(&self.member.board, generation, rolling);
                }
            }
            Action::Condemn(finding) => self.member.condemn(finding.fault, finding.message)?,
            Action::AskedForPledge(ask) => self.asked_for_pledge(ask),
            // The conversation ends with them, or they outlast this call.
            Action::Note(_) | Action::Store(_) | Action::TakeBase { .. } | Action::HangUp(_) => {}
        }
        Ok(None)
    }

    /// Remembers where the logs part, and behind which operation they are compared.
    async fn note(&mut self, found: GapReport, compare_from: Option<OpId>) -> Result<(), SidecarError> {
        tracing::info!(?found, "registered with the active");
        self.keep_gap(&found).await?;
        self.member.anchors.update(|anchors| {
            anchors.rejoin(found);
            anchors.compare_from = compare_from;
        })?;
        self.member.board.facts().gap = self.member.anchors.current().gap;
        Ok(())
    }

    /// Keeps what only this member has, before its log is replaced.
    async fn keep_gap(&self, found: &GapReport) -> Result<(), SidecarError> {
        let Some(folder) = self.log_folder().filter(|_| found.ops > 0) else { return Ok(()) };
        let config = &self.member.config;
        let (store, found) = (self.member.gaps.clone(), found.clone());
        let (pair, member, active) = (config.pair.clone(), config.member.clone(), self.active.to_owned());
        let max_bytes = self.member.coordinator.gap_orders().max_bytes;
        let kept = blocking(move || {
            store.keep(&folder, &found, Finder { pair: &pair, member: &member, active: &active }, max_bytes)
        });
        if let Some(kept) = kept.await? {
            tracing::warn!(gap = kept.name, ops = kept.ops, changes = ?kept.changes, "kept what only this member has");
        }
        self.member.look_at_gaps().await;
        Ok(())
    }

    /// Begins to append operations and to make them durable; that runs to its end even when the order changes meanwhile.
    fn store(&mut self, ops: Vec<Replicate>) -> Result<Storing, SidecarError> {
        let mut log = self.log.take().ok_or(SidecarError::NoCatalog)?;
        Ok(spawn_blocking(move || {
            log.append(&ops)?;
            log.sync()?;
            Ok(log)
        }))
    }

    /// Takes the log back from [`store`](Self::store). Returns the last operation that is durable.
    fn stored(&mut self, stored: Stored) -> Result<OpId, SidecarError> {
        let log = match stored {
            Ok(log) => log?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let durable = log.durable();
        self.refresh.saw(self.member, &log);
        self.log = Some(log);
        let mut facts = self.member.board.facts();
        facts.head = durable;
        facts.active_head = facts.active_head.max(durable);
        durable.ok_or(SidecarError::NoCatalog)
    }

    fn hear(&mut self, beat: &Heartbeat) {
        self.refresh.heard(beat.serving);
        let mut facts = self.member.board.facts();
        facts.active_head = beat.current_head.max(facts.active_head);
        facts.active_heard = beat.serving.then(Instant::now);
    }

    /// Looks for the API server first: while this member reaches it, another one can take over, and the active is to stop.
    fn asked_for_pledge(&mut self, ask: Ask) {
        self.asked = Some(ask);
        let coordinator = Arc::clone(&self.member.coordinator);
        self.contact.get_or_insert_with(|| tokio::spawn(async move { coordinator.contact().await }));
    }

    /// The answer to the latest question; a pledge is on disk before it is sent.
    async fn pledge(&mut self, contact: Contact, epoch: i64) -> Option<Message> {
        let (ask, pledges) = (self.asked.take()?, self.member.pledges.clone()?);
        let refused = match contact {
            Contact::Reached => Some("it reaches the API server".to_owned()),
            Contact::Away => {
                pledges.give(self.active, epoch, ask.milliseconds).await.err().map(|error| error.to_string())
            }
        };
        tracing::info!(active = self.active, ?refused, "the active asked for a pledge");
        Some(Message::Pledge(PledgeAnswer { asked: ask.asked, refused }))
    }

    fn log_folder(&self) -> Option<PathBuf> {
        let generation = self.member.anchors.current().generation?;
        Some(generation::log_folder(&self.member.config.wal_dir, &generation))
    }
}

type Storing = JoinHandle<Result<LogAppender, AppendError>>;
type Stored = Result<Result<LogAppender, AppendError>, tokio::task::JoinError>;

/// Resolves when the API server was looked for; never when it is not.
async fn found(contact: &mut Option<JoinHandle<Contact>>) -> Contact {
    match contact {
        Some(task) => {
            let found = task.await;
            *contact = None;
            // Only a panic ends it otherwise, and then nobody knows.
            found.unwrap_or(Contact::Reached)
        }
        None => std::future::pending().await,
    }
}

/// Resolves when what is being stored is; never when nothing is.
async fn finished(storing: &mut Option<Storing>) -> Stored {
    match storing {
        Some(task) => {
            let stored = task.await;
            *storing = None;
            stored
        }
        None => std::future::pending().await,
    }
}
