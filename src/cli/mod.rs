//! The command line of `kudu-pair`.

pub mod controller;

/// Runs Apache Kudu's master as active/standby pairs on Kubernetes.
#[derive(clap::Parser, Debug)]
#[command(name = "kudu-pair", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `kudu-pair` can do.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Look after all KuduMasterPairs of a cluster or of one namespace.
    Controller(controller::ControllerArgs),
}

/// Runs the command that was asked for.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Controller(args) => controller::run(args),
    }
}
