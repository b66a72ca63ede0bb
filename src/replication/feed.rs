//! The active's side of one standby's connection, from its registration to its last acknowledgement.
//!
//! ```text
//! Registering ─Register─▶ Identifying ─Reign─▶ ReadingDigest ─digest─▶ Answered ─Begin─▶ Streaming
//!      │                      │                      │                    │                 │
//!      └──────────────────────┴──────── HangUp ──────┴────────────────────┴─────────────────┘
//! ```
//!
//! Promises, which `tests/simulation` holds it to:
//! - Nothing is sent to a standby but what follows its own log, in order, without holes, in one reign.
//! - An acknowledgement counts only in the reign of the stream and for something that was sent.
//! - A pledge counts only from a standby that streams, in the reign of the stream.
//! - A slow, dead or lying standby costs [`WINDOW_BYTES`](super::sender::WINDOW_BYTES) and one read of the log, and
//!   nothing else, except that what it acknowledged is read once more for the digest, at most a few MiB a second.
//! - A digest is sent only of what the standby has acknowledged, and only when it has asked for that.

use std::time::Duration;

use super::{
    Message, diff,
    hang_up::{HangUp, follow_on},
    message::{Answer, Heartbeat, PledgeAnswer, Register},
    rolling::Rolling,
    sender::Sender,
};
use crate::failover::failsafe::Ask;
use crate::wal::{OpDigest, OpId, Replicate, TermHistory};

/// Time between two heartbeats. A standby takes an active for lost after several.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(200);
/// How long a standby may take to say who it is.
pub const REGISTER_LIMIT: Duration = Duration::from_secs(5);
/// How long a standby may take to compare the digest, which reads its log. Meanwhile it costs a connection, nothing more.
pub const BEGIN_LIMIT: Duration = Duration::from_secs(60);
/// How long a standby that streams may be silent: it answers each heartbeat, also while it writes.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// How long what was sent may stay without any acknowledgement.
pub const ACKNOWLEDGE_LIMIT: Duration = Duration::from_secs(30);

/// Time between two digests while there is something new.
pub const DIGEST_INTERVAL: Duration = Duration::from_secs(2);
/// Time until the next part of the log is read for a digest that is far behind, or cannot be read now. With what one reading
/// reads at most, it bounds what comparing costs.
pub const DIGEST_PAUSE: Duration = Duration::from_secs(1);

/// What happens to a feed.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The standby sent a message.
    Received {
        /// The epoch of its frame.
        epoch: i64,
        /// The message.
        message: Message,
    },
    /// What [`Action::Identify`] asked for.
    Identified(Identified),
    /// What [`Action::ReadDigest`] asked for; none when the log does not hold the operation.
    DigestRead(Option<OpDigest>),
    /// What [`Action::ReadLog`] asked for: the operations that are next; empty at the log's end.
    LogRead(Vec<Replicate>),
    /// What [`Action::Extend`] asked for: a longer one, the same when the log cannot be read now; none when the log no longer
    /// holds what comes next.
    Extended(Option<Rolling>),
    /// The active's log or master is seen in another state.
    Beat(Heartbeat),
    /// The log may hold more than was seen of it: kudu-master's sync gate waits for what was just written.
    MayHoldMore,
    /// The active has to know whether its members will take no Lease.
    AskPledge(Ask),
    /// The log is no longer offered.
    ReignEnded,
    /// The same member began to stream over another connection.
    Replaced,
    /// Time has passed; due at [`Feed::wake_at`].
    Tick,
}

/// Who a registering standby is, and what there is for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Identified {
    /// No member of this pair, and why.
    Stranger(String),
    /// A member, but this one is not the active.
    NotActive,
    /// A member, and the log of this reign is offered.
    Reign(Reign),
}

/// A reign whose log is offered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reign {
    /// Its epoch.
    pub epoch: i64,
    /// Uuid of the catalog.
    pub uuid: String,
    /// What its log holds, as far as it is known.
    pub history: TermHistory,
    /// Whether `history` is known to be all of the log. While kudu-master rewrites its log at a start, less is seen.
    pub whole: bool,
    /// Whether kudu-master has opened this reign, so that a base can be taken from it.
    pub opened: bool,
    /// How its log and master are now.
    pub beat: Heartbeat,
}

