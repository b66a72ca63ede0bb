//! Keeping the Lease while a reign lasts, and telling the launcher how long it may run.
//!
//! The deadline that the launcher gets is counted from before the renewal was sent, so it can only be earlier than the
//! moment at which another may take the Lease: `renewDeadline + killTime + clockMargin < leaseDuration`. While the API server is
//! away, pledges of all members that could take it move the deadline in the same way; [`Failsafe`] decides that.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    SidecarError,
    asking::{Answers, Asking},
    board::{Board, StayFacts},
    coordinator::{Coordinator, Grant, Renewal},
    pledge_store::PledgeStore,
};
use crate::{
    clock,
    failover::failsafe::{Ask, Failsafe, Roster},
    launcher::{
        client::{LauncherClient, LauncherError},
        protocol::Request,
    },
};

/// Pause before a renewal that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How the Lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is held; kudu-master may run until then. No time means no Lease, and no end.
    Held {
        /// Reading of the boot-time clock.
        deadline_boot_ns: Option<u64>,
    },
    /// Another has it, or it is for another epoch.
    Lost,
}

/// A Lease that is being kept. Renewals end when this is dropped.
#[derive(Debug)]
pub(super) struct Tenancy {
    standing: watch::Receiver<Standing>,
    keeper: JoinHandle<()>,
}

