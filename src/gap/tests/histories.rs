//! Histories at random on both sides: what a replay leaves is what a reference says, and a second one changes nothing.
//!
//! The reference knows which tables each side's actions changed, because it made the actions; it never looks at rows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::Index};

use super::world::{Table, World};
use crate::{
    catalog::changes,
    gap::{Catalog, ConflictReason, Gap, Plan, Sides, Verdict, plan, read, renumber},
    wal::Replicate,
};

#[derive(Debug, Clone)]
enum Action {
    Create { name: u8, tablets: u8 },
    Rename { table: Index, name: u8 },
    AddColumn { table: Index },
    DropColumn { table: Index },
    Drop { table: Index },
    AddPartition { table: Index },
    DropPartition { table: Index, tablet: Index },
    Report { table: Index, tablet: Index, index: i64, term: i64 },
    Done { table: Index },
}

fn actions(most: usize) -> impl Strategy<Value = Vec<Action>> {
    let name = 0..6_u8;
    let action = prop_oneof![
        3 => (name.clone(), 1..4_u8).prop_map(|(name, tablets)| Action::Create { name, tablets }),
        3 => (any::<Index>(), name).prop_map(|(table, name)| Action::Rename { table, name }),
        1 => any::<Index>().prop_map(|table| Action::AddColumn { table }),
        1 => any::<Index>().prop_map(|table| Action::DropColumn { table }),
        1 => any::<Index>().prop_map(|table| Action::Drop { table }),
        1 => any::<Index>().prop_map(|table| Action::AddPartition { table }),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(table, tablet)| Action::DropPartition { table, tablet }),
        4 => (any::<Index>(), any::<Index>(), 0..3_i64, 0..3_i64)
            .prop_map(|(table, tablet, index, term)| Action::Report { table, tablet, index, term }),
        2 => any::<Index>().prop_map(|table| Action::Done { table }),
    ];
    prop::collection::vec(action, 0..most)
}

/// What one side's actions touched.
#[derive(Debug, Default)]
struct Touched {
    /// Tables that a person changed.
    changed: BTreeSet<String>,
    /// Tables whose own row was written.
    rows: BTreeSet<String>,
    /// Tablets whose row was written.
    tablets: BTreeSet<String>,
}

fn act(world: &mut World, actions: &[Action]) -> Touched {
    let mut touched = Touched::default();
    for action in actions {
        let live: Vec<_> = world.tables.iter().filter(|(_, table)| table.is_live()).map(|(id, _)| id.clone()).collect();
        let pick = |table: &Index| (!live.is_empty()).then(|| table.get(&live).clone());
        let named = |name: &u8| format!("table_{name}");
        let before = world.clone();
        let id = match action {
            Action::Create { name, tablets } if !world.has_name(&named(name)) => {
                Some(world.create(&named(name), *tablets))
            }
            Action::Create { .. } => None,
            Action::Rename { table, name } => pick(table).filter(|_| !world.has_name(&named(name))).inspect(|id| {
                world.rename(id, &named(name));
            }),
            Action::AddColumn { table } => pick(table).inspect(|id| {
                let name = format!("column_{}", world.stamp);
                world.add_column(id, &name);
            }),
            Action::DropColumn { table } => pick(table).inspect(|id| world.drop_column(id)),
            Action::Drop { table } => pick(table).inspect(|id| world.drop_table(id)),
            Action::AddPartition { table } => pick(table).inspect(|id| {
                let bounds = u8::try_from(world.stamp % 200).unwrap();
                world.add_partition(id, bounds);
            }),
            Action::DropPartition { table, tablet } => pick(table).inspect(|id| {
                if let Some(tablet) = part(&world.tables[id], tablet) {
                    world.drop_partition(id, &tablet);
                }
            }),
            Action::Report { table, tablet, index, term } => pick(table).inspect(|id| {
                if let Some(tablet) = part(&world.tables[id], tablet) {
                    world.report(id, &tablet, *index, *term);
                }
            }),
            Action::Done { table } => pick(table).filter(|id| world.tables[id].state == 3).inspect(|id| world.done(id)),
        };
        let Some(id) = id else { continue };
        if world.log.len() == before.log.len() {
            continue;
        }
        let only_kudu = matches!(action, Action::Report { .. } | Action::Done { .. });
        if !only_kudu {
            touched.changed.insert(id.clone());
        }
        if !matches!(action, Action::Report { .. } | Action::DropPartition { .. }) {
            touched.rows.insert(id.clone());
        }
        let old = before.tables.get(&id).map(|table| table.tablets.clone()).unwrap_or_default();
        let now = &world.tables[&id].tablets;
        let reported = match action {
            // A report may say what is known.
            Action::Report { tablet, .. } => part(&before.tables[&id], tablet),
            _ => None,
        };
        touched.tablets.extend(reported);
        touched
            .tablets
            .extend(now.iter().filter(|(name, tablet)| old.get(*name) != Some(tablet)).map(|(name, _)| name.clone()));
    }
    touched
}