/// What the shell is to do, in this order. When one fails it hangs up and does no other.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Find out who this is, and answer with [`Event::Identified`].
    Identify(Register),
    /// Read the digest of this operation from the log, and answer with [`Event::DigestRead`].
    ReadDigest(OpId),
    /// Send to the standby.
    Send {
        /// The epoch for the frame.
        epoch: i64,
        /// The message.
        message: Message,
    },
    /// The standby's stream begins: it holds everything up to `after` on its disk.
    Begin {
        /// The standby.
        member: String,
        /// Last operation of its log.
        after: OpId,
    },
    /// Read what is next in the log, and answer with [`Event::LogRead`].
    ReadLog,
    /// Read the log again behind the end of this digest, up to `to` or for a part of the way, and answer with
    /// [`Event::Extended`]. One at a time; the stream goes on meanwhile.
    Extend {
        /// The digest so far.
        rolling: Rolling,
        /// An operation that the standby has acknowledged.
        to: OpId,
    },
    /// This and all before it are on the standby's disk.
    Acknowledged(OpId),
    /// The standby wants its turn to take a base, or no longer does.
    WantBase(bool),
    /// The standby's answer to [`Event::AskPledge`], or to one that was asked over another connection.
    Pledged(PledgeAnswer),
    /// Close the connection.
    HangUp(HangUp),
}

/// The active's side of one standby's connection.
#[derive(Debug)]
pub struct Feed {
    pair: String,
    epoch: i64,
    phase: Phase,
    beat: Heartbeat,
    beat_at: Duration,
    /// When the standby was last heard, or the active last did something for it.
    heard_at: Duration,
}

#[derive(Debug)]
enum Phase {
    Registering,
    Identifying { epoch: i64, register: Register },
    ReadingDigest { reign: Reign, register: Register },
    Answered { diff_head: OpId, member: String, compare_from: Option<OpId> },
    Streaming(Stream),
    Ended,
}

#[derive(Debug)]
struct Stream {
    sender: Sender,
    /// Whether the log may hold something that was not read yet.
    more: bool,
    reading: bool,
    /// Since when the oldest operation on its way waits, or the last acknowledgement that made progress.
    waits_since: Duration,
    comparing: Option<Comparing>,
    /// The digest that is being extended, and up to where.
    extending: Option<(Rolling, OpId)>,
}

/// The comparison of both logs.
#[derive(Debug)]
struct Comparing {
    rolling: Rolling,
    /// The end of the last digest that was sent.
    told: Option<OpId>,
    due_at: Duration,
}

impl Comparing {
    fn behind(from: OpId, due_at: Duration) -> Self {
        Self { rolling: Rolling::behind(from), told: None, due_at }
    }
}

impl Feed {
    /// A connection that was just accepted, by a member of `pair`.
    pub fn new(pair: impl Into<String>, now: Duration) -> Self {
        Self {
            pair: pair.into(),
            epoch: 0,
            phase: Phase::Registering,
            beat: Heartbeat { current_head: None, serving: false },
            beat_at: now,
            heard_at: now,
        }
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
        let deadline = match &self.phase {
            Phase::Ended => return None,
            Phase::Streaming(stream) if stream.sender.in_flight_bytes() > 0 => {
                stream.waits_since.saturating_add(ACKNOWLEDGE_LIMIT).min(self.silent_at())
            }
            _ => self.silent_at(),
        };
        Some(if self.beats() { deadline.min(self.beat_at) } else { deadline })
    }

    /// Bytes that were sent and not acknowledged.
    pub fn in_flight_bytes(&self) -> usize {
        match &self.phase {
            Phase::Streaming(stream) => stream.sender.in_flight_bytes(),
            _ => 0,
        }
    }

    /// Whether more may be sent, or would be, once the stream has begun.
    pub fn may_send(&self) -> bool {
        match &self.phase {
            Phase::Streaming(stream) => stream.sender.may_send(),
            _ => true,
        }
    }

