//! The duty of a standby: hold the active's log.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::{
    SidecarError, generation,
    link::Link,
    member::{Duty, Member},
    shipping::blocking,
};
use crate::{
    api::{MemberState, Role},
    failover::member::GapReport,
    launcher::protocol::Request,
    replication::{
        Message,
        diff::{self, Verdict},
        message::{Answer, Heartbeat, Register},
        terms,
    },
    wal::{OpId, Replicate},
    waldir::LogAppender,
};

/// Pause before the active is looked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long the active may take to answer a registration; it reads its log for that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a stream may be silent: several heartbeats.
const SILENCE_LIMIT: Duration = Duration::from_millis(1500);
/// Bytes that are appended before they are made durable together.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// Follows `active` until the order changes.
pub(super) async fn run(member: &mut Member, duty: &mut Duty, epoch: i64, active: &str) -> Result<(), SidecarError> {
    member.stop_master().await?;
    member.obey(epoch)?;
    member.tidy().await?;
    {
        let mut facts = member.board.facts();
        (facts.active_head, facts.active_heard, facts.applied_head) = (None, None, None);
        facts.standbys.clear();
    }
    // Whoever chooses the next active has to know it also when the old one is not there to register with.
    member.look_at_log().await?;
    loop {
        member.board.enter(Role::Standby, MemberState::Connecting);
        let ended = Follower { member, active }.follow(duty).await;
        if duty.is_over() {
            return Ok(());
        }
        match ended {
            Ok(()) => {}
            Err(error @ (SidecarError::Link { .. } | SidecarError::Refused { .. } | SidecarError::OldEpoch { .. })) => {
                tracing::info!(%error, "the active is looked for again");
                member.board.enter(Role::Standby, MemberState::Connecting);
                member.board.facts().message = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = duty.over() => return Ok(()),
            () = sleep(RETRY_PAUSE) => {}
        }
    }
}

struct Follower<'a> {
    member: &'a mut Member,
    active: &'a str,
}

/// What became of a registration.
enum Registered {
    Stream(Box<LogAppender>),
    Base { uuid: String },
}

