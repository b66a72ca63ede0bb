//! `kudu-pair controller`: looks after pairs.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    api_server,
    controller::{self, Options, PageListen},
};

/// Look after all KuduMasterPairs of a cluster or of some namespaces.
///
/// Makes each pair's objects, notices when an active is lost, and switches: by plan, when annotated with
/// kudupair.io/switchover, and without one when the active's Lease ran out. Several replicas may run; one leads, and
/// another one takes over within 4 s when it is lost.
///
/// Talks to the API server that KUBECONFIG names, or to the one of the cluster that it runs in. The log's level follows
/// RUST_LOG, as in RUST_LOG=kudu_pair=debug.
#[derive(clap::Args, Debug)]
pub struct ControllerArgs {
    /// Namespaces whose pairs are looked after, with commas between them. Without it: all namespaces, which needs a
    /// ClusterRole.
    #[arg(long, alias = "namespace", env = "WATCH_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    namespaces: Vec<String>,

    /// This program's own image, as in registry.example/kudu-pair:1.0.0: members take the launcher and the sidecar from
    /// it. A new value restarts all members, standbys first.
    #[arg(long, env = "OPERATOR_IMAGE", value_name = "IMAGE")]
    operator_image: String,

    /// Namespace of the Lease by which replicas of the controller agree on one that acts.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    leader_namespace: String,

    /// Name of this replica; must differ between replicas, as a pod's name does.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: String,

    /// Address of /health (the process runs), /ready (nothing is missing, or what) and /metrics (OpenMetrics).
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS:PORT")]
    health_listen: SocketAddr,

    /// Address of the page that shows all pairs, which changes nothing; `off` for none. Whoever reaches it sees what `get` of pairs shows. On
    /// the loopback address, as by default, that is who may kubectl port-forward to this pod.
    #[arg(long, env = "PAGE_LISTEN", default_value = "127.0.0.1:8063", value_name = "ADDRESS:PORT")]
    page_listen: PageListen,
}

/// Runs `kudu-pair controller`, until SIGTERM or SIGINT.
pub fn run(args: ControllerArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(run_until_stopped(args))
}

async fn run_until_stopped(args: ControllerArgs) -> anyhow::Result<()> {
    let client = api_server::client().await.context("cannot find an API server: set KUBECONFIG, or run in a pod")?;
    let ControllerArgs { namespaces, operator_image, leader_namespace, identity, health_listen, page_listen } = args;
    let options = Options { namespaces, operator_image, leader_namespace, identity, health_listen, page_listen };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    };
    controller::run(client, options, stop).await.context("the controller cannot run")
}
