//! The gap: operations that an old active had and its successor never got. Read, described, planned, made ready to be replayed.
//!
//! Pure functions over operations; [`crate::waldir`] reads the logs they come from. `docs/switch-back.md` says what a gap is and
//! which rules hold, `docs/adr/0024-gap-replay.md` why.
//!
//! ```text
//! the old active's log ─▶ Gap ─▶ describe ─▶ what a person reads
//!                          └─▶ Sides ─▶ Plan ─▶ renumber ─▶ operations behind the new active's head
//! the new active's log ─▶ Gap ─┘
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

mod alteration;
mod bounds;
mod describe;
mod fold;
pub mod kept;
mod messages;
mod model;
mod plan;
mod read;
mod renumber;
mod verdict;
mod words;

#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;

pub use alteration::Alteration;
pub use describe::{Described, Event, describe};
pub use kept::KeptGap;
pub use model::{Catalog, RowKey};
pub use plan::{Item, Plan, Sides, plan};
pub use read::{Gap, GapError, GapOp, read};
pub use renumber::{RenumberError, renumber};
pub use verdict::{Choices, ConflictReason, Subject, SupersededReason, Verdict};
