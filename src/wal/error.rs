//! What can be wrong with a segment's bytes.

use super::wire::WireError;

/// Why a segment cannot be decoded any further.
///
/// A torn read is not among these: the decoder reports it as [`super::Decoded::Torn`], because at the
/// live end of a log it is normal and passes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Kudu's own encryption at rest is on.
    #[error(
        "the file is encrypted by Kudu (it starts with `kuduenc`), and kudu-pair cannot read an encrypted log: \
         run the masters of a pair without --encrypt_data_at_rest and encrypt the volume instead"
    )]
    Encrypted,
    /// The file is no segment of a Kudu log.
    #[error("the file does not start with `kudulogf`: it is no segment of a Kudu log, or its first bytes are damaged")]
    BadMagic,
    /// The header's length is out of bounds.
    #[error("the segment header at offset 12 claims {claimed} bytes, above Kudu's own limit of 8 MiB: it is damaged")]
    HeaderTooLong {
        /// The length that the file gives.
        claimed: u32,
    },
    /// The segment is of a format before Kudu 1.3.
    #[error("the segment was written by Kudu 1.2 or older, in a format that is not supported: upgrade Kudu first")]
    OldFormat,
    /// The segment uses a feature that did not exist when this was written.
    #[error(
        "the segment needs the log features {features:?} of a newer Kudu: use a kudu-pair release that supports them"
    )]
    UnknownFeatures {
        /// The numbers that the header lists.
        features: Vec<i32>,
    },
    /// The entries are compressed by a codec that did not exist when this was written.
    #[error(
        "the segment is compressed with codec {number}, which this version does not know: use a kudu-pair release that does, or \
         start kudu-master with --log_compression_codec=LZ4, Kudu's default"
    )]
    UnknownCodec {
        /// The number that the header gives.
        number: i32,
    },
    /// A batch is larger than anything Kudu writes.
    #[error(
        "the batch at offset {offset} claims {claimed} bytes, more than any that Kudu writes: its header is damaged"
    )]
    BatchTooLarge {
        /// Where the batch starts in the file.
        offset: u64,
        /// The length that its header gives.
        claimed: u32,
    },
    /// A batch's checksum is right and yet its content makes no sense.
    #[error("the batch at offset {offset} has a good checksum but {source}")]
    Undecodable {
        /// Where the batch starts in the file.
        offset: u64,
        /// What is wrong with it.
        source: EntryError,
    },
}

impl DecodeError {
    /// True if the bytes are damaged; false if they are sound but of a kind that is not supported.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Encrypted | Self::OldFormat | Self::UnknownFeatures { .. } | Self::UnknownCodec { .. } => false,
            Self::BadMagic | Self::HeaderTooLong { .. } | Self::BatchTooLarge { .. } | Self::Undecodable { .. } => true,
        }
    }
}

/// Why bytes are not a log entry, or not a batch of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Decompression failed.
    #[error("cannot be decompressed: {0}")]
    Compression(String),
    /// The bytes are not protobuf.
    #[error("is not a protobuf message: {0}")]
    Wire(#[from] WireError),
    /// The bytes are protobuf, but of another type.
    #[error("is not a log entry: {0}")]
    Message(String),
    /// A field without which an entry has no meaning.
    #[error("lacks the field {0}")]
    Missing(&'static str),
    /// A batch with a field beside its entries: passing only the entries on would lose it.
    #[error("has the unknown field {0} beside its entries")]
    UnknownBatchField(u64),
    /// An entry that is neither REPLICATE nor COMMIT.
    #[error("has an entry of the unknown type {0}")]
    UnknownEntryType(i32),
    /// A COMMIT where only a REPLICATE will do.
    #[error("is a COMMIT, and only REPLICATE entries may be shipped")]
    NotReplicate,
}
