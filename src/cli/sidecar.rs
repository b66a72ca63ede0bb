//! `kudu-pair sidecar`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::{
    api_server,
    sidecar::{
        self,
        config::SidecarConfig,
        coordinator::{Coordinator, KubernetesCoordinator, ManualConfig, ManualCoordinator},
    },
};

/// Carry an active's log to its standbys, beside each kudu-master.
///
/// In a cluster the operator writes these arguments into the pod. Without Kubernetes, run it with `--coordinator manual
/// --config FILE` next to a launcher, and switch with `kudu-pair ctl`.
#[derive(Debug, Args)]
pub struct SidecarArgs {
    /// Who gives orders.
    #[arg(long, value_enum, default_value_t = CoordinatorKind::Kubernetes)]
    coordinator: CoordinatorKind,
    /// With `--coordinator manual`: the configuration file (YAML). All other arguments are for Kubernetes.
    #[arg(long, required_if_eq("coordinator", "manual"))]
    config: Option<PathBuf>,
    /// Name of the pair.
    #[arg(long, required_if_eq("coordinator", "kubernetes"))]
    pair: Option<String>,
    /// Namespace of the pair.
    #[arg(long, required_if_eq("coordinator", "kubernetes"))]
    namespace: Option<String>,
    /// Name of this member's pod.
    #[arg(long, env = "POD_NAME", required_if_eq("coordinator", "kubernetes"))]
    member: Option<String>,
    /// Uid of this member's pod.
    #[arg(long, env = "POD_UID", required_if_eq("coordinator", "kubernetes"))]
    pod_uid: Option<String>,
    /// The launcher's socket.
    #[arg(long, default_value = "/run/kudu-pair/launcher.sock")]
    launcher_socket: PathBuf,
    /// Socket on which kudu-master's sync gate asks; the launcher has the same path. Default: kudu-master has no gate.
    #[arg(long)]
    sync_gate_socket: Option<PathBuf>,
    /// The socket for `kudu-pair ctl`.
    #[arg(long, default_value = "/run/kudu-pair/sidecar.sock")]
    control_socket: PathBuf,
    /// Volume of logs and metadata.
    #[arg(long, default_value = "/var/lib/kudu/wal")]
    wal_dir: PathBuf,
    /// Volume of data blocks. Default: the volume of logs.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where standbys connect.
    #[arg(long, default_value = "0.0.0.0:7061")]
    link_listen: SocketAddr,
    /// Where the read-only report, health and readiness are served.
    #[arg(long, default_value = "0.0.0.0:8061")]
    report_listen: SocketAddr,
    /// Folder of the pair's certificates, for the stream between members.
    #[arg(long, default_value = "/etc/kudu-pair/certificates")]
    certificates: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CoordinatorKind {
    /// The pair's status and Lease in the API server.
    Kubernetes,
    /// `kudu-pair ctl`.
    Manual,
}

impl SidecarArgs {
    /// Runs the sidecar until `stop`.
    ///
    /// # Errors
    /// When it cannot begin.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let (config, coordinator) = match self.coordinator {
            CoordinatorKind::Manual => self.manual()?,
            CoordinatorKind::Kubernetes => self.kubernetes().await?,
        };
        Ok(sidecar::run(config, Arc::new(coordinator), stop).await?)
    }

    fn manual(self) -> anyhow::Result<(SidecarConfig, Coordinator)> {
        let path = self.config.context("--config: needed with --coordinator manual")?;
        let file = ManualConfig::read(&path).map_err(anyhow::Error::msg)?;
        let coordinator = ManualCoordinator::new(&file)
            .map_err(|why| anyhow::anyhow!("the configuration file {}: {why}", path.display()))?;
        let config = SidecarConfig {
            identity_prefix: format!("{}/manual", file.member),
            data_dir: file.data_dir.unwrap_or_else(|| file.wal_dir.clone()),
            pair: file.pair,
            member: file.member,
            sync_gate_socket: file.sync_gate,
            launcher_socket: file.launcher_socket,
            control_socket: file.control_socket,
            wal_dir: file.wal_dir,
            link_listen: file.listen,
            report_listen: file.report_listen,
        };
        Ok((config, Coordinator::Manual(coordinator)))
    }

    async fn kubernetes(self) -> anyhow::Result<(SidecarConfig, Coordinator)> {
        let pair = self.pair.context("--pair: needed with --coordinator kubernetes")?;
        let namespace = self.namespace.context("--namespace: needed with --coordinator kubernetes")?;
        let member = self.member.context("--member: needed with --coordinator kubernetes")?;
        let pod_uid = self.pod_uid.context("--pod-uid: needed with --coordinator kubernetes")?;
        let client = api_server::client().await.context("no access to the Kubernetes API")?;
        let coordinator = KubernetesCoordinator::begin(client, &namespace, &pair, &member, &self.certificates);
        let config = SidecarConfig {
            identity_prefix: format!("{member}/{pod_uid}"),
            data_dir: self.data_dir.unwrap_or_else(|| self.wal_dir.clone()),
            pair,
            member,
            sync_gate_socket: self.sync_gate_socket,
            launcher_socket: self.launcher_socket,
            control_socket: self.control_socket,
            wal_dir: self.wal_dir,
            link_listen: self.link_listen,
            report_listen: self.report_listen,
        };
        Ok((config, Coordinator::Kubernetes(Box::new(coordinator))))
    }
}
