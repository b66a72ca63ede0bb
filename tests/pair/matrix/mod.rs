//! The matrix: each kind of change to a catalog, before, during and after each kind of event, and then a promotion. The
//! promoted catalog must be the active's: for clients, for `ksck`, and row by row.
//!
//! Nothing is left out of the comparison: a promotion as such changes no row.
//!
//! There is a pair for each event, on which all changes are made; a failure names its cell, as in `add_column × ActiveFlushes`.

pub(crate) mod changes;
mod events;
pub(crate) mod messages;
mod metrics;
mod proxy;
mod rows;
pub(crate) mod rpc;
pub(crate) mod view;

use std::thread;

use self::{
    changes::{Change, Moment},
    events::Event,
    rpc::Client,
};
use crate::{
    kudu,
    pair::{Pair, is_serving, wait_until_equal},
};

/// The release before the one that the project is built for.
const OLDER_KUDU: &str = "1.17.1";

/// Makes changes around an event, promotes the standby, and compares.
fn exercise(mut pair: Pair, event: Event, changes: &[Change]) {
    let mut happening = event.arrange(&mut pair);
    pair.begin();
    let mut client = Client::new(pair.client.address);
    for change in changes {
        change.prepare(&mut client, &pair.client);
    }
    for moment in Moment::ALL {
        if moment == Moment::During {
            happening.begin(&mut pair, changes.len());
        }
        for change in changes {
            if moment == Moment::During {
                happening.step(&mut pair, &mut client);
            }
            change.make(moment, &mut client, &pair.client);
        }
        if moment == Moment::During {
            happening.end(&mut pair, &mut client);
        }
    }

    let cell = |change: &Change| format!("{change:?} × {event:?}");
    let active = view::look_at_rest(&mut client, &pair.client);
    let active_ksck = view::ksck(&pair.client);
    for change in changes {
        change.assert_made(&active, &format!("{} on the active", cell(change)));
    }
    let head = wait_until_equal(&pair.a, &pair.b);
    pair.a.crash();
    let (wal, data) = pair.a.generation_folders();
    // The one is read while the other is promoted.
    let active_rows = thread::spawn(move || rows::rows(&wal, &data));

    pair.b.order(&["promote", "--at-least", &head.to_string()]);
    pair.wait_until_served();
    pair.b.wait_until("b serves", is_serving);
    let promoted = view::look_at_rest(&mut client, &pair.client);
    for change in changes {
        change.assert_made(&promoted, &format!("{} on the promoted", cell(change)));
        for name in change.tables() {
            assert_eq!(promoted.get(&name), active.get(&name), "{}: table {name:?}", cell(change));
        }
    }
    let names = |view: &view::View| view.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&promoted), names(&active), "{event:?}");
    assert_eq!(view::ksck(&pair.client), active_ksck, "{event:?}");

    pair.b.crash();
    let (wal, data) = pair.b.generation_folders();
    let promoted_rows = rows::rows(&wal, &data);
    let active_rows = active_rows.join().expect("the active's rows");
    let differences = rows::differences(&active_rows, &promoted_rows);
    assert!(differences.is_empty(), "{event:?}: rows of the catalog differ:\n{}", differences.join("\n"));
    println!("{event:?}: {} tables, {} rows", active.len(), active_rows.len());
    pair.check();
}

#[test]
fn all_changes_around_flushes_of_the_active() {
    exercise(Pair::new(), Event::ActiveFlushes, &Change::ALL);
}

#[test]
fn all_changes_around_compactions_of_the_active() {
    exercise(Pair::new(), Event::ActiveCompacts, &Change::ALL);
}

#[test]
fn all_changes_around_log_collections_of_the_active() {
    exercise(Pair::new(), Event::ActiveCollectsItsLog, &Change::ALL);
}

#[test]
fn all_changes_around_restarts_of_the_active() {
    exercise(Pair::new(), Event::ActiveRestarts, &Change::ALL);
}

#[test]
fn all_changes_around_restarts_of_the_standby() {
    exercise(Pair::new(), Event::StandbyRestarts, &Change::ALL);
}

#[test]
fn all_changes_around_cuts_of_the_stream() {
    exercise(Pair::new(), Event::StreamIsCut, &Change::ALL);
}

#[test]
fn all_changes_around_new_bases() {
    exercise(Pair::new(), Event::BaseIsRefreshed, &Change::ALL);
}

/// Changes enough to see that a release works as another does.
const SOME: [Change; 4] = [Change::Create, Change::AddColumn, Change::RenameTable, Change::DropTable];

#[test]
fn a_pair_of_an_older_kudu() {
    let mut pair = Pair::new();
    pair.a.kudu = kudu::dist_of(OLDER_KUDU);
    pair.b.kudu.clone_from(&pair.a.kudu);
    exercise(pair, Event::ActiveFlushes, &SOME);
}

#[test]
fn a_standby_of_a_newer_kudu() {
    let mut pair = Pair::new();
    pair.a.kudu = kudu::dist_of(OLDER_KUDU);
    exercise(pair, Event::ActiveFlushes, &SOME);
}
