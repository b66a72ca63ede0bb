//! A member's files when its process ends, the power goes or the disk fails, before and after each operation on them.
//!
//! The code under test runs on real files through [`volume::TestVolume`]; [`disk::Disk`] knows what of them a loss of power may
//! take. Each test is exhaustive in where it strikes, so its story is the same in each run.

mod appending;
mod control_file;
mod disk;
mod engine;
mod generations;
mod log;
mod volume;
