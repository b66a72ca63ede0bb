//! One duty at a time: takes the member's order, carries it out, and ends it before the next begins.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    SidecarError,
    acknowledgements::Acknowledgements,
    asking::Asking,
    board::Board,
    config::SidecarConfig,
    coordinator::Coordinator,
    follow,
    gaps::GapStore,
    generation,
    pledge_store::PledgeStore,
    serve,
    shipping::{Current, blocking},
    store::AnchorStore,
    waiting_room::WaitingRoom,
};
use crate::{
    api::{LogFault, MemberState, Role, UnfitLog},
    failover::order::Order,
    launcher::{
        client::{LauncherClient, LauncherError},
        protocol::{LauncherStatus, MasterState, Request},
    },
    volume::Disk,
};

/// Pause before a duty that failed is begun again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a launcher that is not there is looked for again; its container starts with this one.
const LAUNCHER_PAUSE: Duration = Duration::from_millis(100);

/// How long a member that ends waits for its successor to be chosen.
const SUCCESSION_LIMIT: Duration = Duration::from_secs(10);
/// After so long a chosen successor serves and the Service points at it, as a rule.
const REPOINT_TIME: Duration = Duration::from_secs(3);
/// After so long without an answer while the pod ends, the launcher is dead and the kernel has ended what it ran.
const LAUNCHER_DEATH: Duration = Duration::from_millis(1000);

/// A member and all it works with.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) config: SidecarConfig,
    pub(super) anchors: AnchorStore,
    pub(super) board: Arc<Board>,
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) shipping: Current,
    pub(super) acknowledgements: Acknowledgements,
    /// What it has pledged; none where there is no Lease.
    pub(super) pledges: Option<PledgeStore>,
    pub(super) asking: Asking,
    pub(super) waiting_room: WaitingRoom,
    pub(super) gaps: GapStore,
    /// The epoch in which this run of the sidecar gave the Lease back: it may not take it again, and need not give it back again.
    pub(super) released: i64,
    pub(super) stop: CancellationToken,
}

/// The order being carried out, and whether it still stands.
#[derive(Debug)]
pub(super) struct Duty {
    order: Order,
    orders: watch::Receiver<Order>,
    stop: CancellationToken,
}

impl Duty {
    /// Whether another order has come, or the sidecar is ending.
    pub(super) fn is_over(&self) -> bool {
        self.stop.is_cancelled() || !self.orders.borrow().continues(&self.order)
    }

    /// Resolves when [`is_over`](Self::is_over).
    pub(super) async fn over(&mut self) {
        let order = &self.order;
        tokio::select! {
            () = self.stop.cancelled() => {}
            ended = self.orders.wait_for(|next| !next.continues(order)) => {
                if ended.is_err() {
                    // The coordinator is gone: nobody gives orders any more, so this one stands.
                    self.stop.cancelled().await;
                }
            }
        }
    }

