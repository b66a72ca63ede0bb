//! What an operation means: what a person did, or Kudu by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use prost::Message;
use serde::Serialize;

use super::{
    alteration::{Alteration, alterations, count},
    bounds,
    messages::{Life, TableEntry, TabletEntry, TabletServerEntry, TabletState, substance, table, tablet, text},
    model::Catalog,
    read::{Gap, GapOp},
};
use crate::{
    catalog::{Change, EntryType, RowChange},
    wal::{OpId, OpType},
};

/// An operation, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// Its identity.
    pub op_id: OpId,
    /// Kudu's hybrid time: microseconds since 1970 above the lowest 12 bits.
    pub timestamp: u64,
    /// What happened.
    pub events: Vec<Event>,
}

/// One thing that happened to the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A person made a table.
    CreateTable {
        /// Its id.
        table_id: String,
        /// Its name.
        table: String,
        /// How many tablets it begins with.
        tablets: usize,
    },
    /// A person altered a table.
    AlterTable {
        /// Its id.
        table_id: String,
        /// Its name before.
        table: String,
        /// How.
        alterations: Vec<Alteration>,
    },
    /// A person dropped a table.
    DropTable {
        /// Its id.
        table_id: String,
        /// Its name.
        table: String,
        /// How many tablets go with it.
        tablets: usize,
        /// Whether it can be recalled for a time.
        soft: bool,
    },
    /// A person recalled a table that was dropped softly.
    RecallTable {
        /// Its id.
        table_id: String,
        /// Its name.
        table: String,
    },
    /// An alteration has reached every tablet.
    AlterationDone {
        /// The table's id.
        table_id: String,
        /// The table's name.
        table: String,
    },
    /// Tablet servers were chosen for tablets.
    TabletsPlaced {
        /// The table's name.
        table: String,
        /// How many.
        tablets: usize,
    },
    /// Tablets run.
    TabletsRunning {
        /// The table's name.
        table: String,
        /// How many.
        tablets: usize,
    },
    /// A tablet has another leader.
    LeaderMoved {
        /// The table's name.
        table: String,
        /// The tablet.
        tablet: String,
        /// The tablet server that leads now; empty: none.
        to: String,
    },
    /// A tablet has other replicas.
    ReplicasChanged {
        /// The table's name.
        table: String,
        /// The tablet.
        tablet: String,
        /// Tablet servers that joined.
        added: Vec<String>,
        /// Tablet servers that left.
        removed: Vec<String>,
    },
    /// A report of a tablet that changes nothing of the above, or of which the one before is not known.
    TabletReported {
        /// The table's name.
        table: String,
        /// The tablet.
        tablet: String,
    },
    /// Kudu replaced tablets that were not made in time, or took some away.
    TabletsReplaced {
        /// The table's name.
        table: String,
        /// How many are gone.
        gone: usize,
        /// How many are new.
        new: usize,
    },
    /// Rows of what was dropped long ago were removed.
    CleanedUp {
        /// How many.
        rows: usize,
    },
    /// A new term begins.
    TermBegins {
        /// Which.
        term: i64,
    },
    /// The authority of the cluster's certificates.
    CertificateAuthority,
    /// A key with which tokens are signed.
    TokenSigningKey {
        /// Its number.
        key: String,
        /// Whether it was removed, as too old.
        removed: bool,
    },
    /// How far the catalog follows the Hive Metastore.
    HiveMetastorePosition,
    /// A tablet server enters or leaves maintenance.
    TabletServerState {
        /// The tablet server.
        tablet_server: String,
        /// Whether it is in maintenance now.
        maintenance: bool,
    },
    /// The cluster's identity.
    ClusterId,
    /// A row of a kind that this version does not know.
    OtherRow {
        /// The kind's number.
        kind: i8,
        /// The row's id.
        id: String,
    },
    /// An operation that changes no rows: the catalog's own schema or configuration.
    OtherOperation {
        /// Kudu's name of it.
        operation: String,
    },
    /// It cannot be read.
    Unreadable {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTable { table, tablets, .. } => {
                write!(f, "CREATE TABLE {table}, {}", count(*tablets, "tablet"))
            }
            Self::AlterTable { table, alterations, .. } => {
                let how: Vec<_> = alterations.iter().map(ToString::to_string).collect();
                write!(f, "ALTER TABLE {table} {}", how.join(", "))
            }
            Self::DropTable { table, tablets, soft, .. } => {
                let how = if *soft { " softly (it can be recalled)" } else { "" };
                write!(f, "DROP TABLE {table}{how}, {}", count(*tablets, "tablet"))
            }
            Self::RecallTable { table, .. } => write!(f, "RECALL TABLE {table}"),
            Self::AlterationDone { table, .. } => write!(f, "the alteration of {table} has reached its tablets"),
            Self::TabletsPlaced { table, tablets } => {
                write!(f, "tablet servers were chosen for {} of {table}", count(*tablets, "tablet"))
            }
            Self::TabletsRunning { table, tablets } => {
                write!(f, "{} of {table} came to run", count(*tablets, "tablet"))
            }
            Self::LeaderMoved { table, tablet, to } if to.is_empty() => {
                write!(f, "tablet {tablet} of {table} has no leader")
            }
            Self::LeaderMoved { table, tablet, to } => write!(f, "leader of tablet {tablet} of {table} moved to {to}"),
            Self::ReplicasChanged { table, tablet, added, removed } => {
                let list = |word: &str, servers: &[String]| match servers {
                    [] => String::new(),
                    servers => format!(", {word} {}", servers.join(", ")),
                };
                let (joined, left) = (list("added", added), list("removed", removed));
                write!(f, "replicas of tablet {tablet} of {table} changed{joined}{left}")
            }
            Self::TabletReported { table, tablet } => write!(f, "tablet {tablet} of {table} was reported"),
            Self::TabletsReplaced { table, gone, new } => {
                write!(f, "Kudu replaced tablets of {table}: {gone} gone, {new} new")
            }
            Self::CleanedUp { rows } => write!(f, "{} of dropped tables removed", count(*rows, "row")),
            Self::TermBegins { term } => write!(f, "NO_OP: term {term} begins"),
            Self::CertificateAuthority => f.write_str("certificate authority of the cluster written"),
            Self::TokenSigningKey { key, removed: false } => write!(f, "token-signing key {key} made"),
            Self::TokenSigningKey { key, removed: true } => write!(f, "token-signing key {key} removed"),
            Self::HiveMetastorePosition => f.write_str("position in the Hive Metastore's events written"),
            Self::TabletServerState { tablet_server, maintenance: true } => {
                write!(f, "tablet server {tablet_server} ENTERS MAINTENANCE")
            }
            Self::TabletServerState { tablet_server, maintenance: false } => {
                write!(f, "tablet server {tablet_server} LEAVES MAINTENANCE")
            }
            Self::ClusterId => f.write_str("cluster id written"),
            Self::OtherRow { kind, id } => write!(f, "row {id} of the unknown kind {kind} written"),
            Self::OtherOperation { operation } => write!(f, "{operation} of the catalog itself"),
            Self::Unreadable { why } => write!(f, "cannot be read: {why}"),
        }
    }
}

