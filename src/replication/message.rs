//! What members say to each other, and how it becomes a frame.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{frame::Frame, rolling::Rolling};
use crate::failover::failsafe::Ask;
use crate::gap::KeptGap;
use crate::wal::{EntryError, OpDigest, OpId, Replicate, TermHistory};

/// What members say to each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Standby: who I am and what my log holds.
    Register(Register),
    /// Active: where our logs part, or why the standby cannot be served.
    Answer(Answer),
    /// Standby: the digests agree; stream what comes after this operation.
    Begin {
        /// Last operation of the standby's log.
        after: OpId,
    },
    /// Active: the next operations, in order, without holes.
    Ops(Vec<Replicate>),
    /// Active: nothing new; this is my head.
    Heartbeat(Heartbeat),
    /// Standby: this and all before it are on my disk.
    Ack {
        /// The replicate-head.
        replicate_head: OpId,
    },
    /// Standby: whether I want to take a new base while the stream goes on. I take it when I am told that it is my turn.
    WantBase {
        /// False: no longer, or I have it.
        wanted: bool,
    },
    /// Active: no other standby takes a base now; take yours.
    BaseTurn,
    /// Standby: compare our logs behind this operation from now on; what I had before is replaced.
    Compare {
        /// The operation.
        from: OpId,
    },
    /// Active: the digest of a stretch of my log, which you have acknowledged. Sent only to who has asked for it.
    Digest(Rolling),
    /// Active: the API server does not answer me; will you take no Lease for so long?
    AskPledge(Ask),
    /// Standby: my answer to that.
    Pledge(PledgeAnswer),
    /// Standby, on a connection of its own and as its first word: a gap that I keep and that somebody wants you to replay. Its
    /// segment follows.
    Deliver(Box<Deliver>),
    /// Standby: the next bytes of the segment.
    Part(Bytes),
    /// Active: I have it on my disk and replay it, or why I do not take it.
    Delivered(Delivered),
    /// Active: what became of it.
    Settled(Box<KeptGap>),
}

/// A gap that a standby hands to the active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deliver {
    /// Name of the pair.
    pub pair: String,
    /// Name of the standby.
    pub member: String,
    /// The request that it obeys.
    pub request: String,
    /// The gap's anchors.
    pub gap: KeptGap,
    /// Length of its segment.
    pub segment_bytes: u64,
    /// The tablets that tablet servers hold, if the standby knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_tablets: Option<BTreeSet<String>>,
}

/// The active's answer to [`Message::Deliver`] when it has the whole gap, or before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// Why it does not take it; absent when it has it on its disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A standby's registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// Name of the pair.
    pub pair: String,
    /// Name of the standby.
    pub member: String,
    /// What its log holds; absent when it has none.
    pub history: Option<TermHistory>,
    /// Last operation up to which its log needs no comparison with the active's; absent when it compares nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_from: Option<OpId>,
}

/// The active's answer to a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// The logs agree up to the diff-head, if this digest is also the standby's.
    Meet {
        /// Last operation at which the histories agree.
        diff_head: OpId,
        /// Digest of that operation in the active's log.
        digest: Digest,
        /// Uuid of the catalog, for a base.
        uuid: String,
    },
    /// The standby needs a base.
    TakeBase {
        /// Why.
        reason: String,
        /// Last operation at which the histories agree, when they share one.
        diff_head: Option<OpId>,
        /// Uuid of the catalog.
        uuid: String,
    },
    /// The standby is not served.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

impl Answer {
    /// Uuid of the active's catalog; empty in a refusal.
    pub fn uuid(&self) -> &str {
        match self {
            Self::Meet { uuid, .. } | Self::TakeBase { uuid, .. } => uuid,
            Self::Refused { .. } => "",
        }
    }
}

/// The active's sign of life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Last operation in the active's log.
    pub current_head: Option<OpId>,
    /// Whether the active's kudu-master is running; false while what is left of its log is shipped.
    pub serving: bool,
}

