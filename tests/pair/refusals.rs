//! What is refused, and that it is said why.

use std::fs;

use crate::{
    member::{Member, PAIR},
    pair::{Pair, wait_until_equal},
};

/// Name of the control file.
const CONTROL_FILE: &str = "kudu-pair.anchors";

#[track_caller]
fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    println!("{}", message.trim());
}

#[test]
fn orders_that_would_lose_something_are_refused() {
    let pair = Pair::running();
    pair.client.create_table("kept", 2);
    let head = wait_until_equal(&pair.a, &pair.b);
    let before = pair.catalog();

    assert_says(&pair.a.refused(&["init"]), &["already has a catalog", "Use promote"]);
    assert_says(&pair.b.refused(&["init"]), &["already has a catalog", "Use promote"]);
    let beyond = format!("{}.{}", head.term, head.index + 1);
    let message = pair.b.refused(&["promote", "--at-least", &beyond]);
    assert_says(&message, &["ends at", &head.to_string(), &beyond]);
    assert_says(&pair.b.refused(&["promote", "--epoch", "1"]), &["epoch 1 must be above 1"]);
    assert_says(&pair.b.refused(&["demote"]), &["serves nothing"]);

    // Nothing happened.
    pair.assert_catalog(&before);
    assert_eq!(wait_until_equal(&pair.a, &pair.b), head);
    pair.check();
}

#[test]
fn a_member_without_a_catalog_is_not_promoted() {
    let mut pair = Pair::new();
    pair.b.start();
    assert_says(&pair.b.refused(&["promote"]), &["there is no catalog on this member", "follow"]);
    assert!(pair.b.reigns().is_empty());
}

#[test]
fn a_stranger_is_not_served() {
    let mut pair = Pair::new();
    pair.a.start();
    pair.a.order(&["init"]);
    pair.a.wait_until("a serves", crate::pair::is_serving);

    // Neither under a name that is not in `slaves`, nor under one that is from another address, nor from another pair.
    for (name, of, words) in [
        ("c", PAIR, ["\"c\" at ", "is no member of this pair"]),
        ("b", PAIR, ["\"b\" at ", "is no member of this pair"]),
        ("b", "other", ["belongs to pair \"other\"", "not \"demo\""]),
    ] {
        let mut stranger = Member::new(name, &pair.a.rpc);
        stranger.configure(of, &[], Some(&pair.a));
        stranger.start();
        let report = stranger.wait_until("a refusal", |report| report.message.is_some());
        assert_says(&report.message.expect("a message"), &words);
        assert!(!report.has_catalog);
        assert!(stranger.generations().is_empty());
    }
}

#[test]
fn volumes_that_cannot_be_trusted_stop_the_sidecar() {
    let mut pair = Pair::new();
    pair.a.start();
    pair.a.order(&["init"]);
    pair.a.wait_until("a serves", crate::pair::is_serving);
    pair.a.crash();
    let file = pair.a.path("wal").join(CONTROL_FILE);
    let sound = fs::read(&file).expect("a control file");

    pair.a.configure("other", &[&pair.b], None);
    let (status, said) = pair.a.failing_sidecar();
    assert!(!status.success());
    assert_says(last_line(&said), &["belongs to pair \"demo\"", "\"other\"", "a volume of its own"]);
    pair.a.configure(PAIR, &[&pair.b], None);

    let mut flipped = sound.clone();
    flipped[40] ^= 1;
    for damaged in [&sound[..sound.len() / 2], &flipped, b"rubbish", b""] {
        fs::write(&file, damaged).expect("a control file");
        let (status, said) = pair.a.failing_sidecar();
        assert!(!status.success());
        assert_says(last_line(&said), &[CONTROL_FILE, "restore it"]);
        assert_eq!(fs::read(&file).expect("a control file"), damaged, "the evidence was changed");
    }

    // With the control file as it was, all is as it was.
    fs::write(&file, sound).expect("a control file");
    pair.a.start();
    pair.a.order(&["promote"]);
    pair.a.wait_until("a serves", crate::pair::is_serving);
    pair.check();
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}
