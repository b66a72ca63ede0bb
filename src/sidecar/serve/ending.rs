//! How a reign ends: kudu-master stopped, the log shipped, the Lease given back.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    super::{
        SidecarError, generation, log,
        member::{Duty, Member},
        retention,
        shipping::{Offer, Shipping, blocking},
    },
    End, Reign,
};
use crate::{
    api::{MemberState, Role},
    failover::order::Order,
    wal::OpId,
    waldir::stopped_log_dir,
};

/// How long a reign that ends waits until its named successor has the whole log.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(10);
/// How long a reign that ends without a named successor waits for the standbys: less than the two seconds that a
/// kubelet gives a pod which is deleted by force.
const PARTING_PATIENCE: Duration = Duration::from_millis(1200);
/// How long a planned switch waits for a moment without a tablet that is being created: one takes 50 to 100 ms, as a rule. To
/// wait for it is cheap; a client whose table is caught in between waits for Kudu's `tablet_creation_timeout_ms`, 10 s here.
const QUIET_PATIENCE: Duration = Duration::from_millis(1000);
/// A tablet that has been created for so long waits for a tablet server that is not there.
const CREATION_PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of a reign is tried in order on a disk that stalls. What a dead kudu-master wrote may be there, and its
/// processes may wait for the disk; without them the Lease runs out.
const STALLED_PATIENCE: Duration = Duration::from_secs(2);
/// A log that is followed is read to its end within so long, or it is read as a whole.
const FOLLOW_TO_END: Duration = Duration::from_secs(1);

/// Ends what may be left of a reign that this run of the sidecar did not begin: kudu-master is stopped, the log shipped, the
/// Lease given back.
pub(in crate::sidecar) async fn stand_down(
    member: &mut Member,
    duty: &mut Duty,
    epoch: i64,
    successor: Option<String>,
) -> Result<(), SidecarError> {
    member.board.enter(Role::Active, MemberState::StandingDown);
    member.stop_master().await?;
    let identity = member.board.facts().identity.clone();
    let Some(generation) = member.anchors.current().generation else {
        release(member, epoch, &identity, None).await;
        duty.over().await;
        return Ok(());
    };
    let folder = generation::log_folder(&member.config.wal_dir, &generation);
    let held = retention::folder(&member.config.wal_dir, epoch);
    let shipping = Shipping::begin(epoch, member.anchors.current().uuid, folder, held);
    shipping.stopped_serving();
    let _offer = member.shipping.offer(&shipping);
    if member.released != epoch {
        part(member, duty, &shipping, epoch, &identity, successor).await?;
    }
    duty.over().await;
    Ok(())
}

impl Reign {
    pub(super) async fn end(
        self,
        member: &mut Member,
        end: End,
        shipping: &Arc<Shipping>,
        _offer: &Offer,
    ) -> Result<(), SidecarError> {
        let (successor, failed) = match end {
            End::LeaseLost | End::Ordered(Some(Order::Wait | Order::Serve { .. } | Order::Follow { .. })) => {
                // A launcher that is not there may be long in coming. Its kudu-master ends at its deadline without it, and a member that said
                // until then that it serves would keep others from taking over.
                shipping.stopped_serving();
                member.board.enter(Role::Active, MemberState::StandingDown);
                self.stop(member).await?;
                member.board.enter(Role::Standby, MemberState::Waiting);
                return Ok(());
            }
            End::Ordered(Some(Order::StandDown { successor, .. })) => (successor, None),
            End::Ordered(None) | End::LauncherRestarted => (None, None),
            End::CrashLoop(words) => (None, Some(SidecarError::CrashLoop(words))),
            End::Hung => (None, Some(SidecarError::Hung)),
            End::Stalled(silent) => return self.abandon(member, shipping, silent).await,
        };
        member.board.enter(Role::Active, MemberState::StandingDown);
        if successor.is_some() && timeout(QUIET_PATIENCE, shipping.is_quiet(CREATION_PATIENCE)).await.is_err() {
            tracing::info!("the switch catches tables that are being created");
        }
        self.stop(member).await?;
        let Self { tenancy, launcher, epoch, .. } = self;
        // The Lease is kept until the log is shipped; it was taken under the name of the launcher that ran.
        let identity = member.identity(&launcher);
        part(member, &mut member.duty(), shipping, epoch, &identity, successor).await?;
        drop(tenancy);
        failed.map_or(Ok(()), Err)
    }

