//! Which flows of this node have to go, and when to look for them.
//!
//! A flow is *stale* when it was opened to the pair's Service and is sent to a pod that is not the active's. Nothing but a stale
//! flow is ever deleted, and only the client of a flow that was deleted is ever tickled.
//!
//! The work of one node at one new active is a *cut-over*. The proxy of the node may learn of the new active later than the
//! agent does; until then a segment of a client makes a new flow to the old pod. So a cut-over looks again and again until it has
//! seen no stale flow for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::ctnetlink::FlowId;

/// Pause between two looks at the flows.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// Of the time, looks may take this share: one in so many. A node with very many flows is looked at less often.
const SWEEP_SHARE: u32 = 10;
/// A cut-over ends when no stale flow was seen for so long. A proxy that is later than this is seen all the same, as long as a
/// tickled client has shown it.
const QUIET: Duration = Duration::from_secs(10);
/// A cut-over ends after so long, whatever is seen: then it is not the agent that can help.
const GIVE_UP: Duration = Duration::from_mins(2);
/// From the deletion of a client's flow to its first tickle: about what a proxy takes to follow the Service. A client that
/// answers earlier goes to the old pod once more, and does not answer again for half a second.
const TICKLE_AFTER: Duration = Duration::from_millis(150);
/// A Linux kernel answers at most one such segment of a connection in 500 ms (`tcp_invalid_ratelimit`).
const TICKLE_EVERY: Duration = Duration::from_millis(550);
/// How often a client is tickled after each deletion of its flow. A segment can be lost; whether it was cannot be seen.
const TICKLES: u32 = 4;

/// Namespace and name of a pair.
pub type PairKey = (String, String);

/// Where a pair's Service leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The pair.
    pub pair: PairKey,
    /// The active's pod.
    pub active: String,
    /// The Service's addresses and ports.
    pub addresses: BTreeSet<SocketAddr>,
    /// The addresses of the active's pod. Never empty.
    pub pods: BTreeSet<IpAddr>,
}

/// A TCP flow through this node, as its kernel tracks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// What names it to the kernel.
    pub id: FlowId,
    /// Who opened it.
    pub client: SocketAddr,
    /// What the client opened it to.
    pub address: SocketAddr,
    /// Who answers: where the flow is really sent.
    pub server: SocketAddr,
    /// Whether both sides have agreed that it is open, and neither has closed it.
    pub established: bool,
}

impl Route {
    fn is_to_the_service(&self, flow: &Flow) -> bool {
        self.addresses.contains(&flow.address)
    }

    fn is_stale(&self, flow: &Flow) -> bool {
        self.is_to_the_service(flow) && !self.pods.contains(&flow.server.ip())
    }
}

/// What one look at the flows calls for, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Flows to delete.
    pub delete: Vec<FlowId>,
    /// Clients to tickle.
    pub tickle: Vec<Tickle>,
    /// Cut-overs that have ended.
    pub ended: Vec<Report>,
}

/// A segment to send to a client in the Service's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tickle {
    /// The Service's address and port.
    pub from: SocketAddr,
    /// The client.
    pub to: SocketAddr,
}

/// What became of a cut-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where it led to.
    pub route: Route,
    /// Connections of this node's clients that were cut.
    pub connections: usize,
    /// Flows deleted; more than connections where the proxy was late.
    pub deletions: usize,
    /// Clients tickled, each time counted.
    pub tickles: usize,
    /// From the new active to the last deletion.
    pub last_deletion_after: Duration,
    /// Why it ended.
    pub end: End,
}

/// Why a cut-over ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// No stale flow is left.
    Quiet,
    /// The Service leads elsewhere, or nowhere.
    Superseded,
    /// Stale flows come back again and again.
    GaveUp,
}

/// The work of this node.
#[derive(Debug, Default)]
pub struct Plan {
    cut_overs: BTreeMap<PairKey, CutOver>,
}

#[derive(Debug)]
struct CutOver {
    report: Report,
    begun: Duration,
    last_stale: Duration,
    clients: BTreeMap<Tickle, Tickles>,
    cut: BTreeSet<Tickle>,
    ended: bool,
}

#[derive(Debug)]
struct Tickles {
    left: u32,
    next: Duration,
}

