//! The rows that an operation changes.
//!
//! `RowOperationsPB.rows` holds one row operation behind the other: its type (1 byte), a bitmap of the columns that are set (a bit
//! each, whole bytes), a bitmap of those that are null (only when the schema has a nullable column), then the cells that are
//! set and not null. A string's cell is an offset into `indirect_data` and a length, 8 bytes each, little-endian.

use bytes::{Buf, Bytes};
use prost::Message;

use super::messages::{Column, RowOperations, WriteRequest};
use crate::wal::{EntryError, OpId, OpType, Replicate};

/// `DataType.INT8`.
pub(super) const INT8: i32 = 1;
/// `DataType.STRING`.
pub(super) const STRING: i32 = 8;
/// `DataType.BINARY`.
pub(super) const BINARY: i32 = 12;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryType {
    /// A table.
    Table,
    /// A tablet.
    Tablet,
    /// Keys of the cluster, and whatever else this version does not look into.
    Other(i8),
}

impl EntryType {
    fn from_number(number: i8) -> Self {
        match number {
            1 => Self::Table,
            2 => Self::Tablet,
            other => Self::Other(other),
        }
    }

    /// Its number in the column `entry_type`.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Self::Table => 1,
            Self::Tablet => 2,
            Self::Other(number) => number,
        }
    }
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is made, or holds this message from now on.
    Set(Bytes),
    /// It is removed.
    Delete,
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// What the row is about.
    pub entry_type: EntryType,
    /// The id of the table or tablet.
    pub id: Bytes,
    /// What becomes of it.
    pub change: Change,
}

/// Why an operation cannot be read as a change of the catalog. It can still be shipped: nothing is shipped by what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Not even an operation.
    #[error("operation {id}: {source}")]
    Entry {
        /// Which.
        id: OpId,
        /// What is wrong.
        source: EntryError,
    },
    /// Its message cannot be decoded.
    #[error("operation {id} is no write of rows: {reason}")]
    Message {
        /// Which.
        id: OpId,
        /// What the decoder says.
        reason: String,
    },
    /// Its rows are cut short, or refer to what is not there.
    #[error("operation {id} has rows that end early or refer to what is not there")]
    Cut {
        /// Which.
        id: OpId,
    },
    /// A row operation or a column that the catalog of the versions known does not have.
    #[error("operation {id} has {what}, which no known version of Kudu writes to the catalog")]
    Unknown {
        /// Which.
        id: OpId,
        /// What.
        what: String,
    },
}

/// The rows that an operation changes, in their order; none for one that is no write.
///
/// # Errors
/// When it is a write and not one of the system catalog as known.
pub fn changes(op: &Replicate) -> Result<Vec<RowChange>, CatalogError> {
    let id = op.id();
    if op.op_type() != OpType::Write {
        return Ok(Vec::new());
    }
    let body = op.write_request().map_err(|source| CatalogError::Entry { id, source })?;
    let request = WriteRequest::decode(body.unwrap_or_default())
        .map_err(|error| CatalogError::Message { id, reason: error.to_string() })?;
    let columns = request.schema.map(|schema| schema.columns).unwrap_or_default();
    let RowOperations { rows, indirect_data } = request.row_operations.unwrap_or_default();
    let mut reader =
        Reader { id, columns, rest: rows.unwrap_or_default(), indirect: indirect_data.unwrap_or_default() };
    let mut found = Vec::new();
    while reader.rest.has_remaining() {
        found.push(reader.next()?);
    }
    Ok(found)
}

struct Reader {
    id: OpId,
    columns: Vec<Column>,
    rest: Bytes,
    indirect: Bytes,
}

/// A cell that the catalog's columns can have.
enum Cell {
    Number(i8),
    Text(Bytes),
}

impl Reader {
    fn next(&mut self) -> Result<RowChange, CatalogError> {
        let operation = self.rest.try_get_u8().map_err(|_| self.cut())?;
        let deletes = match operation {
            // INSERT, UPDATE, UPSERT, and those of them that ignore a row that is (not) there.
            1 | 2 | 5 | 10 | 11 | 13 => false,
            // DELETE, DELETE_IGNORE.
            3 | 12 => true,
            other => return Err(self.unknown(format!("row operation {other}"))),
        };
        let bitmap = self.columns.len().div_ceil(8);
        let is_set = self.take(bitmap)?;
        let nullable = self.columns.iter().any(|column| column.nullable == Some(true));
        let is_null = if nullable { self.take(bitmap)? } else { Bytes::new() };
        let (mut entry_type, mut entry_id, mut metadata) = (None, None, None);
        for at in 0..self.columns.len() {
            if !bit(&is_set, at) || bit(&is_null, at) {
                continue;
            }
            let column = self.columns.get(at).cloned().unwrap_or_default();
            let cell = self.cell(&column)?;
            match (column.name.as_deref().unwrap_or_default(), cell) {
                ("entry_type", Cell::Number(number)) => entry_type = Some(EntryType::from_number(number)),
                ("entry_id", Cell::Text(text)) => entry_id = Some(text),
                ("metadata", Cell::Text(text)) => metadata = Some(text),
                (name, _) => return Err(self.unknown(format!("column {name:?}"))),
            }
        }
        let change = match (deletes, metadata) {
            (true, _) => Change::Delete,
            (false, Some(metadata)) => Change::Set(metadata),
            (false, None) => return Err(self.unknown("a row without metadata".to_owned())),
        };
        match (entry_type, entry_id) {
            (Some(entry_type), Some(id)) => Ok(RowChange { entry_type, id, change }),
            _ => Err(self.unknown("a row without its key".to_owned())),
        }
    }

