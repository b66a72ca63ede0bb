//! kudu-master hangs: it takes connections, since the kernel does, and answers none.

use std::{thread, time::Instant};

use kudu_pair::api::MemberState;

use crate::pair::{Pair, is_serving, wait_until_equal};

/// Freezes a's kudu-master once it is well, and returns its process id.
fn freeze(pair: &Pair) -> i32 {
    // It is judged once it has answered a probe: a process that only starts has longer.
    thread::sleep(std::time::Duration::from_secs(2));
    pair.a.freeze_master()
}

#[test]
fn one_that_hangs_is_restarted_in_place_and_one_that_hangs_again_hands_over() {
    let pair = Pair::running();
    let epoch = pair.a.status().epoch;
    pair.client.create_table("before", 2);
    let first = freeze(&pair);
    let begin = Instant::now();
    pair.wait_until_served();
    println!("hung until a client is answered: {:?}", begin.elapsed());
    let report = pair.a.wait_until("a serves", is_serving);
    assert_eq!(report.epoch, epoch, "it was restarted in the same reign");
    assert!(report.message.expect("a message").contains("restarted in place"));
    assert_ne!(pair.a.running_master(), Some(first));
    println!("its kill took {} ms", report.kill_milliseconds.expect("a kill"));
    pair.client.create_table("between", 2);
    let before = pair.catalog();

    freeze(&pair);
    let begin = Instant::now();
    let report = pair.a.wait_until("a gives up", |report| report.state == MemberState::Failed);
    println!("hung again until the Lease is given back: {:?}", begin.elapsed());
    assert!(report.master_stopped);
    assert!(report.message.expect("a message").contains("answered none"));
    // All that was acknowledged is there, shipped before the reign ended.
    let head = report.head.expect("a head");
    pair.b.wait_until("b has all of it", |there| there.head == Some(head));
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.b.wait_until("b serves", is_serving);
    pair.wait_until_served();
    println!("hung again until a client is answered: {:?}", begin.elapsed());
    pair.assert_catalog(&before);
    pair.a.order(&["follow", "--link", &pair.b.link(), "--rpc", &pair.b.rpc]);
    wait_until_equal(&pair.b, &pair.a);
    pair.check();
}
