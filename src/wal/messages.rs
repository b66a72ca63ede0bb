//! The few fields of Kudu's log messages that are read, by field number.
//!
//! Only for reading: what is written goes through [`super::encode`], which keeps every other field. Each is
//! optional here, though some are `required` in Kudu, because a damaged file may lack them: the callers check.

use bytes::Bytes;

/// `OpId` (`opid.proto`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct OpIdMessage {
    #[prost(int64, optional, tag = "1")]
    pub(super) term: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub(super) index: Option<i64>,
}

/// `ReplicateMsg` (`consensus.proto`); the operation itself (fields 5 to 9 and 999) is carried, not read.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct ReplicateMessage {
    #[prost(message, optional, tag = "1")]
    pub(super) id: Option<OpIdMessage>,
    #[prost(fixed64, optional, tag = "2")]
    pub(super) timestamp: Option<u64>,
    #[prost(int32, optional, tag = "4")]
    pub(super) op_type: Option<i32>,
}

/// `CommitMsg` (`consensus.proto`); field 3 names the active's own stores and is never shipped.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct CommitMessage {
    #[prost(int32, optional, tag = "1")]
    pub(super) op_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(super) committed: Option<OpIdMessage>,
}

/// `LogEntryPB` (`log.proto`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct EntryMessage {
    #[prost(int32, optional, tag = "1")]
    pub(super) kind: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(super) replicate: Option<ReplicateMessage>,
    #[prost(message, optional, tag = "3")]
    pub(super) commit: Option<CommitMessage>,
}

/// `LogSegmentHeaderPB` (`log.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HeaderMessage {
    /// Written by Kudu 1.2 and older only, whose batches have a shorter header.
    #[prost(uint32, optional, tag = "1")]
    pub(super) deprecated_major_version: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(super) tablet_id: Option<Bytes>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) sequence_number: Option<u64>,
    /// A nested `SchemaPB`, not looked into.
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub(super) schema: Option<Bytes>,
    #[prost(uint32, optional, tag = "8")]
    pub(super) schema_version: Option<u32>,
    #[prost(int32, optional, tag = "9")]
    pub(super) compression_codec: Option<i32>,
    #[prost(int32, repeated, packed = "false", tag = "10")]
    pub(super) incompatible_features: Vec<i32>,
}

/// `LogSegmentFooterPB` (`log.proto`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct FooterMessage {
    #[prost(int64, optional, tag = "1")]
    pub(super) num_entries: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub(super) min_replicate_index: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    pub(super) max_replicate_index: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub(super) close_timestamp_micros: Option<i64>,
}
