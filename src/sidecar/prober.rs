//! Asks the member's own kudu-master again and again whether it answers.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::interval,
};

use super::acknowledgements::Acknowledgements;
use crate::{
    failover::{
        bounds::{PROBE_EVERY, PROBE_PATIENCE},
        hung::Seen,
    },
    probe,
};

/// Operations that have waited for standbys for so long may be what kudu-master's threads wait for.
const HELD_BACK: Duration = Duration::from_secs(1);

/// Probes that go on until this is dropped.
#[derive(Debug)]
pub(super) struct Prober {
    seen: mpsc::UnboundedReceiver<Seen>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Prober {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Prober {
    /// Probes the kudu-master that binds its RPC to `rpc_bind`; none that does not say where.
    pub(super) fn begin(rpc_bind: Option<&str>, acknowledgements: Acknowledgements) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let address = rpc_bind.map(probe::own_address);
        let task = address.map(|address| tokio::spawn(run(address, acknowledgements, sender)));
        Self { seen, task }
    }

    /// What the next probe saw.
    pub(super) async fn next(&mut self) -> Seen {
        match self.seen.recv().await {
            Some(seen) => seen,
            None => std::future::pending().await,
        }
    }
}

/// Each probe begins whatever became of the one before: three of them that are silent are five seconds, not nine.
async fn run(address: String, acknowledgements: Acknowledgements, sender: mpsc::UnboundedSender<Seen>) {
    let mut beats = interval(PROBE_EVERY);
    // What a sidecar that stood still has missed is not made up for all at once.
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut probes = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(Ok(seen)) = probes.join_next(), if !probes.is_empty() => {
                let excused = seen == Seen::Silent && acknowledgements.hold_back(HELD_BACK);
                if sender.send(if excused { Seen::Excused } else { seen }).is_err() {
                    return;
                }
            }
            _ = beats.tick() => {
                let address = address.clone();
                probes.spawn(async move { probe::ask(&address, PROBE_PATIENCE).await });
            }
        }
    }
}
