//! Which Raft terms belong to which reign.
//!
//! Kudu raises the term by one at each start of a single-voter master. Two members that start from the same log would
//! thus write different operations under the same (term, index), and two logs could not be told apart by their
//! term histories. So a promotion first raises the term to `epoch × 1,000,000`: each reign writes under terms of its
//! own, and an [`OpId`](crate::wal::OpId) names one operation in the whole life of a pair.

/// Terms that one reign may use up: a million restarts in place.
pub const TERMS_PER_EPOCH: i64 = 1_000_000;

/// The term to set before the first start of reign `epoch`; the reign's own terms are above it.
pub fn floor(epoch: i64) -> i64 {
    epoch.saturating_mul(TERMS_PER_EPOCH)
}

/// The reign that wrote under `term`; 0 for operations from before the pair was made.
pub fn epoch_of(term: i64) -> i64 {
    term.checked_div(TERMS_PER_EPOCH).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reign_has_terms_of_its_own() {
        assert_eq!(floor(3), 3_000_000);
        assert_eq!(epoch_of(3_000_001), 3);
        assert_eq!(epoch_of(floor(4) - 1), 3);
        assert_eq!(epoch_of(7), 0);
        assert_eq!(floor(i64::MAX), i64::MAX);
    }
}
