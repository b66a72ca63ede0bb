//! The subcommands of `kudu-pair`, one file each.

pub mod install;
pub mod launcher;
