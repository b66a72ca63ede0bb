//! The standby's side of a connection with the active, from its registration on.
//!
//! ```text
//! Registered ─Answer(meet)─▶ ReadingDigest ─same─▶ RaisingTerm ─Begin─▶ Streaming ─Ops─▶ stored ─Ack─▶ …
//!      │                          │
//!      └── Answer(takeBase) ──────┴── gap ─▶ TakeBase
//! ```
//!
//! Promises, which `tests/simulation` holds it to:
//! - No message of an epoch below the highest that was obeyed is acted on, and a higher one is made durable first.
//! - What is appended follows the log without a hole.
//! - Only what is durable is acknowledged.
//! - What was received and is not durable yet is at most twice [`GROUP_BYTES`] and a message each: one group that is being
//!   stored, one that waits.

use std::time::Duration;

use super::{
    Message,
    diff::{self, Verdict},
    hang_up::{HangUp, follow_on},
    message::{Answer, Heartbeat, Register},
    terms,
};
use crate::{
    failover::member::GapReport,
    wal::{OpDigest, OpId, Replicate},
};

/// How long an active may be silent: several heartbeats, which it sends from the registration on.
pub const SILENCE_LIMIT: Duration = Duration::from_millis(1500);
/// Bytes that may wait to be stored before no more is read from the connection.
pub const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// What happens to a follower.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The active sent a message.
    Received {
        /// The epoch of its frame.
        epoch: i64,
        /// The message.
        message: Message,
    },
    /// What [`Action::ReadDigest`] asked for; none when the log does not hold the operation.
    DigestRead(Option<OpDigest>),
    /// [`Action::RaiseTerm`] is done.
    TermRaised,
    /// [`Action::Store`] is done, and the log is durable up to here.
    Stored(OpId),
    /// Time has passed; due at [`Follower::wake_at`].
    Tick,
}

/// What the shell is to do, in this order. When one fails it hangs up and does no other.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make this epoch durable as the highest obeyed.
    Obey(i64),
    /// Send to the active.
    Send {
        /// The epoch for the frame.
        epoch: i64,
        /// The message.
        message: Message,
    },
    /// Read the digest of this operation from the own log, and answer with [`Event::DigestRead`].
    ReadDigest(OpId),
    /// Remember where the logs part ([`Anchors::rejoin`](super::Anchors::rejoin)).
    Note(GapReport),
    /// Raise the term of the consensus metadata to this, and answer with [`Event::TermRaised`].
    RaiseTerm(i64),
    /// The active said how it is.
    Hear(Heartbeat),
    /// Append these and make them durable with one flush, and answer with [`Event::Stored`].
    Store(Vec<Replicate>),
    /// It is this standby's turn to take a new base while the stream goes on.
    BaseTurn,
    /// Close the connection and take a base of the active.
    TakeBase {
        /// Uuid of the catalog.
        uuid: String,
    },
    /// Close the connection.
    HangUp(HangUp),
}

/// The standby's side of a connection with the active.
#[derive(Debug)]
pub struct Follower {
    register: Register,
    /// The highest epoch obeyed.
    epoch: i64,
    phase: Phase,
    heard_at: Duration,
}

#[derive(Debug)]
enum Phase {
    Registered,
    ReadingDigest { answer: Answer },
    RaisingTerm { after: OpId },
    Streaming(Stream),
    Ended,
}

#[derive(Debug)]
struct Stream {
    /// Last operation received.
    received: OpId,
    /// Received and not being stored yet.
    group: Vec<Replicate>,
    group_bytes: usize,
    storing: bool,
    /// Last operation that is durable here.
    replicate_head: OpId,
}

impl Follower {
    /// A connection that came about just now; `epoch` is the highest obeyed.
    pub fn begin(now: Duration, register: Register, epoch: i64) -> (Self, Vec<Action>) {
        let send = Action::Send { epoch, message: Message::Register(register.clone()) };
        (Self { register, epoch, phase: Phase::Registered, heard_at: now }, vec![send])
    }

    /// What to do about an event.
    #[must_use]
    pub fn on(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Err(reason) = self.step(now, event, &mut actions) {
            self.phase = Phase::Ended;
            actions.push(Action::HangUp(reason));
        }
        actions
    }

    /// When [`Event::Tick`] is due; never after it has hung up.
    pub fn wake_at(&self) -> Option<Duration> {
        let listens = self.listens() && !matches!(self.phase, Phase::Ended);
        listens.then(|| self.heard_at.saturating_add(SILENCE_LIMIT))
    }

    /// Whether more may be read from the connection; while it may not, silence is nobody's fault.
    pub fn listens(&self) -> bool {
        match &self.phase {
            Phase::Streaming(stream) => stream.group_bytes < GROUP_BYTES,
            _ => true,
        }
    }

    /// The epoch of what this member says: the highest obeyed.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether the stream has begun.
    pub fn is_streaming(&self) -> bool {
        matches!(self.phase, Phase::Streaming(_))
    }

