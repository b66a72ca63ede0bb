//! The command line of `kudu-pair`, one file a command.

pub mod controller;
pub mod crd;
pub mod ctl;
pub mod gap;
pub mod install;
pub mod launcher;
pub mod node_agent;
pub mod pki;
pub mod sidecar;
pub mod wal;

use std::io::stdout;

use tokio_util::sync::CancellationToken;

use crate::{
    launcher::{exec, second_guard},
    telemetry::{self, LogFormat},
};

/// Runs Apache Kudu's master as active/standby pairs on Kubernetes.
#[derive(clap::Parser, Debug)]
#[command(name = "kudu-pair", version)]
pub struct Cli {
    /// How logs are written, to the standard error. `RUST_LOG` chooses what is written; default: `info`.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "KUDU_PAIR_LOG_FORMAT")]
    log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// What `kudu-pair` can do.
#[derive(clap::Subcommand, Debug)]
enum Command {
    Controller(controller::ControllerArgs),
    Crd(crd::CrdArgs),
    Ctl(ctl::CtlArgs),
    Gap(gap::GapArgs),
    Install(install::Args),
    Launcher(launcher::Args),
    #[command(name = exec::SUBCOMMAND, hide = true)]
    LauncherExec(launcher::ExecArgs),
    /// Kills what the launcher lets it watch at a deadline; its standard input is the launcher's socket.
    #[command(name = second_guard::SUBCOMMAND, hide = true)]
    LauncherGuard,
    NodeAgent(node_agent::NodeAgentArgs),
    Pki(pki::PkiArgs),
    Sidecar(sidecar::SidecarArgs),
    Wal(wal::WalArgs),
}

impl Cli {
    /// Does what was asked for; returns the exit code.
    ///
    /// # Errors
    /// When it cannot be done; the text says what to do.
    pub fn run(self) -> anyhow::Result<u8> {
        if !matches!(self.command, Command::LauncherExec(_) | Command::LauncherGuard) {
            telemetry::begin(self.log_format);
        }
        match self.command {
            Command::Controller(args) => controller::run(args)?,
            Command::Crd(args) => crd::run(&args)?,
            Command::Ctl(args) => on_runtime(args.run())?,
            Command::Gap(args) => return Ok(args.run_and_tell(&mut stdout().lock())),
            Command::Install(args) => install::run(&args)?,
            Command::Launcher(args) => launcher::run(args)?,
            Command::LauncherExec(args) => return Ok(launcher::run_exec(&args)),
            Command::LauncherGuard => second_guard::run(std::io::stdin()),
            Command::NodeAgent(args) => on_runtime(async { args.run(until_terminated()?).await })?,
            Command::Pki(args) => pki::run(&args)?,
            Command::Sidecar(args) => on_runtime(async { args.run(until_terminated()?).await })?,
            Command::Wal(args) => return Ok(args.run(&mut stdout().lock())?.exit_code()),
        }
        Ok(0)
    }
}

/// Runs a command that waits for many things at once.
fn on_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Is cancelled by SIGTERM or SIGINT.
fn until_terminated() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending");
        token.cancel();
    });
    Ok(stop)
}
