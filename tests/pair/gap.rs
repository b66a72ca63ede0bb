//! The active is lost with changes that the standby never got: they are counted and kept.

use kudu_pair::{
    api::Role,
    replication::anchors::{Anchors, HeadsOf},
    wal::OpId,
};

use crate::{
    member::program,
    pair::{Pair, is_serving, is_streaming, wait_until_equal},
};

#[test]
fn what_a_lost_active_had_alone_is_counted_and_kept() {
    let mut pair = Pair::running();
    pair.client.create_table("both", 2);
    let common = wait_until_equal(&pair.a, &pair.b);
    pair.b.crash_sidecar();
    pair.client.create_table("only_a_1", 2);
    pair.client.create_table("only_a_2", 2);
    pair.catalog();
    // As with its machine: a sidecar alone would go on to ship what the log holds.
    pair.a.crash();
    let lost = pair.a.head_on_disk();
    assert!(lost > common);

    pair.b.start_sidecar();
    pair.b.wait_until("its log is seen", |report| report.head.is_some());
    pair.b.order(&["promote"]);
    pair.wait_until_served();
    pair.b.wait_until("b serves", is_serving);
    assert_eq!(pair.tables(), ["both"]);
    pair.client.create_table("only_b", 2);

    pair.a.start();
    pair.a.order(&["follow", "--link", &pair.b.link(), "--rpc", &pair.b.rpc]);
    let report = pair.a.wait_until("a streams", is_streaming);
    let gap = report.gap.expect("a gap");
    println!("{gap:?}");
    assert!(gap.ops > 0);
    assert_eq!((gap.epoch, gap.own_head), (2, Some(lost)));
    assert_eq!(gap.diff_head.map(|op| op.index + gap.ops), Some(lost.index));
    assert_eq!(pair.a.generations(), ["gen-2"]);

    // The old log is kept, whole and readable.
    let [kept] = &pair.a.quarantined()[..] else { panic!("{:?}", pair.a.quarantined()) };
    let output = program().args(["wal", "dump"]).arg(kept).output().expect("kudu-pair wal dump");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(&lost.to_string()), "the dump does not reach {lost}: {text}");

    pair.client.create_table("afterwards", 2);
    wait_until_equal(&pair.b, &pair.a);
    pair.check();
}

#[test]
fn control_files_keep_up_with_the_heads() {
    // Once both logs are at least there, and nothing moves any more.
    let level = |role, epoch, head: OpId| {
        move |anchors: &Anchors| {
            anchors.heads_of == Some(HeadsOf { role, epoch })
                && anchors.replicate_head >= Some(head)
                && anchors.current_head == anchors.replicate_head
        }
    };
    let mut pair = Pair::running();
    pair.client.create_table("both", 2);
    let common = wait_until_equal(&pair.a, &pair.b);
    pair.a.wait_until_anchored("what both have", level(Role::Active, 1, common));
    pair.b.wait_until_anchored("what both have", level(Role::Standby, 1, common));

    pair.b.crash_sidecar();
    let common = pair.b.head_on_disk();
    pair.client.create_table("only_a", 2);
    pair.catalog();
    let ahead = pair.a.wait_until("more", |report| report.head > Some(common)).head;
    pair.a.wait_until_anchored("what it has alone", |anchors| {
        anchors.current_head >= ahead && anchors.replicate_head == Some(common)
    });
    // Nothing of it is lost with the processes.
    pair.a.crash();
    let (left, lost) = (pair.a.anchors(), pair.a.head_on_disk());
    assert_eq!(left.replicate_head, Some(common));
    assert!(
        left.current_head > Some(common) && left.current_head <= Some(lost),
        "{left:?}, and the log ends at {lost}"
    );

    // The next reign begins anew, in both files.
    pair.b.start_sidecar();
    pair.b.wait_until("its log is seen", |report| report.head.is_some());
    pair.b.order(&["promote"]);
    pair.wait_until_served();
    pair.a.start();
    pair.a.order(&["follow", "--link", &pair.b.link(), "--rpc", &pair.b.rpc]);
    let head = wait_until_equal(&pair.b, &pair.a);
    pair.b.wait_until_anchored("the new reign", level(Role::Active, 2, head));
    pair.a.wait_until_anchored("the new reign", level(Role::Standby, 2, head));
    pair.check();
}
