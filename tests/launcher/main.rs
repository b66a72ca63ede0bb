//! The launcher over real Kudu: what it promises when masters, sidecars and launchers die.
//!
//! Needs Kudu's distribution: set `KUDU_DIST` to its folder. Times are printed, not asserted: machines differ.

mod commands;
mod fencing;
mod gate;
mod generations;
mod harness;
mod restarts;
mod standing_still;