impl Plan {
    /// Takes in where all pairs' Services lead now; begins a cut-over for each that leads elsewhere than before. A pair without
    /// an active is left out: its clients have nowhere to go.
    pub fn see(&mut self, routes: Vec<Route>, now: Duration) -> Vec<Report> {
        let mut before = std::mem::take(&mut self.cut_overs);
        for route in routes {
            let cut_over = match before.remove(&route.pair) {
                Some(known) if known.report.route == route => known,
                other => {
                    before.extend(other.map(|other| (route.pair.clone(), other)));
                    CutOver::new(route, now)
                }
            };
            self.cut_overs.insert(cut_over.report.route.pair.clone(), cut_over);
        }
        before.into_values().filter(|old| !old.ended).map(|old| old.report(End::Superseded)).collect()
    }

    /// The Services' addresses whose flows have to be looked at; none when there is nothing to do.
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.running().flat_map(|cut_over| cut_over.report.route.addresses.iter().copied()).collect()
    }

    /// Looks at this node's flows.
    pub fn sweep(&mut self, flows: &[Flow], now: Duration) -> Steps {
        let mut steps = Steps::default();
        for cut_over in self.cut_overs.values_mut().filter(|cut_over| !cut_over.ended) {
            cut_over.sweep(flows, now, &mut steps);
        }
        steps
    }

    fn running(&self) -> impl Iterator<Item = &CutOver> {
        self.cut_overs.values().filter(|cut_over| !cut_over.ended)
    }
}

/// How long to wait after a look that took so long.
pub fn pause(look: Duration) -> Duration {
    SWEEP_EVERY.max(look.saturating_mul(SWEEP_SHARE.saturating_sub(1)))
}

impl CutOver {
    fn new(route: Route, now: Duration) -> Self {
        let report = Report {
            route,
            connections: 0,
            deletions: 0,
            tickles: 0,
            last_deletion_after: Duration::ZERO,
            end: End::Superseded,
        };
        Self { report, begun: now, last_stale: now, clients: BTreeMap::new(), cut: BTreeSet::new(), ended: false }
    }

    fn report(&self, end: End) -> Report {
        Report { connections: self.cut.len(), end, ..self.report.clone() }
    }

    fn sweep(&mut self, flows: &[Flow], now: Duration, steps: &mut Steps) {
        for flow in flows {
            let tickle = Tickle { from: flow.address, to: flow.client };
            if self.report.route.is_stale(flow) {
                self.delete(flow, tickle, now, steps);
            } else if self.report.route.is_to_the_service(flow) {
                // It has been to the new active since: what was cut is over.
                self.clients.remove(&tickle);
            }
        }
        self.tickle(now, steps);
        let end = if now.saturating_sub(self.begun) >= GIVE_UP {
            End::GaveUp
        } else if self.clients.is_empty() && now.saturating_sub(self.last_stale) >= QUIET {
            End::Quiet
        } else {
            return;
        };
        self.ended = true;
        steps.ended.push(self.report(end));
    }

    fn delete(&mut self, flow: &Flow, tickle: Tickle, now: Duration, steps: &mut Steps) {
        steps.delete.push(flow.id.clone());
        self.last_stale = now;
        self.cut.insert(tickle);
        self.report.deletions = self.report.deletions.saturating_add(1);
        self.report.last_deletion_after = now.saturating_sub(self.begun);
        // A client that still waits for its first answer retransmits by itself, and would take a tickle for a bad one.
        if flow.established {
            let first = now.saturating_add(TICKLE_AFTER);
            self.clients.entry(tickle).or_insert(Tickles { left: 0, next: first }).left = TICKLES;
        }
    }

    fn tickle(&mut self, now: Duration, steps: &mut Steps) {
        for (tickle, due) in self.clients.iter_mut().filter(|(_, due)| due.next <= now) {
            steps.tickle.push(*tickle);
            self.report.tickles = self.report.tickles.saturating_add(1);
            due.left = due.left.saturating_sub(1);
            due.next = now.saturating_add(TICKLE_EVERY);
        }
        self.clients.retain(|_, due| due.left > 0);
    }
}

#[cfg(test)]
mod tests;