    fn step(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        if matches!(self.phase, Phase::Ended) {
            return Ok(());
        }
        if matches!(event, Event::Tick) {
            let silent = self.wake_at().is_some_and(|limit| now >= limit);
            return if silent { Err(HangUp::Silent(SILENCE_LIMIT)) } else { Ok(()) };
        }
        // Whatever the shell was asked to do, it did not read from the connection meanwhile, or not as long as usual.
        self.heard_at = now;
        match event {
            Event::Received { epoch, message } => self.received(epoch, message, actions),
            Event::DigestRead(digest) => self.judge(digest, actions),
            Event::TermRaised => {
                let Phase::RaisingTerm { after } = self.phase else { return Ok(()) };
                actions.push(Action::Send { epoch: self.epoch, message: Message::Begin { after } });
                self.phase = Phase::Streaming(Stream {
                    received: after,
                    group: Vec::new(),
                    group_bytes: 0,
                    storing: false,
                    replicate_head: after,
                });
                Ok(())
            }
            Event::Stored(durable) => {
                let Phase::Streaming(stream) = &mut self.phase else { return Ok(()) };
                stream.storing = false;
                stream.replicate_head = durable;
                stream.store_group(actions);
                self.acknowledge(actions);
                Ok(())
            }
            Event::Tick => Ok(()),
        }
    }

    fn received(&mut self, epoch: i64, message: Message, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        // Whoever refuses is not followed, whatever its epoch.
        if let (Phase::Registered, Message::Answer(Answer::Refused { reason })) = (&self.phase, &message) {
            return Err(HangUp::Refused(reason.clone()));
        }
        self.check_epoch(epoch, actions)?;
        match (&mut self.phase, message) {
            (_, Message::Heartbeat(beat)) => {
                actions.push(Action::Hear(beat));
                self.acknowledge(actions);
            }
            (Phase::Registered, Message::Answer(answer)) => {
                let meet = match &answer {
                    Answer::Meet { diff_head, .. } if self.register.history.is_some() => Some(*diff_head),
                    _ => None,
                };
                self.phase = Phase::ReadingDigest { answer };
                match meet {
                    Some(op) => actions.push(Action::ReadDigest(op)),
                    None => self.judge(None, actions)?,
                }
            }
            (Phase::Registered, other) => return Err(HangUp::out_of_turn(&other, "an answer to the registration")),
            (Phase::Streaming(stream), Message::Ops(ops)) => {
                stream.received = follow_on(stream.received, ops.iter().map(Replicate::id))?;
                let bytes = ops.iter().map(|op| op.raw().len()).sum();
                stream.group_bytes = stream.group_bytes.saturating_add(bytes);
                stream.group.extend(ops);
                stream.store_group(actions);
            }
            (Phase::Streaming(_), Message::BaseTurn) => actions.push(Action::BaseTurn),
            (Phase::Streaming(_), other) => return Err(HangUp::out_of_turn(&other, "operations or a heartbeat")),
            (_, other) => return Err(HangUp::out_of_turn(&other, "a heartbeat")),
        }
        Ok(())
    }

    /// An older epoch is refused; a newer one is made durable before it is obeyed. One connection is one reign's.
    fn check_epoch(&mut self, theirs: i64, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        if theirs < self.epoch {
            return Err(HangUp::OldEpoch { theirs, ours: self.epoch });
        }
        if theirs > self.epoch {
            if !matches!(self.phase, Phase::Registered) {
                return Err(HangUp::OtherEpoch { theirs, ours: self.epoch });
            }
            self.epoch = theirs;
            actions.push(Action::Obey(theirs));
        }
        Ok(())
    }

    /// Decides about the active's answer, with the digest at the diff-head in the own log.
    fn judge(&mut self, digest: Option<OpDigest>, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        let Phase::ReadingDigest { answer } = &self.phase else { return Ok(()) };
        let history = self.register.history.as_ref();
        let own_head = history.and_then(|history| history.last());
        let Ok(verdict) = diff::verdict(answer, history, |_| Ok::<_, std::convert::Infallible>(digest));
        let (ops, diff_head) = match &verdict {
            Verdict::Stream { after } => (0, Some(*after)),
            Verdict::Gap { ops, diff_head } => (*ops, *diff_head),
            Verdict::Base => (0, None),
        };
        actions.push(Action::Note(GapReport { epoch: self.epoch, ops, diff_head, own_head }));
        match verdict {
            Verdict::Stream { after } => {
                // Raised now for the next reign, so that a promotion need not wait for Kudu's tool to do it.
                actions.push(Action::RaiseTerm(terms::floor(self.epoch.saturating_add(1))));
                self.phase = Phase::RaisingTerm { after };
            }
            Verdict::Gap { .. } | Verdict::Base => {
                actions.push(Action::TakeBase { uuid: answer.uuid().to_owned() });
                self.phase = Phase::Ended;
            }
        }
        Ok(())
    }

    /// Answers a heartbeat or a flush: this is durable. While a flush is slow it also says that this member is alive.
    fn acknowledge(&self, actions: &mut Vec<Action>) {
        if let Phase::Streaming(stream) = &self.phase {
            let message = Message::Ack { replicate_head: stream.replicate_head };
            actions.push(Action::Send { epoch: self.epoch, message });
        }
    }
}

impl Stream {
    /// Stores what has arrived, all of it with one flush; what arrives meanwhile makes the next group.
    fn store_group(&mut self, actions: &mut Vec<Action>) {
        if !self.storing && !self.group.is_empty() {
            self.storing = true;
            self.group_bytes = 0;
            actions.push(Action::Store(std::mem::take(&mut self.group)));
        }
    }
}

#[cfg(test)]
mod tests;
