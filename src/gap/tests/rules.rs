//! Each rule, by an example.

use std::collections::BTreeSet;

use super::world::World;
use crate::{
    catalog::{EntryType, changes},
    gap::{
        ConflictReason, GapError, Item, Plan, RenumberError, Sides, Subject, SupersededReason, Verdict, describe, plan,
        read, renumber,
    },
    wal::OpId,
};

/// A catalog with the table `sales` of two tablets that run, and the two sides after it.
struct Parted {
    common: World,
    here: World,
    there: World,
    sales: String,
    tablets: Vec<String>,
}

impl Parted {
    fn new() -> Self {
        let mut common = World::new();
        let sales = common.create("sales", 2);
        let tablets: Vec<_> = common.tables[&sales].tablets.keys().cloned().collect();
        for tablet in &tablets {
            common.report(&sales, tablet, 1, 1);
        }
        let (here, there) = (common.clone(), common.succeed());
        Self { common, here, there, sales, tablets }
    }

    fn plan(&self) -> Plan {
        self.plan_with(None)
    }

    fn plan_with(&self, held: Option<&BTreeSet<String>>) -> Plan {
        let (gap, since) = (self.here.part(&self.common), self.there.part(&self.common));
        plan(Sides { gap: &gap, since: &since, held_tablets: held }).unwrap()
    }

    fn item(&self, id: &str) -> Item {
        let plan = self.plan();
        let wanted = Subject::Table { id: id.to_owned() };
        plan.items.iter().find(|item| item.subject == wanted).unwrap_or_else(|| panic!("{plan:?}")).clone()
    }

    fn verdict(&self, id: &str) -> Verdict {
        self.item(id).verdict
    }

    /// Appends what the plan replays. Returns the number of operations.
    fn replay(&mut self) -> usize {
        let gap = self.here.part(&self.common);
        let made = renumber(&self.plan(), &gap, self.there.head(), 0, self.there.time()).unwrap();
        self.there.log.extend(made.iter().cloned());
        made.len()
    }

    fn texts(&self) -> Vec<String> {
        let described = describe(&self.here.part(&self.common));
        described.iter().flat_map(|op| &op.events).map(ToString::to_string).collect()
    }
}

fn conflict(reason: ConflictReason) -> Verdict {
    Verdict::Conflict { reason }
}

fn superseded(reason: SupersededReason) -> Verdict {
    Verdict::Superseded { reason }
}

#[test]
fn operations_are_told_as_what_a_person_or_kudu_did() {
    let mut parted = Parted::new();
    let Parted { here, sales, tablets, .. } = &mut parted;
    here.add_column(sales, "price");
    here.done(sales);
    here.rename(sales, "orders");
    here.drop_column(sales);
    here.add_partition(sales, 7);
    here.drop_partition(sales, &tablets[1]);
    here.report(sales, &tablets[0], 0, 1);
    here.report(sales, &tablets[0], 0, 0);
    let new = here.create("new", 8);
    here.drop_table(&new);
    here.other(3, "ca", Some(b"x"));
    here.other(4, "00000000000000000003", Some(b"x"));
    here.other(6, "server", Some(&[8, 2]));
    here.other(7, "id", Some(b"x"));
    let tablet = &tablets[0];
    let expected = [
        "ALTER TABLE sales ADD COLUMN price INT32".to_owned(),
        "the alteration of sales has reached its tablets".to_owned(),
        "ALTER TABLE sales RENAME TO orders".to_owned(),
        "ALTER TABLE orders DROP COLUMN price".to_owned(),
        "ALTER TABLE orders ADD RANGE PARTITION 0x07 <= VALUES, 1 tablet".to_owned(),
        "ALTER TABLE orders DROP RANGE PARTITION 0x01 <= VALUES, 1 tablet".to_owned(),
        format!("leader of tablet {tablet} of orders moved to ts-2"),
        format!("tablet {tablet} of orders was reported"),
        "CREATE TABLE new, 8 tablets".to_owned(),
        "DROP TABLE new, 8 tablets".to_owned(),
        "certificate authority of the cluster written".to_owned(),
        "token-signing key 3 made".to_owned(),
        "tablet server server ENTERS MAINTENANCE".to_owned(),
        "cluster id written".to_owned(),
    ];
    assert_eq!(parted.texts(), expected);
    let json = serde_json::to_value(describe(&parted.here.part(&parted.common))).unwrap();
    assert_eq!(json[0]["events"][0]["event"], "alterTable");
    assert_eq!(json[0]["events"][0]["alterations"][0]["kind"], "addColumn");
    assert_eq!(json[8]["events"][0]["tableId"].as_str(), Some(new_id(&parted).as_str()));
}

