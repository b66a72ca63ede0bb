//! A standby takes a new base while it goes on to stream: a promotion then has little to replay, and loses nothing at any moment.

use std::{
    fs,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    kudu,
    matrix::{changes, rpc::Client, view},
    member::{Member, PAIR, lives},
    pair::{Pair, is_serving, is_streaming, stands_down, wait_until_equal},
};

/// A prediction that some hundred operations reach.
const SOON_MILLISECONDS: u32 = 20;
/// What a copy of a base leaves its tool's name in.
const COPY: &str = "copy_from_remote";

/// Creates tables until `done`. Returns how long each creation took, and whether a base was being copied.
fn create_until(
    client: &mut Client,
    prefix: &str,
    pair: &Pair,
    mut done: impl FnMut() -> bool,
) -> Vec<(Duration, bool)> {
    let mut took = Vec::new();
    kudu::wait_for(&format!("what tables {prefix}_* are created for"), || {
        let begin = Instant::now();
        changes::create(client, &format!("{prefix}_{}", took.len()));
        took.push((begin.elapsed(), copying(pair)));
        done()
    });
    took
}

/// Whether b is making a generation.
fn copying(pair: &Pair) -> bool {
    pair.b.generations().iter().any(|name| name.ends_with(".partial"))
}

/// Whether b has one generation, which is not its first.
fn is_refreshed(pair: &Pair) -> bool {
    has_new_base(&pair.b)
}

/// The same of any member.
fn has_new_base(member: &Member) -> bool {
    matches!(&member.generations()[..], [only] if only != "gen-1" && !only.ends_with(".partial"))
}

/// How often b has registered.
fn registrations(pair: &Pair) -> usize {
    fs::read_to_string(pair.b.path("sidecar.log")).expect("a log").matches("registered with the active").count()
}

fn median(took: &mut [Duration]) -> Duration {
    took.sort();
    took.get(took.len() / 2).copied().unwrap_or_default()
}

/// Loses a and promotes b, which must have all that a had.
fn lose_a_and_promote_b(pair: &mut Pair, client: &mut Client) {
    let before = view::look_at_rest(client, &pair.client);
    let head = wait_until_equal(&pair.a, &pair.b);
    pair.a.crash();
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.wait_until_served();
    pair.b.wait_until("b serves", is_serving);
    assert_eq!(view::look_at_rest(client, &pair.client), before);
}

#[test]
fn a_new_base_is_taken_while_the_stream_goes_on() {
    let mut pair = Pair::new();
    pair.refresh_after(SOON_MILLISECONDS);
    pair.begin();
    let mut client = Client::new(pair.client.address);
    let registered = registrations(&pair);
    let took = create_until(&mut client, "many_first", &pair, || is_refreshed(&pair));
    let (mut with, mut without): (Vec<_>, Vec<_>) = took.into_iter().partition(|(_, copying)| *copying);
    for (what, took) in [("while a base is copied", &mut with), ("otherwise", &mut without)] {
        let mut took: Vec<_> = took.drain(..).map(|(took, _)| took).collect();
        println!("{} creations of a table {what}: median {:?}, worst {:?}", took.len(), median(&mut took), took.last());
    }
    let first = pair.b.generations();
    // What came past the first base is less than was past it: the prediction fell.
    let report = pair.b.status();
    println!("pending {:?} ops, predicted {:?} ms", report.pending_ops, report.predicted_replay_milliseconds);
    assert!(is_streaming(&report), "{report:?}");
    assert_eq!(registrations(&pair), registered, "b registered again");

    // And once more, after its rest.
    create_until(&mut client, "many_second", &pair, || is_refreshed(&pair) && pair.b.generations() != first);
    assert_eq!(registrations(&pair), registered, "b registered again");
    assert_eq!(pair.b.quarantined(), <[std::path::PathBuf; 0]>::default());
    lose_a_and_promote_b(&mut pair, &mut client);
    pair.check();
}

#[test]
fn a_loss_of_the_active_in_the_middle_of_a_copy_leaves_the_old_base() {
    let mut pair = Pair::new();
    pair.refresh_after(SOON_MILLISECONDS);
    pair.begin();
    let mut client = Client::new(pair.client.address);
    // The copy is stopped in its tracks, as soon as there is one.
    let watcher = stop_the_first_copy(&[&pair.b]);
    create_until(&mut client, "many", &pair, || watcher.is_finished());
    watcher.join().expect("a copy");
    changes::create(&mut client, "many_in_the_middle");
    let partial = pair.b.generations();
    println!("generations in the middle: {partial:?}");

    lose_a_and_promote_b(&mut pair, &mut client);
    assert_eq!(pair.b.generations(), ["gen-1"]);
    pair.check();
}

