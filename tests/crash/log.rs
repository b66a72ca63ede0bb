//! Kudu's logs, as small as they can be.

use std::{fs, path::Path};

use bytes::Bytes;
use kudu_pair::{
    wal::{Codec, LogEntry, OpId, Replicate, encode},
    waldir::{SegmentPath, read_log},
};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(int64, tag = "1")]
    term: i64,
    #[prost(int64, tag = "2")]
    index: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(message, optional, tag = "1")]
    id: Option<Id>,
    #[prost(fixed64, tag = "2")]
    timestamp: u64,
    #[prost(int32, tag = "4")]
    op_type: i32,
    #[prost(bytes = "vec", tag = "7")]
    body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(message, optional, tag = "2")]
    replicate: Option<Operation>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(bytes = "vec", tag = "5")]
    tablet: Vec<u8>,
    #[prost(uint64, tag = "6")]
    sequence_number: u64,
    #[prost(bytes = "vec", optional, tag = "7")]
    schema: Option<Vec<u8>>,
    #[prost(int32, tag = "9")]
    codec: i32,
}

/// The term of all operations here.
const TERM: i64 = 1;

/// The operation at an index: there is only this one in all scenarios.
pub(crate) fn operation(index: i64) -> Replicate {
    // Of different lengths, so that batches and segments end in many ways.
    let body = format!("operation {index} ").repeat(usize::try_from(index % 4 + 1).expect("a small number"));
    let operation = Operation {
        id: Some(Id { term: TERM, index }),
        timestamp: u64::try_from(index).expect("an index") << 12,
        op_type: 3,
        body: body.into_bytes(),
    };
    let raw = Entry { kind: 1, replicate: Some(operation) }.encode_to_vec();
    Replicate::from_raw(Bytes::from(raw)).expect("an operation")
}

/// The operations after `last`, to `end`.
pub(crate) fn operations(last: i64, end: i64) -> Vec<Replicate> {
    (last + 1..=end).map(operation).collect()
}

pub(crate) fn op_id(index: i64) -> OpId {
    OpId::new(TERM, index)
}

/// The bytes of a segment with one batch for each operation, as Kudu leaves it at `kill -9`: not closed.
pub(crate) fn segment(tablet: &str, number: u64, operations: &[Replicate]) -> Vec<u8> {
    let header = Header { tablet: tablet.into(), sequence_number: number, schema: Some(Vec::new()), codec: 3 };
    let header = header.encode_to_vec();
    let mut bytes = b"kudulogf".to_vec();
    bytes.extend(u32::try_from(header.len()).expect("a small header").to_le_bytes());
    bytes.extend(header);
    for operation in operations {
        bytes.extend(encode::batch(Codec::Lz4, [operation.raw()]).expect("a batch"));
    }
    bytes
}

/// Writes a log of one segment with the first operations.
pub(crate) fn write_log(folder: &Path, end: i64) {
    fs::create_dir_all(folder).expect("a folder");
    let tablet = kudu_pair::wal::SYS_CATALOG_TABLET_ID;
    fs::write(SegmentPath::new(folder, 1).path, segment(tablet, 1, &operations(0, end))).expect("a segment");
}

/// Index of the last operation of a log that holds the first operations, whole and in order, and nothing else.
#[track_caller]
pub(crate) fn end_of_log(folder: &Path) -> i64 {
    let mut end = 0;
    let read = read_log(folder, |_, entry| {
        let LogEntry::Replicate(replicate) = entry else { panic!("{entry:?} was never sent") };
        end += 1;
        assert_eq!(*replicate, operation(end), "not what was sent");
    });
    if let Err(error) = read {
        panic!("a log that cannot be read: {error}");
    }
    end
}
