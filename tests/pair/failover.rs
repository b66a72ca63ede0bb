//! The active is lost: the standby's catalog is the active's, whatever was flushed.

use std::time::Instant;

use crate::pair::{Pair, is_serving, is_streaming, wait_until_equal};

/// Loses a, promotes b, and checks that b has what a had.
fn lose_a_and_promote_b(pair: &mut Pair) {
    let before = pair.catalog();
    let head = wait_until_equal(&pair.a, &pair.b);
    pair.a.crash_launcher();
    let begin = Instant::now();
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.wait_until_served();
    println!("order to promote until a client is answered: {:?}", begin.elapsed());
    pair.b.wait_until("b serves", is_serving);
    pair.assert_catalog(&before);
    // The tablet server follows by itself, and the catalog can be changed.
    pair.client.create_table("after_the_switch", 2);
    pair.check();
}

#[test]
fn a_standby_has_what_a_flushing_active_had() {
    let mut pair = Pair::running();
    pair.change_catalog("first");
    assert!(is_streaming(&pair.b.status()));
    pair.change_catalog("second");
    lose_a_and_promote_b(&mut pair);
}

#[test]
fn a_restart_of_the_active_in_between_changes_nothing() {
    let mut pair = Pair::running();
    let generations = pair.b.generations();
    pair.change_catalog("before");
    let first = wait_until_equal(&pair.a, &pair.b);
    pair.a.crash_master();
    pair.wait_until_served();
    // The restart rewrote the log and began a new term.
    pair.a.wait_until("a new term", |report| report.head.is_some_and(|head| head.term > first.term));
    pair.change_catalog("after");
    assert_eq!(pair.b.generations(), generations, "b took another base");
    lose_a_and_promote_b(&mut pair);
}