/// One of a table's tablets that are there.
fn part(table: &Table, tablet: &Index) -> Option<String> {
    let parts: Vec<_> =
        table.tablets.iter().filter(|(_, tablet)| tablet.state != 4).map(|(name, _)| name.clone()).collect();
    (!parts.is_empty()).then(|| tablet.get(&parts).clone())
}

/// The rules, on tables.
fn reference(here: &World, mine: &Touched, there: &World, theirs: &Touched) -> BTreeMap<String, Table> {
    // Tables whose change is taken over: a person's on one side only ...
    let mut taken: BTreeSet<_> = mine.changed.difference(&theirs.changed).cloned().collect();
    loop {
        let merged = merge(here, mine, there, theirs, &taken);
        // ... and only where it gives no two tables one name.
        let clash = taken.iter().find(|id| {
            let table = &merged[*id];
            table.is_live() && merged.iter().any(|(other, at)| other != *id && at.is_live() && at.name == table.name)
        });
        match clash.cloned() {
            Some(id) => drop(taken.remove(&id)),
            None => return merged,
        }
    }
}

fn merge(
    here: &World,
    mine: &Touched,
    there: &World,
    theirs: &Touched,
    taken: &BTreeSet<String>,
) -> BTreeMap<String, Table> {
    let mut merged = there.tables.clone();
    for (id, ours) in &here.tables {
        let reports_count = !mine.changed.contains(id) && !theirs.changed.contains(id);
        if !taken.contains(id) && !reports_count {
            continue;
        }
        let Some(table) = merged.get_mut(id) else {
            merged.insert(id.clone(), ours.clone());
            continue;
        };
        let tablets = table.tablets.clone();
        if mine.rows.contains(id) && (taken.contains(id) || !theirs.rows.contains(id)) {
            *table = Table { tablets: tablets.clone(), ..ours.clone() };
        }
        for (name, tablet) in ours.tablets.iter().filter(|(name, _)| mine.tablets.contains(*name)) {
            let newer = tablets.get(name).is_none_or(|other| {
                let age = |tablet: &super::world::Tablet| match tablet.state {
                    0 => (i64::MIN, i64::MIN, false),
                    state => (tablet.index, tablet.term, state == 2),
                };
                tablet.state == 4 || age(tablet) > age(other)
            });
            if newer {
                table.tablets.insert(name.clone(), tablet.clone());
            }
        }
    }
    merged
}

fn applied(catalog: &Catalog, ops: &[Replicate]) -> Catalog {
    let mut catalog = catalog.clone();
    ops.iter().flat_map(|op| changes(op).unwrap()).for_each(|row| catalog.apply(&row));
    catalog
}

fn names_are_unique(catalog: &Catalog) -> bool {
    catalog.names().values().all(|ids| ids.len() == 1)
}

