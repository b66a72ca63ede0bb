//! Reads a segment from its bytes, as they come.

use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use prost::Message;
use serde::Serialize;

use super::{
    DecodeError, EntryError, LogEntry, MAX_BATCH_BYTES,
    entry::split_batch,
    header::{Codec, SegmentHeader},
    messages::FooterMessage,
};

/// First bytes of a segment.
pub(super) const HEADER_MAGIC: [u8; 8] = *b"kudulogf";
/// Comes after a closed segment's footer, before the footer's length.
pub(super) const FOOTER_MAGIC: [u8; 8] = *b"closedls";
/// First bytes of a file that Kudu encrypted.
const ENCRYPTION_MAGIC: [u8; 7] = *b"kuduenc";
/// Magic and length.
const HEADER_PREFIX_BYTES: usize = 12;
/// Two lengths and two checksums.
pub(super) const BATCH_HEADER_BYTES: usize = 16;
/// Kudu's own limit for a segment header.
const MAX_HEADER_BYTES: u32 = 8 * 1024 * 1024;
/// A footer has four integers; even with fields to come it stays below this.
const MAX_FOOTER_BYTES: usize = 1024;

/// The footer of a segment that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Footer {
    /// Number of entries in the segment.
    pub entries: i64,
    /// The lowest index of a REPLICATE in the segment, if it has any.
    pub min_replicate_index: Option<i64>,
    /// The highest index of a REPLICATE in the segment, if it has any.
    pub max_replicate_index: Option<i64>,
    /// When it was closed, in microseconds since 1970; a restart of Kudu sets it anew.
    pub closed_micros: Option<i64>,
}

/// A group of entries that was written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where it starts in the file.
    pub offset: u64,
    /// Where it ends in the file.
    pub end: u64,
    /// Its entries, in order.
    pub entries: Vec<LogEntry>,
}

/// Why the bytes at an offset are no batch.
///
/// At the end of a log that is being written, or whose writer crashed, this is normal: the write was not
/// finished. Anywhere else it is damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Torn {
    /// The segment header is cut short or incomplete.
    #[error("the segment header is not complete")]
    SegmentHeader,
    /// The batch's header does not match its checksum.
    #[error("the batch header's checksum (CRC32C) does not match")]
    BatchHeaderChecksum,
    /// The batch's content does not match its checksum.
    #[error("the batch's checksum (CRC32C) does not match")]
    BatchChecksum,
    /// The file ends before the batch does.
    #[error("the file ends inside the batch")]
    Truncated,
    /// A batch of length 0, which Kudu never writes.
    #[error("the batch has length 0")]
    Empty,
}

/// What the decoder found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The segment's header.
    Header(SegmentHeader),
    /// A batch of entries.
    Batch(Batch),
    /// Nothing yet: at least so many more bytes are needed.
    NeedMore(u64),
    /// Only zeros here: space that was allocated and not yet written. At offset 0: not even the header.
    Tail,
    /// The bytes here are no batch.
    Torn(Torn),
    /// The segment's footer: nothing comes after it.
    Footer(Footer),
    /// The file ends here, between two batches (at offset 0: it is empty).
    End,
}

/// Reads one segment: feed it the file's bytes in order and ask for what they hold.
///
/// [`Decoded::Tail`], [`Decoded::Torn`] and [`Decoded::End`] do not move it: to look again at a live
/// segment, [`Decoder::rewind`] and feed it the bytes from [`Decoder::offset`] on once more.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    header: Option<SegmentHeader>,
    footer: Option<Footer>,
    /// Offset in the file of the first byte of `buffer`.
    offset: u64,
    buffer: BytesMut,
}

impl Decoder {
    /// A decoder at the start of a segment.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The segment's header, once it was read.
    #[must_use]
    pub fn header(&self) -> Option<&SegmentHeader> {
        self.header.as_ref()
    }

