//! What one side did to each table: its operations, folded.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    describe::{Event, events_of},
    messages::{Life, TabletEntry, TabletState, substance, table, tablet},
    model::{Catalog, RowKey},
    read::GapOp,
    verdict::Subject,
};
use crate::{
    catalog::{Change, EntryType, RowChange},
    wal::OpId,
};

/// `SysCatalogTable::CatalogEntryType` of a tablet server's state.
const TABLET_SERVER: i8 = 6;

/// What one side did to one subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Story {
    /// The operations that touched it.
    pub(super) ops: Vec<OpId>,
    /// What they did, but for reports of tablets.
    pub(super) events: Vec<Event>,
    /// The last message of each of its rows that this side set.
    pub(super) rows: BTreeMap<RowKey, Bytes>,
    /// Every message that a row of it had on this side.
    pub(super) seen: BTreeSet<(RowKey, Bytes)>,
    /// The rows with which something changed.
    pub(super) changed_rows: BTreeSet<RowKey>,
    /// What cannot be understood.
    pub(super) riddle: Option<String>,
}

/// What one side did to everything it touched, beginning from the rows `before`.
pub(super) fn fold(before: &Catalog, ops: &[GapOp]) -> BTreeMap<Subject, Story> {
    let mut stories: BTreeMap<Subject, Story> = BTreeMap::new();
    let mut catalog = before.clone();
    for op in ops {
        let mut touched: BTreeMap<Subject, Vec<RowChange>> = BTreeMap::new();
        for row in op.readable() {
            if let Some(subject) = subject_of(&catalog, op, row) {
                touched.entry(subject).or_default().push(row.clone());
            }
        }
        for (subject, rows) in touched {
            let story = stories.entry(subject).or_default();
            rows.iter().for_each(|row| story.take(&catalog, row));
            story.ops.push(op.id());
            let own = GapOp { op: op.op.clone(), rows: Ok(rows) };
            let events = events_of(&catalog, &own).into_iter();
            story.events.extend(events.filter(Event::is_decision));
        }
        op.readable().iter().for_each(|row| catalog.apply(row));
    }
    stories
}

/// Whom a row is about. `None`: the remains of something unknown.
fn subject_of(catalog: &Catalog, op: &GapOp, row: &RowChange) -> Option<Subject> {
    match (row.entry_type, &row.change) {
        (EntryType::Table, _) => Some(Subject::table(&row.id)),
        (EntryType::Tablet, Change::Set(metadata)) => match tablet(metadata).and_then(|entry| entry.table_id) {
            Some(table_id) => Some(Subject::table(&table_id)),
            None => Some(Subject::Row { kind: EntryType::Tablet.number(), id: lossy(&row.id) }),
        },
        (EntryType::Tablet, Change::Delete) => {
            let in_op = op.readable().iter().find_map(|other| match &other.change {
                Change::Set(metadata) if other.id == row.id => tablet(metadata)?.table_id,
                _ => None,
            });
            in_op.or_else(|| catalog.table_of(&row.id)).map(|table_id| Subject::table(&table_id))
        }
        (EntryType::Other(TABLET_SERVER), _) => Some(Subject::TabletServer { uuid: lossy(&row.id) }),
        (EntryType::Other(kind), _) => Some(Subject::Row { kind, id: lossy(&row.id) }),
    }
}

fn lossy(id: &Bytes) -> String {
    String::from_utf8_lossy(id).into_owned()
}

impl Story {
    fn take(&mut self, catalog: &Catalog, row: &RowChange) {
        let key = (row.entry_type, row.id.clone());
        let before = self.rows.get(&key).or_else(|| catalog.get(&key));
        match &row.change {
            Change::Set(metadata) => {
                let before = before.cloned();
                self.note(row, before.as_ref(), metadata);
                self.seen.insert((key.clone(), metadata.clone()));
                self.rows.insert(key, metadata.clone());
            }
            // Kudu removes rows of what was dropped long ago. Whoever takes the last message over does so too in time.
            Change::Delete => {
                let dropped = match (row.entry_type, before) {
                    (EntryType::Table, Some(before)) => table(before).is_some_and(|entry| entry.life() != Life::Live),
                    (EntryType::Tablet, Some(before)) => tablet(before).is_some_and(|entry| !entry.is_part()),
                    (EntryType::Table | EntryType::Tablet, None) => true,
                    (EntryType::Other(_), _) => false,
                };
                if !dropped {
                    self.change(row);
                    self.riddle = Some(format!("row {} was removed although it was not dropped", lossy(&row.id)));
                }
            }
        }
    }

    fn note(&mut self, row: &RowChange, before: Option<&Bytes>, metadata: &Bytes) {
        match row.entry_type {
            EntryType::Table => {
                let Some(now) = table(metadata) else {
                    self.change(row);
                    self.riddle = Some("the row of the table is no message of a table".to_owned());
                    return;
                };
                let same = before.is_some_and(|before| {
                    table(before).is_some_and(|was| was.life() == now.life())
                        && substance(before).ok() == substance(metadata).ok()
                });
                if !same {
                    self.change(row);
                }
            }
            EntryType::Tablet => {
                let Some(now) = tablet(metadata) else {
                    self.change(row);
                    self.riddle = Some(format!("the row of tablet {} is no message of a tablet", lossy(&row.id)));
                    return;
                };
                let was = before.and_then(tablet);
                // One whose row before is not known was there before, unless it is only being prepared.
                let is_new = was.is_none() && now.tablet_state() == TabletState::Preparing;
                let is_gone = was.as_ref().is_none_or(TabletEntry::is_part) && !now.is_part();
                if is_new || is_gone {
                    self.change(row);
                }
            }
            EntryType::Other(_) if before != Some(metadata) => self.change(row),
            EntryType::Other(_) => {}
        }
    }

    fn change(&mut self, row: &RowChange) {
        self.changed_rows.insert((row.entry_type, row.id.clone()));
    }

    /// Whether more than Kudu's reports changed: what a person decides, or which tablets there are.
    pub(super) fn changed(&self) -> bool {
        !self.changed_rows.is_empty()
    }

    /// The row of the subject itself, not one of its tablets', if this side set it.
    pub(super) fn own(&self) -> Option<(&RowKey, &Bytes)> {
        self.rows.iter().find(|((entry_type, _), _)| *entry_type != EntryType::Tablet)
    }

    /// The last message of the subject's own row on this side.
    pub(super) fn own_row(&self) -> Option<&Bytes> {
        self.own().map(|(_, metadata)| metadata)
    }

    /// Whether this side once had what the operations of `gap` leave, byte for byte: only a replay of them writes that.
    ///
    /// The subject's own row tells, since it holds the time of the change and is written together with its tablets' rows.
    pub(super) fn has_replayed(&self, gap: &Self) -> bool {
        let was_here = |(key, metadata): (&RowKey, &Bytes)| self.seen.contains(&(key.clone(), metadata.clone()));
        match gap.own() {
            Some(own) if gap.changed_rows.contains(own.0) => was_here(own),
            _ => gap.changed() && gap.rows.iter().filter(|(key, _)| gap.changed_rows.contains(*key)).all(was_here),
        }
    }
}