    fn cell(&mut self, column: &Column) -> Result<Cell, CatalogError> {
        match column.data_type {
            Some(INT8) => self.rest.try_get_i8().map(Cell::Number).map_err(|_| self.cut()),
            Some(STRING | BINARY) => {
                let offset = self.rest.try_get_u64_le().map_err(|_| self.cut())?;
                let length = self.rest.try_get_u64_le().map_err(|_| self.cut())?;
                let from = usize::try_from(offset).map_err(|_| self.cut())?;
                let length = usize::try_from(length).map_err(|_| self.cut())?;
                let to = from.checked_add(length).filter(|to| *to <= self.indirect.len()).ok_or_else(|| self.cut())?;
                Ok(Cell::Text(self.indirect.slice(from..to)))
            }
            other => Err(self.unknown(format!("a column of type {other:?}"))),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<Bytes, CatalogError> {
        if self.rest.len() < bytes { Err(self.cut()) } else { Ok(self.rest.split_to(bytes)) }
    }

    fn cut(&self) -> CatalogError {
        CatalogError::Cut { id: self.id }
    }

    fn unknown(&self, what: String) -> CatalogError {
        CatalogError::Unknown { id: self.id, what }
    }
}

fn bit(bitmap: &Bytes, at: usize) -> bool {
    bitmap.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wal::tests::replicate;

    /// Encodes changes as Kudu does.
    pub(crate) fn write(id: OpId, timestamp: u64, rows: &[(u8, i8, &str, Option<&[u8]>)]) -> Replicate {
        let column = |name: &str, data_type| Column {
            name: Some(name.to_owned()),
            data_type: Some(data_type),
            nullable: Some(false),
        };
        let columns = vec![column("entry_type", INT8), column("entry_id", STRING), column("metadata", STRING)];
        let (mut encoded, mut indirect) = (Vec::new(), Vec::new());
        let mut put_text = |encoded: &mut Vec<u8>, text: &[u8]| {
            encoded.extend_from_slice(&(indirect.len() as u64).to_le_bytes());
            encoded.extend_from_slice(&(text.len() as u64).to_le_bytes());
            indirect.extend_from_slice(text);
        };
        for (operation, entry_type, id, metadata) in rows {
            encoded.extend_from_slice(&[
                *operation,
                if metadata.is_some() { 7 } else { 3 },
                entry_type.to_le_bytes()[0],
            ]);
            put_text(&mut encoded, id.as_bytes());
            if let Some(metadata) = metadata {
                put_text(&mut encoded, metadata);
            }
        }
        let request = WriteRequest {
            schema: Some(super::super::messages::Schema { columns }),
            row_operations: Some(RowOperations { rows: Some(encoded.into()), indirect_data: Some(indirect.into()) }),
        };
        let op = Replicate::from_raw(replicate(id, 3, &request.encode_to_vec())).unwrap();
        op.renumbered(id, timestamp).unwrap()
    }

    #[test]
    fn each_kind_of_change_is_read() {
        let op = write(OpId::new(1, 2), 9, &[(1, 1, "t", Some(b"new")), (2, 2, "p", Some(b"")), (3, 3, "k", None)]);
        let set = |bytes: &'static [u8]| Change::Set(Bytes::from_static(bytes));
        let expected = [
            RowChange { entry_type: EntryType::Table, id: "t".into(), change: set(b"new") },
            RowChange { entry_type: EntryType::Tablet, id: "p".into(), change: set(b"") },
            RowChange { entry_type: EntryType::Other(3), id: "k".into(), change: Change::Delete },
        ];
        assert_eq!(changes(&op).unwrap(), expected);
    }

    #[test]
    fn an_opening_changes_no_row() {
        let no_op = Replicate::from_raw(replicate(OpId::new(1, 1), 1, b"")).unwrap();
        assert_eq!(changes(&no_op).unwrap(), []);
    }

    #[test]
    fn what_the_catalog_does_not_have_is_refused() {
        let op = write(OpId::new(1, 2), 9, &[(4, 1, "t", Some(b"x"))]);
        assert!(matches!(changes(&op), Err(CatalogError::Unknown { .. })));
        let op = write(OpId::new(1, 2), 9, &[(1, 1, "t", None)]);
        assert!(matches!(changes(&op), Err(CatalogError::Unknown { .. })));
    }

    proptest::proptest! {
        #[test]
        fn any_body_of_a_write_is_survived(body: Vec<u8>) {
            let _ = changes(&Replicate::from_raw(replicate(OpId::new(1, 1), 3, &body)).unwrap());
        }

        #[test]
        fn any_cut_of_rows_is_survived(from: proptest::sample::Index, flip: u8) {
            let op = write(OpId::new(1, 2), 9, &[(1, 1, "table", Some(b"new")), (3, 2, "tablet", None)]);
            let mut body = op.write_request().unwrap().unwrap().to_vec();
            let at = from.index(body.len());
            body[at] ^= flip;
            let _ = changes(&Replicate::from_raw(replicate(OpId::new(1, 1), 3, &body)).unwrap());
            body.truncate(at);
            let _ = changes(&Replicate::from_raw(replicate(OpId::new(1, 1), 3, &body)).unwrap());
        }
    }
}