/// The plan, and what it replays.
fn planned(gap: &Gap, since: &Gap, there: &[Replicate]) -> (Plan, Vec<Replicate>) {
    let made = plan(Sides { gap, since, held_tablets: None }).unwrap();
    let head = there.last().unwrap().id();
    let time = there.iter().map(Replicate::timestamp).max().unwrap();
    let ops = renumber(&made, gap, head, 0, time).unwrap();
    (made, ops)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_leaves_what_the_rules_say(before in actions(12), gap in actions(12), after in actions(12)) {
        let mut common = World::new();
        act(&mut common, &before);
        let (mut here, mut there) = (common.clone(), common.succeed());
        let (mine, theirs) = (act(&mut here, &gap), act(&mut there, &after));
        let (gap, since) = (here.part(&common), there.part(&common));
        let (first, ops) = planned(&gap, &since, &there.log);
        let left = applied(&since.catalog(), &ops);
        prop_assert_eq!(&left, &World::rows(&reference(&here, &mine, &there, &theirs)), "{:#?}", first);
        prop_assert!(names_are_unique(&left));

        // A crash after any of the operations, and another replay: the same; and the last one has nothing to do.
        for done in 0..=ops.len() {
            let log = [&there.log[..], &ops[..done]].concat();
            let since = read(&log, Some(common.head())).unwrap();
            prop_assert!(names_are_unique(&since.catalog()));
            let (again, rest) = planned(&gap, &since, &log);
            prop_assert_eq!(&applied(&since.catalog(), &rest), &left, "after {} of {}: {:#?}", done, ops.len(), again);
            prop_assert_eq!(rest.len(), ops.len() - done);
            for (item, now) in first.items.iter().zip(&again.items) {
                let settled = item.verdict == now.verdict
                    || item.verdict == Verdict::Replay && !matches!(now.verdict, Verdict::Conflict { .. });
                prop_assert!(settled, "{:?} was {:?} before", now, item.verdict);
            }
        }
        prop_assert!(serde_json::to_string(&first).is_ok());
    }

    /// A log that was read while it was written, and then to its end, gives the plan of one that was read at once.
    #[test]
    fn a_log_that_was_read_ahead_plans_the_same(before in actions(12), gap in actions(12), after in actions(12), cut: Index) {
        let mut common = World::new();
        act(&mut common, &before);
        let (mut here, mut there) = (common.clone(), common.succeed());
        act(&mut here, &gap);
        act(&mut there, &after);
        let (gap, since) = (here.part(&common), there.part(&common));
        let common_ops = common.log.len();
        let seen = common_ops + cut.index(there.log.len() - common_ops + 1);
        let ahead = read(&there.log[..seen], Some(common.head())).unwrap();
        // Its first segments may be gone since, up to the last operation that was read.
        let kept = &there.log[cut.index(seen)..];
        let continued = ahead.continued(kept).unwrap();
        prop_assert_eq!(continued.catalog(), since.catalog());
        prop_assert_eq!(planned(&gap, &continued, &there.log), planned(&gap, &since, &there.log));
        // Nor is it the same log when another reign has written over what was read.
        if seen > common_ops {
            let ahead = read(&there.log[..seen], Some(common.head())).unwrap();
            prop_assert!(ahead.continued(&here.log).is_none());
        }
    }

    /// With less of the logs the plan is more careful, and never wrong.
    #[test]
    fn short_logs_lead_to_no_harm(before in actions(12), gap in actions(12), after in actions(12), cut: Index) {
        let mut common = World::new();
        act(&mut common, &before);
        let (mut here, mut there) = (common.clone(), common.succeed());
        let (mine, theirs) = (act(&mut here, &gap), act(&mut there, &after));
        let cut = cut.index(common.log.len());
        let gap = read(&here.log[cut..], Some(common.head())).unwrap();
        let since = read(&there.log[cut..], Some(common.head())).unwrap();
        let (made, ops) = planned(&gap, &since, &there.log);
        // Held against all that there is, of which the plan saw a part.
        let now = there.part(&common).catalog();
        let left = applied(&now, &ops);
        prop_assert!(names_are_unique(&left), "{:#?}", made);
        for id in &theirs.changed {
            let key = (crate::catalog::EntryType::Table, id.clone().into());
            prop_assert_eq!(left.get(&key), now.get(&key), "a change of the new active was undone: {:#?}", made);
        }
        // A table that only the gap made is never left out but for its name.
        for id in mine.changed.iter().filter(|id| !common.tables.contains_key(*id)) {
            let item = made.items.iter().find(|item| matches!(&item.subject, crate::gap::Subject::Table { id: found } if found == id));
            let verdict = item.map(|item| item.verdict.clone());
            let name_taken = matches!(
                &verdict,
                Some(Verdict::Conflict { reason: ConflictReason::NameTaken { .. } | ConflictReason::NameMayBeTaken { .. } })
            );
            prop_assert!(verdict == Some(Verdict::Replay) || name_taken, "{:?}", verdict);
        }
        let log = [&there.log[cut..], &ops[..]].concat();
        let (_, rest) = planned(&gap, &read(&log, Some(common.head())).unwrap(), &log);
        prop_assert_eq!(rest.len(), 0);
    }
}
