//! The changes of the matrix: each is made before, during and after an event, to tables that were there before it.

use super::{
    messages::{
        AlterStep, AlterTable, Column, ColumnName, CreateTable, HashPartitions, PartitionSchema, Schema, Table,
    },
    rpc::Client,
    view::View,
};
use crate::kudu::Home;

/// Tables that are created for the one change that is their number.
const MANY: usize = 200;
const INT32: i32 = 5;
const INT64: i32 = 7;
const STRING: i32 = 8;

/// When a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    During,
    After,
}

impl Moment {
    pub(crate) const ALL: [Self; 3] = [Self::Before, Self::During, Self::After];

    /// The name that things made at this moment carry.
    const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
        }
    }

    /// Lower bound of the range partition that is added or dropped at this moment.
    const fn range(self) -> i64 {
        match self {
            Self::Before => 100,
            Self::During => 200,
            Self::After => 300,
        }
    }
}

/// A row of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Create,
    AddColumn,
    RenameColumn,
    DropColumn,
    RenameTable,
    DropTable,
    AddRange,
    DropRange,
    Owner,
    Comment,
    ManyTables,
}

impl Change {
    pub(crate) const ALL: [Self; 11] = [
        Self::Create,
        Self::AddColumn,
        Self::RenameColumn,
        Self::DropColumn,
        Self::RenameTable,
        Self::DropTable,
        Self::AddRange,
        Self::DropRange,
        Self::Owner,
        Self::Comment,
        Self::ManyTables,
    ];

    /// Name of the change, and of the table that it is made to when that is one.
    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::AddColumn => "add_column",
            Self::RenameColumn => "rename_column",
            Self::DropColumn => "drop_column",
            Self::RenameTable => "rename_table",
            Self::DropTable => "drop_table",
            Self::AddRange => "add_range",
            Self::DropRange => "drop_range",
            Self::Owner => "owner",
            Self::Comment => "comment",
            Self::ManyTables => "many",
        }
    }

    /// Creates what the change is made to.
    pub(crate) fn prepare(self, client: &mut Client, tools: &Home) {
        match self {
            Self::Create | Self::ManyTables => {}
            Self::DropTable => Moment::ALL.iter().for_each(|moment| create(client, &self.at(*moment))),
            Self::AddRange => tools.create_table_from(&ranges(self.name(), &[0])),
            Self::DropRange => {
                tools.create_table_from(&ranges(self.name(), &[0, 100, 200, 300]));
            }
            _ => create(client, self.name()),
        }
    }

    /// Makes the change.
    pub(crate) fn make(self, moment: Moment, client: &mut Client, tools: &Home) {
        let at = moment.name();
        let bounds = [format!("[{}]", moment.range()), format!("[{}]", moment.range() + 10)];
        match self {
            Self::Create => create(client, &self.at(moment)),
            Self::AddColumn => {
                let column = Column { is_nullable: Some(true), ..column(&format!("added_{at}"), INT32) };
                self.alter(client, AlterStep::add_column(column));
            }
            Self::RenameColumn => self.alter(client, AlterStep::rename_column(at, &format!("renamed_{at}"))),
            Self::DropColumn => self.alter(client, AlterStep::drop_column(at)),
            Self::RenameTable => {
                let old = match moment {
                    Moment::Before => self.name().to_owned(),
                    Moment::During => self.at(Moment::Before),
                    Moment::After => self.at(Moment::During),
                };
                let table = Table::named(&old);
                client.alter(&AlterTable { table, new_table_name: Some(self.at(moment)), ..AlterTable::default() });
            }
            Self::DropTable => client.drop_table(&self.at(moment)),
            Self::AddRange => {
                tools.table("add_range_partition", &[self.name(), &bounds[0], &bounds[1]]);
            }
            Self::DropRange => {
                tools.table("drop_range_partition", &[self.name(), &bounds[0], &bounds[1]]);
            }
            Self::Owner => {
                let table = Table::named(self.name());
                client.alter(&AlterTable {
                    table,
                    new_table_owner: Some(format!("owner_{at}")),
                    ..AlterTable::default()
                });
            }
            Self::Comment => {
                self.alter(client, AlterStep::comment_column(at, &format!("column_{at}")));
                let table = Table::named(self.name());
                let comment = Some(format!("table_{at}"));
                client.alter(&AlterTable { table, new_table_comment: comment, ..AlterTable::default() });
            }
            Self::ManyTables => {
                let names: Vec<_> = many().filter(|(made_at, _)| *made_at == moment).map(|(_, name)| name).collect();
                for name in &names {
                    client.create(&CreateTable { partition_schema: None, ..table(name) });
                }
                names.iter().for_each(|name| client.wait_until_created(name));
            }
        }
    }

    /// The tables that are there when the change was made at all moments.
    pub(crate) fn tables(self) -> Vec<String> {
        match self {
            Self::Create => Moment::ALL.iter().map(|moment| self.at(*moment)).collect(),
            Self::DropTable => Vec::new(),
            Self::RenameTable => vec![self.at(Moment::After)],
            Self::ManyTables => many().map(|(_, name)| name).collect(),
            _ => vec![self.name().to_owned()],
        }
    }

    /// Asserts that the change shows, with what was made at each moment.
    pub(crate) fn assert_made(self, view: &View, cell: &str) {
        for name in self.tables() {
            assert!(view.contains_key(&name), "{cell}: there is no table {name:?}");
        }
        let text = view.get(self.name()).map_or("", String::as_str);
        for moment in Moment::ALL {
            let at = moment.name();
            let range = format!("{} <= VALUES < {}", moment.range(), moment.range() + 10);
            let made = match self {
                Self::Create | Self::ManyTables => true,
                Self::AddColumn => text.contains(&format!("added_{at} INT32")),
                Self::RenameColumn => {
                    text.contains(&format!(" renamed_{at} STRING")) && !text.contains(&format!(" {at} STRING"))
                }
                Self::DropColumn => !text.contains(&format!(" {at} STRING")),
                Self::RenameTable => !view.contains_key(self.name()) && view.contains_key(&self.at(Moment::After)),
                Self::DropTable => !view.contains_key(&self.at(moment)),
                Self::AddRange => text.contains(&range),
                Self::DropRange => !text.contains(&range),
                Self::Owner => moment != Moment::After || text.contains("owner_after"),
                Self::Comment => text.contains(&format!("column_{at}")) && text.contains("table_after"),
            };
            assert!(made, "{cell}: what was changed {at} the event does not show: {text}");
        }
    }

    fn at(self, moment: Moment) -> String {
        format!("{}_{}", self.name(), moment.name())
    }

    fn alter(self, client: &mut Client, step: AlterStep) {
        client.alter(&AlterTable { table: Table::named(self.name()), steps: vec![step], ..AlterTable::default() });
    }
}

