//! What each decoder is held to, whatever bytes it gets. Shared by the fuzzer and by `tests/corpus.rs`.

use bytes::Bytes;
use kudu_pair::{
    catalog::{CreatingTablets, changes},
    failover::member::MemberReport,
    replication::{Anchors, Message, frame::Frame},
    wal::{Decoded, Decoder, LogEntry, LogSummary, OpDigest, OpId, TermHistory, find_batch_header},
};

/// A check of one decoder: it panics when the decoder breaks a promise.
pub(crate) type Target = fn(&[u8]);

/// All targets by name.
pub(crate) const TARGETS: [(&str, Target); 9] = [
    ("frame", frame),
    ("message", message),
    ("anchors", anchors),
    ("segment", segment),
    ("batch", batch),
    ("entry", entry),
    ("history", history),
    ("op_id", op_id),
    ("report", report),
];

/// The largest step in which the segment target feeds a decoder.
const LARGEST_STEP: usize = 64;

/// A frame that is accepted is the one that was sent, byte for byte.
fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(frame.encode(), bytes);
    }
}

/// The first byte is the kind. A message that is accepted says the same after another journey.
fn message(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    let frame = Frame { kind: *kind, epoch: 1, payload: Bytes::copy_from_slice(payload) };
    if let Ok(message) = Message::from_frame(frame) {
        let again = Message::from_frame(message.clone().into_frame(1));
        assert_eq!(again.expect("a message of its own"), message);
    }
}

/// A control file that is accepted says the same when it is written again.
fn anchors(bytes: &[u8]) {
    if let Ok(anchors) = Anchors::decode(bytes) {
        assert_eq!(Anchors::decode(&anchors.encode()).expect("a control file of its own"), anchors);
    }
}

/// The first byte says in which steps a segment is fed; what is found does not depend on it, and is finite.
fn segment(bytes: &[u8]) {
    let Some((step, segment)) = bytes.split_first() else { return };
    let step = usize::from(*step) % LARGEST_STEP + 1;
    assert_eq!(decode(segment, step), decode(segment, segment.len().max(1)), "in steps of {step}");
    if let Some(at) = find_batch_header(segment) {
        assert!(at + 16 <= segment.len());
    }
}

/// The first byte is the codec of a segment whose one batch has these bytes, under sound checksums: what follows is what a
/// stranger may write who knows them.
fn batch(bytes: &[u8]) {
    let [codec, plain @ ..] = bytes else { return };
    let Some((length, stored)) = plain.split_first_chunk::<2>() else { return };
    // Tablet, number, schema and codec, as Kudu has them.
    let header = [0x2a, 1, b'0', 0x30, 1, 0x3a, 0, 0x48, codec & 0x7f];
    let mut segment = b"kudulogf".to_vec();
    segment.extend([9, 0, 0, 0]);
    segment.extend(header);
    let mut lengths = Vec::new();
    for number in [u32::try_from(stored.len()).unwrap_or(0), u16::from_le_bytes(*length).into(), crc32c::crc32c(stored)]
    {
        lengths.extend(number.to_le_bytes());
    }
    let checksum = crc32c::crc32c(&lengths);
    segment.extend(lengths);
    segment.extend(checksum.to_le_bytes());
    segment.extend(stored);
    let (found, _) = decode(&segment, segment.len());
    for entry in found.iter().filter_map(|decoded| match decoded {
        Decoded::Batch(batch) => Some(&batch.entries),
        _ => None,
    }) {
        entry.iter().for_each(|found| self::entry(found.raw()));
    }
}

/// All that a segment holds and how it ends.
fn decode(segment: &[u8], step: usize) -> (Vec<Decoded>, String) {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    loop {
        let fed = usize::try_from(decoder.wanted()).expect("a small segment");
        let before = decoder.offset();
        match decoder.step(fed == segment.len()) {
            Ok(Decoded::NeedMore(missing)) => {
                assert!(missing > 0 && fed < segment.len(), "it asks for more than there is");
                decoder.feed(&segment[fed..segment.len().min(fed + step)]);
            }
            Ok(decoded @ (Decoded::Header(_) | Decoded::Batch(_))) => {
                assert!(decoder.offset() > before, "it does not move");
                assert!(decoder.offset() <= decoder.wanted());
                found.push(decoded);
            }
            Ok(end) => return (found, format!("{end:?} at {}", decoder.offset())),
            Err(error) => return (found, error.to_string()),
        }
    }
}

/// An entry stays byte for byte as it came; one that is renumbered keeps all but its place and time. What it does to the catalog
/// is read, or not, and takes no more memory than it has bytes.
fn entry(bytes: &[u8]) {
    let Ok(entry) = LogEntry::from_raw(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(entry.raw(), bytes);
    let mut summary = LogSummary::default();
    summary.fold(&entry);
    summary.fold(&entry);
    let _ = (summary.applied_through(), summary.pending_ops());
    if let LogEntry::Replicate(replicate) = entry {
        assert_eq!(OpDigest::of(&replicate), OpDigest::of_raw(bytes));
        let rows = changes(&replicate).map_or(0, |rows| rows.len());
        assert!(rows <= bytes.len(), "each row takes bytes");
        CreatingTablets::default().fold(&replicate);
        if let Ok(moved) = replicate.renumbered(OpId::new(7, 70), 700) {
            assert_eq!((moved.id(), moved.timestamp()), (OpId::new(7, 70), 700));
            assert_eq!(moved.op_type(), replicate.op_type());
        }
    }
}

/// Two histories, one a line, as JSON: a stranger's may be any numbers. The diff-head of a history with itself is its end.
fn history(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let mut next = || serde_json::from_slice::<TermHistory>(lines.next().unwrap_or_default()).ok();
    let (Some(one), other) = (next(), next().unwrap_or_default()) else { return };
    let _ = (one.diff_head(&other), other.diff_head(&one), one.term_at(1), one.first());
    let recorded: TermHistory = [one.first(), one.last()].into_iter().flatten().collect();
    assert_eq!(recorded.diff_head(&recorded), recorded.last());
}

/// An `OpId` has one spelling.
fn op_id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = text.parse::<OpId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().len() <= text.len(), "{text:?} is another spelling of {id}");
    }
}

/// A report that is accepted says the same after another journey.
fn report(bytes: &[u8]) {
    if let Ok(report) = serde_json::from_slice::<MemberReport>(bytes) {
        let text = serde_json::to_vec(&report).expect("a report of its own");
        assert_eq!(serde_json::from_slice::<MemberReport>(&text).expect("a report of its own"), report);
    }
}