impl Event {
    /// Whether it decides what a table is: a person's doing, or other tablets for it.
    pub(super) fn is_decision(&self) -> bool {
        self.by_a_person() || matches!(self, Self::TabletsReplaced { .. })
    }

    /// Whether a person did it, and not Kudu by itself.
    #[must_use]
    pub fn by_a_person(&self) -> bool {
        matches!(
            self,
            Self::CreateTable { .. }
                | Self::AlterTable { .. }
                | Self::DropTable { .. }
                | Self::RecallTable { .. }
                | Self::TabletServerState { .. }
        )
    }
}

/// Describes each operation.
#[must_use]
pub fn describe(gap: &Gap) -> Vec<Described> {
    let mut catalog = gap.before.clone();
    gap.ops
        .iter()
        .map(|op| {
            let events = events_of(&catalog, op);
            op.readable().iter().for_each(|row| catalog.apply(row));
            Described { op_id: op.id(), timestamp: op.op.timestamp(), events }
        })
        .collect()
}

/// What the tablets' rows of one table in one operation say.
#[derive(Default)]
struct Tablets {
    new: Vec<TabletEntry>,
    gone: Vec<TabletEntry>,
    placed: usize,
    running: usize,
    reports: Vec<Event>,
}

/// What an operation means to a catalog.
pub(super) fn events_of(catalog: &Catalog, op: &GapOp) -> Vec<Event> {
    let rows = match &op.rows {
        Ok(rows) => rows,
        Err(why) => return vec![Event::Unreadable { why: why.to_string() }],
    };
    match op.op.op_type() {
        OpType::NoOp => return vec![Event::TermBegins { term: op.id().term }],
        OpType::Write => {}
        other => return vec![Event::OtherOperation { operation: other.to_string() }],
    }
    // A tablet's table may be named by a row of the same operation.
    let mut named = BTreeMap::new();
    for row in rows {
        if let (EntryType::Table, Change::Set(metadata)) = (row.entry_type, &row.change)
            && let Some(entry) = table(metadata)
        {
            named.insert(row.id.clone(), entry.name_text());
        }
    }
    let name_of = |id: &Bytes| named.get(id).cloned().unwrap_or_else(|| catalog.name_of(id));
    let mut tablets: BTreeMap<Bytes, Tablets> = BTreeMap::new();
    let mut cleaned = 0_usize;
    for row in rows.iter().filter(|row| row.entry_type == EntryType::Tablet) {
        match &row.change {
            Change::Delete => cleaned = cleaned.saturating_add(1),
            Change::Set(metadata) => note_tablet(catalog, &name_of, row, metadata, &mut tablets),
        }
    }
    let mut events = Vec::new();
    for row in rows {
        match (row.entry_type, &row.change) {
            (EntryType::Table, Change::Delete) => cleaned = cleaned.saturating_add(1),
            (EntryType::Table, Change::Set(metadata)) => {
                let own = tablets.remove(&row.id).unwrap_or_default();
                events.extend(table_events(catalog, &row.id, metadata, own));
            }
            (EntryType::Tablet, _) => {}
            (EntryType::Other(kind), change) => events.push(other_row(kind, &row.id, change)),
        }
    }
    for (table_id, mut own) in tablets {
        let table = name_of(&table_id);
        // Of a range partition that a person drops only the tablets' rows are written; what Kudu gives up it replaces.
        let (dropped, replaced): (Vec<_>, Vec<_>) =
            own.gone.drain(..).partition(|entry| entry.tablet_state() == TabletState::Deleted);
        if !dropped.is_empty() {
            let alterations = ranges(catalog.table(&table_id).as_ref(), &dropped)
                .map(|(range, tablets)| Alteration::DropRangePartition { range, tablets });
            events.push(Event::AlterTable {
                table_id: String::from_utf8_lossy(&table_id).into_owned(),
                table: table.clone(),
                alterations: alterations.collect(),
            });
        }
        if !own.new.is_empty() || !replaced.is_empty() {
            let (gone, new) = (replaced.len(), own.new.len());
            events.push(Event::TabletsReplaced { table: table.clone(), gone, new });
        }
        events.extend(tablet_events(&table, own));
    }
    if cleaned > 0 {
        events.push(Event::CleanedUp { rows: cleaned });
    }
    events
}

