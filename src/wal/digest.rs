//! A fingerprint of one operation.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::Replicate;

/// A fingerprint of an operation: the first 128 bits of SHA-256 over its raw REPLICATE entry.
///
/// Two logs agree at an [`super::OpId`] if and only if their digests there are equal. A restart of Kudu
/// rewrites its log, but writes each REPLICATE entry byte for byte as before, so the digest lasts
/// (`tests/kudu/wal.rs` proves it on a real master). COMMIT entries do change at a restart and have none.
///
/// A cryptographic hash, since an entry holds what clients sent (names, comments): nobody may craft two
/// operations that pass for one. The library is the one that TLS already brings in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OpDigest([u8; 16]);

impl OpDigest {
    /// The digest of an operation.
    #[must_use]
    pub fn of(replicate: &Replicate) -> Self {
        Self::of_raw(replicate.raw())
    }

    /// The digest of the raw bytes of a REPLICATE entry.
    #[must_use]
    pub fn of_raw(raw: &[u8]) -> Self {
        let full = digest(&SHA256, raw);
        // SHA-256 has 32 bytes, so the first 16 are always there.
        Self(full.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// A digest of this one and the operation behind it, from which both follow.
    #[must_use]
    pub fn chained(self, next: &Replicate) -> Self {
        let mut both = Context::new(&SHA256);
        both.update(&self.0);
        both.update(next.raw());
        Self(both.finish().as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// A digest that was received or read back.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for OpDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for OpDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpDigest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_front_of_sha256() {
        // SHA-256 of "abc", from FIPS 180-4.
        assert_eq!(OpDigest::of_raw(b"abc").to_string(), "ba7816bf8f01cfea414140de5dae2223");
    }
}
