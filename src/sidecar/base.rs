//! Taking a base: a consistent copy of the active's catalog, in a generation of its own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{SidecarError, board::Board, config::SidecarConfig, generation, member::Member, shipping::blocking};
use crate::{
    api::{MemberState, Role},
    launcher::{
        client::LauncherClient,
        protocol::{Generation, Request},
        volumes::Volumes,
    },
    waldir::LogAppender,
};

/// How often the progress of a copy is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Copies a base into a new generation; the old one is kept until the new one counts.
pub(super) async fn take(member: &mut Member, uuid: String, rpc: &str) -> Result<(), SidecarError> {
    member.board.enter(Role::Standby, MemberState::CopyingBase);
    let generation = generation::next(&member.anchors)?;
    Copy::new(member, &generation, uuid.clone(), rpc).run().await?;
    let folder = generation::log_folder(&member.config.wal_dir, &generation);
    let head = blocking(move || LogAppender::open(&folder).map(|log| log.summary().last)).await?;
    generation::adopt(&member.anchors, &generation, &uuid, head)?;
    {
        let mut facts = member.board.facts();
        (facts.catalog_uuid, facts.head) = (Some(uuid), head);
    }
    member.show_fitness();
    member.tidy().await
}

/// A copy of a base by the launcher. Cancelled when its future is dropped.
#[derive(Debug)]
pub(super) struct Copy {
    board: Arc<Board>,
    launcher_socket: PathBuf,
    wal_dir: PathBuf,
    data_dir: PathBuf,
    generation: Generation,
    uuid: String,
    rpc: String,
    bytes_per_second: u64,
}

impl Copy {
    /// The copy of the catalog of this uuid, served at `rpc`, into a generation that does not exist yet.
    pub(super) fn new(member: &Member, generation: &str, uuid: String, rpc: &str) -> Self {
        let SidecarConfig { launcher_socket, wal_dir, data_dir, .. } = &member.config;
        Self {
            board: Arc::clone(&member.board),
            launcher_socket: launcher_socket.clone(),
            wal_dir: wal_dir.clone(),
            data_dir: data_dir.clone(),
            generation: generation.to_owned(),
            uuid,
            rpc: rpc.to_owned(),
            bytes_per_second: member.coordinator.replay_bounds().copy_bytes_per_second,
        }
    }

    /// Copies, and shows in the report how far it is.
    pub(super) async fn run(self) -> Result<(), SidecarError> {
        let _shown = Shown(Arc::clone(&self.board));
        let request = Request::CopyBase {
            generation: self.generation.clone(),
            uuid: self.uuid,
            from: self.rpc,
            bytes_per_second: Some(self.bytes_per_second),
        };
        let mut launcher = LauncherClient::connect(&self.launcher_socket).await?;
        let copied = launcher.call(request);
        tokio::pin!(copied);
        loop {
            let (wal_dir, data_dir, generation) =
                (self.wal_dir.clone(), self.data_dir.clone(), self.generation.clone());
            tokio::select! {
                done = &mut copied => return Ok(done.map(drop)?),
                () = sleep(LOOK) => {}
            }
            let bytes = blocking(move || Volumes::open(&wal_dir, &data_dir).map(|at| at.partial(&generation).bytes()));
            self.board.facts().base_bytes = bytes.await.ok();
        }
    }
}

/// Takes the progress off the board when the copy ends in whatever way.
struct Shown(Arc<Board>);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.facts().base_bytes = None;
    }
}
