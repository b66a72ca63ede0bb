//! The active's side of one standby's stream: what was sent, what is on the standby's disk, how much may be on its way.

use crate::wal::OpId;

/// How much may be sent and not yet acknowledged. A slow standby costs the active this much memory and no more.
pub const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// One standby's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    sent: OpId,
    replicate_head: OpId,
    in_flight: std::collections::VecDeque<(OpId, usize)>,
    in_flight_bytes: usize,
}

/// A standby that says what cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// More than was sent.
    #[error("the standby acknowledged {acknowledged}, but only {sent} was sent")]
    Ahead {
        /// What it said.
        acknowledged: OpId,
        /// What was sent.
        sent: OpId,
    },
    /// Something that was not the end of anything sent.
    #[error("the standby acknowledged {acknowledged}, which no message that is on its way ends with")]
    Unknown {
        /// What it said.
        acknowledged: OpId,
    },
    /// Less than before.
    #[error("the standby acknowledged {acknowledged} after {before}")]
    Backwards {
        /// What it said.
        acknowledged: OpId,
        /// What it had said.
        before: OpId,
    },
}

impl Sender {
    /// A stream that begins after `after`, which the standby has on its disk.
    pub fn new(after: OpId) -> Self {
        Self { sent: after, replicate_head: after, in_flight: [].into(), in_flight_bytes: 0 }
    }

    /// Whether more may be sent now.
    pub fn may_send(&self) -> bool {
        self.in_flight_bytes < WINDOW_BYTES
    }

    /// Notes that operations up to `last`, of so many bytes, were sent.
    pub fn sent(&mut self, last: OpId, bytes: usize) {
        self.sent = last;
        self.in_flight.push_back((last, bytes));
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(bytes);
    }

    /// Notes an acknowledgement: of what was acknowledged before, or of everything up to the end of a message.
    ///
    /// # Errors
    /// When the standby says what cannot be; its stream must end.
    pub fn acknowledged(&mut self, head: OpId) -> Result<(), SenderError> {
        if head > self.sent {
            return Err(SenderError::Ahead { acknowledged: head, sent: self.sent });
        }
        if head < self.replicate_head {
            return Err(SenderError::Backwards { acknowledged: head, before: self.replicate_head });
        }
        if head != self.replicate_head && !self.in_flight.iter().any(|(last, _)| *last == head) {
            return Err(SenderError::Unknown { acknowledged: head });
        }
        self.replicate_head = head;
        while let Some((_, bytes)) = self.in_flight.front().copied().filter(|(last, _)| *last <= head) {
            self.in_flight.pop_front();
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        }
        Ok(())
    }

    /// Last operation that was sent.
    pub fn sent_head(&self) -> OpId {
        self.sent
    }

    /// Bytes that were sent and not acknowledged.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// Last operation that the standby has on its disk.
    pub fn replicate_head(&self) -> OpId {
        self.replicate_head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: fn(i64) -> OpId = |index| OpId::new(1, index);

    #[test]
    fn the_window_closes_and_opens() {
        let mut sender = Sender::new(OP(10));
        sender.sent(OP(20), WINDOW_BYTES - 1);
        assert!(sender.may_send());
        sender.sent(OP(21), 1);
        assert!(!sender.may_send());
        sender.acknowledged(OP(20)).unwrap();
        assert!(sender.may_send());
        assert_eq!(sender.replicate_head(), OP(20));
    }

    #[test]
    fn a_lying_standby_is_found() {
        let mut sender = Sender::new(OP(10));
        sender.sent(OP(20), 1);
        assert!(matches!(sender.acknowledged(OP(21)), Err(SenderError::Ahead { .. })));
        assert!(matches!(sender.acknowledged(OP(15)), Err(SenderError::Unknown { .. })));
        assert!(matches!(sender.acknowledged(OpId::new(0, 25)), Err(SenderError::Backwards { .. })));
        sender.acknowledged(OP(10)).unwrap();
        sender.acknowledged(OP(20)).unwrap();
        assert!(matches!(sender.acknowledged(OP(19)), Err(SenderError::Backwards { .. })));
    }
}
