//! Where a sidecar finds things.

use std::{net::SocketAddr, path::PathBuf};

/// Where a sidecar finds things.
#[derive(Debug, Clone)]
pub struct SidecarConfig {
    /// Name of the pair.
    pub pair: String,
    /// Name of this member.
    pub member: String,
    /// What names this member's pod in the Lease, before the launcher's instance: `<pod>/<pod uid>`.
    pub identity_prefix: String,
    /// The launcher's socket.
    pub launcher_socket: PathBuf,
    /// The socket for `kudu-pair ctl`.
    pub control_socket: PathBuf,
    /// The socket on which kudu-master's sync gate asks; none: it has no gate.
    pub sync_gate_socket: Option<PathBuf>,
    /// Volume of logs and metadata.
    pub wal_dir: PathBuf,
    /// Volume of data blocks; may be the same.
    pub data_dir: PathBuf,
    /// Where standbys connect.
    pub link_listen: SocketAddr,
    /// Where the report, health and readiness are served.
    pub report_listen: SocketAddr,
}
