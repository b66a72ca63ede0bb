//! The bounds of a range partition, as a person writes them.
//!
//! A partition key is four bytes for each hash dimension and then the range key: of integers, big-endian with the sign bit
//! flipped. One column of integers, times or text is decoded; other keys are shown as bytes.

use bytes::Bytes;

use super::messages::{Partition, TableEntry};

/// Bytes of a hash dimension in a partition key.
const BUCKET_BYTES: usize = 4;

/// `10 <= VALUES < 20`.
pub(super) fn range(table: Option<&TableEntry>, partition: Option<&Partition>) -> String {
    let Some(partition) = partition else { return "(unknown range)".to_owned() };
    let schema = table.and_then(|table| table.partition_schema.as_ref());
    // A range may have hash dimensions other than its table's; the tablet itself says how many.
    let skip = partition.hash_buckets.len().saturating_mul(BUCKET_BYTES);
    let data_type = schema.and_then(|schema| schema.range_schema.as_ref()).and_then(|range| {
        let [only] = range.columns.as_slice() else { return None };
        let columns = table.and_then(|table| table.schema.as_ref()).map(|schema| schema.columns.as_slice());
        let column = columns.unwrap_or_default().iter().find(|column| match (only.id, &only.name) {
            (Some(id), _) => column.id.and_then(|id| i32::try_from(id).ok()) == Some(id),
            (None, name) => column.name == *name,
        })?;
        column.data_type
    });
    let bound = |key: &Option<Bytes>| {
        let range_key = key.as_ref().map(|key| key.slice(skip.min(key.len())..)).unwrap_or_default();
        (!range_key.is_empty()).then(|| value(data_type, &range_key))
    };
    match (bound(&partition.start), bound(&partition.end)) {
        (None, None) => "UNBOUNDED".to_owned(),
        (Some(start), None) => format!("{start} <= VALUES"),
        (None, Some(end)) => format!("VALUES < {end}"),
        (Some(start), Some(end)) => format!("{start} <= VALUES < {end}"),
    }
}

fn value(data_type: Option<i32>, key: &Bytes) -> String {
    let number = || -> Option<i64> {
        match (data_type?, key.len()) {
            (1, 1) => Some(i64::from(i8::from_be_bytes(*key.first_chunk()?) ^ i8::MIN)),
            (3, 2) => Some(i64::from(i16::from_be_bytes(*key.first_chunk()?) ^ i16::MIN)),
            // INT32, DATE.
            (5 | 20, 4) => Some(i64::from(i32::from_be_bytes(*key.first_chunk()?) ^ i32::MIN)),
            // INT64, UNIXTIME_MICROS.
            (7 | 13, 8) => Some(i64::from_be_bytes(*key.first_chunk()?) ^ i64::MIN),
            _ => None,
        }
    };
    if let Some(number) = number() {
        return number.to_string();
    }
    match (data_type, std::str::from_utf8(key)) {
        (Some(8 | 19), Ok(text)) => format!("{text:?}"),
        _ => key.iter().fold("0x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gap::messages::{Column, ColumnIdentifier, PartitionSchema, RangeSchema, Schema};

    fn table(data_type: i32) -> TableEntry {
        let column = Column { id: Some(3), data_type: Some(data_type), ..Column::default() };
        let identifier = ColumnIdentifier { id: Some(3), name: None };
        TableEntry {
            schema: Some(Schema { columns: vec![column] }),
            partition_schema: Some(PartitionSchema {
                hash_schema: Vec::new(),
                range_schema: Some(RangeSchema { columns: vec![identifier] }),
            }),
            ..TableEntry::default()
        }
    }

    fn partition(buckets: &[i32], start: &[u8], end: &[u8]) -> Partition {
        Partition {
            hash_buckets: buckets.to_vec(),
            start: Some(Bytes::copy_from_slice(start)),
            end: Some(Bytes::copy_from_slice(end)),
        }
    }

    #[test]
    fn bounds_are_read_by_the_type_of_the_column() {
        let shown = |data_type, partition: &Partition| range(Some(&table(data_type)), Some(partition));
        assert_eq!(shown(5, &partition(&[], &[0x80, 0, 0, 10], &[0x80, 0, 0, 20])), "10 <= VALUES < 20");
        assert_eq!(shown(5, &partition(&[1], &[0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff], &[0, 0, 0, 2])), "-1 <= VALUES");
        assert_eq!(shown(8, &partition(&[], b"", b"m")), "VALUES < \"m\"");
        assert_eq!(shown(12, &partition(&[], &[1, 0xff], b"")), "0x01ff <= VALUES");
        assert_eq!(shown(5, &partition(&[], b"", b"")), "UNBOUNDED");
        assert_eq!(range(None, None), "(unknown range)");
    }
}