    fn step(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        match event {
            _ if matches!(self.phase, Phase::Ended) => return Ok(()),
            Event::ReignEnded => return Err(HangUp::ReignEnded),
            Event::Replaced => return Err(HangUp::Replaced),
            Event::Received { epoch, message } => self.received(now, epoch, message, actions)?,
            Event::Identified(identified) => self.identified(now, identified, actions)?,
            Event::DigestRead(digest) => self.answer(now, digest, actions)?,
            Event::LogRead(ops) => self.send_ops(now, ops, actions)?,
            Event::Extended(rolling) => self.extended(now, rolling, actions),
            Event::Beat(beat) => self.show(now, beat),
            Event::MayHoldMore => {
                if let Phase::Streaming(stream) = &mut self.phase {
                    stream.more = true;
                }
            }
            Event::AskPledge(ask) => self.ask_pledge(ask, actions),
            Event::Tick => self.check_patience(now)?,
        }
        self.read_on(actions);
        self.compare_when_due(now, actions);
        self.beat_when_due(now, actions);
        Ok(())
    }

    fn received(
        &mut self,
        now: Duration,
        epoch: i64,
        message: Message,
        actions: &mut Vec<Action>,
    ) -> Result<(), HangUp> {
        self.heard_at = now;
        match (&mut self.phase, message) {
            (Phase::Registering, Message::Register(register)) => {
                actions.push(Action::Identify(register.clone()));
                self.phase = Phase::Identifying { epoch, register };
            }
            (Phase::Registering, other) => return Err(HangUp::out_of_turn(&other, "a registration")),
            // A standby obeys the epoch of the answer before it begins, so everything it says from then on is of it.
            (Phase::Answered { .. } | Phase::Streaming(_), _) if epoch != self.epoch => {
                return Err(HangUp::OtherEpoch { theirs: epoch, ours: self.epoch });
            }
            (Phase::Answered { diff_head, member, compare_from }, Message::Begin { after }) => {
                let (diff_head, member, compare_from) = (*diff_head, std::mem::take(member), *compare_from);
                if after != diff_head {
                    return Err(HangUp::BeginElsewhere { after, diff_head });
                }
                actions.push(Action::Begin { member, after });
                self.phase = Phase::Streaming(Stream {
                    sender: Sender::new(after),
                    more: true,
                    reading: false,
                    waits_since: now,
                    comparing: compare_from.map(|from| Comparing::behind(earlier(from, after), now)),
                    extending: None,
                });
            }
            (Phase::Answered { .. }, other) => return Err(HangUp::out_of_turn(&other, "the start of the stream")),
            (Phase::Streaming(stream), Message::Ack { replicate_head }) => {
                let before = stream.sender.replicate_head();
                stream.sender.acknowledged(replicate_head)?;
                if replicate_head != before {
                    stream.waits_since = now;
                }
                actions.push(Action::Acknowledged(replicate_head));
            }
            (Phase::Streaming(_), Message::WantBase { wanted }) => actions.push(Action::WantBase(wanted)),
            (Phase::Streaming(stream), Message::Compare { from }) => {
                let from = earlier(from, stream.sender.replicate_head());
                stream.comparing = Some(Comparing::behind(from, now.saturating_add(DIGEST_PAUSE)));
            }
            (Phase::Streaming(_), Message::Pledge(answer)) => actions.push(Action::Pledged(answer)),
            (Phase::Streaming(_), other) => return Err(HangUp::out_of_turn(&other, "an acknowledgement")),
            (_, other) => return Err(HangUp::out_of_turn(&other, "silence until the answer")),
        }
        Ok(())
    }

