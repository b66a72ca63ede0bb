//! Ends a member's work at each of its operations, lets each fail, and looks what a restart finds.

use kudu_pair::{sidecar::SidecarError, wal::OpId};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::{
    disk::{Disk, Survival},
    volume::{Plan, TestVolume},
};

/// What a member has said of itself, to whomever: it must be true for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Promises {
    /// The highest epoch that it obeyed.
    pub(crate) epoch: i64,
    /// Number of the generation that it used.
    pub(crate) generation: i64,
    /// The last operation that it acknowledged, or reported as its head.
    pub(crate) head: Option<OpId>,
}

/// A member's work on its volumes.
pub(crate) trait Scenario {
    /// Writes what is there to begin with, durable, into an empty folder.
    fn prepare(&self, root: &std::path::Path);

    /// Does the work to its end, from wherever an earlier call came to.
    fn work(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(), SidecarError>;

    /// Opens all there is as a restarted member does. Panics if a promise is broken or anything is there that was never sent;
    /// what the member now says of itself is promised too.
    fn restart(&self, volume: &TestVolume, promises: &mut Promises) -> Result<(), SidecarError>;
}

/// After these a restart is itself ended at each of its operations.
const DEEPER: [Survival; 3] = [Survival::All, Survival::Fronts, Survival::Drawn(5)];

/// Ends the process, or takes the power, before and after each operation of the work.
pub(crate) fn end_everywhere(scenario: &dyn Scenario) {
    for at in 0.. {
        let (volume, _folder) = fresh(scenario);
        volume.plan(Plan::End(at));
        let mut promises = Promises::default();
        let worked = scenario.work(&volume, &mut promises);
        let ended = volume.has_happened();
        assert_eq!(worked.is_err(), ended, "operation {at}: {worked:?}\n{}", volume.story());
        let disk = volume.disk();
        for survival in Survival::EACH {
            let (volume, _folder) = after_power_loss(&disk, survival);
            check(scenario, &volume, promises, &format!("ended before operation {at}, {survival:?} survives"));
        }
        for survival in DEEPER {
            end_the_restart_everywhere(scenario, &disk.after_power_loss(survival), promises);
        }
        // Last, since it goes on with the very files: nothing is lost with a process alone.
        check(scenario, &volume, promises, &format!("ended before operation {at}, and only the process"));
        if !ended {
            println!("{at} operations");
            return;
        }
    }
}

/// Lets each operation of the work fail once.
pub(crate) fn fail_everywhere(scenario: &dyn Scenario) {
    for at in 0.. {
        for errno in [Errno::NOSPC, Errno::IO] {
            let (volume, _folder) = fresh(scenario);
            volume.plan(Plan::Fail(at, errno));
            let mut promises = Promises::default();
            let worked = scenario.work(&volume, &mut promises);
            let failed = volume.has_happened();
            assert_eq!(worked.is_err(), failed, "operation {at} fails with {errno:?}: {worked:?}\n{}", volume.story());
            let disk = volume.disk();
            for survival in Survival::EACH {
                let (volume, _folder) = after_power_loss(&disk, survival);
                let what = format!("operation {at} failed with {errno:?}, then {survival:?} survives");
                check(scenario, &volume, promises, &what);
            }
            // The member itself tries again, as a whole.
            let what = format!("operation {at} failed with {errno:?} and the work was begun again");
            check(scenario, &volume, promises, &what);
            if !failed {
                return;
            }
        }
    }
}

fn end_the_restart_everywhere(scenario: &dyn Scenario, disk: &Disk, promises: Promises) {
    for at in 0.. {
        let (volume, _folder) = after_power_loss(disk, Survival::Nothing);
        volume.plan(Plan::End(at));
        let mut promises = promises;
        // An error, unless the restart needs fewer operations.
        drop(scenario.restart(&volume, &mut promises));
        let ended = volume.has_happened();
        for survival in [Survival::Nothing, Survival::Drawn(6)] {
            let (volume, _folder) = after_power_loss(&volume.disk(), survival);
            restart(scenario, &volume, &mut promises.clone(), "the restart was ended, too");
        }
        if !ended {
            return;
        }
    }
}

/// A restart, the rest of the work, and then the power goes: after each step all promises are kept.
fn check(scenario: &dyn Scenario, volume: &TestVolume, mut promises: Promises, what: &str) {
    volume.plan(Plan::Succeed);
    restart(scenario, volume, &mut promises, what);
    let (after, _folder) = after_power_loss(&volume.disk(), Survival::Nothing);
    restart(scenario, &after, &mut promises.clone(), &format!("{what}; and what a restart says is durable"));
    if let Err(error) = scenario.work(volume, &mut promises) {
        panic!("{what}: the work cannot be finished: {error}\n{}", volume.story());
    }
    let (after, _folder) = after_power_loss(&volume.disk(), Survival::Nothing);
    restart(scenario, &after, &mut promises, &format!("{what}; and then the work was finished"));
}

fn restart(scenario: &dyn Scenario, volume: &TestVolume, promises: &mut Promises, what: &str) {
    let _context = Context { what, volume, promises: *promises };
    if let Err(error) = scenario.restart(volume, promises) {
        panic!("the restart fails: {error}");
    }
}

/// What led to a failure, printed when there is one.
struct Context<'a> {
    what: &'a str,
    volume: &'a TestVolume,
    promises: Promises,
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}; promised before: {:?}\n{}", self.what, self.promises, self.volume.story());
        }
    }
}

fn fresh(scenario: &dyn Scenario) -> (TestVolume, TempDir) {
    let folder = folder();
    scenario.prepare(folder.path());
    (TestVolume::of(folder.path()), folder)
}

fn after_power_loss(disk: &Disk, survival: Survival) -> (TestVolume, TempDir) {
    let folder = folder();
    disk.after_power_loss(survival).write_into(folder.path());
    (TestVolume::of(folder.path()), folder)
}

/// A folder in memory where the system has one: what is durable is for [`Disk`] to say.
fn folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
    .expect("a folder")
}
