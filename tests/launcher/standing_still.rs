//! No kudu-master serves past its deadline when its launcher stands still.

use std::{
    fs,
    time::{Duration, Instant},
};

use kudu_pair::clock::boot_ns;
use kudu_pair::launcher::protocol::{MasterState, Request, StopReason};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::harness::*;

/// What a kill may take by the API's default (`killTimeMilliseconds`).
const KILL_TIME: Duration = Duration::from_secs(1);

/// The process of a launcher's second guard.
fn second_guard(launcher: &Launcher) -> Option<Pid> {
    let launcher = launcher.pid().as_raw_nonzero().to_string();
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        let is_it = parent == launcher && command.ends_with(b"\0launcher-guard\0");
        is_it.then(|| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).flatten()
    })
}

/// Waits for a second guard other than `old`.
fn another_guard(launcher: &Launcher, old: Pid) -> Pid {
    let begin = Instant::now();
    loop {
        match second_guard(launcher) {
            Some(guard) if guard != old && lives(guard) => return guard,
            _ => assert!(begin.elapsed() < PATIENCE, "no other second guard"),
        }
    }
}

/// Asserts that a process ends at a deadline, and not before.
fn assert_killed_at(deadline: u64, master: Pid) {
    let dead = wait_until_dead(master);
    assert!(dead >= deadline, "killed before its deadline");
    let late = Duration::from_nanos(dead - deadline);
    println!("dead {late:?} after its deadline");
    assert!(late < KILL_TIME, "outlived its lease by {late:?}");
}

#[tokio::test]
async fn a_launcher_that_stands_still_has_its_master_killed_at_the_deadline_as_last_moved() {
    let place = Place::new();
    let launcher = place.launch().await;
    let lease = Duration::from_secs(3);
    let master = pid(&place.serve(&launcher, lease).await);
    let mut client = launcher.client().await;
    let mut deadline = 0;
    for _ in 0..3 {
        tokio::time::sleep(lease / 3).await;
        deadline = in_time(lease);
        client.call(Request::Renew { epoch: 1, deadline_boot_ns: Some(deadline) }).await.unwrap();
    }
    launcher.signal(Signal::STOP);
    assert_killed_at(deadline, master);

    // It goes on, finds its master dead and the Lease over, and can serve again.
    launcher.signal(Signal::CONT);
    let status = status_when(&mut client, |master| matches!(master, MasterState::Stopped { .. })).await;
    assert!(matches!(status.master, MasterState::Stopped { reason: StopReason::LeaseOver, .. }), "{status:?}");
    client.call(start_request(2, "gen-1", FAR)).await.unwrap();
    place.wait_until_serving();
}

#[tokio::test]
async fn a_launcher_that_dies_standing_still_takes_its_master_along() {
    let place = Place::new();
    let mut launcher = place.launch().await;
    let master = pid(&place.serve(&launcher, FAR).await);
    let guard = second_guard(&launcher).expect("a second guard");
    launcher.signal(Signal::STOP);
    launcher.crash();
    wait_until_dead(master);
    wait_until_dead(guard);
}

#[tokio::test]
async fn a_second_guard_that_dies_is_replaced_by_one_that_watches() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    let master = pid(&place.serve(&launcher, FAR).await);
    let mut guard = second_guard(&launcher).expect("a second guard");
    for _ in 0..3 {
        kill_process(guard, Signal::KILL).unwrap();
        guard = another_guard(&launcher, guard);
    }
    assert!(lives(master), "the death of a guard is no reason to kill");
    client.call(Request::Stop).await.unwrap();

    let deadline = in_time(Duration::from_secs(4));
    let start = Request::Start { epoch: 2, generation: "gen-1".into(), deadline_boot_ns: Some(deadline) };
    let master = pid(&client.call(start).await.unwrap());
    kill_process(guard, Signal::KILL).unwrap();
    another_guard(&launcher, guard);
    // It is there; until it watches takes as long as a start of the program.
    tokio::time::sleep(Duration::from_secs(1)).await;
    launcher.signal(Signal::STOP);
    assert_killed_at(deadline, master);
    launcher.signal(Signal::CONT);
}

#[tokio::test]
async fn a_second_guard_that_stands_still_is_replaced_and_kills_nobody() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    let master = pid(&place.serve(&launcher, FAR).await);
    let guard = second_guard(&launcher).expect("a second guard");
    kill_process(guard, Signal::STOP).unwrap();
    client.call(Request::Renew { epoch: 1, deadline_boot_ns: Some(in_time(FAR)) }).await.unwrap();
    another_guard(&launcher, guard);
    assert!(!lives(guard));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(lives(master));
}

#[tokio::test]
async fn a_master_that_no_second_guard_can_watch_is_killed() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    let master = pid(&place.serve(&launcher, FAR).await);
    // The launcher can open nothing any more, so no socket to another guard.
    let limits = Rlimit { current: Some(3), maximum: Some(3) };
    prlimit(Some(launcher.pid()), Resource::Nofile, limits).unwrap();
    let begin = Instant::now();
    kill_process(second_guard(&launcher).expect("a second guard"), Signal::KILL).unwrap();
    wait_until_dead(master);
    println!("killed {:?} after its second guard", begin.elapsed());
    let status = status_when(&mut client, |master| matches!(master, MasterState::Stopped { .. })).await;
    assert!(matches!(status.master, MasterState::Stopped { reason: StopReason::CrashLoop, .. }), "{status:?}");
}

#[tokio::test]
async fn all_that_stand_still_past_the_deadline_go_on_to_a_kill() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    client.call(format_request("gen-1")).await.unwrap();
    let deadline = in_time(Duration::from_secs(3));
    let start = Request::Start { epoch: 1, generation: "gen-1".into(), deadline_boot_ns: Some(deadline) };
    let master = pid(&client.call(start).await.unwrap());
    let guard = second_guard(&launcher).expect("a second guard");
    let all = [master, guard, launcher.pid()];
    all.iter().for_each(|pid| kill_process(*pid, Signal::STOP).unwrap());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(lives(master), "nobody could kill it");
    // The worst order: the master first.
    let begin = boot_ns();
    all.iter().for_each(|pid| kill_process(*pid, Signal::CONT).unwrap());
    let ran = Duration::from_nanos(wait_until_dead(master) - begin);
    println!("kudu-master ran for {ran:?} after it had stood still");
    assert!(ran < KILL_TIME);
    status_when(&mut client, |master| matches!(master, MasterState::Stopped { .. })).await;
}
