//! Tests against a real, unmodified Kudu.
//!
//! They need the programs `kudu-master`, `kudu-tserver` and `kudu` 1.18.1: set `KUDU_DIST` to a folder with `bin` and `lib`,
//! or let `deploy/local/kudu-dist` fetch them. Without Kudu they fail, they are not skipped.

mod catalog;
mod gap;
mod gap_killed;
mod harness;
mod wal;
