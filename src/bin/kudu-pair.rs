//! The `kudu-pair` program.

use clap::Parser as _;
use kudu_pair::cli::{self, Cli};

fn main() -> anyhow::Result<()> {
    cli::run(Cli::parse())
}