    /// Where the next thing to decode starts in the file: all before it was good.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The offset in the file of the byte to feed next.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        self.offset.saturating_add(length(&self.buffer))
    }

    /// Takes the bytes of the file that start at [`Self::wanted`].
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets what was fed and not decoded, because it may have been read while it was being written.
    pub fn rewind(&mut self) {
        self.buffer.clear();
    }

    /// Decodes the next thing. `at_end`: the file has no more bytes than were fed.
    ///
    /// # Errors
    /// If the segment is of a kind that cannot be read, or damaged in a way that no torn read explains.
    pub fn step(&mut self, at_end: bool) -> Result<Decoded, DecodeError> {
        if let Some(footer) = self.footer {
            return Ok(Decoded::Footer(footer));
        }
        match &self.header {
            None => self.step_header(at_end),
            Some(header) => {
                let codec = header.codec();
                self.step_batch(codec, at_end)
            }
        }
    }

    fn step_header(&mut self, at_end: bool) -> Result<Decoded, DecodeError> {
        if self.buffer.starts_with(&ENCRYPTION_MAGIC) {
            return Err(DecodeError::Encrypted);
        }
        let Some(prefix) = self.buffer.first_chunk::<HEADER_PREFIX_BYTES>() else {
            return Ok(self.short(HEADER_PREFIX_BYTES, at_end, Torn::SegmentHeader));
        };
        if prefix.iter().all(|&byte| byte == 0) {
            return Ok(Decoded::Tail);
        }
        if !prefix.starts_with(&HEADER_MAGIC) {
            return match is_unfinished(prefix) {
                true => Ok(Decoded::Torn(Torn::SegmentHeader)),
                false => Err(DecodeError::BadMagic),
            };
        }
        let claimed = le_u32(prefix, 8);
        if claimed > MAX_HEADER_BYTES {
            return Err(DecodeError::HeaderTooLong { claimed });
        }
        let end = HEADER_PREFIX_BYTES.saturating_add(usize::try_from(claimed).unwrap_or(usize::MAX));
        let Some(raw) = self.buffer.get(HEADER_PREFIX_BYTES..end) else {
            return Ok(self.short(end, at_end, Torn::SegmentHeader));
        };
        let Some(header) = SegmentHeader::from_raw(Bytes::copy_from_slice(raw))? else {
            return Ok(Decoded::Torn(Torn::SegmentHeader));
        };
        self.consume(end);
        self.header = Some(header.clone());
        Ok(Decoded::Header(header))
    }

    fn step_batch(&mut self, codec: Codec, at_end: bool) -> Result<Decoded, DecodeError> {
        let Some(header) = self.buffer.first_chunk::<BATCH_HEADER_BYTES>() else {
            // A footer can be shorter than a batch header.
            if at_end && let Some(footer) = self.take_footer() {
                return Ok(Decoded::Footer(footer));
            }
            if at_end && !self.buffer.is_empty() && self.buffer.iter().all(|&byte| byte == 0) {
                return Ok(Decoded::Tail);
            }
            return Ok(self.short(BATCH_HEADER_BYTES, at_end, Torn::Truncated));
        };
        let Some(lengths) = BatchHeader::parse(header) else {
            if header.iter().all(|&byte| byte == 0) {
                return Ok(Decoded::Tail);
            }
            return Ok(self.footer_or_torn(at_end));
        };
        if lengths.stored == 0 || lengths.plain == 0 {
            return Ok(Decoded::Torn(Torn::Empty));
        }
        let claimed = lengths.stored.max(lengths.plain);
        if claimed > MAX_BATCH_BYTES {
            return Err(DecodeError::BatchTooLarge { offset: self.offset, claimed });
        }
        let end = BATCH_HEADER_BYTES.saturating_add(usize::try_from(lengths.stored).unwrap_or(usize::MAX));
        let Some(stored) = self.buffer.get(BATCH_HEADER_BYTES..end) else {
            return Ok(self.short(end, at_end, Torn::Truncated));
        };
        if crc32c::crc32c(stored) != lengths.checksum {
            return Ok(Decoded::Torn(Torn::BatchChecksum));
        }
        let offset = self.offset;
        let entries = plain_bytes(codec, stored, lengths.plain)
            .and_then(split_batch)
            .map_err(|source| DecodeError::Undecodable { offset, source })?;
        self.consume(end);
        Ok(Decoded::Batch(Batch { offset, end: self.offset, entries }))
    }

    /// Not a batch: the footer of a closed segment, or something torn.
    fn footer_or_torn(&mut self, at_end: bool) -> Decoded {
        if let Some(footer) = self.take_footer() {
            return Decoded::Footer(footer);
        }
        let most = MAX_FOOTER_BYTES.saturating_add(HEADER_PREFIX_BYTES);
        if !at_end && self.buffer.len() < most {
            return self.short(most, at_end, Torn::BatchHeaderChecksum);
        }
        Decoded::Torn(Torn::BatchHeaderChecksum)
    }

    /// A footer at the current offset. It is not always at the file's end: Kudu cuts off the allocated space after it
    /// wrote the footer, and a reader may come in between.
    fn take_footer(&mut self) -> Option<Footer> {
        let window = self.buffer.get(..MAX_FOOTER_BYTES).unwrap_or(&self.buffer);
        let size = window.windows(FOOTER_MAGIC.len()).position(|bytes| bytes == FOOTER_MAGIC)?;
        let message = self.buffer.get(..size)?;
        let trailer: &[u8; HEADER_PREFIX_BYTES] = self.buffer.get(size..)?.first_chunk()?;
        if usize::try_from(le_u32(trailer, 8)) != Ok(size) {
            return None;
        }
        let message = FooterMessage::decode(message).ok()?;
        let footer = Footer {
            entries: message.num_entries?,
            min_replicate_index: message.min_replicate_index,
            max_replicate_index: message.max_replicate_index,
            closed_micros: message.close_timestamp_micros,
        };
        self.consume(size.saturating_add(HEADER_PREFIX_BYTES));
        self.footer = Some(footer);
        Some(footer)
    }

    /// Fewer than `wanted` bytes are there.
    fn short(&self, wanted: usize, at_end: bool, torn: Torn) -> Decoded {
        let missing = wanted.saturating_sub(self.buffer.len());
        match (at_end, self.buffer.is_empty()) {
            (false, _) => Decoded::NeedMore(u64::try_from(missing).unwrap_or(u64::MAX)),
            (true, true) => Decoded::End,
            (true, false) => Decoded::Torn(torn),
        }
    }

    /// Moves past bytes that were decoded. The lengths given are of slices of the buffer.
    fn consume(&mut self, bytes: usize) {
        let consumed = self.buffer.split_to(bytes.min(self.buffer.len()));
        self.offset = self.offset.saturating_add(length(&consumed));
    }
}

