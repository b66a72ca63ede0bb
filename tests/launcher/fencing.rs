//! No kudu-master serves past its deadline.

use std::time::Duration;

use kudu_pair::clock::boot_ns;
use kudu_pair::launcher::{
    protocol::{MasterState, Request, StopReason},
    reigns::ReignEvent,
};
use rustix::process::Signal;

use crate::harness::*;

/// What a kill may take by the API's default (`killTimeMilliseconds`).
const KILL_TIME: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_lease_that_is_not_renewed_kills_within_the_kill_time() {
    let place = Place::new();
    let launcher = place.launch().await;
    let master = pid(&place.serve(&launcher, FAR).await);
    // The reign above shows that it serves; the one below has a short lease and a sidecar that stays connected and silent.
    let mut client = launcher.client().await;
    client.call(Request::Stop).await.unwrap();
    assert!(!lives(master));

    let deadline = in_time(Duration::from_secs(3));
    let start = Request::Start { epoch: 2, generation: "gen-1".into(), deadline_boot_ns: Some(deadline) };
    let master = pid(&client.call(start).await.unwrap());
    assert!(wait_until_dead(master) >= deadline, "killed before its deadline");

    let status = status_when(&mut client, |master| matches!(master, MasterState::Stopped { .. })).await;
    let MasterState::Stopped { epoch, reason, kill_micros, .. } = status.master else { panic!() };
    assert_eq!((epoch, reason), (2, StopReason::LeaseOver));
    // The main thread of a process can be gone before its others: reaped is what counts.
    let ended = place.reigns().pop().expect("a record");
    assert_eq!((ended.epoch, ended.event), (2, ReignEvent::Ended));
    let late = ended.boot_ns - deadline;
    println!("kill at the deadline: reaped {} µs after it, {kill_micros} µs after the signal", late / 1000);
    assert!(u128::from(late) < KILL_TIME.as_nanos(), "outlived its lease");
}

#[tokio::test]
async fn renewals_keep_it_alive_and_their_end_does_not() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    client.call(format_request("gen-1")).await.unwrap();
    let lease = Duration::from_secs(2);
    let master = pid(&client.call(start_request(1, "gen-1", lease)).await.unwrap());
    let mut deadline = 0;
    for _ in 0..8 {
        tokio::time::sleep(lease / 4).await;
        deadline = in_time(lease);
        client.call(Request::Renew { epoch: 1, deadline_boot_ns: Some(deadline) }).await.unwrap();
    }
    assert!(lives(master));
    let other = Request::Renew { epoch: 2, deadline_boot_ns: Some(in_time(lease)) };
    assert!(refused(client.call(other).await).contains("epoch 1 is running"));
    drop(client);
    assert!(wait_until_dead(master) >= deadline);
}

#[tokio::test]
async fn a_launcher_that_is_stopped_dead_takes_its_master_along() {
    let place = Place::new();
    let mut launcher = place.launch().await;
    let master = pid(&place.serve(&launcher, FAR).await);
    let killed = boot_ns();
    launcher.crash();
    let dead = wait_until_dead(master);
    println!("launcher killed: kudu-master dead {:.1} ms later", (dead - killed) as f64 / 1e6);

    // The next launcher finds the socket that was left, knows that nothing runs, and can serve.
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    assert_eq!(client.call(Request::Status).await.unwrap().master, MasterState::Idle);
    client.call(start_request(1, "gen-1", FAR)).await.unwrap();
    place.wait_until_serving();
}

#[tokio::test]
async fn a_start_too_late_or_of_an_older_epoch_is_refused() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    client.call(format_request("gen-1")).await.unwrap();
    let late = Request::Start { epoch: 3, generation: "gen-1".into(), deadline_boot_ns: Some(boot_ns()) };
    assert!(refused(client.call(late).await).contains("the deadline passed"));
    client.call(start_request(3, "gen-1", FAR)).await.unwrap();
    assert!(refused(client.call(start_request(4, "gen-1", FAR)).await).contains("stop it first"));
    client.call(Request::Stop).await.unwrap();
    assert!(refused(client.call(start_request(2, "gen-1", FAR)).await).contains("epoch 2 is over"));

    let events: Vec<_> = place.reigns().iter().map(|reign| (reign.epoch, reign.event)).collect();
    assert_eq!(events, [(3, ReignEvent::Started), (3, ReignEvent::Ended)]);
}

#[tokio::test]
async fn sigterm_kills_the_master_and_waits_until_the_sidecar_has_heard() {
    let place = Place::new();
    let mut launcher = place.launch().await;
    let master = pid(&place.serve(&launcher, FAR).await);
    let mut client = launcher.client().await;
    client.call(Request::Status).await.unwrap();
    launcher.signal(Signal::TERM);
    let status = status_when(&mut client, |master| matches!(master, MasterState::Stopped { .. })).await;
    assert!(matches!(status.master, MasterState::Stopped { epoch: 1, reason: StopReason::Ending, .. }));
    assert!(!lives(master));
    assert!(refused(client.call(start_request(2, "gen-1", FAR)).await).contains("ending"));
    drop(client);
    assert!(launcher.wait().success());
    assert!(!place.socket().exists());
}

#[tokio::test]
async fn exit_is_answered_and_ends_the_launcher() {
    let place = Place::new();
    let mut launcher = place.launch().await;
    let master = pid(&place.serve(&launcher, FAR).await);
    let status = launcher.client().await.call(Request::Exit).await.unwrap();
    assert!(matches!(status.master, MasterState::Stopped { reason: StopReason::Ending, .. }));
    assert!(!lives(master));
    assert!(launcher.wait().success());
}
