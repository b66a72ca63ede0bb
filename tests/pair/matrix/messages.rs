//! The messages of Kudu's RPC protocol that [`super::rpc`] uses, with the fields that it needs.

use std::fmt;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RequestHeader {
    #[prost(int32, required, tag = "3")]
    pub(crate) call: i32,
    #[prost(message, optional, tag = "6")]
    pub(crate) method: Option<Method>,
    #[prost(uint32, optional, tag = "10")]
    pub(crate) timeout_millis: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Method {
    #[prost(string, required, tag = "1")]
    pub(crate) service: String,
    #[prost(string, required, tag = "2")]
    pub(crate) method: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ResponseHeader {
    #[prost(int32, required, tag = "1")]
    pub(crate) call: i32,
    #[prost(bool, optional, tag = "2")]
    pub(crate) is_error: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErrorStatus {
    #[prost(string, required, tag = "1")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Negotiate {
    #[prost(int32, required, tag = "2")]
    pub(crate) step: i32,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(crate) token: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) sasl_mechanisms: Vec<SaslMechanism>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SaslMechanism {
    #[prost(string, required, tag = "2")]
    pub(crate) mechanism: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ConnectionContext {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Table {
    #[prost(string, optional, tag = "2")]
    pub(crate) table_name: Option<String>,
}

impl Table {
    pub(crate) fn named(name: &str) -> Self {
        Self { table_name: Some(name.to_owned()) }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WhichTable {
    #[prost(message, required, tag = "1")]
    pub(crate) table: Table,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeleteTable {
    #[prost(message, required, tag = "1")]
    pub(crate) table: Table,
    #[prost(uint32, optional, tag = "3")]
    pub(crate) reserve_seconds: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateTable {
    #[prost(string, required, tag = "1")]
    pub(crate) name: String,
    #[prost(message, required, tag = "2")]
    pub(crate) schema: Schema,
    #[prost(int32, optional, tag = "4")]
    pub(crate) num_replicas: Option<i32>,
    #[prost(message, optional, tag = "7")]
    pub(crate) partition_schema: Option<PartitionSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Schema {
    #[prost(message, repeated, tag = "1")]
    pub(crate) columns: Vec<Column>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Column {
    #[prost(string, required, tag = "2")]
    pub(crate) name: String,
    #[prost(int32, required, tag = "3")]
    pub(crate) data_type: i32,
    #[prost(bool, optional, tag = "4")]
    pub(crate) is_key: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub(crate) is_nullable: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartitionSchema {
    #[prost(message, repeated, tag = "1")]
    pub(crate) hash: Vec<HashPartitions>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HashPartitions {
    #[prost(message, repeated, tag = "1")]
    pub(crate) columns: Vec<ColumnName>,
    #[prost(int32, required, tag = "2")]
    pub(crate) buckets: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ColumnName {
    #[prost(string, optional, tag = "2")]
    pub(crate) name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AlterTable {
    #[prost(message, required, tag = "1")]
    pub(crate) table: Table,
    #[prost(message, repeated, tag = "2")]
    pub(crate) steps: Vec<AlterStep>,
    #[prost(string, optional, tag = "3")]
    pub(crate) new_table_name: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub(crate) new_table_owner: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub(crate) new_table_comment: Option<String>,
}

/// One step; its type says which of the others counts.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AlterStep {
    #[prost(int32, optional, tag = "1")]
    step_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    add_column: Option<AddColumn>,
    #[prost(message, optional, tag = "3")]
    drop_column: Option<DropColumn>,
    #[prost(message, optional, tag = "4")]
    rename_column: Option<RenameColumn>,
    #[prost(message, optional, tag = "7")]
    alter_column: Option<AlterColumn>,
}

#[derive(Clone, PartialEq, Message)]
struct AddColumn {
    #[prost(message, required, tag = "1")]
    schema: Column,
}

#[derive(Clone, PartialEq, Message)]
struct DropColumn {
    #[prost(string, required, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct RenameColumn {
    #[prost(string, required, tag = "1")]
    old_name: String,
    #[prost(string, required, tag = "2")]
    new_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct AlterColumn {
    #[prost(message, optional, tag = "1")]
    delta: Option<ColumnDelta>,
}

#[derive(Clone, PartialEq, Message)]
struct ColumnDelta {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "9")]
    new_comment: Option<String>,
}

impl AlterStep {
    pub(crate) fn add_column(column: Column) -> Self {
        Self { step_type: Some(1), add_column: Some(AddColumn { schema: column }), ..Self::default() }
    }

    pub(crate) fn drop_column(name: &str) -> Self {
        Self { step_type: Some(2), drop_column: Some(DropColumn { name: name.to_owned() }), ..Self::default() }
    }

    pub(crate) fn rename_column(old: &str, new: &str) -> Self {
        let rename = RenameColumn { old_name: old.to_owned(), new_name: new.to_owned() };
        Self { step_type: Some(3), rename_column: Some(rename), ..Self::default() }
    }

    pub(crate) fn comment_column(name: &str, comment: &str) -> Self {
        let delta = ColumnDelta { name: Some(name.to_owned()), new_comment: Some(comment.to_owned()) };
        Self { step_type: Some(4), alter_column: Some(AlterColumn { delta: Some(delta) }), ..Self::default() }
    }
}

/// An error of the master.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct MasterError {
    #[prost(int32, required, tag = "1")]
    pub(crate) code: i32,
    #[prost(message, required, tag = "2")]
    pub(crate) status: AppStatus,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AppStatus {
    #[prost(string, optional, tag = "2")]
    pub(crate) message: Option<String>,
}

/// The reply to a change.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outcome {
    #[prost(message, optional, tag = "1")]
    pub(crate) error: Option<MasterError>,
}

/// The reply to the question whether a change is done.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct IsDone {
    #[prost(message, optional, tag = "1")]
    pub(crate) error: Option<MasterError>,
    #[prost(bool, optional, tag = "3")]
    pub(crate) done: Option<bool>,
}

/// What the master tells of a table; its parts are only compared, and so left as they came.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TableReply {
    #[prost(message, optional, tag = "1")]
    pub(crate) error: Option<MasterError>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) schema: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "3")]
    pub(crate) num_replicas: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) table_id: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(crate) partition_schema: Option<Vec<u8>>,
    #[prost(string, optional, tag = "7")]
    pub(crate) table_name: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub(crate) owner: Option<String>,
    #[prost(string, optional, tag = "11")]
    pub(crate) comment: Option<String>,
}

impl fmt::Display for TableReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bytes in [&self.table_id, &self.schema, &self.partition_schema] {
            write!(f, "{} ", bytes.as_deref().unwrap_or_default().escape_ascii())?;
        }
        write!(f, "{:?} {:?} {:?} {:?}", self.table_name, self.num_replicas, self.owner, self.comment)
    }
}
