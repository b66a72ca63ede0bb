//! Log entries and the batches that hold them.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::{
    OpId,
    error::EntryError,
    messages::{EntryMessage, OpIdMessage, ReplicateMessage},
    wire::{Fields, Value, bytes_field, put_varint, with_bytes_field},
};

/// `LogEntryTypePB`.
const REPLICATE: i32 = 1;
/// `LogEntryTypePB`.
const COMMIT: i32 = 2;
/// `LogEntryPB.replicate`.
const ENTRY_REPLICATE_FIELD: u64 = 2;
/// `ReplicateMsg.id`.
const REPLICATE_ID_FIELD: u64 = 1;
/// `ReplicateMsg.timestamp`.
const REPLICATE_TIMESTAMP_FIELD: u64 = 2;
/// `ReplicateMsg.write_request`.
const REPLICATE_WRITE_REQUEST_FIELD: u64 = 5;
/// `LogEntryBatchPB.entry`.
const BATCH_ENTRY_FIELD: u64 = 1;

/// What an operation does (`OperationType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpType {
    /// Marks the start of a term: a new leader writes it first.
    NoOp,
    /// Writes rows; on a master these are the catalog's.
    Write,
    /// Alters the tablet's own schema.
    AlterSchema,
    /// Changes the Raft configuration.
    ChangeConfig,
    /// A step of a multi-row transaction.
    Participant,
    /// One that this version does not know; shipped like any other.
    Other(i32),
}

