//! Frames on the wire: what surrounds each [`Message`](super::Message).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | length of all that follows, big-endian (written by the length-delimited codec) |
//! | 4 | 1 | version of the protocol, [`VERSION`] |
//! | 5 | 1 | kind of the message |
//! | 6 | 8 | epoch of the sender, big-endian |
//! | 14 | n | payload |
//! | 14+n | 4 | CRC-32C of bytes 4 to 14+n, big-endian |

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Version of the protocol. A peer of another version is refused by name, not misread.
pub const VERSION: u8 = 1;
/// Largest frame: one batch of Kudu's log (at most 50 MiB, its RPC limit) and what surrounds it.
pub const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;
/// Version, kind, epoch and checksum.
const OVERHEAD_BYTES: usize = 1 + 1 + 8 + 4;
const CRC_BYTES: usize = 4;

/// One frame, without its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Number of the message's kind.
    pub kind: u8,
    /// The sender's epoch.
    pub epoch: i64,
    /// The message's own bytes.
    pub payload: Bytes,
}

/// Bytes that are no frame of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too few bytes.
    #[error("a frame of {0} bytes is too short; the peer does not speak this protocol, or the connection was cut")]
    Short(usize),
    /// Another version.
    #[error(
        "the peer speaks version {0} of the replication protocol and this member version {VERSION}; run the same operator image on all members"
    )]
    Version(u8),
    /// Damaged on its way.
    #[error("a frame's checksum is {found:#010x} and should be {expected:#010x}; it was damaged on its way")]
    Checksum {
        /// What the frame says.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
}

impl Frame {
    /// The bytes that go between length and end.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.payload.len().saturating_add(OVERHEAD_BYTES));
        out.put_u8(VERSION);
        out.put_u8(self.kind);
        out.put_i64(self.epoch);
        out.put_slice(&self.payload);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out.freeze()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// When the bytes are too short, of another version, or damaged.
    pub fn decode(mut bytes: Bytes) -> Result<Self, FrameError> {
        let length = bytes.len();
        let Some(body_length) = length.checked_sub(CRC_BYTES).filter(|_| length >= OVERHEAD_BYTES) else {
            return Err(FrameError::Short(length));
        };
        let mut trailer = bytes.split_off(body_length);
        let version = bytes.first().copied().unwrap_or_default();
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let (expected, found) = (trailer.get_u32(), crc32c::crc32c(&bytes));
        if expected != found {
            return Err(FrameError::Checksum { expected, found });
        }
        bytes.advance(1);
        Ok(Self { kind: bytes.get_u8(), epoch: bytes.get_i64(), payload: bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(kind: u8, epoch: i64, payload: Vec<u8>) {
            let frame = Frame { kind, epoch, payload: payload.into() };
            prop_assert_eq!(Frame::decode(frame.encode()), Ok(frame));
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = Frame::decode(bytes.into());
        }

        #[test]
        fn a_flipped_bit_is_found(payload: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = Frame { kind: 3, epoch: 7, payload: payload.into() }.encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Frame::decode(bytes.into()).is_err());
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = Frame { kind: 0, epoch: 1, payload: Bytes::new() }.encode().to_vec();
        bytes[0] = 9;
        assert!(Frame::decode(bytes.into()).unwrap_err().to_string().contains("version 9"));
    }
}
