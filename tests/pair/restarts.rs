//! Crashes of single processes: no one but the process itself is interrupted.

use std::time::Instant;

use crate::{
    member::lives,
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
};

#[test]
fn a_crash_of_the_actives_sidecar_does_not_interrupt_kudu_master() {
    let mut pair = Pair::running();
    let generations = pair.b.generations();
    let (master, starts) = (pair.a.running_master().expect("a master"), pair.a.reigns().len());
    pair.a.crash_sidecar();
    pair.client.create_table("meanwhile", 2);
    pair.b.wait_until("the active is missed", |report| !is_streaming(report));
    pair.a.start_sidecar();
    pair.a.wait_until("a serves", is_serving);
    pair.b.wait_until("b streams", is_streaming);
    wait_until_equal(&pair.a, &pair.b);
    assert!(lives(master), "kudu-master was killed");
    assert_eq!(pair.a.reigns().len(), starts, "kudu-master was started again");
    assert_eq!(pair.b.generations(), generations, "b took another base");
    pair.check();
}

#[test]
fn a_crash_of_the_standbys_sidecar_is_made_up_for() {
    let mut pair = Pair::running();
    let generations = pair.b.generations();
    pair.b.crash_sidecar();
    pair.client.create_table("meanwhile", 2);
    pair.b.start_sidecar();
    pair.b.wait_until("b streams", is_streaming);
    wait_until_equal(&pair.a, &pair.b);
    assert_eq!(pair.b.generations(), generations, "b took another base");
    pair.check();
}

#[test]
fn kudu_master_comes_back_by_itself() {
    let pair = Pair::running();
    pair.client.create_table("before", 2);
    let before = pair.catalog();
    for round in 1..=3 {
        let begin = Instant::now();
        let old = pair.a.crash_master();
        pair.wait_until_served();
        println!("kill -9 of kudu-master, round {round}: a client is answered after {:?}", begin.elapsed());
        assert_ne!(pair.a.running_master(), Some(old));
    }
    pair.assert_catalog(&before);
    wait_until_equal(&pair.a, &pair.b);
    pair.check();
}

#[test]
fn a_promoted_standby_goes_on_after_a_crash_of_its_sidecar() {
    let mut pair = Pair::running();
    pair.client.create_table("kept", 2);
    let head = wait_until_equal(&pair.a, &pair.b);
    pair.a.crash();
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.b.wait_until("b serves", is_serving);
    let (master, starts) = (pair.b.running_master().expect("a master"), pair.b.reigns().len());
    // Its configuration still calls it a standby of a.
    pair.b.crash_sidecar();
    pair.b.start_sidecar();
    pair.b.wait_until("b serves", is_serving);
    assert!(lives(master), "kudu-master was killed");
    assert_eq!(pair.b.reigns().len(), starts, "kudu-master was started again");
    assert_eq!(pair.tables(), ["kept"]);
    pair.check();
}

#[test]
fn a_reign_ends_with_its_launcher_and_another_takes_a_new_order() {
    let mut pair = Pair::running();
    let generations = pair.b.generations();
    pair.client.create_table("kept", 2);
    wait_until_equal(&pair.a, &pair.b);
    pair.a.crash_launcher();
    let begin = Instant::now();
    pair.a.start_launcher();
    // Somebody may have promoted b meanwhile: nothing starts by itself.
    pair.a.wait_until("a says that its reign has ended", |report| {
        report.master_stopped && report.message.as_deref().is_some_and(|message| message.contains("has ended here"))
    });
    pair.a.order(&["promote"]);
    pair.wait_until_served();
    println!("start of the launcher until a client is answered: {:?}", begin.elapsed());
    pair.a.wait_until("a serves", is_serving);
    pair.client.create_table("afterwards", 2);
    wait_until_equal(&pair.a, &pair.b);
    assert_eq!(pair.b.generations(), generations, "b took another base");
    pair.check();
}
