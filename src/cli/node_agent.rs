//! `kudu-pair node-agent`: cuts a node's connections over to a pair's new active.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{self, Options},
    api_server,
};

/// Cut this node's long-lived connections over when a pair's Service leads to a new active.
///
/// A node that loses its power tells nobody, and connections to an active on it hang for minutes. This makes the kernel forget
/// where they led, so that their clients are reset and connect anew. No other connection is touched.
///
/// Has to run in the network of the node whose clients it is for, as the chart's DaemonSet does, with the capabilities NET_ADMIN
/// and NET_RAW.
#[derive(clap::Args, Debug)]
pub struct NodeAgentArgs {
    /// Namespaces whose pairs are looked after, with commas between them. Without it: all namespaces, which needs a
    /// ClusterRole.
    #[arg(long, alias = "namespace", env = "WATCH_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    namespaces: Vec<String>,

    /// Address of /health (the process runs) and /ready (nothing is missing, or what). It is the node's network, so the default
    /// is seen from the node alone.
    #[arg(long, env = "HEALTH_LISTEN", default_value = "127.0.0.1:8062", value_name = "ADDRESS:PORT")]
    health_listen: SocketAddr,
}

impl NodeAgentArgs {
    /// Runs until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let client =
            api_server::client().await.context("cannot find an API server: set KUBECONFIG, or run in a pod")?;
        let options = Options { namespaces: self.namespaces, health_listen: self.health_listen };
        agent::run(client, options, stop).await.context("the node agent cannot run")
    }
}
