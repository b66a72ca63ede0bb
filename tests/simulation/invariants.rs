//! What must hold at every step.

use std::collections::BTreeSet;

use kudu_pair::{
    replication::{feed::Feed, follower, sender::WINDOW_BYTES},
    wal::{OpId, Replicate},
};

use crate::disk::Disk;

/// Bytes of operations that one read of the log returns at most, a larger single operation aside.
pub(crate) const READ_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes of one operation in a simulation.
pub(crate) const OP_BYTES: usize = 600 * 1024;

/// What is remembered of a member over all its lives.
#[derive(Default)]
pub(crate) struct Witness {
    /// Every operation that was ever durable on it.
    durable: BTreeSet<OpId>,
    /// The highest epoch of which it acted on a frame.
    obeyed: i64,
}

impl Witness {
    /// Notes what is durable now.
    pub(crate) fn saw_flush(&mut self, disk: &Disk) {
        let durable = disk.durable();
        self.durable.extend(disk.log().iter().map(Replicate::id).rev().take_while(|op| Some(*op) <= durable));
    }

    /// A standby says that `op` and all before it are on its disk.
    pub(crate) fn check_ack_sent(&self, op: OpId, disk: &Disk) {
        assert!(
            disk.durable().is_some_and(|durable| durable.index >= op.index) && disk.digest(op).is_some(),
            "acknowledges {op}, durable up to {:?}",
            disk.durable()
        );
    }

    /// An active takes an acknowledgement of this member.
    pub(crate) fn check_ack_taken(&self, op: OpId, active: &[Replicate]) {
        assert!(self.durable.contains(&op), "{op} counts as acknowledged and never was durable");
        assert!(active.iter().rev().any(|own| own.id() == op), "{op} counts as acknowledged and is not the active's");
    }

    /// A standby acts on a frame of this epoch.
    pub(crate) fn acts_on(&mut self, epoch: i64, disk: &Disk) {
        assert!(epoch >= self.obeyed, "acts on a frame of epoch {epoch} after one of {}", self.obeyed);
        let remembered = disk.anchors().epoch;
        assert!(remembered >= epoch, "acts on a frame of epoch {epoch} and remembers {remembered}");
        self.obeyed = epoch;
    }
}

/// A standby that begins a stream holds a prefix of the active's log; where disks alter what they hold, one of the same names.
pub(crate) fn check_prefix(standby: &Disk, active: &[Replicate], altered: bool) {
    let first = active.first().map_or(1, |op| op.id().index);
    for op in standby.log() {
        let Ok(place) = usize::try_from(op.id().index - first) else { continue };
        let own = active.get(place);
        let same = own == Some(op) || altered && own.map(Replicate::id) == Some(op.id());
        assert!(same, "{} is not the active's", op.id());
    }
}

/// What was found equal behind `from`, up to `to`, is.
pub(crate) fn check_equal(standby: &Disk, active: &[Replicate], from: OpId, to: OpId) {
    for index in from.index + 1..=to.index {
        assert_eq!(standby.at(index), own(active, index), "{index} was found equal");
    }
}

/// A log that was found unfit is not the active's: no alarm is a wrong one.
pub(crate) fn check_differs(standby: &Disk, active: &[Replicate]) {
    let differs = |op: &Replicate| own(active, op.id().index).is_some_and(|own| own != op);
    assert!(standby.log().iter().any(differs), "a wrong alarm");
}

fn own(active: &[Replicate], index: i64) -> Option<&Replicate> {
    let first = active.first()?.id().index;
    active.get(usize::try_from(index - first).ok()?)
}

/// What is appended follows the log without a hole, and is the active's.
pub(crate) fn check_append(standby: &Disk, ops: &[Replicate], active: &[Replicate]) {
    let mut last = standby.last().expect("a log");
    let first = active.first().expect("a log of the active").id().index;
    for op in ops {
        assert_eq!(op.id().index, last.index + 1, "a hole after {last}");
        let place = usize::try_from(op.id().index - first).expect("an index");
        assert_eq!(active.get(place).map(Replicate::raw), Some(op.raw()), "{} is not the active's", op.id());
        last = op.id();
    }
}

/// A standby costs the active a window and one read of its log.
pub(crate) fn check_window(feed: &Feed) {
    let bound = WINDOW_BYTES + READ_BYTES + OP_BYTES;
    assert!(feed.in_flight_bytes() <= bound, "{} bytes are on their way", feed.in_flight_bytes());
}

/// What a standby has received and not stored is bounded.
pub(crate) fn check_group(bytes: usize) {
    let bound = 2 * (follower::GROUP_BYTES + READ_BYTES + OP_BYTES);
    assert!(bytes <= bound, "{bytes} bytes wait to be durable");
}
