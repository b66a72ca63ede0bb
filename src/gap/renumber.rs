//! Makes operations out of a plan, to be appended behind the new active's head.
//!
//! Each table, with those that it exchanges names with, becomes **one** write that sets its last rows. A write is in the log as a
//! whole or not at all, so a crash leaves none or all of a table; setting a row that is there already changes nothing; and
//! ids of tables, tablets and columns stay what they were, as tablet servers know them by these.

use super::{plan::Plan, read::Gap};
use crate::{
    catalog::{CatalogError, Change, RowChange, upserting},
    wal::{EntryError, OpId, Replicate},
};

/// One unit of a hybrid time's clock part: a microsecond.
const MICROSECOND: u64 = 1 << 12;
/// Most bytes of one operation: far below what Kudu takes in one (50 MiB), and a catalog of some ten thousand tablets.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Why operations cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenumberError {
    /// The plan was made for another end of the new active's log.
    #[error(
        "the plan was made when the new active's log ended at {}, and now it ends at {found}: plan again", shown(*.planned)
    )]
    Outdated {
        /// The head that the plan took into account.
        planned: Option<OpId>,
        /// The head to append to.
        found: OpId,
    },
    /// A table is too large for one operation.
    #[error("the rows of {name} take {bytes} bytes, above the {MOST_BYTES} of one operation: replay cannot be atomic")]
    TooLarge {
        /// The table, or the first of those that go together.
        name: String,
        /// Their size.
        bytes: usize,
    },
    /// The gap has no write whose form could be taken.
    #[error("the gap has no write of rows")]
    NoForm,
    /// An operation cannot be made.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// An operation cannot be renumbered.
    #[error("an operation to be replayed {0}")]
    Entry(#[from] EntryError),
}

fn shown(id: Option<OpId>) -> String {
    id.map_or_else(|| "nothing".to_owned(), |id| id.to_string())
}

/// The operations that replay what `plan` says can be replayed, to be appended to a log that ends at `head`, whose highest
/// time is `timestamp`. Empty when there is nothing to replay.
///
/// They get `term`, or one above that of `head` if that is higher: it must be the current reign's own, in which nobody else writes, so
/// that no other operation ever has the same [`OpId`]. Before the master
/// starts, its consensus metadata has to be raised to that term.
///
/// # Errors
/// When `head` is not the one that the plan was made for, or an operation cannot be made.
pub fn renumber(
    plan: &Plan,
    gap: &Gap,
    head: OpId,
    term: i64,
    timestamp: u64,
) -> Result<Vec<Replicate>, RenumberError> {
    if plan.active_head != Some(head) {
        return Err(RenumberError::Outdated { planned: plan.active_head, found: head });
    }
    let mut id = OpId::new(term.max(head.term.saturating_add(1)), head.index);
    let mut time = timestamp.max(gap.latest_timestamp());
    let mut made = Vec::new();
    for group in &plan.together {
        let items: Vec<_> = group.iter().filter_map(|at| plan.items.get(*at)).collect();
        let rows: Vec<_> = items
            .iter()
            .flat_map(|item| &item.rows)
            .map(|((entry_type, id), metadata)| RowChange {
                entry_type: *entry_type,
                id: id.clone(),
                change: Change::Set(metadata.clone()),
            })
            .collect();
        if rows.is_empty() {
            continue;
        }
        let form = gap.any_write().ok_or(RenumberError::NoForm)?;
        id.index = id.index.saturating_add(1);
        time = time.saturating_add(MICROSECOND);
        let op = upserting(form, &rows)?.renumbered(id, time)?;
        if op.raw().len() > MOST_BYTES {
            let name = items.first().map(|item| item.name.clone()).unwrap_or_default();
            return Err(RenumberError::TooLarge { name, bytes: op.raw().len() });
        }
        made.push(op);
    }
    Ok(made)
}
