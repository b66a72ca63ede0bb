//! What an operation of the system catalog does: rows of tables and tablets. Pure functions over bytes.
//!
//! All state of a `kudu-master` is one table whose rows are a type, an id and an encoded message. Its log holds each change of a
//! row as a client would write it; [`changes`] reads them, [`upserting`] writes them, [`CreatingTablets`] follows the one thing that a planned switch
//! minds. `docs/kudu-log-format.md` describes the format.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

mod creating;
mod encode;
mod messages;
mod rows;

pub use creating::CreatingTablets;
pub use encode::upserting;
#[cfg(test)]
pub(crate) use rows::tests::write;
pub use rows::{CatalogError, Change, EntryType, RowChange, changes};
