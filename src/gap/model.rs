//! The rows of the catalog, as operations leave them.

use std::collections::{BTreeMap, btree_map::Entry};

use bytes::Bytes;

use super::messages::{Life, TableEntry, table, tablet};
use crate::catalog::{Change, EntryType, RowChange};

/// Names a row.
pub type RowKey = (EntryType, Bytes);

/// The rows of the catalog, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    rows: BTreeMap<RowKey, Bytes>,
    /// How many tablets each table has, if any. It follows from the rows; to count them each time would take as long as the catalog is.
    tablets: BTreeMap<Bytes, usize>,
    complete: bool,
}

impl Catalog {
    /// A catalog of which nothing is known yet. `complete`: every row that there is will be told, because the operations begin
    /// with the log's first one.
    #[must_use]
    pub fn new(complete: bool) -> Self {
        Self { complete, ..Self::default() }
    }

    /// Whether a row that is not here is not there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Not all rows are told after all.
    pub(super) fn doubt(&mut self) {
        self.complete = false;
    }

    /// This one with the rows that only `other` knows, which is the same catalog as another log tells it.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        match (self.complete, other.complete) {
            (true, _) => self.clone(),
            (false, true) => other.clone(),
            (false, false) => {
                let mut joined = other.clone();
                self.rows.iter().for_each(|(key, metadata)| joined.set(key.clone(), metadata.clone()));
                joined
            }
        }
    }

    /// Takes a change.
    pub fn apply(&mut self, row: &RowChange) {
        let key = (row.entry_type, row.id.clone());
        match &row.change {
            Change::Set(metadata) => self.set(key, metadata.clone()),
            Change::Delete => {
                if let Some(before) = self.rows.remove(&key) {
                    self.uncount(key.0, &before);
                }
            }
        }
    }

    /// Sets a row.
    pub fn set(&mut self, key: RowKey, metadata: Bytes) {
        let kind = key.0;
        if let Some(table_id) = part_of(kind, &metadata) {
            let count = self.tablets.entry(table_id).or_default();
            *count = count.saturating_add(1);
        }
        if let Some(before) = self.rows.insert(key, metadata) {
            self.uncount(kind, &before);
        }
    }

    /// A row is not as it was.
    fn uncount(&mut self, kind: EntryType, before: &Bytes) {
        let Some(table_id) = part_of(kind, before) else { return };
        if let Entry::Occupied(mut count) = self.tablets.entry(table_id) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// The message of a row.
    #[must_use]
    pub fn get(&self, key: &RowKey) -> Option<&Bytes> {
        self.rows.get(key)
    }

    /// All rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = (&RowKey, &Bytes)> {
        self.rows.iter()
    }

    pub(super) fn table(&self, id: &Bytes) -> Option<TableEntry> {
        self.get(&(EntryType::Table, id.clone())).and_then(table)
    }

    /// The table of a tablet.
    pub(super) fn table_of(&self, tablet_id: &Bytes) -> Option<Bytes> {
        self.get(&(EntryType::Tablet, tablet_id.clone())).and_then(tablet).and_then(|entry| entry.table_id)
    }

    /// The name of a table, or its id when it is not known.
    pub(super) fn name_of(&self, table_id: &Bytes) -> String {
        self.table(table_id)
            .map_or_else(|| format!("[{}]", String::from_utf8_lossy(table_id)), |entry| entry.name_text())
    }

    /// The tables that clients can use, by name.
    pub(super) fn names(&self) -> BTreeMap<Bytes, Vec<Bytes>> {
        let mut names: BTreeMap<Bytes, Vec<Bytes>> = BTreeMap::new();
        for ((entry_type, id), metadata) in &self.rows {
            if *entry_type == EntryType::Table
                && let Some(entry) = table(metadata)
                && entry.life() == Life::Live
            {
                names.entry(entry.name.unwrap_or_default()).or_default().push(id.clone());
            }
        }
        names
    }

    /// How many tablets a table has.
    pub(super) fn tablets_of(&self, table_id: &Bytes) -> usize {
        self.tablets.get(table_id).copied().unwrap_or(0)
    }
}

/// The table that this row is a tablet of, unless it is none any more.
fn part_of(kind: EntryType, metadata: &Bytes) -> Option<Bytes> {
    let entry = (kind == EntryType::Tablet).then(|| tablet(metadata)).flatten()?;
    entry.table_id.clone().filter(|_| entry.is_part())
}
