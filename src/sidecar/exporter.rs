//! Serves `/metrics` of a member.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, TryLockError},
    time::Duration,
};

use axum::{Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use jiff::Timestamp;

use super::{
    acknowledgements::Acknowledgements, board::Board, config::SidecarConfig, shipping::blocking, store::AnchorStore,
};
use crate::metrics::{self, MemberView, Volume};

/// Volumes that do not answer within this are left out: a disk that stalls must hold up nothing else.
const LOOK: Duration = Duration::from_millis(500);

/// What a member's `/metrics` is made from.
#[derive(Clone)]
pub(super) struct Exporter {
    board: Arc<Board>,
    anchors: AnchorStore,
    /// Where kudu-master has a gate.
    acknowledgements: Option<Acknowledgements>,
    wal_dir: PathBuf,
    /// When it is another volume.
    data_dir: Option<PathBuf>,
    /// Held by whoever looks at the volumes: on a disk that hangs one thread waits, not one for each scrape.
    looking: Arc<Mutex<()>>,
}

impl Exporter {
    pub(super) fn new(
        config: &SidecarConfig,
        board: Arc<Board>,
        anchors: AnchorStore,
        acknowledgements: Acknowledgements,
    ) -> Self {
        Self {
            board,
            anchors,
            acknowledgements: config.sync_gate_socket.as_ref().map(|_| acknowledgements),
            wal_dir: config.wal_dir.clone(),
            data_dir: Some(config.data_dir.clone()).filter(|data| *data != config.wal_dir),
            looking: Arc::default(),
        }
    }

    pub(super) fn router(self) -> Router {
        Router::new().route("/metrics", get(page)).with_state(self)
    }

    async fn view(&self) -> MemberView {
        let files = self.clone();
        let look = blocking(move || files.look());
        let (volumes, base_taken) = tokio::time::timeout(LOOK, look).await.unwrap_or_default();
        MemberView {
            report: self.board.report(),
            base_taken,
            volumes,
            certificate_ends: self.board.certificate_ends(),
            oldest_wait: self.acknowledgements.as_ref().map(|waits| waits.oldest().unwrap_or_default()),
        }
    }

    fn look(&self) -> (Vec<Volume>, Option<Timestamp>) {
        match self.looking.try_lock() {
            Err(TryLockError::WouldBlock) => (Vec::new(), None),
            _held => (self.volumes(), self.base_taken()),
        }
    }

    fn volumes(&self) -> Vec<Volume> {
        let volumes = [("wal", Some(&self.wal_dir)), ("data", self.data_dir.as_ref())];
        let look = |(name, folder): (&'static str, Option<&PathBuf>)| {
            let space = rustix::fs::statvfs(folder?).ok()?;
            let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
            Some(Volume { name, size_bytes: bytes(space.f_blocks), free_bytes: bytes(space.f_bavail) })
        };
        volumes.into_iter().filter_map(look).collect()
    }

    /// Kudu writes the file `instance` when a catalog is made, and never again; so does the launcher in a copy.
    fn base_taken(&self) -> Option<Timestamp> {
        let instance = self.wal_dir.join(self.anchors.current().generation?).join("instance");
        Timestamp::try_from(std::fs::metadata(instance).ok()?.modified().ok()?).ok()
    }
}

async fn page(State(exporter): State<Exporter>) -> impl IntoResponse {
    let page = metrics::member_page(exporter.board.counters(), exporter.view().await);
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], page)
}
