//! The few fields of Kudu's catalog messages that are read, by field number.

use bytes::Bytes;

/// `WriteRequestPB` (`tserver.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct WriteRequest {
    #[prost(message, optional, tag = "2")]
    pub(super) schema: Option<Schema>,
    #[prost(message, optional, tag = "3")]
    pub(super) row_operations: Option<RowOperations>,
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
    #[prost(string, optional, tag = "2")]
    pub(super) name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(super) data_type: Option<i32>,
    #[prost(bool, optional, tag = "5")]
    pub(super) nullable: Option<bool>,
}

/// `RowOperationsPB` (`wire_protocol.proto`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RowOperations {
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) rows: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) indirect_data: Option<Bytes>,
}

/// `SysTabletsEntryPB` (`master.proto`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct TabletEntry {
    #[prost(int32, optional, tag = "4")]
    pub(super) state: Option<i32>,
}
