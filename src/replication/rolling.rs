//! A digest over a stretch of a log, by which two members find out whether they hold the same operations there.

use serde::{Deserialize, Serialize};

use super::{
    hang_up::{HangUp, follow_on},
    message::Digest,
};
use crate::wal::{OpDigest, OpId, Replicate};

/// A digest of all operations behind `from`, up to `at`: their raw entries, byte for byte, in order, without holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    from: OpId,
    at: OpId,
    digest: Digest,
}

impl Rolling {
    /// Of nothing yet: what comes behind `from` will be added.
    pub fn behind(from: OpId) -> Self {
        let name = [from.term.to_be_bytes(), from.index.to_be_bytes()].concat();
        Self { from, at: from, digest: Digest(OpDigest::of_raw(&name)) }
    }

    /// Adds the next operation.
    ///
    /// # Errors
    /// When it does not follow; nothing was added then.
    pub fn add(&mut self, op: &Replicate) -> Result<(), HangUp> {
        self.at = follow_on(self.at, [op.id()])?;
        self.digest = Digest(self.digest.0.chained(op));
        Ok(())
    }

    /// The operation behind which it begins.
    pub fn from(&self) -> OpId {
        self.from
    }

    /// The last operation in it.
    pub fn at(&self) -> OpId {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wal::tests::replicate;

    fn op(index: i64, payload: &[u8]) -> Replicate {
        Replicate::from_raw(replicate(OpId::new(1, index), 3, payload)).unwrap()
    }

    fn rolling(from: i64, ops: &[Replicate]) -> Rolling {
        let mut rolling = Rolling::behind(OpId::new(1, from));
        ops.iter().for_each(|op| rolling.add(op).unwrap());
        rolling
    }

    #[test]
    fn what_does_not_follow_is_not_added() {
        let before = rolling(10, &[op(11, b"a")]);
        for index in [10, 11, 13] {
            let mut rolling = before;
            assert!(matches!(rolling.add(&op(index, b"b")), Err(HangUp::Hole { .. })));
            assert_eq!(rolling, before);
        }
        assert_eq!((before.from(), before.at()), (OpId::new(1, 10), OpId::new(1, 11)));
    }

    #[test]
    fn where_it_begins_is_a_part_of_it() {
        let (one, other) = (Rolling::behind(OpId::new(1, 10)), Rolling::behind(OpId::new(2, 10)));
        assert_ne!(one.digest, other.digest);
    }

    proptest! {
        /// Whatever is different, and wherever the stretch is cut on the way.
        #[test]
        fn any_other_byte_makes_another(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 1..20),
            which: prop::sample::Index, byte: prop::sample::Index, bit in 0_u8..8
        ) {
            let ops = |payloads: &[Vec<u8>]| -> Vec<_> {
                (11..).zip(payloads).map(|(index, payload)| op(index, payload)).collect()
            };
            let mut altered = payloads.clone();
            let payload = which.get(&payloads).len();
            let which = which.index(payloads.len());
            altered[which][byte.index(payload)] ^= 1 << bit;
            let (one, other) = (ops(&payloads), ops(&altered));
            prop_assert_eq!(rolling(10, &one[..which]), rolling(10, &other[..which]));
            for end in which + 1..=one.len() {
                prop_assert_ne!(rolling(10, &one[..end]), rolling(10, &other[..end]));
            }
        }
    }
}
