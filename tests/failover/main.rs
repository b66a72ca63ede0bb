//! The failover decisions: each step by a table, and whole lives of pairs by simulation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]

mod failsafe;
mod fixture;
mod promise;
mod simulation;
mod table;
mod unfit;