/// Whose Lease it is, and what keeping it needs.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) board: Arc<Board>,
    pub(super) asking: Asking,
    pub(super) pledges: Option<PledgeStore>,
    pub(super) launcher_socket: PathBuf,
    /// The member's name.
    pub(super) member: String,
    /// The identity that holds the Lease.
    pub(super) identity: String,
    pub(super) epoch: i64,
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Tenancy {
    /// Keeps a Lease that was just taken with this roster.
    pub(super) fn begin(tenant: Tenant, grant: Option<Grant>, roster: Roster) -> Self {
        let (sender, standing) =
            watch::channel(Standing::Held { deadline_boot_ns: grant.map(|grant| grant.deadline_boot_ns) });
        let failsafe = grant.map(|grant| Failsafe::begin(roster, grant.asked_boot_ns, grant.deadline_boot_ns));
        let answers = tenant.asking.answers();
        let taken = grant.map(|grant| grant.deadline_boot_ns);
        let keeper = Keeper { tenant, sender, failsafe, answers, own: None, told: false, taken };
        Self { standing, keeper: tokio::spawn(keeper.run()) }
    }

    pub(super) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Resolves when the Lease is lost.
    pub(super) async fn lost(&mut self) {
        if self.standing.wait_for(|standing| *standing == Standing::Lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Renews, and asks for pledges when that fails.
struct Keeper {
    tenant: Tenant,
    sender: watch::Sender<Standing>,
    /// None where there is no Lease.
    failsafe: Option<Failsafe>,
    answers: watch::Receiver<Answers>,
    /// The own pledge on its way to the disk.
    own: Option<JoinHandle<(u64, Result<(), SidecarError>)>>,
    /// Whether it was said that the time is over.
    told: bool,
    /// The last deadline that the launcher is known to have, since it answered then.
    taken: Option<u64>,
}

impl Keeper {
    async fn run(mut self) {
        let mut pause = self.tenant.coordinator.renew_interval();
        loop {
            let roster = self.tenant.coordinator.roster();
            if let Some(failsafe) = &mut self.failsafe {
                failsafe.writes(roster.clone());
            }
            pause = match self.renew(pause, &roster).await {
                Ok(Renewal::Until(grant)) => {
                    self.renewed(grant, roster).await;
                    if self.taken.is_some_and(|taken| taken <= clock::boot_ns()) {
                        // Its guards have killed kudu-master. A Lease that is renewed all the same would keep others from serving.
                        tracing::warn!(epoch = self.tenant.epoch, "the launcher takes no renewal: the Lease is let go");
                        self.sender.send_replace(Standing::Lost);
                        return;
                    }
                    self.tenant.coordinator.renew_interval()
                }
                Ok(Renewal::Lost(reason)) => {
                    tracing::warn!(epoch = self.tenant.epoch, reason, "the Lease is lost");
                    self.sender.send_replace(Standing::Lost);
                    return;
                }
                Err(error) => {
                    tracing::warn!(epoch = self.tenant.epoch, %error, "the Lease could not be renewed");
                    RETRY_PAUSE
                }
            };
        }
    }

    /// Renews after the pause; meanwhile asks and listens, however long that hangs.
    async fn renew(&mut self, pause: Duration, roster: &Roster) -> Result<Renewal, SidecarError> {
        let (coordinator, identity, epoch) =
            (Arc::clone(&self.tenant.coordinator), self.tenant.identity.clone(), self.tenant.epoch);
        let renewal = async {
            sleep(pause).await;
            coordinator.renew(&identity, epoch, roster).await
        };
        tokio::pin!(renewal);
        loop {
            let next = self.next();
            let deed = tokio::select! {
                biased;
                renewed = &mut renewal => return renewed,
                (asked, written) = written(&mut self.own) => Deed::Written(asked, written),
                Ok(()) = self.answers.changed() => Deed::Answered,
                () = wake_at(next) => Deed::Time,
            };
            match deed {
                Deed::Written(asked, Ok(())) => self.pledged(&[(self.tenant.member.clone(), asked)]).await,
                Deed::Written(_, Err(error)) => tracing::warn!(%error, "this member's own volume cannot confirm"),
                Deed::Answered => self.answered().await,
                Deed::Time => self.time_has_passed(),
            }
        }
    }

    /// When to ask, or to say that nobody confirmed.
    fn next(&self) -> Option<u64> {
        let (failsafe, times) = (self.failsafe.as_ref()?, self.tenant.coordinator.times()?);
        let deadline = failsafe.deadline();
        let over = (!self.told).then_some(deadline);
        failsafe.ask_at(&times).filter(|_| clock::boot_ns() < deadline).or(over)
    }

    fn time_has_passed(&mut self) {
        let (Some(failsafe), Some(times)) = (&mut self.failsafe, self.tenant.coordinator.times()) else { return };
        let now = clock::boot_ns();
        if let Some(ask) = failsafe.ask(now, &times) {
            self.tenant.asking.ask(self.tenant.epoch, ask);
            if self.own.is_none() {
                self.own = Some(self.tenant.pledge(ask));
            }
        } else if now >= failsafe.deadline() && !self.told {
            self.told = true;
            let missing = failsafe.missing(now);
            tracing::warn!(epoch = self.tenant.epoch, without = ?missing, "neither renewed nor pledged: kudu-master is killed");
            self.tenant.stay_ends();
        }
    }

    async fn answered(&mut self) {
        let answers = self.answers.borrow_and_update().clone();
        let mut pledges = Vec::new();
        for (member, answer) in answers {
            match answer.refused {
                None => pledges.push((member, answer.asked)),
                Some(reason) => tracing::debug!(member, reason, "no pledge"),
            }
        }
        self.pledged(&pledges).await;
    }

    async fn pledged(&mut self, pledges: &[(String, u64)]) {
        let Some(failsafe) = &mut self.failsafe else { return };
        let now = clock::boot_ns();
        let moved = pledges.iter().filter_map(|(member, asked)| failsafe.pledged(member, *asked, now)).last();
        let Some(deadline) = moved else { return };
        if failsafe.since() == Some(now) {
            let members: Vec<_> = failsafe.needed().into_iter().flatten().collect();
            tracing::warn!(epoch = self.tenant.epoch, ?members, "the API server is away; going on while these pledge");
            self.tenant.board.facts().stay = Some(StayFacts::begin());
        }
        self.hold(Some(deadline)).await;
    }

    async fn renewed(&mut self, grant: Option<Grant>, roster: Roster) {
        let since = match (&mut self.failsafe, grant) {
            (Some(failsafe), Some(grant)) => failsafe.renewed(roster, grant.asked_boot_ns, grant.deadline_boot_ns),
            _ => None,
        };
        self.told = false;
        self.hold(grant.map(|grant| grant.deadline_boot_ns)).await;
        if let Some(since) = since {
            let seconds = Duration::from_nanos(clock::boot_ns().saturating_sub(since)).as_secs_f64();
            tracing::info!(epoch = self.tenant.epoch, seconds, "the API server is back");
            self.tenant.stay_ends();
            if let Some(pledges) = &self.tenant.pledges {
                pledges.forget().await;
            }
        }
    }

    async fn hold(&mut self, deadline_boot_ns: Option<u64>) {
        self.sender.send_replace(Standing::Held { deadline_boot_ns });
        if tell(&self.tenant.launcher_socket, self.tenant.epoch, deadline_boot_ns).await {
            if let Some(before) = self.taken {
                let left = before.saturating_sub(clock::boot_ns());
                self.tenant.board.counters().renewed(Duration::from_nanos(left));
            }
            self.taken = deadline_boot_ns;
        }
    }
}

/// What a keeper has to do beside renewing.
enum Deed {
    Written(u64, Result<(), SidecarError>),
    Answered,
    Time,
}

impl Tenant {
    /// This member's own volume confirms like any other's: whoever has it next waits.
    fn pledge(&self, ask: Ask) -> JoinHandle<(u64, Result<(), SidecarError>)> {
        let (pledges, member, epoch) = (self.pledges.clone(), self.member.clone(), self.epoch);
        tokio::spawn(async move {
            let given = match pledges {
                Some(pledges) => pledges.give(&member, epoch, ask.milliseconds).await,
                None => Err(SidecarError::Coordinator("there is no Lease".to_owned())),
            };
            (ask.asked, given)
        })
    }

    fn stay_ends(&self) {
        if let Some(stay) = &mut self.board.facts().stay {
            stay.end();
        }
    }
}

async fn written(own: &mut Option<JoinHandle<(u64, Result<(), SidecarError>)>>) -> (u64, Result<(), SidecarError>) {
    match own {
        Some(task) => {
            let written = task.await;
            *own = None;
            match written {
                Ok(written) => written,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        None => std::future::pending().await,
    }
}

async fn wake_at(boot_ns: Option<u64>) {
    match boot_ns {
        Some(at) => sleep(Duration::from_nanos(at.saturating_sub(clock::boot_ns()))).await,
        None => std::future::pending().await,
    }
}

/// Returns whether the launcher answered, though it may have nothing to renew. One that cannot be told kills kudu-master at the
/// deadline that it knows, which is the safe side.
async fn tell(socket: &std::path::Path, epoch: i64, deadline_boot_ns: Option<u64>) -> bool {
    let told = async { LauncherClient::connect(socket).await?.call(Request::Renew { epoch, deadline_boot_ns }).await };
    match told.await {
        Ok(_) | Err(LauncherError::Refused(_)) => true,
        Err(error) => {
            tracing::debug!(epoch, %error, "the launcher was not told of the renewal");
            false
        }
    }
}
