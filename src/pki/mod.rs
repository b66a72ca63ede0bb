//! Certificates of a pair: its own authority, one certificate for each member, and when each is replaced.
//!
//! [`plan`] decides, from what the certificates themselves say and the time; it is pure. [`material`] carries the plan out on
//! certificates and keys in memory, [`issue`] makes them. Whoever keeps them (Secrets, files) does the I/O.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

pub mod certificate;
pub mod issue;
pub mod material;
pub mod plan;
#[cfg(test)]
mod simulation;
pub mod verify;

pub use certificate::{CertificateFacts, KeyId, PkiError};
pub use issue::Issued;
pub use material::Material;

/// The DNS name in the certificate of a member that runs without Kubernetes, where members are known by IP address only:
/// the pair is in it, so that a member of another pair under the same authority is told apart.
pub fn manual_name(pair: &str, member: &str) -> String {
    format!("{member}.{pair}")
}
