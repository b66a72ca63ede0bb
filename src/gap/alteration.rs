//! What a person altered of a table: the difference between two versions of its row.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::messages::{Column, TableEntry, text};

/// One alteration of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Alteration {
    /// Another name.
    RenameTable {
        /// The name before.
        from: String,
        /// The name after.
        to: String,
    },
    /// A new column.
    AddColumn {
        /// Its name.
        name: String,
        /// Its type, as SQL engines write it.
        data_type: String,
    },
    /// A column is gone.
    DropColumn {
        /// Its name.
        name: String,
    },
    /// Another name of a column.
    RenameColumn {
        /// The name before.
        from: String,
        /// The name after.
        to: String,
    },
    /// Other properties of a column.
    AlterColumn {
        /// Its name.
        name: String,
        /// Which properties.
        properties: Vec<String>,
    },
    /// New tablets for a range.
    AddRangePartition {
        /// The range.
        range: String,
        /// How many.
        tablets: usize,
    },
    /// The tablets of a range are gone, with their rows.
    DropRangePartition {
        /// The range.
        range: String,
        /// How many.
        tablets: usize,
    },
    /// Another owner.
    Owner {
        /// Who.
        to: String,
    },
    /// Another comment.
    Comment {
        /// The text.
        to: String,
    },
    /// Another number of replicas.
    Replicas {
        /// How many.
        to: i32,
    },
    /// Other limits or settings.
    Settings {
        /// Which.
        what: Vec<String>,
    },
    /// The version before is not known, or the difference is in what this version does not read.
    Changed,
}

impl fmt::Display for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RenameTable { to, .. } => write!(f, "RENAME TO {to}"),
            Self::AddColumn { name, data_type } => write!(f, "ADD COLUMN {name} {data_type}"),
            Self::DropColumn { name } => write!(f, "DROP COLUMN {name}"),
            Self::RenameColumn { from, to } => write!(f, "RENAME COLUMN {from} TO {to}"),
            Self::AlterColumn { name, properties } => write!(f, "ALTER COLUMN {name} ({})", properties.join(", ")),
            Self::AddRangePartition { range, tablets } => {
                write!(f, "ADD RANGE PARTITION {range}, {}", count(*tablets, "tablet"))
            }
            Self::DropRangePartition { range, tablets } => {
                write!(f, "DROP RANGE PARTITION {range}, {}", count(*tablets, "tablet"))
            }
            Self::Owner { to } => write!(f, "SET OWNER {to}"),
            Self::Comment { to } => write!(f, "SET COMMENT {to:?}"),
            Self::Replicas { to } => write!(f, "SET REPLICAS {to}"),
            Self::Settings { what } => write!(f, "SET {}", what.join(", ")),
            Self::Changed => f.write_str("(changed; how cannot be told, as the version before is not in the log)"),
        }
    }
}

/// `1 tablet`, `2 tablets`.
pub(super) fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// What was altered between two versions of a table, but for its partitions.
pub(super) fn alterations(before: &TableEntry, after: &TableEntry) -> Vec<Alteration> {
    let mut found = Vec::new();
    if before.name != after.name {
        found.push(Alteration::RenameTable { from: before.name_text(), to: after.name_text() });
    }
    columns(before, after, &mut found);
    if before.owner != after.owner {
        found.push(Alteration::Owner { to: text(after.owner.as_ref()) });
    }
    if before.comment != after.comment {
        found.push(Alteration::Comment { to: text(after.comment.as_ref()) });
    }
    if before.num_replicas != after.num_replicas {
        found.push(Alteration::Replicas { to: after.num_replicas.unwrap_or(0) });
    }
    let settings = [
        ("extra configuration", before.extra_config != after.extra_config),
        ("disk size limit", before.disk_size_limit != after.disk_size_limit),
        ("row count limit", before.row_count_limit != after.row_count_limit),
    ];
    let what: Vec<_> = settings.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect();
    if !what.is_empty() {
        found.push(Alteration::Settings { what });
    }
    found
}

fn by_id(table: &TableEntry) -> BTreeMap<u32, &Column> {
    let columns = table.schema.iter().flat_map(|schema| &schema.columns);
    columns.map(|column| (column.id.unwrap_or(u32::MAX), column)).collect()
}

fn columns(before: &TableEntry, after: &TableEntry, found: &mut Vec<Alteration>) {
    let (old, new) = (by_id(before), by_id(after));
    for (id, column) in &old {
        let name = text(column.name.as_ref());
        let Some(now) = new.get(id) else {
            found.push(Alteration::DropColumn { name });
            continue;
        };
        if column.name != now.name {
            found.push(Alteration::RenameColumn { from: name, to: text(now.name.as_ref()) });
        }
        let properties = [
            ("type", column.data_type != now.data_type),
            ("nullable", column.nullable != now.nullable),
            ("default", column.write_default != now.write_default || column.read_default != now.read_default),
            ("encoding", column.encoding != now.encoding),
            ("compression", column.compression != now.compression),
            ("block size", column.block_size != now.block_size),
            ("comment", column.comment != now.comment),
            ("immutable", column.immutable != now.immutable),
        ];
        let properties: Vec<_> =
            properties.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect();
        if !properties.is_empty() {
            found.push(Alteration::AlterColumn { name: text(now.name.as_ref()), properties });
        }
    }
    for (id, column) in &new {
        if !old.contains_key(id) {
            let name = text(column.name.as_ref());
            found.push(Alteration::AddColumn { name, data_type: type_name(column.data_type) });
        }
    }
}

/// `DataType`, as Kudu's tools write it.
fn type_name(number: Option<i32>) -> String {
    let name = match number {
        Some(1) => "INT8",
        Some(3) => "INT16",
        Some(5) => "INT32",
        Some(7) => "INT64",
        Some(8) => "STRING",
        Some(9) => "BOOL",
        Some(10) => "FLOAT",
        Some(11) => "DOUBLE",
        Some(12) => "BINARY",
        Some(13) => "UNIXTIME_MICROS",
        Some(15..=17) => "DECIMAL",
        Some(19) => "VARCHAR",
        Some(20) => "DATE",
        other => return other.map_or_else(|| "(no type)".to_owned(), |number| format!("type {number}")),
    };
    name.to_owned()
}
