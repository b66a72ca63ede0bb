//! Keeping the Lease while a reign lasts, and telling the launcher how long it may run.
//!
//! The deadline that the launcher gets is counted from before the renewal was sent, so it can only be earlier than the
//! moment at which another may take the Lease: `renewDeadline + killTime + clockMargin < leaseDuration`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::coordinator::{Coordinator, Renewal};
use crate::launcher::{client::LauncherClient, protocol::Request};

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

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Tenancy {
    /// Keeps a Lease that was just taken.
    pub(super) fn begin(
        coordinator: Arc<Coordinator>,
        launcher_socket: PathBuf,
        identity: String,
        epoch: i64,
        deadline_boot_ns: Option<u64>,
    ) -> Self {
        let (sender, standing) = watch::channel(Standing::Held { deadline_boot_ns });
        let keeper = tokio::spawn(async move {
            let mut pause = coordinator.renew_interval();
            loop {
                sleep(pause).await;
                pause = match coordinator.renew(&identity, epoch).await {
                    Ok(Renewal::Until(deadline_boot_ns)) => {
                        sender.send_replace(Standing::Held { deadline_boot_ns });
                        tell(&launcher_socket, epoch, deadline_boot_ns).await;
                        coordinator.renew_interval()
                    }
                    Ok(Renewal::Lost(reason)) => {
                        tracing::warn!(epoch, reason, "the Lease is lost");
                        sender.send_replace(Standing::Lost);
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(epoch, %error, "the Lease could not be renewed");
                        RETRY_PAUSE
                    }
                };
            }
        });
        Self { standing, keeper }
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

/// A launcher that cannot be told kills kudu-master at the deadline that it knows, which is the safe side.
async fn tell(socket: &std::path::Path, epoch: i64, deadline_boot_ns: Option<u64>) {
    let told = async { LauncherClient::connect(socket).await?.call(Request::Renew { epoch, deadline_boot_ns }).await };
    if let Err(error) = told.await {
        tracing::debug!(epoch, %error, "the launcher was not told of the renewal");
    }
}
