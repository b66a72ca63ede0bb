//! Segments built by hand and at random, read back in every way.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::{
    encode,
    messages::{CommitMessage, EntryMessage, HeaderMessage, OpIdMessage, ReplicateMessage},
    *,
};

/// A REPLICATE entry as Kudu might write it, with a field (5) that the decoder does not know.
pub(crate) fn replicate(id: OpId, op_type: i32, payload: &[u8]) -> Bytes {
    let mut message = ReplicateMessage {
        id: Some(OpIdMessage { term: Some(id.term), index: Some(id.index) }),
        timestamp: Some(7_000_000 + u64::try_from(id.index).unwrap()),
        op_type: Some(op_type),
    }
    .encode_to_vec();
    wire::put_varint(&mut message, 5 << 3 | 2);
    wire::put_varint(&mut message, payload.len() as u64);
    message.extend_from_slice(payload);
    let mut entry = EntryMessage { kind: Some(1), ..Default::default() }.encode_to_vec();
    wire::put_varint(&mut entry, 2 << 3 | 2);
    wire::put_varint(&mut entry, message.len() as u64);
    entry.extend_from_slice(&message);
    entry.into()
}

/// A COMMIT entry.
pub(crate) fn commit(id: OpId) -> Bytes {
    EntryMessage {
        kind: Some(2),
        replicate: None,
        commit: Some(CommitMessage {
            op_type: Some(3),
            committed: Some(OpIdMessage { term: Some(id.term), index: Some(id.index) }),
        }),
    }
    .encode_to_vec()
    .into()
}

/// A header with a field (90) that the decoder does not know.
pub(crate) fn header(sequence_number: u64, codec: i32) -> SegmentHeader {
    let mut raw = HeaderMessage {
        tablet_id: Some(SYS_CATALOG_TABLET_ID.into()),
        sequence_number: Some(sequence_number),
        schema: Some(Bytes::from_static(b"\x0a\x02ab")),
        schema_version: Some(0),
        compression_codec: Some(codec),
        ..Default::default()
    }
    .encode_to_vec();
    wire::put_varint_field(&mut raw, 90, 4711);
    SegmentHeader::from_raw(raw.into()).unwrap().unwrap()
}

fn codec_number(codec: Codec) -> i32 {
    match codec {
        Codec::None => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zlib => 4,
    }
}

/// A whole segment of batches of raw entries.
pub(crate) fn segment(codec: Codec, batches: &[Vec<Bytes>], closed: bool) -> Vec<u8> {
    let mut bytes = encode::segment_header(&header(1, codec_number(codec))).unwrap();
    for batch in batches {
        bytes.extend(encode::batch(codec, batch).unwrap());
    }
    if closed {
        bytes.extend(encode::footer(&footer(batches)));
    }
    bytes
}

fn footer(batches: &[Vec<Bytes>]) -> Footer {
    Footer {
        entries: batches.iter().map(Vec::len).sum::<usize>() as i64,
        min_replicate_index: Some(1),
        max_replicate_index: None,
        closed_micros: Some(1_700_000_000_000_000),
    }
}

/// Everything in `bytes`, fed in pieces of the given sizes (the last size repeats), and how it ended.
fn decode_all(bytes: &[u8], pieces: &[usize]) -> (Vec<LogEntry>, Result<Decoded, DecodeError>, u64) {
    let mut decoder = Decoder::new();
    let mut entries = Vec::new();
    let mut pieces = pieces.iter().copied();
    let mut piece = 1;
    loop {
        let at = usize::try_from(decoder.wanted()).unwrap();
        match decoder.step(at == bytes.len()) {
            Ok(Decoded::NeedMore(missing)) => {
                assert!(missing > 0);
                piece = pieces.next().unwrap_or(piece).max(1);
                decoder.feed(&bytes[at..bytes.len().min(at + piece)]);
            }
            Ok(Decoded::Header(_)) => {}
            Ok(Decoded::Batch(batch)) => {
                assert!(batch.offset < batch.end && batch.end == decoder.offset());
                entries.extend(batch.entries);
            }
            end => return (entries, end, decoder.offset()),
        }
    }
}