fn new_id(parted: &Parted) -> String {
    parted.here.tables.iter().find(|(_, table)| table.name == "new").unwrap().0.clone()
}

#[test]
fn what_only_the_gap_has_is_replayed_once() {
    let mut parted = Parted::new();
    let new = parted.here.create("new", 3);
    let (sales, first) = (parted.sales.clone(), parted.tablets[0].clone());
    parted.here.rename(&sales, "orders");
    // The tablet servers reported to the new active, as they always do.
    parted.there.report(&sales, &first, 0, 1);
    assert_eq!((parted.verdict(&new), parted.verdict(&sales)), (Verdict::Replay, Verdict::Replay));
    assert_eq!(parted.replay(), 2);
    assert_eq!((parted.verdict(&new), parted.verdict(&sales)), (Verdict::AlreadyReplayed, Verdict::AlreadyReplayed));
    assert_eq!(parted.replay(), 0);
    // It stays so whatever happens to the table later.
    let last = parted.there.head();
    parted.there.term = last.term + 1;
    let table = parted.here.tables[&new].clone();
    parted.there.tables.insert(new.clone(), table);
    parted.there.drop_table(&new);
    assert_eq!(parted.verdict(&new), Verdict::AlreadyReplayed);
    assert_eq!(parted.replay(), 0);
}

#[test]
fn replayed_operations_come_behind_everything_in_a_term_of_their_own() {
    let mut parted = Parted::new();
    parted.here.create("new", 1);
    parted.here.stamp += 1 << 40;
    parted.here.create("later", 1);
    let (gap, head) = (parted.here.part(&parted.common), parted.there.head());
    let made = renumber(&parted.plan(), &gap, head, 0, parted.there.time()).unwrap();
    let ids: Vec<_> = made.iter().map(|op| op.id()).collect();
    assert_eq!(ids, [OpId::new(head.term + 1, head.index + 1), OpId::new(head.term + 1, head.index + 2)]);
    assert!(made[0].timestamp() > parted.here.time().max(parted.there.time()));
    assert!(made[1].timestamp() > made[0].timestamp());
    // One operation has the table and its tablet.
    let kinds: Vec<_> = changes(&made[0]).unwrap().iter().map(|row| row.entry_type).collect();
    assert_eq!(kinds, [EntryType::Table, EntryType::Tablet]);
    let elsewhere = OpId::new(head.term, head.index + 1);
    let refused = renumber(&parted.plan(), &gap, elsewhere, 0, 0).unwrap_err();
    assert!(matches!(refused, RenumberError::Outdated { .. }), "{refused}");
}

#[test]
fn a_taken_name_is_a_conflict() {
    let mut parted = Parted::new();
    let here = parted.here.create("new", 1);
    let there = parted.there.create("new", 1);
    assert_eq!(parted.verdict(&here), conflict(ConflictReason::NameTaken { name: "new".into(), by: there }));
    let item = parted.item(&here);
    assert!(item.choices.replay.contains("rename or drop that one"), "{item:?}");
    assert!(item.choices.discard.contains("1 tablet stay on the tablet servers as orphans"), "{item:?}");
}

#[test]
fn a_name_that_is_given_up_by_a_replay_is_free() {
    let mut parted = Parted::new();
    let sales = parted.sales.clone();
    parted.here.rename(&sales, "old_sales");
    let new = parted.here.create("sales", 1);
    assert_eq!((parted.verdict(&sales), parted.verdict(&new)), (Verdict::Replay, Verdict::Replay));
    assert_eq!(parted.plan().together.len(), 1, "either of them alone would give two tables one name");
    assert_eq!(parted.replay(), 1);
}

