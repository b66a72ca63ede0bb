//! The controller: observe, decide, build, apply, report.

pub mod apply;
pub mod build;