impl OpType {
    fn from_number(number: i32) -> Self {
        match number {
            1 => Self::NoOp,
            3 => Self::Write,
            4 => Self::AlterSchema,
            5 => Self::ChangeConfig,
            6 => Self::Participant,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for OpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad`, so that a width given by the caller holds.
        match self {
            Self::NoOp => f.pad("NO_OP"),
            Self::Write => f.pad("WRITE_OP"),
            Self::AlterSchema => f.pad("ALTER_SCHEMA_OP"),
            Self::ChangeConfig => f.pad("CHANGE_CONFIG_OP"),
            Self::Participant => f.pad("PARTICIPANT_OP"),
            Self::Other(number) => f.pad(&format!("OP_{number}")),
        }
    }
}

/// An operation, and the bytes in which Kudu wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicate {
    id: OpId,
    timestamp: u64,
    op_type: OpType,
    raw: Bytes,
}

impl Replicate {
    /// Reads the encoded `LogEntryPB` of an operation, which it keeps byte for byte.
    ///
    /// # Errors
    /// If the bytes are not a REPLICATE entry.
    pub fn from_raw(raw: Bytes) -> Result<Self, EntryError> {
        match LogEntry::from_raw(raw)? {
            LogEntry::Replicate(replicate) => Ok(replicate),
            LogEntry::Commit(_) => Err(EntryError::NotReplicate),
        }
    }

    /// The same operation at another place and time in a log; all else stays byte for byte.
    ///
    /// For replaying operations that another reign did not get (see `docs/kudu-log-format.md`); nothing else may
    /// renumber what a master wrote.
    ///
    /// # Errors
    /// If the bytes are not well-formed; those of an operation that was read are.
    pub fn renumbered(&self, id: OpId, timestamp: u64) -> Result<Self, EntryError> {
        let mut raw = Vec::with_capacity(self.raw.len().saturating_add(16));
        for field in Fields::new(self.raw.clone()) {
            let field = field?;
            match (field.number, field.value) {
                (ENTRY_REPLICATE_FIELD, Value::Bytes(operation)) => {
                    let operation = renumber(operation, id, timestamp)?;
                    put_varint(&mut raw, ENTRY_REPLICATE_FIELD << 3 | 2);
                    put_varint(&mut raw, u64::try_from(operation.len()).unwrap_or(u64::MAX));
                    raw.extend_from_slice(&operation);
                }
                _ => raw.extend_from_slice(&field.whole),
            }
        }
        Self::from_raw(raw.into())
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> OpId {
        self.id
    }

    /// The hybrid time that Kudu gave it; microseconds since 1970 are `timestamp >> 12`.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// What it does.
    #[must_use]
    pub fn op_type(&self) -> OpType {
        self.op_type
    }

    /// Its `LogEntryPB`, as Kudu wrote it, with fields that this version does not know.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The encoded `WriteRequestPB` of one that writes rows; [`crate::catalog`] looks into it.
    ///
    /// # Errors
    /// If the bytes are not well-formed.
    pub fn write_request(&self) -> Result<Option<Bytes>, EntryError> {
        let Some(operation) = bytes_field(&self.raw, ENTRY_REPLICATE_FIELD)? else { return Ok(None) };
        Ok(bytes_field(&operation, REPLICATE_WRITE_REQUEST_FIELD)?)
    }

    /// The same operation with another `WriteRequestPB`; as [`Self::renumbered`], only for replaying.
    ///
    /// # Errors
    /// If the bytes are not well-formed.
    pub fn with_write_request(&self, request: &[u8]) -> Result<Self, EntryError> {
        let operation = bytes_field(&self.raw, ENTRY_REPLICATE_FIELD)?.unwrap_or_default();
        let operation = with_bytes_field(&operation, REPLICATE_WRITE_REQUEST_FIELD, request)?;
        Self::from_raw(with_bytes_field(&self.raw, ENTRY_REPLICATE_FIELD, &operation)?)
    }
}

/// The record that an operation was applied on the master that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    committed: OpId,
    op_type: OpType,
    raw: Bytes,
}

impl Commit {
    /// The operation that was applied.
    #[must_use]
    pub fn committed(&self) -> OpId {
        self.committed
    }

    /// What the operation does.
    #[must_use]
    pub fn op_type(&self) -> OpType {
        self.op_type
    }

    /// Its `LogEntryPB`. It names stores of the master that wrote it: meaningless, and harmful, to another.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEntry {
    /// An operation.
    Replicate(Replicate),
    /// The record that an operation was applied.
    Commit(Commit),
}

impl LogEntry {
    /// Reads an encoded `LogEntryPB`, which it keeps byte for byte.
    ///
    /// # Errors
    /// If the bytes are not an entry, or one of an unknown type.
    pub fn from_raw(raw: Bytes) -> Result<Self, EntryError> {
        let message = EntryMessage::decode(raw.clone()).map_err(|error| EntryError::Message(error.to_string()))?;
        match message.kind {
            Some(REPLICATE) => {
                let replicate = message.replicate.ok_or(EntryError::Missing("replicate"))?;
                Ok(Self::Replicate(Replicate {
                    id: op_id(replicate.id, "replicate.id")?,
                    timestamp: replicate.timestamp.ok_or(EntryError::Missing("replicate.timestamp"))?,
                    op_type: OpType::from_number(replicate.op_type.ok_or(EntryError::Missing("replicate.op_type"))?),
                    raw,
                }))
            }
            Some(COMMIT) => {
                let commit = message.commit.ok_or(EntryError::Missing("commit"))?;
                Ok(Self::Commit(Commit {
                    committed: op_id(commit.committed, "commit.commited_op_id")?,
                    op_type: OpType::from_number(commit.op_type.ok_or(EntryError::Missing("commit.op_type"))?),
                    raw,
                }))
            }
            Some(other) => Err(EntryError::UnknownEntryType(other)),
            None => Err(EntryError::Missing("type")),
        }
    }

    /// Its `LogEntryPB`, as Kudu wrote it.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        match self {
            Self::Replicate(replicate) => &replicate.raw,
            Self::Commit(commit) => &commit.raw,
        }
    }
}

/// A `ReplicateMsg` with another identity and time.
fn renumber(operation: Bytes, id: OpId, timestamp: u64) -> Result<Vec<u8>, EntryError> {
    let id = OpIdMessage { term: Some(id.term), index: Some(id.index) };
    let mut raw = ReplicateMessage { id: Some(id), timestamp: Some(timestamp), op_type: None }.encode_to_vec();
    for field in Fields::new(operation) {
        let field = field?;
        if field.number != REPLICATE_ID_FIELD && field.number != REPLICATE_TIMESTAMP_FIELD {
            raw.extend_from_slice(&field.whole);
        }
    }
    Ok(raw)
}

fn op_id(message: Option<OpIdMessage>, name: &'static str) -> Result<OpId, EntryError> {
    match message {
        Some(OpIdMessage { term: Some(term), index: Some(index) }) => Ok(OpId { term, index }),
        _ => Err(EntryError::Missing(name)),
    }
}

/// Cuts an encoded `LogEntryBatchPB` into its entries.
pub(super) fn split_batch(batch: Bytes) -> Result<Vec<LogEntry>, EntryError> {
    let mut entries = Vec::new();
    for field in Fields::new(batch) {
        let field = field?;
        match (field.number, field.value) {
            (BATCH_ENTRY_FIELD, Value::Bytes(raw)) => entries.push(LogEntry::from_raw(raw)?),
            (number, _) => return Err(EntryError::UnknownBatchField(number)),
        }
    }
    Ok(entries)
}

/// Joins encoded entries into an encoded `LogEntryBatchPB`.
pub(super) fn join_batch<'a>(entries: impl Iterator<Item = &'a Bytes>) -> Vec<u8> {
    let mut batch = Vec::new();
    for raw in entries {
        put_varint(&mut batch, BATCH_ENTRY_FIELD << 3 | 2);
        put_varint(&mut batch, u64::try_from(raw.len()).unwrap_or(u64::MAX));
        batch.extend_from_slice(raw);
    }
    batch
}
