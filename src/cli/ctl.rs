//! `kudu-pair ctl`: asks a sidecar on this machine.

use std::{io::Write, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use futures::{SinkExt, StreamExt};
use tokio::{net::UnixStream, time::timeout};
use tokio_util::codec::{Framed, LinesCodec};

use crate::{
    api::GapRequest,
    sidecar::{
        control_socket::{ControlReply, ControlRequest},
        coordinator::Upstream,
    },
    wal::OpId,
};

/// How long the sidecar may take to answer; it answers at once or not at all.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Ask the sidecar on this machine how it is, or, without Kubernetes, switch.
///
/// A manual switch: `demote` the old active (or see that it is dead), wait until `status` of the standby shows the head that the
/// old one ended with, `promote` the standby, and let the old one `follow` it.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The sidecar's control socket.
    #[arg(long, default_value = "/run/kudu-pair/sidecar.sock")]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the member's report as JSON.
    Status,
    /// Format the catalog of a new pair on its first active, and serve it. Once in a pair's life.
    Init,
    /// Serve. Whoever served before must have been demoted, or its launcher be dead: nothing else keeps two masters apart
    /// here.
    Promote {
        /// Refuse unless the log reaches this op, as in 3000001.1405.
        #[arg(long)]
        at_least: Option<OpId>,
        /// Epoch of the new reign. Default: one above the highest that this member knows.
        #[arg(long)]
        epoch: Option<i64>,
        /// Serve also when this member found its own log to be damaged or not to be the active's: what was acknowledged may be
        /// missing from it or altered. Only when no other member is left.
        #[arg(long)]
        unfit: bool,
    },
    /// Replay a gap that this member keeps: at once when it serves, or when it does next.
    ReplayGap {
        /// Its name, as `status` has it.
        name: String,
    },
    /// Give up a gap that this member keeps; its files stay.
    DiscardGap {
        /// Its name, as `status` has it.
        name: String,
    },
    /// Stop serving and ship what is left of the log to the standbys.
    Demote,
    /// Become the standby of another member.
    Follow {
        /// Its sidecar's address, `address:port`.
        #[arg(long)]
        link: SocketAddr,
        /// Its kudu-master's RPC address, `address:port`.
        #[arg(long)]
        rpc: SocketAddr,
    },
}

impl CtlArgs {
    /// Asks, and prints the reply.
    ///
    /// # Errors
    /// When the sidecar is not there or refuses.
    pub async fn run(self) -> anyhow::Result<()> {
        let request = match self.command {
            Command::Status => ControlRequest::Status,
            Command::Init => ControlRequest::Init,
            Command::Promote { at_least, epoch, unfit } => ControlRequest::Promote { gate: at_least, epoch, unfit },
            Command::ReplayGap { name } => ControlRequest::Gap { name, what: GapRequest::Replay },
            Command::DiscardGap { name } => ControlRequest::Gap { name, what: GapRequest::Discard },
            Command::Demote => ControlRequest::Demote,
            Command::Follow { link, rpc } => ControlRequest::Follow { master: Upstream { link, rpc } },
        };
        let stream = UnixStream::connect(&self.socket).await.with_context(|| {
            format!("no sidecar answers at {}; name its socket with --socket", self.socket.display())
        })?;
        let mut lines = Framed::new(stream, LinesCodec::new());
        lines.send(serde_json::to_string(&request)?).await?;
        let line = timeout(REPLY_TIMEOUT, lines.next())
            .await
            .context("the sidecar did not answer in time")?
            .context("the sidecar closed the connection without an answer")??;
        match serde_json::from_str(&line)? {
            ControlReply::Ok(report) => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?,
            ControlReply::Refused { message } => bail!(message),
        }
        Ok(())
    }
}
