//! Carrying an active's log to its standbys: messages, their frames, the comparison of two logs, the sender's window.
//!
//! Pure: state machines over bytes and messages. `crate::sidecar` does the I/O. `docs/protocol.md` draws it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

pub mod anchors;
pub mod diff;
pub mod frame;
pub mod message;
pub mod sender;
pub mod terms;

pub use anchors::Anchors;
pub use message::Message;