#[test]
fn tables_that_exchanged_their_names_are_replayed_in_one_operation() {
    let mut parted = Parted::new();
    let one = parted.common.create("one", 1);
    let two = parted.common.create("two", 1);
    parted.here = parted.common.clone();
    parted.there = parted.common.succeed();
    for (id, name) in [(&one, "aside"), (&two, "one"), (&one, "two")] {
        parted.here.rename(id, name);
    }
    assert_eq!(parted.replay(), 1);
    assert_eq!((parted.verdict(&one), parted.verdict(&two)), (Verdict::AlreadyReplayed, Verdict::AlreadyReplayed));
}

#[test]
fn a_name_that_is_not_given_up_after_all_is_taken() {
    let mut parted = Parted::new();
    let sales = parted.sales.clone();
    parted.here.rename(&sales, "old_sales");
    let new = parted.here.create("sales", 1);
    parted.there.add_column(&sales, "price");
    assert_eq!(parted.verdict(&sales), conflict(ConflictReason::AlteredOnBothSides));
    assert_eq!(parted.verdict(&new), conflict(ConflictReason::NameTaken { name: "sales".into(), by: sales }));
}

#[test]
fn what_both_sides_changed_is_a_conflict() {
    let sales = Parted::new().sales;
    let id = sales.clone();
    type Act<'a> = &'a dyn Fn(&mut World);
    let add: Act<'_> = &|world| world.add_column(&id, &format!("c{}", world.stamp));
    let drop: Act<'_> = &|world| world.drop_table(&id);
    let part: Act<'_> = &|world| drop_first(world, &id);
    for (here, there, expected) in [
        (add, add, conflict(ConflictReason::AlteredOnBothSides)),
        (part, add, conflict(ConflictReason::AlteredOnBothSides)),
        (add, part, conflict(ConflictReason::AlteredOnBothSides)),
        (drop, add, conflict(ConflictReason::DroppedHereAlteredThere)),
        (add, drop, conflict(ConflictReason::AlteredHereDroppedThere)),
        (drop, drop, superseded(SupersededReason::DroppedOnBothSides)),
    ] {
        let mut parted = Parted::new();
        here(&mut parted.here);
        there(&mut parted.there);
        assert_eq!(parted.verdict(&sales), expected);
        assert_eq!(parted.replay(), 0);
    }
}

fn drop_first(world: &mut World, id: &str) {
    let first = world.tables[id].tablets.keys().next().unwrap().clone();
    world.drop_partition(id, &first);
}

#[test]
fn a_client_that_tried_again_is_no_conflict() {
    let mut parted = Parted::new();
    let sales = parted.sales.clone();
    parted.here.add_column(&sales, "price");
    parted.there.add_column(&sales, "price");
    parted.there.done(&sales);
    assert_eq!(parted.verdict(&sales), superseded(SupersededReason::SameOnBothSides));
    let mut parted = Parted::new();
    let sales = parted.sales.clone();
    drop_first(&mut parted.here, &sales);
    let first = parted.tablets[0].clone();
    parted.there.report(&sales, &first, 0, 1);
    drop_first(&mut parted.there, &sales);
    assert_eq!(parted.verdict(&sales), superseded(SupersededReason::SameOnBothSides));
}

#[test]
fn a_drop_says_what_it_takes_along() {
    let mut parted = Parted::new();
    let sales = parted.sales.clone();
    parted.here.drop_table(&sales);
    let item = parted.item(&sales);
    assert_eq!(item.verdict, Verdict::Replay);
    assert!(item.choices.replay.contains("also those written after the two logs parted"), "{item:?}");
}

