//! Connections: frames that arrive late, in order within one connection, damaged, cut off, or never.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use kudu_pair::replication::{Message, frame::Frame};

/// One of a connection's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Active,
    Standby,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Active => Self::Standby,
            Self::Standby => Self::Active,
        }
    }
}

/// What arrives at an end.
pub(crate) enum Arrival {
    Frame(i64, Message),
    /// The other end closed, or the bytes are no frame.
    Broken,
}

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Pipe {
    on_the_way: VecDeque<(Duration, Option<Bytes>)>,
    /// Nothing comes out any more, and nobody is told.
    pub(crate) silent: bool,
}

impl Pipe {
    /// Sends a message, to arrive at the earliest at `at`. Returns when it arrives.
    pub(crate) fn send(&mut self, at: Duration, epoch: i64, message: Message) -> Duration {
        self.push(at, Some(message.into_frame(epoch).encode()))
    }

    /// Closes this direction: what is on the way arrives before.
    pub(crate) fn close(&mut self, at: Duration) -> Duration {
        self.push(at, None)
    }

    /// Cuts this direction after `kept` frames: the rest is lost.
    pub(crate) fn cut(&mut self, at: Duration, kept: usize) -> Duration {
        self.on_the_way.truncate(kept);
        self.close(at)
    }

    /// Flips a bit of what is on the way.
    pub(crate) fn damage(&mut self, bit: usize) {
        if let Some((_, Some(bytes))) = self.on_the_way.back_mut() {
            let mut damaged = bytes.to_vec();
            let bit = bit % (damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            *bytes = damaged.into();
        }
    }

    /// What has arrived and was not read yet.
    pub(crate) fn receive(&mut self, now: Duration) -> Option<Arrival> {
        if self.silent || self.on_the_way.front()?.0 > now {
            return None;
        }
        let (_, bytes) = self.on_the_way.pop_front()?;
        let frame = bytes.and_then(|bytes| Frame::decode(bytes).ok());
        let message = frame.and_then(|frame| Some((frame.epoch, Message::from_frame(frame).ok()?)));
        Some(message.map_or(Arrival::Broken, |(epoch, message)| Arrival::Frame(epoch, message)))
    }

    fn push(&mut self, at: Duration, bytes: Option<Bytes>) -> Duration {
        let at = self.on_the_way.back().map_or(at, |(before, _)| at.max(*before));
        self.on_the_way.push_back((at, bytes));
        at
    }
}