    fn identified(&mut self, now: Duration, identified: Identified, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        let Phase::Identifying { epoch, register } = &self.phase else { return Ok(()) };
        let reign = match identified {
            _ if register.pair != self.pair => {
                return refuse(0, format!("it belongs to pair {:?}, not {:?}", register.pair, self.pair), actions);
            }
            Identified::Stranger(reason) => return refuse(0, reason, actions),
            Identified::NotActive => return refuse(0, "this member is not the active".to_owned(), actions),
            Identified::Reign(reign) if reign.epoch < *epoch => {
                let reason = format!(
                    "this member serves epoch {} and the standby has obeyed epoch {epoch}: this one is deposed",
                    reign.epoch
                );
                return refuse(reign.epoch, reason, actions);
            }
            Identified::Reign(reign) => reign,
        };
        if let Some(reason) = not_yet(&reign, register) {
            return refuse(reign.epoch, reason.to_owned(), actions);
        }
        self.epoch = reign.epoch;
        self.beat = reign.beat.clone();
        self.heard_at = now;
        // From here on the standby hears heartbeats, so that it need not wait long for an active that was lost meanwhile.
        self.beat_at = now;
        let meet = register.history.as_ref().and_then(|standby| reign.history.diff_head(standby));
        self.phase = Phase::ReadingDigest { reign, register: register.clone() };
        match meet {
            Some(op) => actions.push(Action::ReadDigest(op)),
            None => self.answer(now, None, actions)?,
        }
        Ok(())
    }

    fn answer(&mut self, now: Duration, digest: Option<OpDigest>, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        let Phase::ReadingDigest { reign, register } = &self.phase else { return Ok(()) };
        let Ok(answer) = diff::answer(&reign.history, register.history.as_ref(), &reign.uuid, |_| {
            Ok::<_, std::convert::Infallible>(digest)
        });
        let next = match &answer {
            Answer::Meet { diff_head, .. } => Ok(*diff_head),
            Answer::TakeBase { reason, .. } | Answer::Refused { reason } => Err(HangUp::BaseNeeded(reason.clone())),
        };
        let (member, compare_from) = (register.member.clone(), register.compare_from);
        actions.push(Action::Send { epoch: self.epoch, message: Message::Answer(answer) });
        self.heard_at = now;
        self.phase = Phase::Answered { diff_head: next?, member, compare_from };
        Ok(())
    }

    fn send_ops(&mut self, now: Duration, ops: Vec<Replicate>, actions: &mut Vec<Action>) -> Result<(), HangUp> {
        let Phase::Streaming(stream) = &mut self.phase else { return Ok(()) };
        stream.reading = false;
        if ops.is_empty() {
            return Ok(());
        }
        // There may be more behind what one read returns.
        stream.more = true;
        let last = follow_on(stream.sender.sent_head(), ops.iter().map(Replicate::id))?;
        if stream.sender.in_flight_bytes() == 0 {
            stream.waits_since = now;
        }
        stream.sender.sent(last, ops.iter().map(|op| op.raw().len()).sum());
        actions.push(Action::Send { epoch: self.epoch, message: Message::Ops(ops) });
        Ok(())
    }

    /// Extends the digest over what the standby has acknowledged since the last one, now and then.
    fn compare_when_due(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Phase::Streaming(stream) = &mut self.phase else { return };
        let Some(comparing) = stream.comparing.as_mut().filter(|comparing| now >= comparing.due_at) else { return };
        let (at, to) = (comparing.rolling.at(), stream.sender.replicate_head());
        if stream.extending.is_some() || comparing.told == Some(to) {
            return;
        }
        if at.index < to.index {
            stream.extending = Some((comparing.rolling, to));
            actions.push(Action::Extend { rolling: comparing.rolling, to });
        } else {
            comparing.due_at = now.saturating_add(DIGEST_INTERVAL);
            comparing.told = Some(at);
            actions.push(Action::Send { epoch: self.epoch, message: Message::Digest(comparing.rolling) });
        }
    }

