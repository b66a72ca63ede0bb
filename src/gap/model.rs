//! The rows of the catalog, as operations leave them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::messages::{Life, TableEntry, table, tablet};
use crate::catalog::{Change, EntryType, RowChange};

/// Names a row.
pub type RowKey = (EntryType, Bytes);

/// The rows of the catalog, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    rows: BTreeMap<RowKey, Bytes>,
    complete: bool,
}

impl Catalog {
    /// A catalog of which nothing is known yet. `complete`: every row that there is will be told, because the operations begin
    /// with the log's first one.
    #[must_use]
    pub fn new(complete: bool) -> Self {
        Self { rows: BTreeMap::new(), complete }
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
        let mut rows = other.rows.clone();
        match (self.complete, other.complete) {
            (false, true) => {}
            (true, _) => rows.clone_from(&self.rows),
            (false, false) => rows.extend(self.rows.iter().map(|(key, metadata)| (key.clone(), metadata.clone()))),
        }
        Self { rows, complete: self.complete || other.complete }
    }

    /// Takes a change.
    pub fn apply(&mut self, row: &RowChange) {
        let key = (row.entry_type, row.id.clone());
        match &row.change {
            Change::Set(metadata) => drop(self.rows.insert(key, metadata.clone())),
            Change::Delete => drop(self.rows.remove(&key)),
        }
    }

    /// Sets a row.
    pub fn set(&mut self, key: RowKey, metadata: Bytes) {
        self.rows.insert(key, metadata);
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
        let tablets = self.rows.iter().filter(|((entry_type, _), _)| *entry_type == EntryType::Tablet);
        tablets
            .filter(|(_, metadata)| {
                tablet(metadata).is_some_and(|entry| entry.is_part() && entry.table_id.as_ref() == Some(table_id))
            })
            .count()
    }
}
