//! The `kudu-pair` program.
fn main() {}