fn entries() -> impl Strategy<Value = Vec<Vec<Bytes>>> {
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    let entry = (1..9_i64, 1..9_000_000_i64, any::<bool>(), payload).prop_map(|(term, index, is_commit, payload)| {
        let id = OpId::new(term, index);
        if is_commit { commit(id) } else { replicate(id, 3, &payload) }
    });
    prop::collection::vec(prop::collection::vec(entry, 1..5), 0..8)
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::None), Just(Codec::Snappy), Just(Codec::Lz4), Just(Codec::Zlib)]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..50_usize) {
        let _ = decode_all(&bytes, &[piece]);
        let mut after_header = segment(Codec::Lz4, &[], false);
        after_header.extend(&bytes);
        let _ = decode_all(&after_header, &[piece]);
        let _ = LogEntry::from_raw(bytes.clone().into());
        // The same behind a good checksum, where the parser is reached.
        let mut batch = segment(Codec::None, &[], false);
        batch.extend(encode::batch(Codec::None, [&Bytes::from(bytes)]).unwrap());
        let _ = decode_all(&batch, &[piece]);
    }

    #[test]
    fn what_is_encoded_is_decoded(batches in entries(), codec in codecs(), closed in any::<bool>()) {
        let bytes = segment(codec, &batches, closed);
        let (entries, end, offset) = decode_all(&bytes, &[bytes.len()]);
        let raw: Vec<_> = entries.iter().map(|entry| entry.raw().clone()).collect();
        prop_assert_eq!(raw, batches.concat());
        prop_assert_eq!(end, Ok(if closed { Decoded::Footer(footer(&batches)) } else { Decoded::End }));
        prop_assert_eq!(offset, bytes.len() as u64);
    }

    #[test]
    fn pieces_make_no_difference(
        batches in entries(),
        codec in codecs(),
        closed in any::<bool>(),
        zeros in 0..60_usize,
        pieces in prop::collection::vec(1..120_usize, 1..20),
    ) {
        let mut bytes = segment(codec, &batches, closed);
        bytes.extend(vec![0; zeros]);
        prop_assert_eq!(decode_all(&bytes, &pieces), decode_all(&bytes, &[bytes.len()]));
    }

    #[test]
    fn a_flipped_bit_is_found(batches in entries(), codec in codecs(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        prop_assume!(!batches.is_empty());
        // The header and the footer have no checksum in this format: only batches are covered.
        let start = segment(codec, &[], false).len();
        let mut bytes = segment(codec, &batches, false);
        let (good, _, _) = decode_all(&bytes, &[bytes.len()]);
        let at = start + at.index(bytes.len() - start);
        bytes[at] ^= 1_u8 << bit;
        let (entries, end, offset) = decode_all(&bytes, &[bytes.len()]);
        prop_assert!(matches!(end, Ok(Decoded::Torn(_))), "{end:?}");
        prop_assert!(offset <= at as u64);
        prop_assert!(entries.len() < good.len());
        prop_assert_eq!(&entries[..], &good[..entries.len()]);
    }

    #[test]
    fn a_cut_end_is_torn_or_clean_and_never_wrong(batches in entries(), codec in codecs(), cut in any::<prop::sample::Index>()) {
        let whole = segment(codec, &batches, false);
        let (good, _, _) = decode_all(&whole, &[whole.len()]);
        let bytes = &whole[..cut.index(whole.len() + 1)];
        let (entries, end, _) = decode_all(bytes, &[bytes.len()]);
        prop_assert!(matches!(end, Ok(Decoded::Torn(_) | Decoded::End)), "{end:?}");
        prop_assert_eq!(&entries[..], &good[..entries.len()]);
        // The same with the allocated zeros that Kudu leaves behind.
        let mut padded = bytes.to_vec();
        padded.resize(whole.len() + 64, 0);
        let (padded_entries, end, _) = decode_all(&padded, &[padded.len()]);
        prop_assert!(matches!(end, Ok(Decoded::Torn(_) | Decoded::Tail)), "{end:?}");
        prop_assert!(padded_entries.len() >= entries.len() && padded_entries[..] == good[..padded_entries.len()]);
    }
}

#[test]
fn a_torn_read_is_mended_by_reading_again() {
    let batches = vec![vec![replicate(OpId::new(1, 1), 1, b"")], vec![replicate(OpId::new(1, 2), 3, b"payload")]];
    let whole = segment(Codec::Lz4, &batches, false);
    let mut torn = whole.clone();
    let last = torn.len() - 3;
    torn[last..].fill(0);
    let mut decoder = Decoder::new();
    decoder.feed(&torn);
    assert!(matches!(decoder.step(false), Ok(Decoded::Header(_))));
    assert!(matches!(decoder.step(false), Ok(Decoded::Batch(_))));
    assert_eq!(decoder.step(false), Ok(Decoded::Torn(Torn::BatchChecksum)));
    decoder.rewind();
    decoder.feed(&whole[usize::try_from(decoder.wanted()).unwrap()..]);
    assert!(matches!(decoder.step(false), Ok(Decoded::Batch(_))));
    assert_eq!(decoder.step(true), Ok(Decoded::End));
}

