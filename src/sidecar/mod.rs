//! The sidecar: one beside each kudu-master. It carries out the order that its member has been given.
//!
//! ```text
//! coordinator ──order──▶ member ──▶ serve   : lease, launcher, shipping ──▶ link ──▶ standbys
//!     ▲                    │        follow  : link ──▶ store
//!     └──── board ◀────────┘        (one duty at a time, each ended before the next begins)
//! ```

mod acknowledgements;
mod anchoring;
mod asking;
mod base;
pub mod board;
mod canary;
mod comparison;
pub mod config;
pub mod control_socket;
pub mod coordinator;
mod courier;
mod desk;
mod error;
mod exporter;
mod follow;
pub mod gaps;
mod gate;
pub mod generation;
mod lags;
mod link;
mod log;
mod log_watch;
mod member;
mod pledge_store;
mod prober;
mod refresh;
pub mod replay;
mod report;
mod reread;
mod retention;
mod security;
mod serve;
mod shipping;
mod standby_feed;
pub mod store;
mod tablet_watch;
mod tenancy;
mod tls;
mod waiting_room;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use error::SidecarError;
pub use tls::{TlsError, TlsFiles};

use crate::launcher::{
    client::LauncherClient,
    protocol::{LauncherStatus, MasterState, Request},
};

use self::{
    acknowledgements::Acknowledgements,
    asking::Asking,
    board::Board,
    config::SidecarConfig,
    coordinator::Coordinator,
    exporter::Exporter,
    gaps::GapStore,
    member::Member,
    pledge_store::PledgeStore,
    standby_feed::{Hall, Turns},
    store::AnchorStore,
    waiting_room::WaitingRoom,
};

/// Runs a sidecar until `stop`; it then ends its reign, if it has one, gives the Lease back and returns.
///
/// # Errors
/// When it cannot begin: an address in use, a control file that cannot be trusted.
pub async fn run(
    config: SidecarConfig,
    coordinator: Arc<Coordinator>,
    stop: CancellationToken,
) -> Result<(), SidecarError> {
    let anchors = AnchorStore::open(&config.wal_dir, &config.pair)?;
    // Without Kubernetes there is no Lease, and nobody pledges.
    let pledges = match &*coordinator {
        Coordinator::Kubernetes(_) => Some(PledgeStore::open(&config)?),
        Coordinator::Manual(_) => None,
    };
    let asking = Asking::default();
    let board = Arc::new(Board::new(&config, &anchors.current(), coordinator.security()));
    let servers = CancellationToken::new();
    let shipping = shipping::Current::default();
    let acknowledgements = Acknowledgements::new(board.counters().clone());
    let exporter = Exporter::new(&config, Arc::clone(&board), anchors.clone(), acknowledgements.clone());
    let gaps = GapStore::new(&config.wal_dir);
    resume(&config, &coordinator).await;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(report::serve(
        report::bind(config.report_listen).await?,
        Arc::clone(&board),
        exporter.router(),
        servers.clone(),
    ));
    tasks.spawn(control_socket::serve(
        control_socket::bind(&config.control_socket)?,
        Arc::clone(&board),
        Arc::clone(&coordinator),
        servers.clone(),
    ));
    let hall = Hall {
        coordinator: Arc::clone(&coordinator),
        current: shipping.clone(),
        board: Arc::clone(&board),
        acknowledgements: acknowledgements.clone(),
        asking: asking.clone(),
        gaps: gaps.clone(),
        turns: Turns::default(),
    };
    tasks.spawn(standby_feed::serve(link::bind(config.link_listen).await?, hall, servers.clone()));
    if let Some(socket) = &config.sync_gate_socket {
        tasks.spawn(gate::serve(gate::bind(socket)?, acknowledgements.clone(), servers.clone()));
    }
    tasks.spawn(tablet_watch::keep(Arc::clone(&board), servers.clone()));
    tasks.spawn(anchoring::keep(anchors.clone(), Arc::clone(&board), servers.clone()));
    let waiting_room = WaitingRoom::new(coordinator.leads_elsewhere());
    Member {
        config,
        anchors,
        board,
        coordinator,
        shipping,
        acknowledgements,
        pledges,
        asking,
        waiting_room,
        gaps,
        released: 0,
        stop,
    }
    .run()
    .await;
    servers.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Without Kubernetes nobody repeats an order after a restart of the sidecar alone: a kudu-master that its launcher still
/// runs just goes on.
async fn resume(config: &SidecarConfig, coordinator: &Coordinator) {
    let Coordinator::Manual(manual) = coordinator else { return };
    let Ok(mut launcher) = LauncherClient::connect(&config.launcher_socket).await else { return };
    if let Ok(LauncherStatus { master: MasterState::Running { epoch, .. }, .. }) = launcher.call(Request::Status).await
    {
        manual.promote(epoch, None, None);
    }
}