#[test]
fn of_two_reports_the_newer_counts() {
    let mut parted = Parted::new();
    let (sales, first, second) = (parted.sales.clone(), parted.tablets[0].clone(), parted.tablets[1].clone());
    parted.here.report(&sales, &first, 1, 0);
    parted.there.report(&sales, &first, 1, 1);
    assert_eq!(parted.verdict(&sales), superseded(SupersededReason::Overtaken));
    parted.here.report(&sales, &second, 1, 0);
    assert_eq!(parted.verdict(&sales), Verdict::Replay);
    assert_eq!(parted.replay(), 1);
    let rows = changes(parted.there.log.last().unwrap()).unwrap();
    assert_eq!(rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [bytes::Bytes::from(second)]);
    assert_eq!(parted.verdict(&sales), superseded(SupersededReason::Overtaken));
}

#[test]
fn keys_of_the_cluster_are_never_replayed() {
    let mut parted = Parted::new();
    parted.here.other(4, "1", Some(b"key"));
    parted.here.other(3, "ca", Some(b"authority"));
    assert!(parted.plan().items.iter().all(|item| item.verdict == superseded(SupersededReason::OwnOfEachReign)));
    assert_eq!(parted.replay(), 0);
}

#[test]
fn maintenance_of_a_tablet_server_is_a_persons_doing() {
    let mut parted = Parted::new();
    parted.here.other(6, "one", Some(&[8, 2]));
    parted.here.other(6, "two", Some(&[8, 2]));
    parted.there.other(6, "two", Some(&[8, 1]));
    let verdicts: Vec<_> = parted.plan().items.into_iter().map(|item| (item.name, item.verdict)).collect();
    let both = conflict(ConflictReason::AlteredOnBothSides);
    assert_eq!(verdicts, [("one".to_owned(), Verdict::Replay), ("two".to_owned(), both)]);
    assert_eq!(parted.replay(), 1);
}

#[test]
fn a_table_without_its_tablets_is_not_replayed() {
    let mut parted = Parted::new();
    let new = parted.here.create("new", 1);
    let tablet = parted.here.tables[&new].tablets.keys().next().unwrap().clone();
    parted.here.report(&new, &tablet, 1, 1);
    let there = parted.plan_with(Some(&[tablet.clone()].into()));
    assert_eq!(there.items[0].verdict, Verdict::Replay);
    let gone = parted.plan_with(Some(&BTreeSet::new()));
    assert_eq!(gone.items[0].verdict, conflict(ConflictReason::TabletsGone { tablets: vec![tablet] }));
}

#[test]
fn an_operation_that_cannot_be_read_stops_the_plan() {
    let mut parted = Parted::new();
    let id = parted.here.next_id();
    let odd = crate::catalog::write(id, 9, &[(4, 1, "t", Some(b"x"))]);
    parted.here.log.push(odd);
    let (gap, since) = (parted.here.part(&parted.common), parted.there.part(&parted.common));
    assert!(plan(Sides { gap: &gap, since: &since, held_tablets: None }).is_err());
    assert!(parted.texts()[0].starts_with("cannot be read: operation"), "{:?}", parted.texts());
}

#[test]
fn a_log_parts_only_where_it_has_the_operation() {
    let parted = Parted::new();
    let log = &parted.common.log;
    assert_eq!(read(log, None).unwrap().ops.len(), log.len());
    let last = parted.common.head();
    assert!(read(log, Some(last)).unwrap().ops.is_empty());
    let other = OpId::new(last.term + 5, last.index);
    assert!(matches!(read(log, Some(other)), Err(GapError::NotThere { .. })));
    assert!(matches!(read(&log[2..], Some(OpId::new(1, 1))), Err(GapError::Collected { .. })));
    let rest = read(&log[1..], Some(OpId::new(1, 1))).unwrap();
    assert!(!rest.before.is_complete());
    assert_eq!(rest.ops.len(), log.len() - 1);
}

#[test]
fn without_the_version_before_an_alteration_is_told_as_changed() {
    let mut parted = Parted::new();
    let sales = parted.sales.clone();
    parted.here.add_column(&sales, "price");
    let from = parted.common.log.len();
    let gap = read(&parted.here.log[from..], Some(parted.common.head())).unwrap();
    let text = describe(&gap)[0].events[0].to_string();
    assert!(text.starts_with("ALTER TABLE sales (changed; how cannot be told"), "{text}");
}
