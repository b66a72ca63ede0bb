//! The comparison of a standby's log with the active's: what its own files hold, read back behind the stream.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    SidecarError,
    board::{Board, VerifiedFacts},
    reread::{Reached, Rereader},
};
use crate::{
    launcher::protocol::Generation,
    replication::{Anchors, Rolling, follower::ReadBack},
    wal::OpId,
    waldir::{LogTail, TailError, TailLimits, TailState},
};

/// How often bytes that are no batch are read again. What is read was durable before the reading began.
const TORN_POLLS: u32 = 3;

/// What is compared, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    rereader: Option<(Generation, Rereader<LogTail>)>,
    /// What is being read, and of which generation.
    reading: Option<(Generation, JoinHandle<Read>)>,
    verified: Option<Verified>,
}

/// A stretch of the log of a generation that is known to be the active's.
#[derive(Debug)]
struct Verified {
    generation: Generation,
    from: OpId,
    at: OpId,
}

#[derive(Debug)]
struct Read {
    rereader: Rereader<LogTail>,
    found: Result<ReadBack, SidecarError>,
}

impl Comparison {
    /// The operation behind which a log that ends at `last` has to be compared with the active's.
    pub(super) fn from(&self, anchors: &Anchors, last: Option<OpId>) -> Option<OpId> {
        let known = self.verified.as_ref().filter(|verified| Some(&verified.generation) == anchors.generation.as_ref());
        known.map(|verified| verified.at).or(anchors.compare_from).or(last)
    }

    /// Begins to read the log in `folder`, of this generation.
    pub(super) fn read_back(&mut self, generation: Generation, folder: PathBuf, rolling: Rolling, to: OpId) {
        let known = self.rereader.take().filter(|(of, rereader)| *of == generation && rereader.at() == rolling.at());
        let rereader = known.map_or_else(|| open(&folder, rolling.at()), |(_, rereader)| rereader);
        self.reading = Some((generation, spawn_blocking(move || read(rereader, rolling, to))));
    }