    /// Stops kudu-master for good; its clients wait until they are led to another.
    ///
    /// Not in a pod that ends: its network can go, and then nothing tells them any more that they wait for nobody.
    async fn stop(&self, member: &mut Member) -> Result<(), SidecarError> {
        member.stop_master().await?;
        if let Some(address) = self.launcher.rpc_bind.as_ref().filter(|_| !member.stop.is_cancelled()) {
            member.waiting_room.open(address).await;
        }
        Ok(())
    }

    /// Ends the reign as far as a disk that stalls lets it. What does not end in time is left: kudu-master was sent its SIGKILL,
    /// its guards send another one at the deadline, and the Lease runs out.
    async fn abandon(self, member: &mut Member, shipping: &Shipping, silent: Duration) -> Result<(), SidecarError> {
        member.board.enter(Role::Active, MemberState::StandingDown);
        shipping.stopped_serving();
        let identity = member.identity(&self.launcher);
        let in_order = async {
            self.stop(member).await?;
            part(member, &mut member.duty(), shipping, self.epoch, &identity, None).await
        };
        match timeout(STALLED_PATIENCE, in_order).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the reign cannot be ended in order; its Lease runs out"),
            Err(_) => tracing::warn!("the reign cannot be ended in order in time; its Lease runs out"),
        }
        // This reign is not begun again here when the disk goes on: another member may be chosen by then.
        member.released = self.epoch;
        Err(SidecarError::Stalled { path: member.config.wal_dir.clone(), silent })
    }
}

/// Ships what is left of a log at rest, then gives the Lease back with its last op.
async fn part(
    member: &mut Member,
    duty: &mut Duty,
    shipping: &Shipping,
    epoch: i64,
    identity: &str,
    successor: Option<String>,
) -> Result<(), SidecarError> {
    shipping.stopped_serving();
    let final_head = final_head(shipping).await?;
    member.board.facts().head = final_head;
    let patience = if successor.is_some() { SUCCESSOR_PATIENCE } else { PARTING_PATIENCE };
    let shipped = async {
        while !has_everything(member, final_head, successor.as_deref()) {
            sleep(Duration::from_millis(5)).await;
        }
        true
    };
    let shipped = tokio::select! {
        shipped = shipped => shipped,
        () = duty.order_changed() => false,
        () = sleep(patience) => false,
    };
    if !shipped {
        tracing::warn!(epoch, ?final_head, ?successor, "the reign ends before its standbys have the whole log");
    }
    release(member, epoch, identity, final_head).await;
    member.released = epoch;
    Ok(())
}

/// The last op of a log at rest. It was followed all the time, so as a rule it need not be read again from its beginning.
async fn final_head(shipping: &Shipping) -> Result<Option<OpId>, SidecarError> {
    let folder = shipping.folder().to_owned();
    // A start that was interrupted leaves the whole log beside a new one that is not whole yet.
    let whole = stopped_log_dir(&folder) == folder;
    if whole && let Ok(head) = timeout(FOLLOW_TO_END, shipping.final_head()).await {
        return Ok(head);
    }
    Ok(blocking(move || log::summarize(&folder)).await?.last)
}

/// Whether the successor, or without one every standby that is connected, has acknowledged `head`.
fn has_everything(member: &Member, head: Option<OpId>, successor: Option<&str>) -> bool {
    let facts = member.board.facts();
    let has = |replicate_head: OpId| head.is_none_or(|head| replicate_head >= head);
    match successor {
        Some(successor) => facts.standbys.get(successor).is_some_and(|standby| has(standby.replicate_head)),
        None => facts.standbys.values().all(|standby| has(standby.replicate_head)),
    }
}

pub(super) async fn release(member: &Member, epoch: i64, identity: &str, final_head: Option<OpId>) {
    match member.coordinator.release(identity, epoch, final_head).await {
        Ok(()) => tracing::info!(epoch, ?final_head, "the Lease is given back"),
        // It runs out by itself.
        Err(error) => tracing::warn!(epoch, %error, "the Lease could not be given back"),
    }
}
