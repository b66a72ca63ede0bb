//! What the records of a pair's launchers prove.

use kudu_pair::launcher::reigns::ReignEvent;

use crate::member::Member;

/// The life of one kudu-master, on the clock that all processes of this machine share.
#[derive(Debug)]
struct Life {
    member: &'static str,
    epoch: i64,
    from: u64,
    to: u64,
}

/// Asserts that no two kudu-masters of the pair lived at once, and that epochs grew with time. Returns the number of lives.
#[track_caller]
pub(crate) fn assert_one_master_at_a_time(members: &[&Member]) -> usize {
    let mut lives: Vec<Life> = members.iter().flat_map(|member| lives_of(member)).collect();
    lives.sort_by_key(|life| life.from);
    for (before, after) in lives.iter().zip(lives.iter().skip(1)) {
        assert!(before.to <= after.from, "two kudu-masters at once: {before:?} {after:?}");
        assert!(before.epoch <= after.epoch, "an older epoch came back: {before:?} {after:?}");
        assert!(before.epoch < after.epoch || before.member == after.member, "shared epoch: {before:?} {after:?}");
    }
    lives.len()
}

fn lives_of(member: &Member) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for reign in member.reigns() {
        match reign.event {
            ReignEvent::Started => {
                lives.push(Life { member: member.name, epoch: reign.epoch, from: reign.boot_ns, to: u64::MAX });
            }
            ReignEvent::Ended => lives.last_mut().expect("a start before an end").to = reign.boot_ns,
        }
    }
    lives
}
