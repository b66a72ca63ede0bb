//! A master that crashes is back at once, or given up.

use std::time::{Duration, Instant};

use kudu_pair::launcher::protocol::{MasterState, Request, StopReason};
use rustix::process::{Signal, kill_process};

use crate::harness::*;

#[tokio::test]
async fn a_killed_master_is_back_at_once() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    let first = pid(&place.serve(&launcher, FAR).await);

    let killed = Instant::now();
    kill_process(first, Signal::KILL).unwrap();
    let again = status_when(
        &mut client,
        |master| matches!(master, MasterState::Running { pid: Some(pid), .. } if *pid != first.as_raw_nonzero().get()),
    )
    .await;
    let started = killed.elapsed();
    place.wait_until_serving();
    println!(
        "kill -9 to process started: {started:?}; to a client's table list (its own 0.1 s in it): {:?}",
        killed.elapsed()
    );
    let MasterState::Running { epoch, starts, .. } = again.master else { panic!() };
    assert_eq!((epoch, starts), (1, 2));
    assert_eq!(place.reigns().len(), 3, "started, ended, started");
}

#[tokio::test]
async fn a_master_that_will_not_run_is_given_up_with_its_last_words() {
    let place = Place::new();
    let launcher = place.launch().await;
    let mut client = launcher.client().await;
    client.call(format_request("gen-1")).await.unwrap();
    drop((client, launcher));

    let launcher = place.launch_with(&["--webserver_private_key_file=/nowhere"]).await;
    let mut client = launcher.client().await;
    let begin = Instant::now();
    client.call(start_request(1, "gen-1", FAR)).await.unwrap();
    let status = status_when(&mut client, |master| matches!(master, MasterState::Stopped { .. })).await;
    let MasterState::Stopped { reason, last_words, .. } = status.master else { panic!() };
    println!("given up after {:?}: {last_words:?}", begin.elapsed());
    assert_eq!(reason, StopReason::CrashLoop);
    assert!(last_words.expect("last words").contains("webserver_private_key_file"));

    // Giving up is not for ever: who knows better may ask again.
    let again = client.call(start_request(1, "gen-1", Duration::from_secs(60))).await.unwrap();
    assert!(matches!(again.master, MasterState::Running { starts: 1, .. }));
    client.call(Request::Stop).await.unwrap();
}
