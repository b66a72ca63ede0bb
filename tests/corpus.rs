//! Every fuzz target over its committed corpus, whole and mutated. `make fuzz` runs the same targets under a fuzzer.

use std::{fs, path::Path};

use proptest::{prelude::*, sample::Index, test_runner::TestRunner};

#[path = "../fuzz/targets.rs"]
mod targets;

/// A change of an input.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
    Number(Index, u32),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        let number = prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(1 << 31), any::<u32>()];
        prop_oneof![
            (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Self::Flip(at, bit)),
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Set(at, byte)),
            any::<Index>().prop_map(Self::Cut),
            (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Self::Remove(from, to)),
            (any::<Index>(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Self::Repeat(from, to)),
            (any::<Index>(), number).prop_map(|(at, number)| Self::Number(at, number)),
        ]
    }

    fn apply(self, input: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        let length = input.len();
        let range = |one: Index, other: Index| {
            let (one, other) = (one.index(length), other.index(length));
            one.min(other)..one.max(other)
        };
        match self {
            Self::Flip(at, bit) => input[at.index(length)] ^= 1 << bit,
            Self::Set(at, byte) => input[at.index(length)] = byte,
            Self::Cut(at) => input.truncate(at.index(length)),
            Self::Remove(from, to) => drop(input.drain(range(from, to))),
            Self::Insert(at, bytes) => {
                let at = at.index(length);
                drop(input.splice(at..at, bytes));
            }
            Self::Repeat(from, to) => input.extend_from_within(range(from, to)),
            Self::Number(at, number) => {
                let at = at.index(length);
                let bytes = number.to_le_bytes();
                let end = length.min(at + bytes.len());
                input[at..end].copy_from_slice(&bytes[..end - at]);
            }
        }
    }
}

/// The inputs of a target.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

#[test]
fn every_target_stands_its_corpus() {
    for (name, target) in targets::TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs.iter().for_each(|input| target(input));
        target(&[]);
    }
}

#[test]
fn every_target_stands_its_corpus_mutated() {
    for (name, target) in targets::TARGETS {
        let inputs = corpus(name);
        let mut runner =
            TestRunner::new(ProptestConfig { cases: 8000, failure_persistence: None, ..ProptestConfig::default() });
        let cases = (any::<Index>(), prop::collection::vec(Mutation::any(), 1..6));
        let held = runner.run(&cases, |(at, mutations)| {
            let mut input = at.get(&inputs).clone();
            mutations.into_iter().for_each(|mutation| mutation.apply(&mut input));
            target(&input);
            Ok(())
        });
        if let Err(error) = held {
            panic!("{name}: {error}");
        }
    }
}

/// What the fuzzer has to get through first: without it, only refusals would be tried.
#[test]
fn the_corpora_hold_what_is_accepted() {
    let accepted = |name: &str, accept: fn(&[u8]) -> bool| {
        assert!(corpus(name).iter().any(|input| accept(input)), "nothing in the corpus of {name} is accepted");
    };
    accepted("frame", |input| kudu_pair::replication::frame::Frame::decode(input.to_vec().into()).is_ok());
    accepted("anchors", |input| kudu_pair::replication::Anchors::decode(input).is_ok());
    accepted("entry", |input| kudu_pair::wal::LogEntry::from_raw(input.to_vec().into()).is_ok());
    accepted("report", |input| serde_json::from_slice::<kudu_pair::failover::member::MemberReport>(input).is_ok());
    accepted("segment", |input| {
        let mut decoder = kudu_pair::wal::Decoder::new();
        decoder.feed(&input[1..]);
        let mut found = std::iter::from_fn(|| decoder.step(true).ok()).take(9);
        found.any(|decoded| matches!(decoded, kudu_pair::wal::Decoded::Batch(_)))
            && found.any(|decoded| matches!(decoded, kudu_pair::wal::Decoded::Footer(_)))
    });
}
