//! Writes segments that an unmodified `kudu-master` reads.
//!
//! Batches are written uncompressed. A standby's log is read once, at promotion, and that very start
//! rewrites it with Kudu's own codec; an operation is about 455 bytes, so one is less than a page either way and
//! compressing it saves neither a write nor a flush. What it would add is work and a way to fail between
//! receiving an operation and acknowledging it. The other codecs are there for tests that imitate Kudu.

use std::io::Write as _;

use bytes::Bytes;
use prost::Message;

use super::{
    Codec, EntryError, Footer, MAX_BATCH_BYTES, SegmentHeader,
    decode::{BATCH_HEADER_BYTES, FOOTER_MAGIC, HEADER_MAGIC},
    entry::join_batch,
    messages::FooterMessage,
};

/// Why something cannot be written to a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The entries are too large for one batch.
    #[error("a batch of {bytes} bytes is above the limit of {MAX_BATCH_BYTES}: write the entries in smaller batches")]
    TooLarge {
        /// Their size.
        bytes: usize,
    },
    /// The codec gives up.
    #[error("a batch cannot be compressed: {0}")]
    Compression(String),
    /// The header that was to be changed is not well-formed.
    #[error("the segment header to start from {0}")]
    Header(#[from] EntryError),
}

/// The first bytes of a segment.
///
/// # Errors
/// If the header is above 4 GiB.
pub fn segment_header(header: &SegmentHeader) -> Result<Vec<u8>, EncodeError> {
    let raw = header.raw();
    let mut bytes = HEADER_MAGIC.to_vec();
    bytes.extend_from_slice(&u32_length(raw)?.to_le_bytes());
    bytes.extend_from_slice(raw);
    Ok(bytes)
}

/// A batch of entries, each given as its encoded `LogEntryPB`, which stays byte for byte as it is.
///
/// # Errors
/// If the batch is above [`MAX_BATCH_BYTES`].
pub fn batch<'a>(codec: Codec, entries: impl IntoIterator<Item = &'a Bytes>) -> Result<Vec<u8>, EncodeError> {
    let plain = join_batch(entries.into_iter());
    let plain_length = u32_length(&plain)?;
    let stored = match codec {
        Codec::None => plain,
        Codec::Lz4 => lz4_flex::block::compress(&plain),
        Codec::Snappy => snap::raw::Encoder::new()
            .compress_vec(&plain)
            .map_err(|error| EncodeError::Compression(error.to_string()))?,
        Codec::Zlib => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder
                .write_all(&plain)
                .and_then(|()| encoder.finish())
                .map_err(|error| EncodeError::Compression(error.to_string()))?
        }
    };
    let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES.saturating_add(stored.len()));
    bytes.extend_from_slice(&u32_length(&stored)?.to_le_bytes());
    bytes.extend_from_slice(&plain_length.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&stored).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes.extend_from_slice(&stored);
    Ok(bytes)
}

/// The last bytes of a segment that is closed.
#[must_use]
pub fn footer(footer: &Footer) -> Vec<u8> {
    let mut bytes = FooterMessage {
        num_entries: Some(footer.entries),
        min_replicate_index: footer.min_replicate_index,
        max_replicate_index: footer.max_replicate_index,
        close_timestamp_micros: footer.closed_micros,
    }
    .encode_to_vec();
    // At most four integers of ten bytes and their tags.
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    bytes.extend_from_slice(&FOOTER_MAGIC);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes
}

fn u32_length(bytes: &[u8]) -> Result<u32, EncodeError> {
    u32::try_from(bytes.len())
        .ok()
        .filter(|&length| length <= MAX_BATCH_BYTES)
        .ok_or(EncodeError::TooLarge { bytes: bytes.len() })
}