    /// Resolves when another order has come, though the sidecar may be ending.
    pub(super) async fn order_changed(&mut self) {
        let order = &self.order;
        if self.orders.wait_for(|next| !next.continues(order)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The order that stands now; none when the sidecar is ending.
    pub(super) fn next(&self) -> Option<Order> {
        (!self.stop.is_cancelled()).then(|| self.orders.borrow().clone())
    }
}

impl Member {
    /// Carries out orders until the sidecar is to end.
    pub(super) async fn run(mut self) {
        self.look_at_gaps().await;
        while !self.stop.is_cancelled() {
            let mut duty = self.duty();
            if let Err(error) = self.carry_out(&mut duty).await {
                tracing::error!(%error, order = ?duty.order, "the order cannot be carried out");
                self.board.fail(&error);
                tokio::select! {
                    () = duty.over() => {}
                    () = sleep(RETRY_PAUSE) => {}
                }
            }
        }
        self.linger().await;
    }

    /// Keeps the pod's network alive for a moment after the reign was given back.
    ///
    /// With the last container the pod's address goes. A client that knocks there before the Service points elsewhere
    /// would hear nothing and wait for its connection to time out; while the pod is there it is refused at once and tries again.
    async fn linger(&self) {
        let mut orders = self.coordinator.orders();
        let replaced = orders.wait_for(|order| matches!(order, Order::Follow { .. }));
        if self.released > 0 && tokio::time::timeout(SUCCESSION_LIMIT, replaced).await.is_ok() {
            sleep(REPOINT_TIME).await;
        }
    }

    /// The order that stands now, as a duty.
    pub(super) fn duty(&self) -> Duty {
        let mut orders = self.coordinator.orders();
        let order = orders.borrow_and_update().clone();
        Duty { order, orders, stop: self.stop.clone() }
    }

    async fn carry_out(&mut self, duty: &mut Duty) -> Result<(), SidecarError> {
        let order = duty.order.clone();
        tracing::info!(?order, "order");
        let known = self.anchors.current().epoch;
        if self.coordinator.is_stale(&order, known) {
            let order_epoch = order.epoch();
            self.board.enter(Role::Unknown, MemberState::Waiting);
            self.board.facts().message = Some(format!(
                "the order is for epoch {order_epoch} and this member has obeyed epoch {known}; it waits for a newer one"
            ));
            duty.over().await;
            return Ok(());
        }
        match order {
            Order::Wait => {
                // A kudu-master that runs under no order is not stopped here: its launcher does that when its Lease is over,
                // and until the first order is known it may well be the active.
                self.board.enter(Role::Unknown, MemberState::Waiting);
                while self.launcher_status(duty).await?.is_some() {
                    self.look_at_log().await?;
                    tokio::select! {
                        () = duty.over() => break,
                        () = sleep(RETRY_PAUSE) => {}
                    }
                }
                Ok(())
            }
            Order::Follow { epoch, active, .. } => follow::run(self, duty, epoch, &active).await,
            Order::Serve { epoch, gate, format } => serve::run(self, duty, epoch, gate, format).await,
            Order::StandDown { epoch, successor } => serve::stand_down(self, duty, epoch, successor).await,
        }
    }

    /// Remembers an epoch durably before anything of it is obeyed.
    pub(super) fn obey(&mut self, epoch: i64) -> Result<(), SidecarError> {
        self.anchors.update(|anchors| anchors.epoch = anchors.epoch.max(epoch))?;
        self.board.facts().epoch = self.anchors.current().epoch;
        Ok(())
    }

    /// Remembers durably that the log in use must not be continued, and raises the alarm. A new base takes its place.
    pub(super) fn condemn(&mut self, fault: LogFault, message: String) -> Result<(), SidecarError> {
        let anchors = self.anchors.current();
        let Some(generation) = anchors.generation.clone().filter(|_| !anchors.is_unfit()) else { return Ok(()) };
        tracing::error!(?fault, generation, message, "the log of this member is unfit; it takes a new base");
        let unfit = UnfitLog { generation, epoch: anchors.epoch, fault, message, replaced: false };
        self.anchors.update(|anchors| anchors.unfit = Some(unfit))?;
        self.show_fitness();
        Ok(())
    }

    /// Whoever serves has the pair's log, whatever was found when it followed another.
    pub(super) fn acquit(&mut self) -> Result<(), SidecarError> {
        if self.anchors.current().is_unfit() {
            self.anchors.update(|anchors| anchors.unfit = None)?;
            self.show_fitness();
        }
        Ok(())
    }

    /// Puts on the board whether the log in use may be continued.
    pub(super) fn show_fitness(&self) {
        let mut facts = self.board.facts();
        (facts.unfit, facts.verified) = (self.anchors.current().unfit, None);
    }

    /// Sends one request to the launcher.
    pub(super) async fn call(&self, request: Request) -> Result<LauncherStatus, SidecarError> {
        let mut client = LauncherClient::connect(&self.config.launcher_socket).await?;
        let status = client.call(request).await?;
        self.observe(&status);
        Ok(status)
    }

    /// The launcher's status, once it is there.
    pub(super) async fn launcher_status(&self, duty: &mut Duty) -> Result<Option<LauncherStatus>, SidecarError> {
        loop {
            match self.call(Request::Status).await {
                Ok(status) => return Ok(Some(status)),
                Err(SidecarError::Launcher(LauncherError::NotThere { .. })) => {}
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = duty.over() => return Ok(None),
                () = sleep(LAUNCHER_PAUSE) => {}
            }
        }
    }

    /// Makes sure that kudu-master is not running, however long that takes.
    ///
    /// A launcher that nobody reaches is dead, or has not begun: its kudu-master dies with it, at the latest after the
    /// time that a kill may take. Its container and this one end together when the pod does.
    pub(super) async fn stop_master(&self) -> Result<(), SidecarError> {
        let begun = Instant::now();
        loop {
            match self.call(Request::Stop).await {
                Err(SidecarError::Launcher(LauncherError::NotThere { .. })) => {
                    if self.stop.is_cancelled()
                        && (self.board.facts().master_stopped || begun.elapsed() >= LAUNCHER_DEATH)
                    {
                        self.board.facts().master_stopped = true;
                        return Ok(());
                    }
                    sleep(LAUNCHER_PAUSE).await;
                }
                other => return other.map(drop),
            }
        }
    }

    /// The name under which this member may hold the Lease while this launcher runs.
    pub(super) fn identity(&self, launcher: &LauncherStatus) -> String {
        format!("{}/{}", self.config.identity_prefix, launcher.instance)
    }

    /// Removes generations that a crash left behind. The log of one that was in use is kept; one that is newer than the one in
    /// use never was.
    pub(super) async fn tidy(&mut self) -> Result<(), SidecarError> {
        let (wal_dir, data_dir) = (self.config.wal_dir.clone(), self.config.data_dir.clone());
        let current = self.anchors.current().generation;
        blocking(move || {
            for leftover in generation::leftovers(&wal_dir, &data_dir, current.as_deref())? {
                if current.as_deref().is_some_and(|current| generation::is_newer(&leftover, current)) {
                    tracing::info!(generation = leftover, "a generation that was never in use is removed");
                    generation::remove(&Disk, &wal_dir, &data_dir, &leftover)?;
                } else {
                    tracing::info!(generation = leftover, "a replaced generation is removed, its log kept");
                    generation::quarantine(&Disk, &wal_dir, &data_dir, &leftover)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Puts the head of the log at rest on the board.
    pub(super) async fn look_at_log(&self) -> Result<(), SidecarError> {
        if let Some(generation) = self.anchors.current().generation {
            let folder = generation::log_folder(&self.config.wal_dir, &generation);
            let summary = blocking(move || super::log::summarize(&folder)).await?;
            self.board.facts().head = summary.last;
        }
        Ok(())
    }

    fn observe(&self, status: &LauncherStatus) {
        let mut facts = self.board.facts();
        facts.identity = self.identity(status);
        facts.master_stopped = !matches!(status.master, MasterState::Running { .. });
        if let MasterState::Stopped { kill_micros: micros @ 1.., .. } = status.master {
            facts.kill = Some(Duration::from_micros(micros));
        }
    }
}
