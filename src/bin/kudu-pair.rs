//! The `kudu-pair` program.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use kudu_pair::cli::wal::WalArgs;

/// Kudu master pairs.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Wal(WalArgs),
}

fn main() -> ExitCode {
    let Command::Wal(wal) = Cli::parse().command;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = wal.run(&mut out);
    match outcome.map_err(anyhow::Error::from).and_then(|outcome| Ok((outcome, out.flush()?))) {
        Ok((outcome, ())) => outcome.exit_code().into(),
        Err(error) => {
            eprintln!("kudu-pair: {error:#}");
            2.into()
        }
    }
}
