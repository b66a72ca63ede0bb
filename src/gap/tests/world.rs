//! A small catalog that writes operations as Kudu would.

use std::collections::BTreeMap;

use prost::Message;

use crate::{
    catalog::{EntryType, write},
    gap::{
        Catalog, Gap,
        messages::{Column, ConsensusState, Partition, RaftConfig, RaftPeer, Schema, TableEntry, TabletEntry},
        read,
    },
    wal::{OpId, Replicate},
};

/// A tablet, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tablet {
    /// `SysTabletsEntryPB.State`.
    pub(super) state: i32,
    pub(super) index: i64,
    pub(super) term: i64,
    pub(super) bounds: u8,
}

/// A table, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) columns: Vec<(u32, String)>,
    pub(super) next_column: u32,
    pub(super) owner: Option<String>,
    /// `SysTablesEntryPB.State`.
    pub(super) state: i32,
    pub(super) altered_at: u64,
    pub(super) tablets: BTreeMap<String, Tablet>,
}

impl Table {
    pub(super) fn is_live(&self) -> bool {
        self.state != 4 && self.state != 5
    }

    pub(super) fn row(&self) -> Vec<u8> {
        let columns = self.columns.iter().map(|(id, name)| Column {
            id: Some(*id),
            name: Some(name.clone().into()),
            data_type: Some(5),
            ..Column::default()
        });
        let mut row = TableEntry {
            name: Some(self.name.clone().into()),
            version: Some(self.version),
            schema: Some(Schema { columns: columns.collect() }),
            num_replicas: Some(1),
            state: Some(self.state),
            owner: self.owner.clone().map(Into::into),
            ..TableEntry::default()
        }
        .encode_to_vec();
        // `alter_timestamp`, and a field that this version does not know.
        for (number, value) in [(11, self.altered_at), (90, u64::from(self.version))] {
            crate::wal::wire::put_varint_field(&mut row, number, value);
        }
        row
    }
}

pub(super) fn tablet_row(table_id: &str, tablet: &Tablet) -> Vec<u8> {
    let config = RaftConfig { index: Some(tablet.index), peers: vec![RaftPeer { uuid: Some("ts".into()) }] };
    TabletEntry {
        consensus_state: (tablet.state != 0).then(|| ConsensusState {
            term: Some(tablet.term),
            leader: Some(format!("ts-{}", tablet.term).into()),
            config: Some(config),
        }),
        state: Some(tablet.state),
        table_id: Some(table_id.to_owned().into()),
        partition: Some(Partition { hash_buckets: Vec::new(), start: Some(vec![tablet.bounds].into()), end: None }),
    }
    .encode_to_vec()
}

