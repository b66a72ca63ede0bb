//! The kubectl plugin; see `kubectl kudupair --help`.

use std::process::ExitCode;

use clap::Parser;
use kudu_pair::plugin::Plugin;

fn main() -> ExitCode {
    // One TLS library for the whole program. A second installation is the only error, and this is the first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Plugin::parse().run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