fn note_tablet(
    catalog: &Catalog,
    name_of: &impl Fn(&Bytes) -> String,
    row: &RowChange,
    metadata: &Bytes,
    tablets: &mut BTreeMap<Bytes, Tablets>,
) {
    let Some(now) = tablet(metadata) else { return };
    let table_id = now.table_id.clone().unwrap_or_default();
    let table = name_of(&table_id);
    let own = tablets.entry(table_id).or_default();
    let before = catalog.get(&(EntryType::Tablet, row.id.clone())).and_then(tablet);
    let moved = before.as_ref().is_none_or(|before| before.tablet_state() != now.tablet_state());
    match (before.as_ref().map(TabletEntry::is_part), now.is_part()) {
        (Some(true) | None, false) => own.gone.push(now),
        (None, true) if now.tablet_state() == TabletState::Preparing => own.new.push(now),
        (_, true) if moved && now.tablet_state() == TabletState::Creating => own.placed = own.placed.saturating_add(1),
        (Some(_), true) if moved && now.tablet_state() == TabletState::Running => {
            own.running = own.running.saturating_add(1);
        }
        _ => own.reports.push(report(&table, &String::from_utf8_lossy(&row.id), before.as_ref(), &now)),
    }
}

fn report(table: &str, id: &str, before: Option<&TabletEntry>, now: &TabletEntry) -> Event {
    let (table, tablet) = (table.to_owned(), id.to_owned());
    let Some(before) = before else { return Event::TabletReported { table, tablet } };
    let peers = |entry: &TabletEntry| -> BTreeSet<String> {
        let config = entry.consensus_state.as_ref().and_then(|state| state.config.as_ref());
        config.iter().flat_map(|config| &config.peers).map(|peer| text(peer.uuid.as_ref())).collect()
    };
    let leader = |entry: &TabletEntry| text(entry.consensus_state.as_ref().and_then(|state| state.leader.as_ref()));
    let (old, new) = (peers(before), peers(now));
    if old != new {
        let added = new.difference(&old).cloned().collect();
        let removed = old.difference(&new).cloned().collect();
        Event::ReplicasChanged { table, tablet, added, removed }
    } else if leader(before) != leader(now) {
        Event::LeaderMoved { table, tablet, to: leader(now) }
    } else {
        Event::TabletReported { table, tablet }
    }
}

