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
//! - Once its log is found unfit, nothing more is acknowledged, and the log is never continued: a base takes its place.

use std::time::Duration;

use super::{
    Message,
    diff::{self, Verdict},
    hang_up::{HangUp, follow_on},
    message::{Answer, Heartbeat, Register},
    rolling::Rolling,
    terms,
};
use crate::{
    api::LogFault,
    failover::{failsafe::Ask, member::GapReport},
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
    /// What [`Action::ReadBack`] asked for.
    ReadBack(ReadBack),
    /// A new base counts, with all that was acknowledged behind it; its last operation.
    NewBase(OpId),
    /// Time has passed; due at [`Follower::wake_at`].
    Tick,
}

/// What the own log's files hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBack {
    /// The digest, up to where it was asked for.
    Whole(Rolling),
    /// The log begins behind what is needed.
    Later,
    /// A new base counts, and what was read is no longer in use.
    Replaced,
    /// What was acknowledged is not there, or cannot be read, and why.
    Unfit(String),
}

/// What was found wrong with the own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub fault: LogFault,
    /// Where, and how that was found.
    pub message: String,
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
    /// Read the files of the own log behind the end of this digest, up to `to`, and answer with [`Event::ReadBack`]. One at a
    /// time; the stream goes on meanwhile.
    ReadBack {
        /// The digest so far.
        rolling: Rolling,
        /// An operation that is durable here.
        to: OpId,
    },
    /// The files of the own log hold what the active's log holds, in this stretch.
    Verified(Rolling),
    /// Remember durably that the own log must not be continued.
    Condemn(Finding),
    /// It is this standby's turn to take a new base while the stream goes on.
    BaseTurn,
    /// Find out whether this member can pledge, and answer the active with [`Message::Pledge`].
    AskedForPledge(Ask),
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
    /// Whether the own log must not be continued.
    unfit: bool,
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
    Streaming(Box<Stream>),
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
    comparing: Comparing,
}

/// The comparison of both logs.
#[derive(Debug, Default)]
struct Comparing {
    /// How far the logs are known to be equal.
    ours: Option<Rolling>,
    /// The active's digest that the own log is being read for.
    reading: Option<Rolling>,
    /// The latest one that came meanwhile.
    next: Option<Rolling>,
    /// Where the active's digests began last.
    heard: Option<OpId>,
    /// Digests that begin here are of a base that was replaced.
    retired: Option<OpId>,
}