    /// Resolves when what was begun is read; never when nothing was. Returns also the generation that was read.
    pub(super) async fn finished(&mut self) -> (Generation, Result<ReadBack, SidecarError>) {
        let Some((_, task)) = &mut self.reading else { return std::future::pending().await };
        let read = task.await;
        let generation = self.reading.take().map(|(generation, _)| generation).unwrap_or_default();
        match read {
            Ok(Read { rereader, found }) => {
                self.rereader = Some((generation.clone(), rereader));
                (generation, found)
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Notes what was found equal.
    pub(super) fn verified(&mut self, board: &Board, generation: Generation, rolling: Rolling) {
        let goes_on = |known: &Verified| {
            known.generation == generation && (known.from == rolling.from() || known.at == rolling.from())
        };
        let from = self.verified.take().filter(goes_on).map_or(rolling.from(), |known| known.from);
        board.facts().verified = Some(VerifiedFacts { from, head: rolling.at(), when: Instant::now() });
        self.verified = Some(Verified { generation, from, at: rolling.at() });
    }

    /// The connection ended. What is being read is of no use any more.
    pub(super) fn disconnected(&mut self) {
        self.reading = None;
    }
}

fn open(folder: &Path, at: OpId) -> Rereader<LogTail> {
    // Nobody writes this log anew under the tail, so nothing has to be proven to be as it was.
    let limits = TailLimits { digests: 0, ..TailLimits::default() };
    Rereader::new(LogTail::with_limits(folder, Some(at), limits), at)
}

fn read(mut rereader: Rereader<LogTail>, rolling: Rolling, to: OpId) -> Read {
    let found = look(&mut rereader, rolling, to);
    Read { rereader, found }
}

fn look(rereader: &mut Rereader<LogTail>, mut rolling: Rolling, to: OpId) -> Result<ReadBack, SidecarError> {
    let begins = rolling.from() == rolling.at();
    loop {
        let unfit = match rereader.extend(&mut rolling, to, usize::MAX) {
            Ok(Reached::Asked) => return Ok(ReadBack::Whole(rolling)),
            Ok(Reached::Limit) => continue,
            Ok(Reached::End(TailState::Torn { polls, .. })) if polls < TORN_POLLS => continue,
            Ok(Reached::End(TailState::Torn { path, offset, why, .. })) => {
                format!("{} at offset {offset}: {why}", path.display())
            }
            Ok(Reached::End(_)) => format!("the log ends at {}", rereader.at()),
            Ok(Reached::Hole(next)) => format!("{next} follows {}", rereader.at()),
            Err(TailError::Gone { .. }) if begins => return Ok(ReadBack::Later),
            Err(TailError::Read(error)) if !error.is_damage() => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        return Ok(ReadBack::Unfit(unfit));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt};

    use super::*;
    use crate::{
        wal::{Replicate, tests::replicate},
        waldir::{LogAppender, testkit::FakeKudu},
    };

    /// A standby's log: what Kudu wrote of its base, up to 1.5, and what was appended behind it, in small batches.
    struct Log {
        kudu: FakeKudu,
        ops: Vec<Replicate>,
    }

    fn log() -> Log {
        let mut kudu = FakeKudu::start();
        kudu.ops(4);
        let last = kudu.last();
        let ops: Vec<_> = (1..=9)
            .map(|next| {
                let id = OpId::new(last.term, last.index + next);
                Replicate::from_raw(replicate(id, 3, b"as the active has it")).unwrap()
            })
            .collect();
        let mut appender = LogAppender::open(&kudu.dir).unwrap().with_batch_bytes(1);
        appender.append(&ops).unwrap();
        appender.sync().unwrap();
        Log { kudu, ops }
    }

    impl Log {
        /// The active's digest behind the base.
        fn theirs(&self) -> Rolling {
            let mut rolling = Rolling::behind(self.kudu.last());
            self.ops.iter().for_each(|op| rolling.add(op).unwrap());
            rolling
        }

        fn found(&self) -> ReadBack {
            let (from, to) = (self.kudu.last(), self.ops.last().unwrap().id());
            look(&mut open(&self.kudu.dir, from), Rolling::behind(from), to).unwrap()
        }

        /// Changes bytes of the segment that was appended, from an offset that `place` finds in it.
        fn overwrite(&self, place: impl FnOnce(&[u8]) -> usize, bytes: &[u8]) {
            let path = self.kudu.dir.join("wal-000000002");
            let at = place(&fs::read(&path).unwrap());
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(bytes, u64::try_from(at).unwrap()).unwrap();
        }
    }

    fn payload(segment: &[u8]) -> usize {
        segment.windows(9).position(|bytes| bytes == b"as the ac").unwrap()
    }

    #[test]
    fn what_was_appended_is_found_in_the_files() {
        let log = log();
        assert_eq!(log.found(), ReadBack::Whole(log.theirs()));
    }

    #[test]
    fn it_goes_on_where_it_was() {
        let log = log();
        let (from, middle, to) = (log.kudu.last(), log.ops[3].id(), log.ops[8].id());
        let mut rereader = open(&log.kudu.dir, from);
        let ReadBack::Whole(half) = look(&mut rereader, Rolling::behind(from), middle).unwrap() else { panic!() };
        assert_eq!((half.at(), rereader.at()), (middle, middle));
        assert_eq!(look(&mut rereader, half, to).unwrap(), ReadBack::Whole(log.theirs()));
    }

    #[test]
    fn damage_is_told_from_a_log_that_begins_later() {
        let damaged = log();
        damaged.overwrite(payload, b"AS");
        assert!(matches!(damaged.found(), ReadBack::Unfit(why) if why.contains("wal-000000002 at offset")));
        let log = log();
        let early = OpId::new(0, 0);
        fs::remove_file(log.kudu.dir.join("wal-000000001")).unwrap();
        let found = look(&mut open(&log.kudu.dir, early), Rolling::behind(early), log.ops[0].id()).unwrap();
        assert_eq!(found, ReadBack::Later);
    }

    #[test]
    fn what_is_missing_at_the_end_is_found() {
        let log = log();
        let path = log.kudu.dir.join("wal-000000002");
        let size = fs::metadata(&path).unwrap().len();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size - 5).unwrap();
        assert!(matches!(log.found(), ReadBack::Unfit(_)));
        // Wholly gone.
        fs::remove_file(path).unwrap();
        assert!(matches!(log.found(), ReadBack::Unfit(why) if why.contains("the log ends at")));
    }
}