/// A standby's answer to [`Message::AskPledge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PledgeAnswer {
    /// Which question it answers.
    pub asked: u64,
    /// Why it does not pledge; absent when it does, and has it on its disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// An [`OpDigest`] in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub OpDigest);

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:032x}", u128::from_be_bytes(*self.0.as_bytes())))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)?;
        Ok(Self(OpDigest::from_bytes(number.to_be_bytes())))
    }
}

/// A frame that holds no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A kind that this version does not know.
    #[error("a message of unknown kind {0}; run the same operator image on all members")]
    Kind(u8),
    /// Text that is no such message.
    #[error("a {what} message that cannot be read: {source}")]
    Json {
        /// The message's name.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Operations cut short.
    #[error("a message of operations that ends in the middle of one")]
    Cut,
    /// An operation that is none.
    #[error("a shipped operation cannot be read: {0}")]
    Entry(#[from] EntryError),
}

const REGISTER: u8 = 1;
const ANSWER: u8 = 2;
const BEGIN: u8 = 3;
const OPS: u8 = 4;
const HEARTBEAT: u8 = 5;
const ACK: u8 = 6;
const WANT_BASE: u8 = 7;
const BASE_TURN: u8 = 8;
const COMPARE: u8 = 9;
const DIGEST: u8 = 10;
const ASK_PLEDGE: u8 = 11;
const PLEDGE: u8 = 12;
const DELIVER: u8 = 13;
const PART: u8 = 14;
const DELIVERED: u8 = 15;
const SETTLED: u8 = 16;

impl Message {
    /// The frame that carries this message.
    pub fn into_frame(self, epoch: i64) -> Frame {
        let (kind, payload) = match self {
            Self::Register(register) => (REGISTER, json(&register)),
            Self::Answer(answer) => (ANSWER, json(&answer)),
            Self::Begin { after } => (BEGIN, json(&after)),
            Self::Ops(ops) => (OPS, encode_ops(&ops)),
            Self::Heartbeat(heartbeat) => (HEARTBEAT, json(&heartbeat)),
            Self::Ack { replicate_head } => (ACK, json(&replicate_head)),
            Self::WantBase { wanted } => (WANT_BASE, json(&wanted)),
            Self::BaseTurn => (BASE_TURN, Bytes::new()),
            Self::Compare { from } => (COMPARE, json(&from)),
            Self::Digest(rolling) => (DIGEST, json(&rolling)),
            Self::AskPledge(ask) => (ASK_PLEDGE, json(&ask)),
            Self::Pledge(answer) => (PLEDGE, json(&answer)),
            Self::Deliver(deliver) => (DELIVER, json(&deliver)),
            Self::Part(bytes) => (PART, bytes),
            Self::Delivered(answer) => (DELIVERED, json(&answer)),
            Self::Settled(gap) => (SETTLED, json(&gap)),
        };
        Frame { kind, epoch, payload }
    }

    /// The message in a frame.
    ///
    /// # Errors
    /// When the frame holds none that this version knows.
    pub fn from_frame(frame: Frame) -> Result<Self, MessageError> {
        let payload = frame.payload;
        Ok(match frame.kind {
            REGISTER => Self::Register(parse("register", &payload)?),
            ANSWER => Self::Answer(parse("answer", &payload)?),
            BEGIN => Self::Begin { after: parse("begin", &payload)? },
            OPS => Self::Ops(decode_ops(payload)?),
            HEARTBEAT => Self::Heartbeat(parse("heartbeat", &payload)?),
            ACK => Self::Ack { replicate_head: parse("ack", &payload)? },
            WANT_BASE => Self::WantBase { wanted: parse("want base", &payload)? },
            BASE_TURN => Self::BaseTurn,
            COMPARE => Self::Compare { from: parse("compare", &payload)? },
            DIGEST => Self::Digest(parse("digest", &payload)?),
            ASK_PLEDGE => Self::AskPledge(parse("ask pledge", &payload)?),
            PLEDGE => Self::Pledge(parse("pledge", &payload)?),
            DELIVER => Self::Deliver(parse("deliver", &payload)?),
            PART => Self::Part(payload),
            DELIVERED => Self::Delivered(parse("delivered", &payload)?),
            SETTLED => Self::Settled(parse("settled", &payload)?),
            kind => return Err(MessageError::Kind(kind)),
        })
    }
}

fn json<T: Serialize>(value: &T) -> Bytes {
    // These types have no maps with keys other than text and no failing serializer, the only errors that serde_json has.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn parse<T: DeserializeOwned>(what: &'static str, payload: &Bytes) -> Result<T, MessageError> {
    serde_json::from_slice(payload).map_err(|source| MessageError::Json { what, source })
}

/// Each operation: its length in four bytes, big-endian, then the `LogEntryPB` as Kudu wrote it.
fn encode_ops(ops: &[Replicate]) -> Bytes {
    let bytes = ops.iter().map(|op| op.raw().len().saturating_add(4)).sum();
    let mut out = BytesMut::with_capacity(bytes);
    for op in ops {
        // An entry is at most `MAX_BATCH_BYTES`, far below 4 GiB.
        out.put_u32(u32::try_from(op.raw().len()).unwrap_or(u32::MAX));
        out.put_slice(op.raw());
    }
    out.freeze()
}

fn decode_ops(mut payload: Bytes) -> Result<Vec<Replicate>, MessageError> {
    let mut ops = Vec::new();
    while payload.has_remaining() {
        let length = payload.try_get_u32().map_err(|_| MessageError::Cut)?;
        let length = usize::try_from(length).map_err(|_| MessageError::Cut)?;
        if payload.remaining() < length {
            return Err(MessageError::Cut);
        }
        ops.push(Replicate::from_raw(payload.split_to(length))?);
    }
    Ok(ops)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gap::testkit::kept_gap;

    #[test]
    fn messages_survive_their_frames() {
        let history: TermHistory = (1..9).map(|index| OpId::new(1, index)).collect();
        let digest = Digest(OpDigest::of_raw(b"an operation"));
        let gap = kept_gap("p-1", OpId::new(1, 8));
        for message in [
            Message::Register(Register {
                pair: "p".into(),
                member: "p-1".into(),
                history: Some(history),
                compare_from: Some(OpId::new(1, 5)),
            }),
            Message::Register(Register { pair: "p".into(), member: "p-1".into(), history: None, compare_from: None }),
            Message::Answer(Answer::Meet { diff_head: OpId::new(1, 8), digest, uuid: "u".into() }),
            Message::Answer(Answer::TakeBase { reason: "no log".into(), diff_head: None, uuid: "u".into() }),
            Message::Begin { after: OpId::new(1, 8) },
            Message::Ops(vec![]),
            Message::Heartbeat(Heartbeat { current_head: None, serving: true }),
            Message::Ack { replicate_head: OpId::new(2, 9) },
            Message::WantBase { wanted: true },
            Message::BaseTurn,
            Message::Compare { from: OpId::new(1, 8) },
            Message::Digest(Rolling::behind(OpId::new(1, 8))),
            Message::AskPledge(Ask { asked: u64::MAX, milliseconds: 6000 }),
            Message::Pledge(PledgeAnswer { asked: 7, refused: None }),
            Message::Pledge(PledgeAnswer { asked: 7, refused: Some("it reaches the API server".into()) }),
            Message::Deliver(Box::new(Deliver {
                pair: "p".into(),
                member: "p-1".into(),
                request: "replay:p-1-1.8".into(),
                gap: gap.clone(),
                segment_bytes: 9,
                held_tablets: Some(BTreeSet::from(["00ff".to_owned()])),
            })),
            Message::Part(Bytes::from_static(b"a segment")),
            Message::Delivered(Delivered { refused: None }),
            Message::Settled(Box::new(gap)),
        ] {
            let frame = Frame::decode(message.clone().into_frame(4).encode()).unwrap();
            assert_eq!(frame.epoch, 4);
            assert_eq!(Message::from_frame(frame).unwrap(), message);
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(kind: u8, payload: Vec<u8>) {
            let _ = Message::from_frame(Frame { kind, epoch: 1, payload: payload.into() });
        }
    }
}