#[test]
fn a_footer_is_seen_before_kudu_cuts_the_allocated_space_off() {
    let mut bytes = segment(Codec::Lz4, &[vec![commit(OpId::new(1, 1))]], true);
    let closed = bytes.len() as u64;
    bytes.extend(vec![0; 1 << 20]);
    let (entries, end, offset) = decode_all(&bytes, &[512]);
    assert_eq!(entries.len(), 1);
    assert!(matches!(end, Ok(Decoded::Footer(_))));
    assert_eq!(offset, closed);
}

#[test]
fn a_blank_segment_is_a_tail() {
    assert_eq!(decode_all(&[0; 4096], &[64]), (vec![], Ok(Decoded::Tail), 0));
    assert_eq!(decode_all(&[], &[1]), (vec![], Ok(Decoded::End), 0));
}

#[test]
fn what_cannot_be_read_is_refused_with_advice() {
    let mut encrypted = b"kuduenc\x00".to_vec();
    encrypted.resize(64, 0xa5);
    for (bytes, said) in [
        (encrypted, "--encrypt_data_at_rest"),
        (b"#!/bin/sh\nexit 0\n".to_vec(), "no segment of a Kudu log"),
        (b"kudulogf\xff\xff\xff\xff----".to_vec(), "4294967295 bytes"),
    ] {
        let (_, end, offset) = decode_all(&bytes, &[7]);
        let error = end.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(offset, 0);
    }
    let mut raw = header(1, 3).raw().to_vec();
    wire::put_varint_field(&mut raw, 9, 5);
    let error = SegmentHeader::from_raw(raw.into()).unwrap_err();
    assert!(!error.is_damage());
    assert!(error.to_string().contains("codec 5"), "{error}");
    let mut raw = header(1, 3).raw().to_vec();
    wire::put_varint_field(&mut raw, 10, 7);
    assert!(SegmentHeader::from_raw(raw.into()).unwrap_err().to_string().contains("[7]"));
    let mut raw = header(1, 3).raw().to_vec();
    wire::put_varint_field(&mut raw, 1, 1);
    assert_eq!(SegmentHeader::from_raw(raw.into()), Err(DecodeError::OldFormat));
}

#[test]
fn a_batch_too_large_is_refused_before_memory_is_taken() {
    let mut bytes = segment(Codec::None, &[], false);
    let at = bytes.len() as u64;
    let mut batch = [0xff_u8, 0xff, 0xff, 0x7f].repeat(3);
    batch.extend(crc32c::crc32c(&batch).to_le_bytes());
    bytes.extend(batch);
    let (_, end, _) = decode_all(&bytes, &[64]);
    assert_eq!(end, Err(DecodeError::BatchTooLarge { offset: at, claimed: 0x7fff_ffff }));
}

#[test]
fn a_field_beside_the_entries_is_not_dropped_in_silence() {
    let mut bytes = segment(Codec::None, &[], false);
    let mut plain = Vec::new();
    wire::put_varint_field(&mut plain, 2, 1);
    let mut batch = encode::batch(Codec::None, []).unwrap();
    batch.truncate(0);
    for number in [plain.len() as u32, plain.len() as u32, crc32c::crc32c(&plain)] {
        batch.extend(number.to_le_bytes());
    }
    batch.extend(crc32c::crc32c(&batch).to_le_bytes());
    batch.extend(&plain);
    bytes.extend(batch);
    let (_, end, _) = decode_all(&bytes, &[64]);
    assert!(end.unwrap_err().to_string().contains("unknown field 2"));
}

#[test]
fn a_new_header_keeps_what_it_does_not_know() {
    let old = header(7, 3);
    let new = old.with(8, Codec::None).unwrap();
    assert_eq!((new.sequence_number(), new.codec()), (8, Codec::None));
    assert_eq!(new.tablet_id(), SYS_CATALOG_TABLET_ID);
    let read = SegmentHeader::from_raw(new.raw().clone()).unwrap().unwrap();
    assert_eq!(read, new);
    let unknown = |header: &SegmentHeader| {
        wire::Fields::new(header.raw().clone())
            .map(Result::unwrap)
            .filter(|field| ![6, 9].contains(&field.number))
            .collect::<Vec<_>>()
    };
    assert_eq!(unknown(&old), unknown(&new));
    assert!(unknown(&new).iter().any(|field| field.number == 90));
}

