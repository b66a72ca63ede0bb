use super::*;
use crate::{
    wal::{Replicate, tests::replicate},
    waldir::{read_log, testkit::FakeKudu},
};

/// The log in use, which has a few operations, and a new generation whose base has the same.
struct Both {
    old: LogAppender,
    old_folder: PathBuf,
    fresh: Fresh,
    new_folder: PathBuf,
    _kudu: FakeKudu,
    _base: FakeKudu,
}

impl Both {
    fn new() -> Self {
        let mut homes = [FakeKudu::start(), FakeKudu::start()];
        for kudu in &mut homes {
            kudu.ops(5);
            kudu.kill();
        }
        let [kudu, base] = homes;
        let log = LogAppender::open(&base.dir).unwrap();
        let base_head = log.last().unwrap();
        Self {
            old: LogAppender::open(&kudu.dir).unwrap(),
            old_folder: kudu.dir.clone(),
            fresh: Fresh {
                generation: "gen-2".to_owned(),
                base_head,
                log,
                tail: LogTail::open(&kudu.dir, Some(base_head)),
            },
            new_folder: base.dir.clone(),
            _kudu: kudu,
            _base: base,
        }
    }

    /// Operations arrive, and are acknowledged.
    fn arrive(&mut self, count: i64) {
        let last = self.old.last().unwrap();
        let ops: Vec<_> = (1..=count).map(|more| operation(OpId::new(last.term, last.index + more), b"late")).collect();
        self.old.append(&ops).unwrap();
        self.old.sync().unwrap();
    }
}

fn operation(id: OpId, payload: &[u8]) -> Replicate {
    Replicate::from_raw(replicate(id, 3, payload)).unwrap()
}

fn operations(folder: &Path) -> Vec<Replicate> {
    let mut ops = Vec::new();
    read_log(folder, |_, entry| {
        if let LogEntry::Replicate(op) = entry {
            ops.push(op.clone());
        }
    })
    .unwrap();
    ops
}

#[test]
fn what_arrives_until_the_last_moment_is_in_the_generation_that_counts() {
    let mut both = Both::new();
    both.arrive(2);
    catch_up(&mut both.fresh.log, &mut both.fresh.tail).unwrap();
    // After the generation was made, and before it counts.
    both.arrive(3);
    both.fresh.complete(&both.old).unwrap();
    assert_eq!(both.fresh.log.durable(), both.old.durable());
    assert_eq!(operations(&both.new_folder), operations(&both.old_folder));
    assert_eq!(operations(&both.new_folder).len(), 11);
}

#[test]
fn a_generation_that_lacks_an_operation_never_counts() {
    let mut both = Both::new();
    both.arrive(1);
    // As if the old log could not be seen to its end.
    both.fresh.tail = LogTail::open(&both.new_folder, Some(both.fresh.base_head));
    let refused = both.fresh.complete(&both.old).unwrap_err();
    assert!(matches!(refused, SidecarError::ForeignBase { op } if op == both.fresh.base_head), "{refused}");
}

#[test]
fn a_base_with_another_operation_at_its_end_is_refused() {
    let (mut old, mut new) = (Both::new(), Both::new());
    old.arrive(1);
    let end = old.old.last().unwrap();
    check_same(&old.old_folder, &old.new_folder, old.fresh.base_head).unwrap();
    new.old.append(&[operation(end, b"another")]).unwrap();
    new.old.sync().unwrap();
    assert!(check_same(&old.old_folder, &new.old_folder, end).is_err());
    // Nor is one that ends where the old log has nothing.
    let beyond = OpId::new(end.term, end.index + 1);
    assert!(check_same(&old.old_folder, &old.old_folder, beyond).is_err());
}
