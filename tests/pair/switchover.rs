//! Planned switches, there and back: nothing is lost and nothing is copied again.

use crate::{
    member::Member,
    pair::{Pair, is_serving, is_streaming, stands_down, wait_until_equal},
};

/// Demotes one, promotes the other when it has everything, and lets the first follow.
pub(crate) fn switch(pair: &Pair, from: &Member, to: &Member) {
    from.order(&["demote"]);
    from.wait_until("the end of the reign", stands_down);
    let head = from.head_on_disk();
    from.wait_until("the final head", |report| report.head == Some(head));
    to.wait_until("all of the log", |report| report.head == Some(head));
    to.order(&["promote", "--at-least", &head.to_string()]);
    let served = pair.wait_until_served();
    println!("{} to {}: order to promote until a client is answered: {served:?}", from.name, to.name);
    to.wait_until("the new reign", is_serving);
    from.order(&["follow", "--link", &to.link(), "--rpc", &to.rpc]);
    let report = from.wait_until("the stream", is_streaming);
    assert_eq!(report.gap.map_or(0, |gap| gap.ops), 0);
}

#[test]
fn a_switch_there_and_back_loses_nothing_and_copies_nothing() {
    let pair = Pair::running();
    let generations = [pair.a.generations(), pair.b.generations()];
    pair.change_catalog("by_a");
    let by_a = pair.catalog();
    switch(&pair, &pair.a, &pair.b);
    pair.assert_catalog(&by_a);

    pair.change_catalog("by_b");
    wait_until_equal(&pair.b, &pair.a);
    let by_both = pair.catalog();
    switch(&pair, &pair.b, &pair.a);
    pair.assert_catalog(&by_both);

    pair.change_catalog("by_a_again");
    wait_until_equal(&pair.a, &pair.b);
    for (member, generations) in [&pair.a, &pair.b].into_iter().zip(generations) {
        assert_eq!(member.generations(), generations, "{} took another base", member.name);
        assert!(member.quarantined().is_empty());
    }
    assert_eq!(pair.a.status().epoch, 3);
    pair.check();
}
