//! `kudu-pair launcher` and the hidden `kudu-pair launcher-exec`.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::launcher::{
    child::Children,
    exec,
    flags::{Addresses, check_user_flags},
    gate::Gate,
    jobs::Workshop,
    keeper::{self, Message},
    machine::Event,
    server,
    tools::Programs,
    volumes::Volumes,
};

/// Run kudu-master only while its lease is good.
///
/// Starts no kudu-master by itself: it waits on a socket for a sidecar (`kudu-pair sidecar`) that says in which epoch, on
/// which generation of the files, and until when. It kills kudu-master by its own clock when the time is over, restarts it at once
/// when it crashes, and runs Kudu's tools to format a catalog, copy one from a running master, and raise its term.
///
/// Kudu's log goes to standard error, the launcher's own events to standard output. Each life of a kudu-master
/// is written to reigns.jsonl in the folder of the log.
///
/// SIGTERM or SIGINT kills kudu-master at once (it has no graceful stop), then waits up to 20 s for the sidecar to hear of it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  kudu-pair launcher --socket /run/kudu-pair/launcher.sock --wal-dir /var/lib/kudu/wal \\\n    \
--data-dir /var/lib/kudu/data --advertise kudu-master.example:7051 -- --heartbeat_interval_ms=500"
)]
pub struct Args {
    /// Socket for the sidecar; one that an earlier launcher left is replaced.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,

    /// Folder for the log and the metadata, one folder a generation below it.
    #[arg(long, value_name = "DIR")]
    wal_dir: PathBuf,

    /// Folder for the data blocks. Default: they lie with the log.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Folder of the programs `kudu` and `kudu-master`. Default: /opt/kudu/bin, else the first on PATH that has both.
    #[arg(long, value_name = "DIR")]
    kudu_bin_dir: Option<PathBuf>,

    /// Address on which kudu-master serves RPC; its web pages are bound to the same host.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:7051")]
    rpc_bind: String,

    /// Port of kudu-master's web pages.
    #[arg(long, value_name = "PORT", default_value_t = 8051)]
    webserver_port: u16,

    /// Address under which clients and tablet servers reach the pair: the same for all its members. Default: what
    /// kudu-master finds out itself.
    ///
    /// kudu-master resolves a name when it starts, fails when it cannot, and tells clients the address that it found. So
    /// give an address that does not change, such as a Service's cluster IP: then no promotion depends on DNS.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,

    /// Library of the sync gate, which `kudu-pair install` writes beside the program: kudu-master then acknowledges nothing
    /// that its sidecar has not permitted. A kudu-master without it is killed.
    #[arg(long, value_name = "FILE", requires = "sync_gate_socket")]
    sync_gate: Option<PathBuf>,

    /// Socket on which the sidecar answers the sync gate; the sidecar has the same path.
    #[arg(long, value_name = "PATH", requires = "sync_gate")]
    sync_gate_socket: Option<PathBuf>,

    /// Flags of kudu-master, as in --heartbeat_interval_ms=500. Those that kudu-pair sets itself are refused.
    #[arg(last = true, value_name = "FLAG")]
    flags: Vec<String>,
}

/// What a child of the launcher is until it may execute its program.
#[derive(clap::Args, Debug)]
pub struct ExecArgs {
    /// Process id of the launcher.
    launcher: i32,
    /// The program.
    program: PathBuf,
    /// The program's arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs the launcher.
pub fn run(args: Args) -> Result<()> {
    die_of_panics();
    check_user_flags(&args.flags)?;
    let gate = match (&args.sync_gate, &args.sync_gate_socket) {
        (Some(library), Some(socket)) => Some(Gate::new(library, socket)?),
        _ => None,
    };
    let programs = Programs::find(args.kudu_bin_dir.as_deref())?;
    let volumes = Volumes::open(&args.wal_dir, args.data_dir.as_deref().unwrap_or(&args.wal_dir))?;
    let _lock = volumes.lock()?;
    volumes.clear_leftovers()?;
    let addresses = Addresses {
        rpc_bind: args.rpc_bind,
        webserver_port: args.webserver_port,
        advertise: args.advertise,
        webserver_advertised_port: None,
    };
    let children = Arc::new(Children::default());
    let workshop = Workshop { programs, volumes, children: Arc::clone(&children), user_flags: args.flags };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // Before there is a socket, so that whoever finds one finds a launcher that can do its work.
        let version = workshop.programs.version(&children).context("Kudu's programs cannot be run")?;
        let listener = server::bind(&args.socket).await?;
        let instance = uuid::Uuid::new_v4().to_string();
        tracing::info!(instance, version, socket = %args.socket.display(), "launcher is ready");
        let (messages, left) = keeper::start(instance, workshop, addresses, gate)?;
        let end = messages.clone();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(async move {
            loop {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                tracing::info!("asked by a signal to end");
                // It fails only when the launcher has ended.
                let _ = end.send(Message::Event(Event::Terminate));
            }
        });
        if std::process::id() == 1 {
            let mut child = signal(SignalKind::child())?;
            tokio::spawn(async move {
                while child.recv().await.is_some() {
                    children.reap_orphans();
                }
            });
        }
        server::serve(listener, messages, left).await;
        tracing::info!("launcher leaves");
        // A socket without a listener would look like a launcher that hangs.
        std::fs::remove_file(&args.socket).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        anyhow::Ok(())
    });
    runtime.shutdown_background();
    result
}

/// Becomes another program when the launcher allows it.
pub fn run_exec(args: &ExecArgs) -> u8 {
    let error = exec::become_program(args.launcher, &args.program, &args.args);
    eprintln!("{}: {error}", args.program.display());
    126
}

/// A thread that is gone would leave kudu-master without one of its keepers; a process that is gone takes it along.
fn die_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}
