//! A synchronous pair loses its active at random moments: nothing that was acknowledged is missing, and nothing that was
//! dropped comes back.

use std::{
    collections::BTreeSet,
    env,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    kudu::{self, Home},
    long_lived::LongLived,
    losses::Random,
    pair::{is_serving, is_streaming},
    synchronous::Group,
};

/// Losses in one test; `SYNCHRONOUS_LOSSES` sets another number.
const ROUNDS: u64 = 6;

/// What a client was told.
#[derive(Debug, Default)]
struct History {
    /// Tables whose creation was acknowledged, and whose drop was not asked for.
    created: BTreeSet<String>,
    /// Tables whose drop was acknowledged.
    dropped: BTreeSet<String>,
}

impl History {
    /// Creates tables, and drops every third one, until the master is lost.
    fn write(&mut self, client: &Home, round: u64, over: &AtomicBool) {
        let address = client.address.to_string();
        for number in 0.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let name = format!("round_{round:02}_{number:04}");
            if !client.try_create_table(&name, 2) {
                continue;
            }
            if number % 3 != 2 {
                self.created.insert(name);
            } else if kudu::try_kudu(["table", "delete", &address, &name, "--reserve_seconds=0", "--timeout_ms=3000"])
                .status
                .success()
            {
                self.dropped.insert(name);
            }
        }
    }

    fn check(&self, client: &Home) {
        let present: BTreeSet<String> = client.table("list", &[]).lines().map(str::to_owned).collect();
        let missing: Vec<_> = self.created.difference(&present).collect();
        assert!(missing.is_empty(), "acknowledged tables are missing: {missing:?}");
        let back: Vec<_> = self.dropped.intersection(&present).collect();
        assert!(back.is_empty(), "dropped tables are back: {back:?}");
    }
}

fn lose_actives(mut group: Group) {
    let rounds = env::var("SYNCHRONOUS_LOSSES").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let mut random = Random::from_environment();
    let mut history = History::default();
    let long_lived = LongLived::start(&group.client);
    for round in 0..rounds {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let client = &group.client;
            let (history, over) = (&mut history, &over);
            let writing = scope.spawn(move || history.write(client, round, over));
            thread::sleep(random.up_to(Duration::from_millis(1500)));
            lose(&mut group.members[group.active], &mut random);
            over.store(true, Ordering::Relaxed);
            writing.join().expect("the client");
        });
        promote_the_longest(&mut group);
        println!(
            "round {round}: {} serves, {} created and {} dropped so far",
            group.active().name,
            history.created.len(),
            history.dropped.len()
        );
        history.check(&group.client);
    }
    assert!(!history.created.is_empty(), "the client was never answered");
    long_lived.stop_and_verify();
    group.check();
}

/// Ends a member with `kill -9`, its parts in a random order.
fn lose(member: &mut crate::member::Member, random: &mut Random) {
    match random.next() % 4 {
        0 => member.crash(),
        1 => {
            member.crash_launcher();
            thread::sleep(random.up_to(Duration::from_millis(200)));
            member.crash_sidecar();
        }
        2 => {
            // Nobody answers the gate any more.
            member.crash_sidecar();
            thread::sleep(random.up_to(Duration::from_millis(500)));
            member.crash_launcher();
        }
        _ => {
            // It is restarted in place, and lost while that goes on.
            member.crash_master();
            thread::sleep(random.up_to(Duration::from_millis(500)));
            member.crash();
        }
    }
}

/// Promotes the standby with the longest log, as the controller does, and lets the others follow it.
fn promote_the_longest(group: &mut Group) {
    let lost = group.active;
    let standbys = (0..group.members.len()).filter(|number| *number != lost);
    let heads = standbys.map(|number| {
        // What is still on its way ends with the connection.
        let report = group.members[number].wait_until("the loss is noticed", |report| !is_streaming(report));
        (report.head, number)
    });
    let (_, next) = heads.max().expect("a standby");
    group.active = next;
    group.active().order(&["promote"]);
    group.active().wait_until("it serves", is_serving);
    let (link, rpc) = (group.active().link(), group.active().rpc.clone());
    group.members[lost].start();
    for number in (0..group.members.len()).filter(|number| *number != next) {
        group.members[number].order(&["follow", "--link", &link, "--rpc", &rpc]);
    }
    group.wait_until_in_sync();
    kudu::wait_for("an answer to a client", || {
        kudu::try_kudu(["table", "list", &group.client.address.to_string(), "--timeout_ms=3000"]).status.success()
    });
}

#[test]
fn with_all_of_one_standby_nothing_acknowledged_is_lost() {
    lose_actives(Group::running(2, &serde_json::json!({ "acknowledgement": { "mode": "All" } })));
}

#[test]
fn with_all_of_two_standbys_nothing_acknowledged_is_lost() {
    lose_actives(Group::running(3, &serde_json::json!({ "acknowledgement": { "mode": "All" } })));
}

#[test]
fn with_any_of_two_standbys_nothing_acknowledged_is_lost() {
    lose_actives(Group::running(3, &serde_json::json!({ "acknowledgement": { "mode": "Any", "count": 1 } })));
}
