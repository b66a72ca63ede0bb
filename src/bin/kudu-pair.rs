//! The `kudu-pair` program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kudu_pair::cli::{install, launcher};
use tracing_subscriber::EnvFilter;

/// Active/standby pairs of Apache Kudu's master.
#[derive(Parser, Debug)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Launcher(launcher::Args),
    #[command(name = kudu_pair::launcher::exec::SUBCOMMAND, hide = true)]
    LauncherExec(launcher::ExecArgs),
    Install(install::Args),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Command::LauncherExec(args) = &command {
        return launcher::run_exec(args);
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
    let result = match command {
        Command::Launcher(args) => launcher::run(args),
        Command::Install(args) => install::run(&args),
        Command::LauncherExec(_) => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kudu-pair: {error:#}");
            ExitCode::FAILURE
        }
    }
}
