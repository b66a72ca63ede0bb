//! The header of a segment.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::{
    error::{DecodeError, EntryError},
    messages::HeaderMessage,
    wire::{Fields, put_varint_field},
};

/// `LogSegmentHeaderPB.sequence_number`.
const SEQUENCE_NUMBER_FIELD: u64 = 6;
/// `LogSegmentHeaderPB.compression_codec`.
const COMPRESSION_CODEC_FIELD: u64 = 9;

/// How the batches of a segment are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// As Snappy blocks.
    Snappy,
    /// As LZ4 blocks, Kudu's default.
    Lz4,
    /// As zlib streams.
    Zlib,
}

impl Codec {
    /// `CompressionType`.
    fn number(self) -> u64 {
        match self {
            Self::None => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zlib => 4,
        }
    }

    fn from_number(number: Option<i32>) -> Result<Self, DecodeError> {
        match number {
            // The field's default is NO_COMPRESSION.
            None | Some(1) => Ok(Self::None),
            Some(2) => Ok(Self::Snappy),
            Some(3) => Ok(Self::Lz4),
            Some(4) => Ok(Self::Zlib),
            Some(number) => Err(DecodeError::UnknownCodec { number }),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Snappy => "Snappy",
            Self::Lz4 => "LZ4",
            Self::Zlib => "zlib",
        })
    }
}

/// The header of a segment, with the bytes in which Kudu wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    tablet_id: String,
    sequence_number: u64,
    codec: Codec,
    raw: Bytes,
}

impl SegmentHeader {
    /// Reads an encoded `LogSegmentHeaderPB`. `Ok(None)`: it is not whole, as at a torn read.
    pub(super) fn from_raw(raw: Bytes) -> Result<Option<Self>, DecodeError> {
        let Ok(message) = HeaderMessage::decode(raw.clone()) else {
            return Ok(None);
        };
        // Kudu's required fields. The header has no checksum: this is all that tells a whole one.
        let (Some(tablet_id), Some(sequence_number), Some(_)) =
            (message.tablet_id, message.sequence_number, message.schema)
        else {
            return Ok(None);
        };
        if !message.incompatible_features.is_empty() {
            return Err(DecodeError::UnknownFeatures { features: message.incompatible_features });
        }
        if message.deprecated_major_version.is_some() {
            return Err(DecodeError::OldFormat);
        }
        Ok(Some(Self {
            tablet_id: String::from_utf8_lossy(&tablet_id).into_owned(),
            sequence_number,
            codec: Codec::from_number(message.compression_codec)?,
            raw,
        }))
    }

    /// The tablet whose log this is.
    #[must_use]
    pub fn tablet_id(&self) -> &str {
        &self.tablet_id
    }

    /// The segment's place in the log; its file is `wal-` and this number in nine digits.
    #[must_use]
    pub fn sequence_number(&self) -> u64 {
        self.sequence_number
    }

    /// How the segment's batches are compressed.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The header of another segment of the same log: this one with another number and codec.
    ///
    /// Every other field (the schema, and what this version does not know) stays as Kudu wrote it.
    ///
    /// # Errors
    /// If this header is not well-formed; one that was decoded is.
    pub fn with(&self, sequence_number: u64, codec: Codec) -> Result<Self, EntryError> {
        let mut raw = Vec::with_capacity(self.raw.len().saturating_add(16));
        let mut numbered = false;
        for field in Fields::new(self.raw.clone()) {
            let field = field?;
            match field.number {
                SEQUENCE_NUMBER_FIELD => {
                    // A field that occurs twice counts as its last value: write it once.
                    if !std::mem::replace(&mut numbered, true) {
                        put_varint_field(&mut raw, SEQUENCE_NUMBER_FIELD, sequence_number);
                    }
                }
                COMPRESSION_CODEC_FIELD => {}
                _ => raw.extend_from_slice(&field.whole),
            }
        }
        put_varint_field(&mut raw, COMPRESSION_CODEC_FIELD, codec.number());
        Ok(Self { tablet_id: self.tablet_id.clone(), sequence_number, codec, raw: raw.into() })
    }

    /// The encoded `LogSegmentHeaderPB`.
    pub(super) fn raw(&self) -> &Bytes {
        &self.raw
    }
}
