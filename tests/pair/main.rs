//! Whole pairs: launchers and sidecars of the real program over a real, unmodified Kudu, switched with `kudu-pair ctl`.
//!
//! They need what the tests in `tests/kudu` need; those of a full disk also need root, to mount a small volume. Times are
//! printed, not asserted: machines differ. What the processes logged is printed when a test fails.

mod alerts;
#[path = "../apiserver/server.rs"]
mod apiserver;
mod disk;
mod disk_full;
mod failover;
mod failsafe;
mod gap;
mod gap_replay;
mod hung;
#[path = "../kudu/harness.rs"]
mod kudu;
mod lag;
mod long_lived;
mod losses;
mod matrix;
mod member;
mod pair;
mod prometheus;
mod refresh;
mod refusals;
mod reigns;
mod restarts;
mod retention;
mod stalled;
mod switchover;
mod synchronous;
mod synchronous_losses;
mod tablet_servers;
mod tls;
mod tls_peer;
mod unfit;
#[path = "../alerts/words.rs"]
mod words;