#[test]
fn a_valid_batch_header_is_found_among_other_bytes() {
    let batch = encode::batch(Codec::Lz4, [&commit(OpId::new(1, 1))]).unwrap();
    let mut bytes = vec![0xa5; 37];
    bytes.extend(&batch);
    assert_eq!(find_batch_header(&bytes), Some(37));
    assert_eq!(find_batch_header(&bytes[..37 + 15]), None);
    assert_eq!(find_batch_header(&[0; 100]), None);
    assert_eq!(find_batch_header(&[]), None);
}

#[test]
fn entries_say_what_they_are() {
    let id = OpId::new(3, 44);
    let raw = replicate(id, 1, b"");
    let LogEntry::Replicate(no_op) = LogEntry::from_raw(raw.clone()).unwrap() else { panic!() };
    assert_eq!((no_op.id(), no_op.op_type(), no_op.raw()), (id, OpType::NoOp, &raw));
    assert_eq!(Replicate::from_raw(commit(id)), Err(EntryError::NotReplicate));
    assert_eq!(LogEntry::from_raw(Bytes::new()), Err(EntryError::Missing("type")));
    assert_eq!(format!("{:>9}", OpType::Write), " WRITE_OP");
    assert_eq!(OpType::Other(99).to_string(), "OP_99");
}

#[test]
fn renumbering_changes_identity_and_time_and_nothing_else() {
    let old = Replicate::from_raw(replicate(OpId::new(3, 44), 3, b"payload")).unwrap();
    let id = OpId::new(3_000_001, 1 << 40);
    let new = old.renumbered(id, 99).unwrap();
    assert_eq!((new.id(), new.timestamp(), new.op_type()), (id, 99, OpType::Write));
    // Back again, the bytes are those that Kudu wrote.
    assert_eq!(new.renumbered(old.id(), old.timestamp()).unwrap(), old);
}

fn fold(entries: &[Bytes]) -> LogSummary {
    let mut summary = LogSummary::default();
    entries.iter().for_each(|raw| summary.fold(&LogEntry::from_raw(raw.clone()).unwrap()));
    summary
}

#[test]
fn a_summary_knows_what_is_pending() {
    let id = |index| OpId::new(1, index);
    let summary = fold(&[
        replicate(id(10), 1, b""),
        replicate(id(11), 3, b"a"),
        replicate(id(12), 3, b"b"),
        commit(id(9)), // its operation was collected
        commit(id(10)),
        commit(id(12)),
    ]);
    assert_eq!((summary.first, summary.last, summary.last_committed), (Some(id(10)), Some(id(12)), Some(id(12))));
    assert_eq!(summary.applied_through(), Some(id(10)));
    assert_eq!(summary.pending().collect::<Vec<_>>(), [id(11)]);
    assert_eq!(summary.pending_bytes, replicate(id(11), 3, b"a").len() as u64);
    assert_eq!(summary.no_ops, [NoOp { id: id(10), committed: true }]);
    assert_eq!((summary.replicates, summary.commits, summary.orphan_commits), (3, 3, 0));
    assert!(summary.has_applied(id(10)) && !summary.has_applied(id(12)) && !summary.has_applied(OpId::new(2, 10)));
}

#[test]
fn a_summary_follows_an_overwrite() {
    let summary = fold(&[
        replicate(OpId::new(1, 1), 1, b""),
        replicate(OpId::new(1, 2), 3, b""),
        replicate(OpId::new(1, 3), 3, b""),
        replicate(OpId::new(2, 2), 1, b""),
        commit(OpId::new(1, 1)),
        commit(OpId::new(2, 2)),
        commit(OpId::new(1, 3)),
    ]);
    assert_eq!(summary.last, Some(OpId::new(2, 2)));
    assert_eq!((summary.overwritten, summary.orphan_commits, summary.pending_ops()), (2, 1, 0));
    assert_eq!(summary.applied_through(), Some(OpId::new(2, 2)));
}

#[test]
fn a_term_whose_no_op_was_collected_is_seen_to_serve_once_something_of_it_is_applied() {
    let opened = |entries: &[Bytes]| fold(entries).opened();
    let (first, next) = (OpId::new(2, 5), OpId::new(2, 6));
    let written = [replicate(first, 3, b""), replicate(next, 3, b"")];
    assert_eq!(opened(&written), None);
    assert_eq!(opened(&[&written[..], &[commit(next)]].concat()), None);
    assert_eq!(opened(&[&written[..], &[commit(first)]].concat()), Some(first));
    let no_op = OpId::new(3, 7);
    let reopened = [&written[..], &[commit(first), commit(next), replicate(no_op, 1, b"")]].concat();
    assert_eq!(opened(&reopened), Some(first));
    assert_eq!(opened(&[reopened, vec![commit(no_op)]].concat()), Some(no_op));
}
