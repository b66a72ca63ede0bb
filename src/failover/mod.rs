//! Who is active: the decisions, without I/O. Time and randomness come in as arguments.
//!
//! The controller observes ([`observation`]), asks [`decide::decide`], and does what comes out ([`action`]). What a member
//! has to do follows from the pair's status alone ([`order`]).

pub mod action;
pub mod bounds;
pub(crate) mod budget;
mod choose;
pub mod decide;
mod encryption;
pub mod failsafe;
mod fence;
pub mod fenced;
mod gaps;
pub mod hung;
mod initialize;
mod kill_time;
pub mod lease;
mod loss;
pub mod member;
pub mod observation;
pub mod order;
pub(crate) mod overview;
mod peace;
mod policy;
mod promise;
mod promote;
pub mod receipt;
mod rolling;
pub mod stalled;
mod stay;
pub mod switchover;
pub mod tenure;
mod verification;