/// True for the front of the magic with only zeros behind it.
fn is_unfinished(prefix: &[u8]) -> bool {
    let written = prefix.iter().rposition(|&byte| byte != 0).map_or(0, |last| last.saturating_add(1));
    prefix.get(..written).is_some_and(|front| HEADER_MAGIC.starts_with(front))
}

/// The header of a batch whose own checksum is right.
struct BatchHeader {
    stored: u32,
    plain: u32,
    checksum: u32,
}

impl BatchHeader {
    fn parse(header: &[u8; BATCH_HEADER_BYTES]) -> Option<Self> {
        let (covered, _) = header.split_at(12);
        (crc32c::crc32c(covered) == le_u32(header, 12)).then(|| Self {
            stored: le_u32(header, 0),
            plain: le_u32(header, 4),
            checksum: le_u32(header, 8),
        })
    }
}

/// The position of the first valid batch header in `bytes`.
///
/// Tells damage from a torn end: after a torn write there is none, so if there is one, batches were lost.
/// Kudu refuses to start on such a segment. Windows of a file must overlap by 15 bytes.
#[must_use]
pub fn find_batch_header(bytes: &[u8]) -> Option<usize> {
    // Most of what is searched is allocated space.
    if bytes.iter().all(|&byte| byte == 0) {
        return None;
    }
    bytes.windows(BATCH_HEADER_BYTES).position(|window| {
        window.first_chunk::<BATCH_HEADER_BYTES>().and_then(BatchHeader::parse).is_some_and(|header| header.stored != 0)
    })
}

fn plain_bytes(codec: Codec, stored: &[u8], plain: u32) -> Result<Bytes, EntryError> {
    let plain = usize::try_from(plain).map_err(|error| EntryError::Compression(error.to_string()))?;
    let failed = |error: &dyn std::error::Error| EntryError::Compression(error.to_string());
    let bytes = match codec {
        Codec::None => stored.to_vec(),
        Codec::Lz4 => lz4_flex::block::decompress(stored, plain).map_err(|error| failed(&error))?,
        Codec::Snappy => {
            // The block says its own length first: believe the header, which is bounded, and not the block.
            let mut bytes = vec![0; plain];
            let length = snap::raw::Decoder::new().decompress(stored, &mut bytes).map_err(|error| failed(&error))?;
            bytes.truncate(length);
            bytes
        }
        Codec::Zlib => {
            let mut bytes = Vec::with_capacity(plain);
            let most = u64::try_from(plain).unwrap_or(u64::MAX).saturating_add(1);
            let mut stream = flate2::read::ZlibDecoder::new(stored).take(most);
            stream.read_to_end(&mut bytes).map_err(|error| failed(&error))?;
            bytes
        }
    };
    if bytes.len() == plain {
        Ok(bytes.into())
    } else {
        Err(EntryError::Compression(format!("{} bytes where the header says {plain}", bytes.len())))
    }
}

/// The little-endian number at a place inside a fixed array. Out of bounds it would be 0; no caller is.
fn le_u32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |four| u32::from_le_bytes(*four))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