fn table_events(catalog: &Catalog, id: &Bytes, metadata: &Bytes, tablets: Tablets) -> Vec<Event> {
    let table_id = String::from_utf8_lossy(id).into_owned();
    let Some(now) = table(metadata) else {
        return vec![Event::Unreadable { why: format!("the row of table {table_id} is no message of a table") }];
    };
    let before_raw = catalog.get(&(EntryType::Table, id.clone()));
    let before = before_raw.and_then(table);
    let name = before.as_ref().unwrap_or(&now).name_text();
    let mut events = Vec::new();
    let was = before.as_ref().map(TableEntry::life);
    match (was, now.life()) {
        (Some(Life::Dropped), Life::Dropped) | (Some(Life::SoftlyDropped), Life::SoftlyDropped) => {}
        (_, life @ (Life::Dropped | Life::SoftlyDropped)) => {
            let known = catalog.tablets_of(id);
            let soft = life == Life::SoftlyDropped;
            let tablets = if known == 0 { tablets.gone.len() } else { known };
            events.push(Event::DropTable { table_id, table: name, tablets, soft });
            // The tablets go with it.
            return events;
        }
        (Some(Life::SoftlyDropped), Life::Live) => {
            events.push(Event::RecallTable { table_id, table: name.clone() });
        }
        (None | Some(Life::Dropped), Life::Live)
            if catalog.is_complete() || !tablets.new.is_empty() && now.version == Some(0) =>
        {
            events.push(Event::CreateTable { table_id, table: name.clone(), tablets: tablets.new.len() });
            return events;
        }
        (_, Life::Live) => {
            let mut found = match &before {
                Some(before) => alterations(before, &now),
                None => vec![Alteration::Changed],
            };
            let added = ranges(Some(&now), &tablets.new);
            let dropped = ranges(Some(&now), &tablets.gone);
            found.extend(dropped.map(|(range, tablets)| Alteration::DropRangePartition { range, tablets }));
            found.extend(added.map(|(range, tablets)| Alteration::AddRangePartition { range, tablets }));
            let same_substance = before_raw.is_some_and(|before| substance(before).ok() == substance(metadata).ok());
            if found.is_empty() && same_substance {
                events.push(Event::AlterationDone { table_id, table: name.clone() });
            } else {
                if found.is_empty() {
                    found.push(Alteration::Changed);
                }
                events.push(Event::AlterTable { table_id, table: name.clone(), alterations: found });
            }
        }
    }
    events.extend(tablet_events(&name, tablets));
    events
}

/// The ranges of tablets, with how many there are of each.
fn ranges(table: Option<&TableEntry>, tablets: &[TabletEntry]) -> impl Iterator<Item = (String, usize)> + use<> {
    let mut ranges: BTreeMap<String, usize> = BTreeMap::new();
    for entry in tablets {
        let number = ranges.entry(bounds::range(table, entry.partition.as_ref())).or_default();
        *number = number.saturating_add(1);
    }
    ranges.into_iter()
}

fn tablet_events(table: &str, tablets: Tablets) -> Vec<Event> {
    let mut events = Vec::new();
    let table = table.to_owned();
    if tablets.placed > 0 {
        events.push(Event::TabletsPlaced { table: table.clone(), tablets: tablets.placed });
    }
    if tablets.running > 0 {
        events.push(Event::TabletsRunning { table, tablets: tablets.running });
    }
    events.extend(tablets.reports);
    events
}

fn other_row(kind: i8, id: &Bytes, change: &Change) -> Event {
    let id = String::from_utf8_lossy(id).into_owned();
    // SysCatalogTable::CatalogEntryType
    match (kind, change) {
        (3, _) => Event::CertificateAuthority,
        (4, change) => {
            // The row's id is the key's number with leading zeros.
            let short = id.trim_start_matches('0');
            let key = if short.is_empty() { id } else { short.to_owned() };
            Event::TokenSigningKey { key, removed: *change == Change::Delete }
        }
        (5, _) => Event::HiveMetastorePosition,
        (6, Change::Set(metadata)) => {
            // TServerStatePB.MAINTENANCE_MODE
            let state = TabletServerEntry::decode(metadata.clone()).ok().and_then(|entry| entry.state);
            Event::TabletServerState { tablet_server: id, maintenance: state == Some(2) }
        }
        (6, Change::Delete) => Event::TabletServerState { tablet_server: id, maintenance: false },
        (7, _) => Event::ClusterId,
        (kind, _) => Event::OtherRow { kind, id },
    }
}