#[test]
fn a_demotion_in_the_middle_of_a_copy_ships_the_rest_and_gives_the_copy_up() {
    let mut pair = Pair::new();
    pair.refresh_after(SOON_MILLISECONDS);
    pair.begin();
    let mut client = Client::new(pair.client.address);
    let watcher = stop_the_first_copy(&[&pair.b]);
    create_until(&mut client, "many", &pair, || watcher.is_finished());
    let (_, copy) = watcher.join().expect("a copy");
    changes::create(&mut client, "many_in_the_middle");
    let before = view::look_at_rest(&mut client, &pair.client);
    assert!(copying(&pair) && lives(copy), "{:?}", pair.b.generations());
    pair.a.order(&["demote"]);
    pair.a.wait_until("a stands down", stands_down);
    let head = wait_until_equal(&pair.a, &pair.b);
    // It would have nobody to copy from any more.
    kudu::wait_for("the end of the copy", || !lives(copy) && !copying(&pair));
    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.wait_until_served();
    pair.b.wait_until("b serves", is_serving);
    assert_eq!(view::look_at_rest(&mut client, &pair.client), before);
    assert_eq!(pair.b.generations(), ["gen-1"]);
    pair.check();
}

#[test]
fn two_standbys_take_new_bases_one_after_the_other() {
    let mut pair = Pair::new();
    pair.refresh_after(SOON_MILLISECONDS);
    let mut c = Member::new("c", &pair.a.rpc);
    c.refresh = pair.b.refresh.clone();
    c.configure(PAIR, &[&pair.a], Some(&pair.a));
    pair.a.configure(PAIR, &[&pair.b, &c], None);
    pair.begin();
    c.start();
    c.wait_until("c streams", is_streaming);
    let mut client = Client::new(pair.client.address);
    // Whoever has the first turn does not come to its end.
    let watcher = stop_the_first_copy(&[&pair.b, &c]);
    create_until(&mut client, "many_first", &pair, || watcher.is_finished());
    let (first, _) = watcher.join().expect("a copy");
    let wants = |member: &Member| {
        let replay = member.status().predicted_replay_milliseconds;
        replay.is_some_and(|replay| replay >= u64::from(SOON_MILLISECONDS))
    };
    let is_first = |member: &Member| member.name == first;
    create_until(&mut client, "many_second", &pair, || if is_first(&c) { wants(&pair.b) } else { wants(&c) });
    // It has wanted one for a while, and asked: the stream goes on all the time.
    (0..20).for_each(|number| changes::create(&mut client, &format!("many_third_{number}")));
    let waiting = if is_first(&c) { &pair.b } else { &c };
    assert_eq!(waiting.generations(), ["gen-1"], "two at once");
    assert_eq!(pair.a.sidecar_log().matches("a standby takes a new base").count(), 1);

    // The turn does not die with whoever has it.
    let holder = if is_first(&c) { &mut c } else { &mut pair.b };
    holder.crash_sidecar();
    create_until(&mut client, "many_fourth", &pair, || {
        let waiting = if is_first(&c) { &pair.b } else { &c };
        has_new_base(waiting)
    });
    let holder = if is_first(&c) { &mut c } else { &mut pair.b };
    holder.start_sidecar();
    create_until(&mut client, "many_fifth", &pair, || has_new_base(&c) && has_new_base(&pair.b));
    wait_until_equal(&pair.a, &c);
    lose_a_and_promote_b(&mut pair, &mut client);
    pair.check();
}

/// Stops the first copy of a base that one of these members makes, in its tracks. The thread returns whose it is, and its process.
fn stop_the_first_copy(members: &[&Member]) -> JoinHandle<(&'static str, i32)> {
    let volumes: Vec<_> =
        members.iter().map(|member| (member.name, member.path("wal").display().to_string())).collect();
    thread::spawn(move || {
        let mut found = None;
        kudu::wait_for("the copy of a base", || {
            found = volumes.iter().find_map(|(name, wal)| Some((*name, copy_into(wal)?)));
            found.is_some()
        });
        let (name, pid) = found.expect("a copy");
        assert!(signal(pid, Signal::STOP), "the copy was over too soon");
        (name, pid)
    })
}

/// Whether there was such a process.
fn signal(pid: i32, signal: Signal) -> bool {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).is_ok()
}

/// The process that copies a base into a folder of this volume.
fn copy_into(wal: &str) -> Option<i32> {
    let processes = fs::read_dir("/proc").expect("processes");
    processes.flatten().find_map(|process| {
        let command = fs::read(process.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command);
        let copies = command.contains(COPY) && command.contains(wal);
        copies.then(|| process.file_name().to_string_lossy().parse().ok()).flatten()
    })
}