impl Follower<'_> {
    async fn follow(&mut self, duty: &mut Duty) -> Result<(), SidecarError> {
        let addresses = self.member.coordinator.addresses(self.active);
        let own = self.member.config.link_listen.ip();
        let mut link = tokio::select! {
            () = duty.over() => return Ok(()),
            link = Link::connect(self.active, &addresses, own, self.member.coordinator.security()) => link?,
        };
        match self.register(&mut link).await? {
            Registered::Base { uuid } => self.take_base(uuid, &addresses.rpc).await,
            Registered::Stream(appender) => self.stream(duty, link, *appender).await,
        }
    }

    async fn register(&mut self, link: &mut Link) -> Result<Registered, SidecarError> {
        let appender = match self.log_folder() {
            Some(folder) => Some(blocking(move || LogAppender::open(&folder)).await?),
            None => None,
        };
        let history = appender.as_ref().map(|appender| appender.summary().history.clone());
        self.member.board.facts().head = history.as_ref().and_then(|history| history.last());
        let own_epoch = self.member.anchors.current().epoch;
        let register = Register {
            pair: self.member.config.pair.clone(),
            member: self.member.config.member.clone(),
            history: history.clone(),
        };
        link.send(own_epoch, Message::Register(register)).await?;
        let silent =
            |_| SidecarError::Link { peer: link_peer(self.active), source: std::io::ErrorKind::TimedOut.into() };
        let (epoch, message) = timeout(ANSWER_TIMEOUT, link.receive()).await.map_err(silent)??;
        let answer = match message {
            Message::Answer(Answer::Refused { reason }) => {
                return Err(SidecarError::Refused { peer: link_peer(self.active), reason });
            }
            Message::Answer(answer) => answer,
            other => return Err(link.out_of_turn(&other, "an answer to the registration")),
        };
        self.check_epoch(epoch)?;
        let digest = match (&answer, self.log_folder()) {
            (Answer::Meet { diff_head, .. }, Some(folder)) => {
                let op = *diff_head;
                blocking(move || super::log::digest_at(&folder, op)).await?
            }
            _ => None,
        };
        let verdict = diff::verdict(&answer, history.as_ref(), |_| Ok::<_, SidecarError>(digest))?;
        tracing::info!(?answer, ?verdict, "registered with the active");
        self.note(epoch, &verdict, history.and_then(|history| history.last()))?;
        match (verdict, appender) {
            (Verdict::Stream { after }, Some(appender)) => {
                self.raise_term_ahead(epoch).await?;
                link.send(epoch, Message::Begin { after }).await?;
                Ok(Registered::Stream(Box::new(appender)))
            }
            _ => Ok(Registered::Base { uuid: answer.uuid().to_owned() }),
        }
    }

    /// Raises the term for the next reign now, so that a promotion need not wait for Kudu's tool to do it.
    async fn raise_term_ahead(&self, epoch: i64) -> Result<(), SidecarError> {
        let Some(generation) = self.member.anchors.current().generation else { return Ok(()) };
        let term = terms::floor(epoch.saturating_add(1));
        self.member.call(Request::SetTerm { generation, term }).await.map(drop)
    }

    /// Remembers where the logs part, and how much the active lacks the first time that is seen in an epoch.
    fn note(&mut self, epoch: i64, verdict: &Verdict, own_head: Option<OpId>) -> Result<(), SidecarError> {
        let (ops, diff_head) = match verdict {
            Verdict::Stream { after } => (0, Some(*after)),
            Verdict::Gap { ops, diff_head } => (*ops, *diff_head),
            Verdict::Base => (0, None),
        };
        let gap = GapReport { epoch, ops, diff_head, own_head };
        self.member.anchors.update(|anchors| {
            anchors.diff_head = diff_head.or(anchors.diff_head);
            if own_head.is_some() && anchors.gap.as_ref().is_none_or(|known| known.epoch < epoch) {
                anchors.gap = Some(gap);
            }
        })?;
        self.member.board.facts().gap = self.member.anchors.current().gap;
        Ok(())
    }

    /// Copies a base into a new generation; the old one is kept until the new one counts.
    async fn take_base(&mut self, uuid: String, rpc: &str) -> Result<(), SidecarError> {
        self.member.board.enter(Role::Standby, MemberState::CopyingBase);
        let generation = generation::next(&mut self.member.anchors)?;
        self.member
            .call(Request::CopyBase { generation: generation.clone(), uuid: uuid.clone(), from: rpc.to_owned() })
            .await?;
        let folder = generation::log_folder(&self.member.config.wal_dir, &generation);
        let head = blocking(move || LogAppender::open(&folder).map(|log| log.summary().last)).await?;
        generation::adopt(&mut self.member.anchors, &generation, &uuid, head)?;
        {
            let mut facts = self.member.board.facts();
            (facts.catalog_uuid, facts.head) = (Some(uuid), head);
        }
        self.member.tidy().await
    }

    async fn stream(&mut self, duty: &mut Duty, mut link: Link, mut appender: LogAppender) -> Result<(), SidecarError> {
        self.member.board.enter(Role::Standby, MemberState::Streaming);
        loop {
            let received = tokio::select! {
                () = duty.over() => return Ok(()),
                received = timeout(SILENCE_LIMIT, link.receive()) => received,
            };
            let Ok(received) = received else {
                let source = std::io::ErrorKind::TimedOut.into();
                return Err(SidecarError::Link { peer: link_peer(self.active), source });
            };
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut next = Some(received);
            // Whatever has arrived meanwhile is appended with it: one fdatasync for all.
            while let Some(received) = next.take() {
                let (epoch, message) = received?;
                self.check_epoch(epoch)?;
                match message {
                    Message::Ops(ops) => {
                        bytes += ops.iter().map(|op| op.raw().len()).sum::<usize>();
                        group.extend(ops);
                    }
                    Message::Heartbeat(beat) => self.hear(&beat),
                    other => return Err(link.out_of_turn(&other, "operations or a heartbeat")),
                }
                if bytes < GROUP_BYTES {
                    next = link.receive_now();
                }
            }
            if !group.is_empty() {
                let head;
                (appender, head) = append(appender, group).await?;
                let mut facts = self.member.board.facts();
                facts.head = head;
                facts.active_head = facts.active_head.max(head);
            }
            if let Some(replicate_head) = appender.summary().last {
                let epoch = self.member.anchors.current().epoch;
                link.send(epoch, Message::Ack { replicate_head }).await?;
            }
        }
    }

    fn hear(&self, beat: &Heartbeat) {
        let mut facts = self.member.board.facts();
        facts.active_head = beat.current_head.max(facts.active_head);
        facts.active_heard = beat.serving.then(Instant::now);
    }

    /// An older epoch is refused; a newer one is remembered before it is obeyed.
    fn check_epoch(&mut self, theirs: i64) -> Result<(), SidecarError> {
        let ours = self.member.anchors.current().epoch;
        if theirs < ours {
            return Err(SidecarError::OldEpoch { peer: link_peer(self.active), theirs, ours });
        }
        self.member.obey(theirs)
    }

    fn log_folder(&self) -> Option<PathBuf> {
        let generation = self.member.anchors.current().generation?;
        Some(generation::log_folder(&self.member.config.wal_dir, &generation))
    }
}

fn link_peer(active: &str) -> String {
    active.to_owned()
}

/// Appends operations and makes them durable; runs to its end even when the order changes meanwhile.
async fn append(mut appender: LogAppender, ops: Vec<Replicate>) -> Result<(LogAppender, Option<OpId>), SidecarError> {
    blocking(move || {
        appender.append(&ops)?;
        appender.sync()?;
        let head = appender.summary().last;
        Ok((appender, head))
    })
    .await
}
