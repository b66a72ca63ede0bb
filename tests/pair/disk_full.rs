//! The standby's disk is full: it says so and what to do, and goes on by itself when there is space.

use kudu_pair::api::MemberState;

use crate::pair::{Pair, is_serving, is_streaming, wait_until_equal};

#[test]
fn a_full_standby_says_so_and_recovers_by_itself() {
    let mut pair = Pair::new();
    pair.b.use_small_disk(24);
    pair.a.start();
    pair.b.start();
    pair.a.order(&["init"]);
    pair.a.wait_until("a serves", is_serving);
    pair.b.wait_until("b streams", is_streaming);
    // The first base may have been asked for before kudu-master took connections.
    let generations = pair.b.generations();
    pair.add_tablet_server();
    pair.client.create_table("before", 2);
    wait_until_equal(&pair.a, &pair.b);

    pair.b.disk().fill(4096);
    for number in 0..8 {
        pair.client.create_table(&format!("full_{number}"), 8);
    }
    let report = pair.b.wait_until("b fails", |report| report.state == MemberState::Failed);
    let message = report.message.expect("a message");
    println!("{message}");
    assert!(message.contains("full") && message.contains("enlarge"), "{message}");
    assert!(message.contains(&*pair.b.path("wal").to_string_lossy()), "the volume is not named: {message}");
    // The active does not care.
    pair.client.create_table("while_full", 2);
    assert!(is_serving(&pair.a.status()));

    pair.b.disk().enlarge(200);
    pair.b.wait_until("b streams", is_streaming);
    let head = wait_until_equal(&pair.a, &pair.b);
    assert_eq!(pair.b.generations(), generations, "b took another base");

    // Nothing of what was written before, during and after is lost.
    let before = pair.catalog();
    pair.a.crash();
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.wait_until_served();
    pair.assert_catalog(&before);
    pair.check();
}
