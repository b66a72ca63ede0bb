//! The command line of `kudu-pair`.

pub mod crd;

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
    /// Print the CustomResourceDefinition, or write it into a folder.
    Crd(crd::CrdArgs),
}

/// Runs the command that was asked for.
pub fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Command::Crd(args) => crd::run(args),
    }
}
