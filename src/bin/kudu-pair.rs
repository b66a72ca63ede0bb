//! The `kudu-pair` program; see `kudu-pair --help`.

use std::process::ExitCode;

use clap::Parser;
use kudu_pair::cli::Cli;

fn main() -> ExitCode {
    // One TLS library for the whole program. A second installation is the only error, and this is the first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Cli::parse().run() {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("kudu-pair: {error:#}");
            ExitCode::FAILURE
        }
    }
}
