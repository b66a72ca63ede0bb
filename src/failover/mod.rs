//! Who is active: the decisions, without I/O. Time comes in as an argument.

pub mod member;
pub mod order;
pub mod tenure;
