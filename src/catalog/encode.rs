//! Writes an operation that sets rows, in the form of one that Kudu wrote.

use bytes::Bytes;
use prost::Message;

use super::{
    messages::WriteRequest,
    rows::{BINARY, CatalogError, Change, INT8, RowChange, STRING, changes},
};
use crate::wal::{
    EntryError, Replicate,
    wire::{bytes_field, with_bytes_field},
};

/// `RowOperationsPB.UPSERT`: an insertion, or an update where the row is there.
const UPSERT: u8 = 5;
/// `WriteRequestPB.row_operations`.
const ROW_OPERATIONS_FIELD: u64 = 3;
/// `RowOperationsPB.rows`.
const ROWS_FIELD: u64 = 2;
/// `RowOperationsPB.indirect_data`.
const INDIRECT_FIELD: u64 = 3;

/// An operation that sets these rows, whether they are there already or not, and does nothing else.
///
/// `form` is a write of the catalog by Kudu: its schema and whatever else such an operation carries are taken from it.
///
/// # Errors
/// If `form` is no such write, or a row is to be removed.
pub fn upserting(form: &Replicate, rows: &[RowChange]) -> Result<Replicate, CatalogError> {
    let id = form.id();
    let entry = |source: EntryError| CatalogError::Entry { id, source };
    let request = form.write_request().map_err(entry)?.unwrap_or_default();
    let columns = WriteRequest::decode(request.clone())
        .map_err(|error| CatalogError::Message { id, reason: error.to_string() })?
        .schema
        .map(|schema| schema.columns)
        .unwrap_or_default();
    let bitmap = columns.len().div_ceil(8);
    let nullable = columns.iter().any(|column| column.nullable == Some(true));
    let (mut encoded, mut indirect) = (Vec::new(), Vec::new());
    for row in rows {
        let Change::Set(metadata) = &row.change else {
            return Err(CatalogError::Unknown { id, what: "a row to be removed".to_owned() });
        };
        encoded.push(UPSERT);
        encoded.extend(set_bits(columns.len()));
        if nullable {
            encoded.resize(encoded.len().saturating_add(bitmap), 0);
        }
        for column in &columns {
            let name = column.name.as_deref().unwrap_or_default();
            match (name, column.data_type) {
                ("entry_type", Some(INT8)) => encoded.extend_from_slice(&row.entry_type.number().to_le_bytes()),
                ("entry_id", Some(STRING | BINARY)) => put_text(&mut encoded, &mut indirect, &row.id),
                ("metadata", Some(STRING | BINARY)) => put_text(&mut encoded, &mut indirect, metadata),
                (name, _) => return Err(CatalogError::Unknown { id, what: format!("column {name:?}") }),
            }
        }
    }
    let wire = |error| entry(EntryError::from(error));
    let operations = bytes_field(&request, ROW_OPERATIONS_FIELD).map_err(wire)?.unwrap_or_default();
    let operations = with_bytes_field(&operations, ROWS_FIELD, &encoded).map_err(wire)?;
    let operations = with_bytes_field(&operations, INDIRECT_FIELD, &indirect).map_err(wire)?;
    let request = with_bytes_field(&request, ROW_OPERATIONS_FIELD, &operations).map_err(wire)?;
    let written = form.with_write_request(&request).map_err(entry)?;
    // What was written is what was meant, or nothing is.
    if changes(&written)? == rows {
        Ok(written)
    } else {
        Err(CatalogError::Unknown { id, what: "a form that does not read back as written".to_owned() })
    }
}

fn put_text(encoded: &mut Vec<u8>, indirect: &mut Vec<u8>, text: &Bytes) {
    for number in [indirect.len(), text.len()] {
        encoded.extend_from_slice(&u64::try_from(number).unwrap_or(u64::MAX).to_le_bytes());
    }
    indirect.extend_from_slice(text);
}

/// A bitmap with a bit for each column.
fn set_bits(columns: usize) -> Vec<u8> {
    let mut bitmap = vec![0_u8; columns.div_ceil(8)];
    for at in 0..columns {
        if let Some(byte) = bitmap.get_mut(at / 8) {
            *byte |= 1 << (at % 8);
        }
    }
    bitmap
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{EntryType, rows::tests::write},
        wal::OpId,
    };

    fn set(entry_type: EntryType, id: &'static str, metadata: &'static str) -> RowChange {
        RowChange { entry_type, id: id.into(), change: Change::Set(metadata.into()) }
    }

    #[test]
    fn rows_are_read_back() {
        let form = write(OpId::new(1, 2), 9, &[(3, 1, "gone", None)]);
        let rows = [
            set(EntryType::Table, "t", "message"),
            set(EntryType::Tablet, "p", ""),
            set(EntryType::Other(6), "s", "x"),
        ];
        let written = upserting(&form, &rows).unwrap();
        assert_eq!(changes(&written).unwrap(), rows);
        assert_eq!((written.id(), written.timestamp()), (form.id(), form.timestamp()));
    }

    #[test]
    fn what_is_no_write_of_the_catalog_is_no_form() {
        let form = Replicate::from_raw(crate::wal::tests::replicate(OpId::new(1, 2), 1, b"")).unwrap();
        assert!(upserting(&form, &[set(EntryType::Table, "t", "x")]).is_err());
    }

    #[test]
    fn removals_are_refused() {
        let form = write(OpId::new(1, 2), 9, &[(1, 1, "t", Some(b"x"))]);
        let row = RowChange { entry_type: EntryType::Table, id: "t".into(), change: Change::Delete };
        assert!(upserting(&form, &[row]).is_err());
    }
}
