//! Carrying an active's log to its standbys: both ends of the stream, their messages and frames, the comparison of two logs.
//!
//! Pure: state machines over bytes and messages. `crate::sidecar` does the I/O. `docs/protocol.md` draws it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

pub mod acknowledgement;
pub mod anchors;
pub mod diff;
pub mod feed;
pub mod follower;
pub mod frame;
pub mod hang_up;
pub mod lag;
pub mod message;
pub mod replay;
pub mod retention;
pub mod rolling;
pub mod sender;
pub mod terms;

pub use anchors::Anchors;
pub use hang_up::HangUp;
pub use message::Message;
pub use rolling::Rolling;
