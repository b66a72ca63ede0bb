//! One look at this node's flows, and what it calls for.

use std::{io, time::Duration};

use super::{
    conntrack::Conntrack,
    plan::{Plan, Report, Steps},
    tickle,
};

/// Looks at this node's flows and does what is planned for them; returns what became of cut-overs that are over.
///
/// # Errors
/// When the kernel does not let its flows be seen or deleted.
pub fn sweep(plan: &mut Plan, now: Duration) -> io::Result<Vec<Report>> {
    let mut conntrack = Conntrack::open()?;
    let mut flows = Vec::new();
    for address in plan.addresses() {
        flows.extend(conntrack.flows(address)?);
    }
    let Steps { delete, tickle, ended } = plan.sweep(&flows, now);
    for flow in &delete {
        conntrack.delete(flow)?;
    }
    for client in tickle {
        // It may be gone; and if it is not, it still notices later.
        if let Err(error) = tickle::tickle(client) {
            tracing::debug!(%error, ?client, "cannot tickle");
        }
    }
    Ok(ended)
}
