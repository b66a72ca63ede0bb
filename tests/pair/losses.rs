//! An asynchronous pair loses its active at random moments: what is missing is exactly what the member's gap says.

use std::{
    collections::BTreeSet,
    env, mem,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kudu_pair::{
    wal::{LogEntry, OpId},
    waldir::read_log,
};

use crate::{
    kudu,
    member::Member,
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
};

const ROUNDS: usize = 8;

#[test]
fn what_is_missing_after_a_loss_is_exactly_what_the_gap_says() {
    let mut random = Random::from_environment();
    let mut pair = Pair::running();
    let mut history = History::default();
    for round in 0..ROUNDS {
        let acknowledged = lose_the_active(&mut pair, &mut random, round);
        let epoch = pair.b.status().epoch;
        let (gap_ops, missing) = history.check(&pair, &acknowledged);
        println!(
            "round {round}, epoch {epoch}: {} acknowledged, {gap_ops} ops in the gap, missing {missing:?}",
            acknowledged.len()
        );
        // What was lost is counted by the member that had it, once it is back.
        let rpc = pair.b.rpc.clone();
        pair.a.start();
        pair.a.order(&["follow", "--link", &pair.b.link(), "--rpc", &rpc]);
        let gap = pair.a.wait_until("the old active streams", is_streaming).gap.expect("a report of the gap");
        assert_eq!((gap.epoch, gap.ops, gap.own_head), (epoch, gap_ops, history.old_head), "round {round}");
        wait_until_equal(&pair.b, &pair.a);
        mem::swap(&mut pair.a, &mut pair.b);
    }
    println!("{} tables kept, {} lost", history.kept.len(), history.lost.len());
    assert!(!history.kept.is_empty(), "the client was never answered");
    pair.check();
}

/// A client creates tables until the active, a, is lost; its standby, b, may have been held up. b serves when this returns.
/// Returns the tables whose creation was acknowledged.
fn lose_the_active(pair: &mut Pair, random: &mut Random, round: usize) -> Vec<String> {
    let over = AtomicBool::new(false);
    let client = &pair.client;
    let (a, b) = (&mut pair.a, &pair.b);
    let acknowledged = thread::scope(|scope| {
        let creating = scope.spawn(|| {
            let names = (0..).map(|number| format!("round_{round:02}_{number:04}_"));
            let until_over = names.take_while(|_| !over.load(Ordering::Relaxed));
            until_over.filter(|name| client.try_create_table(name, 2)).collect::<Vec<_>>()
        });
        thread::sleep(random.up_to(Duration::from_millis(900)));
        let holds_up = random.next().is_multiple_of(3);
        if !holds_up {
            b.freeze_sidecar();
            thread::sleep(random.up_to(Duration::from_millis(500)));
        }
        a.crash();
        over.store(true, Ordering::Relaxed);
        if !holds_up {
            b.wake_sidecar();
        }
        creating.join().expect("the client")
    });
    // What is still on its way to b ends with the connection; only then is its log what it will be promoted on.
    b.wait_until("the loss is noticed", |report| !is_streaming(report));
    b.order(&["promote"]);
    b.wait_until("b serves", is_serving);
    pair.wait_until_served();
    acknowledged
}

/// What clients were told, over all rounds.
#[derive(Debug, Default)]
struct History {
    /// Tables that are there.
    kept: BTreeSet<String>,
    /// Tables that were acknowledged and lost; none may ever come back.
    lost: BTreeSet<String>,
    /// Last op of the member that was lost in this round.
    old_head: Option<OpId>,
}

impl History {
    /// Compares what is there with the lost member's log: an acknowledged table is missing if, and only if, the op that
    /// made it comes after the last one that both logs hold. Returns how many ops do, and the missing tables.
    fn check(&mut self, pair: &Pair, acknowledged: &[String]) -> (i64, Vec<String>) {
        let present: BTreeSet<String> = pair.tables().into_iter().collect();
        let (old, new) = (ops_of(&pair.a), ops_of_running(&pair.b));
        let diff = old.iter().filter(|(op, _)| new.contains(op)).map(|(op, _)| *op).max().expect("a common op");
        self.old_head = old.last().map(|(op, _)| *op);
        let gap_ops = self.old_head.expect("an operation").index - diff.index;
        let made_at = |name: &String| {
            let holds = |raw: &[u8]| raw.windows(name.len()).any(|window| window == name.as_bytes());
            old.iter().find(|(_, raw)| holds(raw)).map(|(op, _)| *op).expect("the op of an acknowledged table")
        };
        let (kept, missing): (Vec<_>, Vec<_>) = acknowledged.iter().cloned().partition(|name| present.contains(name));
        for name in &kept {
            assert!(made_at(name) <= diff, "{name} is there, but the op that made it is in the gap after {diff}");
        }
        for name in &missing {
            assert!(made_at(name) > diff, "{name} is missing, but both logs hold the op that made it, up to {diff}");
        }
        let gone: Vec<_> = self.kept.difference(&present).collect();
        assert!(gone.is_empty(), "tables of earlier rounds are missing: {gone:?}");
        let back: Vec<_> = self.lost.intersection(&present).collect();
        assert!(back.is_empty(), "lost tables came back: {back:?}");
        self.kept.extend(kept);
        self.lost.extend(missing.iter().cloned());
        (gap_ops, missing)
    }
}

/// The operations in the log of a member whose kudu-master is stopped, with their bytes.
fn ops_of(member: &Member) -> Vec<(OpId, Vec<u8>)> {
    let mut ops = Vec::new();
    let log = member.log_on_disk();
    read_log(&log, |_, entry| {
        if let LogEntry::Replicate(op) = entry {
            ops.push((op.id(), op.raw().to_vec()));
        }
    })
    .expect("a log");
    ops
}

/// The names of the operations in the log of a member that serves: its head may move meanwhile, what it began from does not.
fn ops_of_running(member: &Member) -> BTreeSet<OpId> {
    let mut ops = BTreeSet::new();
    kudu::wait_for("a log that can be read", || {
        ops.clear();
        read_log(&member.log_on_disk(), |_, entry| {
            if let LogEntry::Replicate(op) = entry {
                ops.insert(op.id());
            }
        })
        .is_ok()
    });
    ops
}

/// Numbers that follow from one seed (SplitMix64); `LOSSES_SEED` repeats a run as far as its processes let it.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn from_environment() -> Self {
        let seed = env::var("LOSSES_SEED").ok().map_or_else(
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis() as u64),
            |seed| seed.parse().expect("a number in LOSSES_SEED"),
        );
        println!("LOSSES_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.next() % longest.as_micros() as u64)
    }
}