/// A catalog and its log.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) log: Vec<Replicate>,
    pub(super) term: i64,
    /// Told apart by it: ids and times of one side never are those of the other.
    pub(super) stamp: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self { term: 1, stamp: 1_000, ..Self::default() };
        world.no_op();
        world
    }

    /// What its successor begins from: the same, in a term of its own, and other ids for what it makes.
    pub(super) fn succeed(&self) -> Self {
        let mut next = self.clone();
        next.term = 2_000_001;
        next.stamp += 1_000_000;
        next.no_op();
        next
    }

    pub(super) fn next_id(&self) -> OpId {
        OpId::new(self.term, self.log.last().map_or(0, |op| op.id().index) + 1)
    }

    pub(super) fn head(&self) -> OpId {
        self.log.last().unwrap().id()
    }

    pub(super) fn time(&self) -> u64 {
        self.log.iter().map(Replicate::timestamp).max().unwrap()
    }

    fn no_op(&mut self) {
        let op = Replicate::from_raw(crate::wal::tests::replicate(self.next_id(), 1, b"")).unwrap();
        self.log.push(op.renumbered(op.id(), self.stamp << 12).unwrap());
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// Writes the rows of a table and some of its tablets in one operation.
    pub(super) fn write(&mut self, id: &str, own: bool, tablets: &[&str]) {
        let table = &self.tables[id];
        let own_row = table.row();
        let rows: Vec<_> = tablets.iter().map(|name| (*name, tablet_row(id, &table.tablets[*name]))).collect();
        let mut changes: Vec<(u8, i8, &str, Option<&[u8]>)> = Vec::new();
        if own {
            changes.push((2, 1, id, Some(&own_row)));
        }
        changes.extend(rows.iter().map(|(name, row)| (2_u8, 2_i8, *name, Some(row.as_slice()))));
        let op = write(self.next_id(), self.stamp << 12, &changes);
        self.log.push(op);
    }

    pub(super) fn other(&mut self, kind: i8, id: &str, metadata: Option<&[u8]>) {
        self.tick();
        let op =
            write(self.next_id(), self.stamp << 12, &[(if metadata.is_some() { 1 } else { 3 }, kind, id, metadata)]);
        self.log.push(op);
    }

    /// Whether a table of clients has this name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.tables.values().any(|table| table.is_live() && table.name == name)
    }

    pub(super) fn create(&mut self, name: &str, tablets: u8) -> String {
        let stamp = self.tick();
        let id = format!("{stamp:032x}");
        let made = (0..tablets).map(|at| {
            (format!("{:032x}", (stamp << 16) + u64::from(at)), Tablet { state: 0, index: 0, term: 0, bounds: at })
        });
        let table = Table {
            name: name.to_owned(),
            version: 0,
            columns: vec![(0, "key".to_owned())],
            next_column: 1,
            owner: None,
            state: 2,
            altered_at: stamp,
            tablets: made.collect(),
        };
        let names: Vec<_> = table.tablets.keys().cloned().collect();
        self.tables.insert(id.clone(), table);
        self.write(&id, true, &names.iter().map(String::as_str).collect::<Vec<_>>());
        id
    }

    fn alter(&mut self, id: &str, how: impl FnOnce(&mut Table)) {
        let stamp = self.tick();
        let table = self.tables.get_mut(id).unwrap();
        how(table);
        table.version += 1;
        table.state = 3;
        table.altered_at = stamp;
    }

    pub(super) fn rename(&mut self, id: &str, name: &str) {
        self.alter(id, |table| name.clone_into(&mut table.name));
        self.write(id, true, &[]);
    }

    pub(super) fn add_column(&mut self, id: &str, name: &str) {
        self.alter(id, |table| {
            table.columns.push((table.next_column, name.to_owned()));
            table.next_column += 1;
        });
        self.write(id, true, &[]);
    }

    pub(super) fn drop_column(&mut self, id: &str) {
        self.alter(id, |table| {
            if table.columns.len() > 1 {
                table.columns.pop();
            }
        });
        self.write(id, true, &[]);
    }

    /// An alteration has reached all tablets.
    pub(super) fn done(&mut self, id: &str) {
        self.tick();
        self.tables.get_mut(id).unwrap().state = 2;
        self.write(id, true, &[]);
    }

    pub(super) fn drop_table(&mut self, id: &str) {
        let stamp = self.tick();
        let table = self.tables.get_mut(id).unwrap();
        table.state = 4;
        table.altered_at = stamp;
        for tablet in table.tablets.values_mut() {
            tablet.state = 4;
        }
        let names: Vec<_> = table.tablets.keys().cloned().collect();
        self.write(id, true, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }

    pub(super) fn add_partition(&mut self, id: &str, bounds: u8) -> String {
        self.alter(id, |_| {});
        let name = format!("{:032x}", self.stamp << 16);
        let tablet = Tablet { state: 0, index: 0, term: 0, bounds };
        self.tables.get_mut(id).unwrap().tablets.insert(name.clone(), tablet);
        self.write(id, true, &[&name]);
        name
    }

    pub(super) fn drop_partition(&mut self, id: &str, tablet: &str) {
        // As Kudu does: of the table itself nothing is written.
        self.tick();
        self.tables.get_mut(id).unwrap().tablets.get_mut(tablet).unwrap().state = 4;
        self.write(id, false, &[tablet]);
    }

    /// A tablet server reports: replicas changed, or an election.
    pub(super) fn report(&mut self, id: &str, tablet: &str, index: i64, term: i64) {
        self.tick();
        let found = self.tables.get_mut(id).unwrap().tablets.get_mut(tablet).unwrap();
        *found = Tablet { state: 2, index: found.index + index, term: found.term + term, bounds: found.bounds };
        self.write(id, false, &[tablet]);
    }

    /// Its log, parted at the end of `common`.
    pub(super) fn part(&self, common: &Self) -> Gap {
        read(&self.log, Some(common.head())).unwrap()
    }

    /// The rows that its tables are.
    pub(super) fn rows(tables: &BTreeMap<String, Table>) -> Catalog {
        let mut catalog = Catalog::new(true);
        for (id, table) in tables {
            catalog.set((EntryType::Table, id.clone().into()), table.row().into());
            for (name, tablet) in &table.tablets {
                catalog.set((EntryType::Tablet, name.clone().into()), tablet_row(id, tablet).into());
            }
        }
        catalog
    }
}
