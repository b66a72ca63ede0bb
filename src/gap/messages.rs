//! The fields of Kudu's rows that are read, by field number. Only for reading: rows are written as Kudu wrote them.
//!
//! Names and texts are bytes here: one that is no UTF-8 must not make a whole table unreadable.

use bytes::Bytes;
use prost::Message;

use crate::wal::wire::{WireError, without_fields};

/// `SysTablesEntryPB` (`master.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TableEntry {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) name: Option<Bytes>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) version: Option<u32>,
    #[prost(message, optional, tag = "3")]
    pub(super) schema: Option<Schema>,
    #[prost(int32, optional, tag = "5")]
    pub(super) num_replicas: Option<i32>,
    #[prost(int32, optional, tag = "6")]
    pub(super) state: Option<i32>,
    #[prost(message, optional, tag = "9")]
    pub(super) partition_schema: Option<PartitionSchema>,
    #[prost(bytes = "bytes", optional, tag = "12")]
    pub(super) extra_config: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub(super) owner: Option<Bytes>,
    #[prost(int64, optional, tag = "15")]
    pub(super) disk_size_limit: Option<i64>,
    #[prost(int64, optional, tag = "16")]
    pub(super) row_count_limit: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "17")]
    pub(super) comment: Option<Bytes>,
}

/// Fields of a table's row that Kudu changes by itself: the schema that all tablets have, state, its text, three times.
const KUDUS_OWN_FIELDS: [u64; 6] = [4, 6, 7, 10, 11, 18];

/// What of a table's row a person decides, byte for byte, with fields that this version does not know.
pub(super) fn substance(table: &Bytes) -> Result<Bytes, WireError> {
    without_fields(table, &KUDUS_OWN_FIELDS)
}

/// `SchemaPB` (`common.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Schema {
    #[prost(message, repeated, tag = "1")]
    pub(super) columns: Vec<Column>,
}

/// `ColumnSchemaPB` (`common.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Column {
    #[prost(uint32, optional, tag = "1")]
    pub(super) id: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) name: Option<Bytes>,
    #[prost(int32, optional, tag = "3")]
    pub(super) data_type: Option<i32>,
    #[prost(bool, optional, tag = "5")]
    pub(super) nullable: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) read_default: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub(super) write_default: Option<Bytes>,
    #[prost(int32, optional, tag = "8")]
    pub(super) encoding: Option<i32>,
    #[prost(int32, optional, tag = "9")]
    pub(super) compression: Option<i32>,
    #[prost(int32, optional, tag = "10")]
    pub(super) block_size: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "12")]
    pub(super) comment: Option<Bytes>,
    #[prost(bool, optional, tag = "13")]
    pub(super) immutable: Option<bool>,
}

/// `PartitionSchemaPB` (`common.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct PartitionSchema {
    #[prost(message, repeated, tag = "1")]
    pub(super) hash_schema: Vec<HashSchema>,
    #[prost(message, optional, tag = "2")]
    pub(super) range_schema: Option<RangeSchema>,
}

/// `PartitionSchemaPB.HashBucketSchemaPB`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct HashSchema {
    #[prost(int32, optional, tag = "2")]
    pub(super) num_buckets: Option<i32>,
}

/// `PartitionSchemaPB.RangeSchemaPB`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RangeSchema {
    #[prost(message, repeated, tag = "1")]
    pub(super) columns: Vec<ColumnIdentifier>,
}

/// `PartitionSchemaPB.ColumnIdentifierPB`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ColumnIdentifier {
    #[prost(int32, optional, tag = "1")]
    pub(super) id: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) name: Option<Bytes>,
}

/// `SysTabletsEntryPB` (`master.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TabletEntry {
    #[prost(message, optional, tag = "3")]
    pub(super) consensus_state: Option<ConsensusState>,
    #[prost(int32, optional, tag = "4")]
    pub(super) state: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub(super) table_id: Option<Bytes>,
    #[prost(message, optional, tag = "7")]
    pub(super) partition: Option<Partition>,
}

/// `PartitionPB` (`common.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Partition {
    #[prost(int32, repeated, tag = "1")]
    pub(super) hash_buckets: Vec<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) start: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) end: Option<Bytes>,
}

/// `ConsensusStatePB` (`metadata.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ConsensusState {
    #[prost(int64, optional, tag = "1")]
    pub(super) term: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) leader: Option<Bytes>,
    #[prost(message, optional, tag = "3")]
    pub(super) config: Option<RaftConfig>,
}

/// `RaftConfigPB` (`metadata.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RaftConfig {
    #[prost(int64, optional, tag = "1")]
    pub(super) index: Option<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(super) peers: Vec<RaftPeer>,
}

/// `RaftPeerPB` (`metadata.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RaftPeer {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) uuid: Option<Bytes>,
}

/// `SysTServerStateEntryPB` (`master.proto`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct TabletServerEntry {
    #[prost(int32, optional, tag = "1")]
    pub(super) state: Option<i32>,
}

/// Whether a table is there for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Live,
    /// Dropped, and can be recalled for a time.
    SoftlyDropped,
    Dropped,
}

impl TableEntry {
    pub(super) fn life(&self) -> Life {
        // SysTablesEntryPB.State
        match self.state {
            Some(4) => Life::Dropped,
            Some(5) => Life::SoftlyDropped,
            _ => Life::Live,
        }
    }

    pub(super) fn name_text(&self) -> String {
        text(self.name.as_ref())
    }
}

/// `SysTabletsEntryPB.State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TabletState {
    Preparing,
    Creating,
    Running,
    Replaced,
    Deleted,
    SoftlyDeleted,
    Unknown,
}

impl TabletEntry {
    pub(super) fn tablet_state(&self) -> TabletState {
        match self.state {
            Some(0) => TabletState::Preparing,
            Some(1) => TabletState::Creating,
            Some(2) => TabletState::Running,
            Some(3) => TabletState::Replaced,
            Some(4) => TabletState::Deleted,
            Some(5) => TabletState::SoftlyDeleted,
            _ => TabletState::Unknown,
        }
    }

    /// Whether it is one of its table's tablets, or will be.
    pub(super) fn is_part(&self) -> bool {
        !matches!(self.tablet_state(), TabletState::Replaced | TabletState::Deleted)
    }

    /// What makes one report of it newer than another: a change of its replicas, then an election.
    pub(super) fn age(&self) -> (i64, i64, bool) {
        let state = self.consensus_state.as_ref();
        let index = state.and_then(|state| state.config.as_ref()).and_then(|config| config.index);
        let running = self.tablet_state() == TabletState::Running;
        (index.unwrap_or(i64::MIN), state.and_then(|state| state.term).unwrap_or(i64::MIN), running)
    }
}

/// A table's row, if it can be read.
pub(super) fn table(metadata: &Bytes) -> Option<TableEntry> {
    TableEntry::decode(metadata.clone()).ok()
}

/// A tablet's row, if it can be read.
pub(super) fn tablet(metadata: &Bytes) -> Option<TabletEntry> {
    TabletEntry::decode(metadata.clone()).ok()
}

/// Bytes that are a text as a rule.
pub(super) fn text(bytes: Option<&Bytes>) -> String {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}