impl Follower {
    /// A connection that came about just now; `epoch` is the highest obeyed, `unfit` whether the own log must not be continued.
    pub fn begin(now: Duration, register: Register, epoch: i64, unfit: bool) -> (Self, Vec<Action>) {
        let send = Action::Send { epoch, message: Message::Register(register.clone()) };
        (Self { register, unfit, epoch, phase: Phase::Registered, heard_at: now }, vec![send])
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
        if !matches!(event, Event::ReadBack(_)) {
            self.heard_at = now;
        }
        match event {
            Event::ReadBack(found) => self.compare(found, actions),
            Event::NewBase(head) => {
                self.compare_anew(head, actions);
                Ok(())
            }
            Event::Received { epoch, message } => self.received(epoch, message, actions),
            Event::DigestRead(digest) => self.judge(digest, actions),
            Event::TermRaised => {
                let Phase::RaisingTerm { after } = self.phase else { return Ok(()) };
                actions.push(Action::Send { epoch: self.epoch, message: Message::Begin { after } });
                self.phase = Phase::Streaming(Box::new(Stream {
                    received: after,
                    group: Vec::new(),
                    group_bytes: 0,
                    storing: false,
                    replicate_head: after,
                    comparing: Comparing::default(),
                }));
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
            (Phase::Streaming(stream), Message::Digest(theirs)) => {
                if theirs.at().index > stream.replicate_head.index {
                    let (at, replicate_head) = (theirs.at(), stream.replicate_head);
                    return Err(HangUp::DigestAhead { at, replicate_head });
                }
                stream.comparing.hear(theirs, actions);
            }
            (Phase::Streaming(_), Message::AskPledge(ask)) => actions.push(Action::AskedForPledge(ask)),
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
            Verdict::Stream { after } if !self.unfit => {
                // Raised now for the next reign, so that a promotion need not wait for Kudu's tool to do it.
                actions.push(Action::RaiseTerm(terms::floor(self.epoch.saturating_add(1))));
                self.phase = Phase::RaisingTerm { after };
            }
            Verdict::Stream { .. } | Verdict::Gap { .. } | Verdict::Base => {
                actions.push(Action::TakeBase { uuid: answer.uuid().to_owned() });
                self.phase = Phase::Ended;
            }
        }
        Ok(())
    }

    /// Holds what the own files hold against what the active's log holds.
    fn compare(&mut self, found: ReadBack, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        let Phase::Streaming(stream) = &mut self.phase else { return Ok(()) };
        let comparing = &mut stream.comparing;
        let Some(theirs) = comparing.reading.take() else { return Ok(()) };
        let before = comparing.ours.filter(|ours| ours.from() == theirs.from());
        let equal_to = before.map_or(theirs.from(), |ours| ours.at());
        let finding = match found {
            ReadBack::Whole(ours) if ours == theirs => {
                comparing.ours = Some(ours);
                actions.push(Action::Verified(ours));
                None
            }
            ReadBack::Whole(_) => Some((LogFault::Differs, "they hold other bytes".to_owned())),
            ReadBack::Unfit(why) => Some((LogFault::Damaged, why)),
            ReadBack::Later => {
                // Nothing to compare with what the active sends: from here on there will be.
                let message = Message::Compare { from: stream.replicate_head };
                comparing.anew();
                actions.push(Action::Send { epoch: self.epoch, message });
                None
            }
            ReadBack::Replaced => None,
        };
        if let Some((fault, why)) = finding {
            let message = format!(
                "the operations behind {equal_to}, up to {}, were read back from its files and held against the active's log: {why}",
                theirs.at()
            );
            actions.push(Action::Condemn(Finding { fault, message: message.clone() }));
            return Err(HangUp::Unfit(message));
        }
        if let Some(next) = comparing.next.take() {
            comparing.hear(next, actions);
        }
        Ok(())
    }

    /// All that is behind a new base was written anew, and is compared anew.
    fn compare_anew(&mut self, base_head: OpId, actions: &mut Vec<Action>) {
        let Phase::Streaming(stream) = &mut self.phase else { return };
        // An active that has sent no digest may not know what that is.
        if stream.comparing.heard.is_some_and(|from| from != base_head) {
            stream.comparing.anew();
            let message = Message::Compare { from: base_head };
            actions.push(Action::Send { epoch: self.epoch, message });
        }
    }

    /// Answers a heartbeat or a flush: this is durable. While a flush is slow it also says that this member is alive.
    fn acknowledge(&self, actions: &mut Vec<Action>) {
        if let Phase::Streaming(stream) = &self.phase {
            let message = Message::Ack { replicate_head: stream.replicate_head };
            actions.push(Action::Send { epoch: self.epoch, message });
        }
    }
}

impl Comparing {
    /// Takes one of the active's digests. Of those that come while the log is read, the latest one says all.
    fn hear(&mut self, theirs: Rolling, actions: &mut Vec<Action>) {
        if self.retired == Some(theirs.from()) {
            return;
        }
        self.heard = Some(theirs.from());
        if self.reading.is_some() {
            self.next = Some(theirs);
            return;
        }
        let goes_on = |ours: &Rolling| ours.from() == theirs.from() && ours.at().index <= theirs.at().index;
        let ours = self.ours.filter(goes_on).unwrap_or(Rolling::behind(theirs.from()));
        self.reading = Some(theirs);
        actions.push(Action::ReadBack { rolling: ours, to: theirs.at() });
    }

    /// Forgets what was compared, and what is still on its way of that. What is being read says that it was replaced.
    fn anew(&mut self) {
        (self.ours, self.next, self.retired) = (None, None, self.heard);
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