/// The names of the many tables, and when each is made.
fn many() -> impl Iterator<Item = (Moment, String)> {
    Moment::ALL.into_iter().cycle().take(MANY).enumerate().map(|(number, moment)| (moment, format!("many_{number:03}")))
}

/// Creates a table with one column for each moment, and waits until it can be used.
pub(crate) fn create(client: &mut Client, name: &str) {
    client.create(&table(name));
    client.wait_until_created(name);
}

/// A table with one column for each moment.
fn table(name: &str) -> CreateTable {
    let id = Column { is_key: Some(true), ..column("id", INT64) };
    let others = Moment::ALL.map(|moment| Column { is_nullable: Some(true), ..column(moment.name(), STRING) });
    let hash = HashPartitions { columns: vec![ColumnName { name: Some("id".to_owned()) }], buckets: 2 };
    CreateTable {
        name: name.to_owned(),
        schema: Schema { columns: [vec![id], others.to_vec()].concat() },
        num_replicas: Some(1),
        partition_schema: Some(PartitionSchema { hash: vec![hash] }),
    }
}

fn column(name: &str, data_type: i32) -> Column {
    Column { name: name.to_owned(), data_type, ..Column::default() }
}

/// A table with range partitions of ten values each.
fn ranges(name: &str, from: &[i64]) -> serde_json::Value {
    let bounds: Vec<_> = from
        .iter()
        .map(|from| {
            serde_json::json!({
                "lower_bound": { "bound_type": "inclusive", "bound_values": [from.to_string()] },
                "upper_bound": { "bound_type": "exclusive", "bound_values": [(from + 10).to_string()] },
            })
        })
        .collect();
    serde_json::json!({
        "table_name": name,
        "schema": {
            "columns": [{ "column_name": "id", "column_type": "INT64" }],
            "key_column_names": ["id"],
        },
        "partition": { "range_partition": { "columns": ["id"], "range_bounds": bounds } },
        "num_replicas": 1,
    })
}