    fn extended(&mut self, now: Duration, rolling: Option<Rolling>, actions: &mut Vec<Action>) {
        let Phase::Streaming(stream) = &mut self.phase else { return };
        let Some((before, to)) = stream.extending.take() else { return };
        // The standby may have asked for another one meanwhile.
        let Some(comparing) = stream.comparing.as_mut().filter(|comparing| comparing.rolling == before) else { return };
        let Some(rolling) = rolling else {
            let from = stream.sender.replicate_head();
            *comparing = Comparing::behind(from, now.saturating_add(DIGEST_PAUSE));
            return;
        };
        let whole = rolling.at() == to;
        comparing.due_at = now.saturating_add(if whole { DIGEST_INTERVAL } else { DIGEST_PAUSE });
        if rolling != before {
            comparing.rolling = rolling;
            comparing.told = Some(rolling.at());
            actions.push(Action::Send { epoch: self.epoch, message: Message::Digest(rolling) });
        }
    }

    /// Only of one that streams: it obeys this reign, and none that is newer.
    fn ask_pledge(&self, ask: Ask, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Streaming(_)) {
            actions.push(Action::Send { epoch: self.epoch, message: Message::AskPledge(ask) });
        }
    }

    fn show(&mut self, now: Duration, beat: Heartbeat) {
        if let Phase::Streaming(stream) = &mut self.phase {
            // It may have been read before it was seen.
            stream.more |= beat.current_head > Some(stream.sender.sent_head());
        }
        if beat.serving != self.beat.serving {
            self.beat_at = now;
        }
        self.beat = beat;
    }

    fn check_patience(&self, now: Duration) -> Result<(), HangUp> {
        if let Phase::Streaming(stream) = &self.phase
            && stream.sender.in_flight_bytes() > 0
            && now >= stream.waits_since.saturating_add(ACKNOWLEDGE_LIMIT)
        {
            return Err(HangUp::Unacknowledged(ACKNOWLEDGE_LIMIT));
        }
        if now >= self.silent_at() { Err(HangUp::Silent(self.patience())) } else { Ok(()) }
    }

    fn read_on(&mut self, actions: &mut Vec<Action>) {
        if let Phase::Streaming(stream) = &mut self.phase
            && stream.more
            && !stream.reading
            && stream.sender.may_send()
        {
            // What is written from here on is seen by the next look at the log.
            (stream.more, stream.reading) = (false, true);
            actions.push(Action::ReadLog);
        }
    }

    fn beat_when_due(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.beats() && now >= self.beat_at {
            self.beat_at = now.saturating_add(HEARTBEAT_INTERVAL);
            actions.push(Action::Send { epoch: self.epoch, message: Message::Heartbeat(self.beat.clone()) });
        }
    }

    fn beats(&self) -> bool {
        matches!(self.phase, Phase::ReadingDigest { .. } | Phase::Answered { .. } | Phase::Streaming(_))
    }

    fn patience(&self) -> Duration {
        match self.phase {
            Phase::Registering | Phase::Ended => REGISTER_LIMIT,
            // The active's own disk is waited for as long as the standby's.
            Phase::Identifying { .. } | Phase::ReadingDigest { .. } | Phase::Answered { .. } => BEGIN_LIMIT,
            Phase::Streaming(_) => SILENCE_LIMIT,
        }
    }

    fn silent_at(&self) -> Duration {
        self.heard_at.saturating_add(self.patience())
    }
}

/// The one that comes first in a log.
fn earlier(one: OpId, other: OpId) -> OpId {
    if one.index < other.index { one } else { other }
}

/// Why this standby cannot be answered now, though it may be in a moment.
fn not_yet(reign: &Reign, register: &Register) -> Option<&'static str> {
    let Some(standby) = register.history.as_ref().filter(|history| history.last().is_some()) else {
        // Nobody can take a base from it yet.
        return (!reign.opened).then_some("the active is starting; it can be followed in a moment");
    };
    // A log that is seen in part would make a gap of what is merely not seen yet.
    let is_prefix = reign.history.diff_head(standby) == standby.last();
    (!reign.whole && !is_prefix).then_some("the active is reading its log; it can be followed in a moment")
}

fn refuse(epoch: i64, reason: String, actions: &mut Vec<Action>) -> Result<(), HangUp> {
    actions.push(Action::Send { epoch, message: Message::Answer(Answer::Refused { reason: reason.clone() }) });
    Err(HangUp::Refused(reason))
}

#[cfg(test)]
mod tests;
