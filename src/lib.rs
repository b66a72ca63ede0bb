//! Kudu master pairs.
