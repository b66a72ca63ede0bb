//! Reads one segment's file through a [`Decoder`], in chunks.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{ReadError, SegmentPath};
use crate::wal::{DecodeError, Decoded, Decoder, find_batch_header};

/// What one read starts with: at the live end of a log most of it is zeros, so little is read first.
const FIRST_CHUNK: usize = 8 * 1024;
/// What one read grows to.
const LARGEST_CHUNK: usize = 256 * 1024;

/// An open segment. The descriptor keeps the file readable when the log is collected or moved away.
#[derive(Debug)]
pub(super) struct SegmentReader {
    segment: SegmentPath,
    file: File,
    decoder: Decoder,
    chunk: usize,
}

impl SegmentReader {
    pub(super) fn open(segment: SegmentPath) -> Result<Self, ReadError> {
        let file = File::open(&segment.path).map_err(ReadError::io(&segment.path, "open the segment"))?;
        Ok(Self { segment, file, decoder: Decoder::new(), chunk: FIRST_CHUNK })
    }

    pub(super) fn path(&self) -> &Path {
        &self.segment.path
    }

    pub(super) fn sequence_number(&self) -> u64 {
        self.segment.sequence_number
    }

    pub(super) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub(super) fn size(&self) -> Result<u64, ReadError> {
        Ok(self.file.metadata().map_err(ReadError::io(self.path(), "get the size"))?.len())
    }

    /// The next thing in the segment; never [`Decoded::NeedMore`].
    pub(super) fn next(&mut self) -> Result<Decoded, ReadError> {
        let mut at_end = false;
        let mut chunk = Vec::new();
        loop {
            let missing = match self.decoder.step(at_end).map_err(|source| self.decode_error(source))? {
                Decoded::NeedMore(missing) => missing,
                decoded => return Ok(decoded),
            };
            // A batch's length is only a claim until its bytes are there: read towards it in bounded steps.
            let wanted = usize::try_from(missing).unwrap_or(LARGEST_CHUNK).clamp(self.chunk, LARGEST_CHUNK);
            chunk.resize(wanted, 0);
            let read = self.read_at(self.decoder.wanted(), &mut chunk)?;
            at_end = read == 0;
            self.decoder.feed(chunk.get(..read).unwrap_or_default());
            self.chunk = self.chunk.saturating_mul(2).min(LARGEST_CHUNK);
        }
    }

    /// True if bytes are held that were read before and not yet decoded.
    pub(super) fn is_ahead(&self) -> bool {
        self.decoder.wanted() > self.decoder.offset()
    }

    /// Makes [`Self::next`] read again from the end of the last good thing.
    pub(super) fn rewind(&mut self) {
        self.decoder.rewind();
        self.chunk = FIRST_CHUNK;
    }

    /// The offset of the first valid batch header behind the current offset: if there is one, what is at the current
    /// offset is no torn end but damage.
    pub(super) fn batch_header_behind(&self) -> Result<Option<u64>, ReadError> {
        // Kudu skips the header at which it stopped, too.
        let mut offset = self.decoder.offset().saturating_add(1);
        let mut chunk = vec![0; LARGEST_CHUNK];
        loop {
            let read = self.read_at(offset, &mut chunk)?;
            let bytes = chunk.get(..read).unwrap_or_default();
            if let Some(at) = find_batch_header(bytes) {
                return Ok(Some(offset.saturating_add(to_u64(at))));
            }
            // Overlap, since a header may lie across two windows.
            let step = read.saturating_sub(15);
            if step == 0 || read < 16 {
                return Ok(None);
            }
            offset = offset.saturating_add(to_u64(step));
        }
    }

    /// True if the file ends as a closed segment does, and there is more between here and there than the footer: nobody closes
    /// a segment before its batches are written, but the footer itself may be cut short.
    pub(super) fn ends_closed(&self) -> Result<bool, ReadError> {
        let Some(at) = self.size()?.checked_sub(12) else {
            return Ok(false);
        };
        let mut trailer = [0; 12];
        if self.read_at(at, &mut trailer)? != trailer.len() || !trailer.starts_with(b"closedls") {
            return Ok(false);
        }
        let length = trailer.last_chunk().map_or(0, |length| u32::from_le_bytes(*length));
        Ok(at.checked_sub(u64::from(length)) != Some(self.decoder.offset()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(to_u64(filled))) {
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::io(self.path(), "read the segment")(error)),
            }
        }
        Ok(filled)
    }

    fn decode_error(&self, source: DecodeError) -> ReadError {
        ReadError::Decode { path: PathBuf::from(self.path()), source }
    }
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
