//! Carries out what [`acknowledgement`](crate::replication::acknowledgement) decides: asks the log what a sync covers, writes
//! the record, lets syncs return.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};

use super::{coordinator::Coordinator, shipping::Shipping};
use crate::{
    api::SyncRecord,
    metrics::MemberCounters,
    replication::{
        acknowledgement::{Acknowledgement, Action, Covers, Event, Outcome, Ticket},
        terms,
    },
    sidecar::board::Board,
    wal::OpId,
};

/// What a reign is told.
#[derive(Debug)]
enum Told {
    /// A sync has begun; the sender is used when it may return.
    Asked(Ticket, oneshot::Sender<()>),
    Event(Event),
}

/// Where gates ask and feeds tell. While no reign is on, gates wait and feeds are not heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Acknowledgements {
    reign: Arc<watch::Sender<Option<mpsc::UnboundedSender<Told>>>>,
    numbers: Arc<AtomicU64>,
    /// Since when gates wait that do now.
    waiting: Arc<Mutex<HashMap<Ticket, Instant>>>,
    counters: MemberCounters,
}

/// A standby's stream, as the reign is told of it.
#[derive(Debug)]
pub(super) struct Stream {
    acknowledgements: Acknowledgements,
    member: String,
    connection: u64,
}

impl Acknowledgements {
    pub(super) fn new(counters: MemberCounters) -> Self {
        Self { counters, ..Self::default() }
    }

    /// Waits until a sync that has begun may return; false: ask again.
    pub(super) async fn permit(&self) -> bool {
        let mut reigns = self.reign.subscribe();
        let ticket = self.number();
        let begun = Instant::now();
        self.waiting().insert(ticket, begun);
        let mut withdrawal = Withdrawal { acknowledgements: self.clone(), reign: None, ticket };
        // It fails only when this value is gone.
        let Ok(reign) = reigns.wait_for(Option::is_some).await.map(|reign| reign.clone()) else { return false };
        let Some(reign) = reign else { return false };
        let (reply, permitted) = oneshot::channel();
        if reign.send(Told::Asked(ticket, reply)).is_err() {
            return false;
        }
        withdrawal.reign = Some(reign);
        let permitted = permitted.await.is_ok();
        drop(withdrawal);
        if permitted {
            self.counters.acknowledged(begun.elapsed());
        }
        permitted
    }

    /// Whether a sync has waited so long for its standbys.
    pub(super) fn hold_back(&self, time: Duration) -> bool {
        self.waiting().values().any(|since| since.elapsed() >= time)
    }

    /// For how long the sync has waited that waits longest now.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.waiting().values().map(Instant::elapsed).max()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Ticket, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A standby's stream that begins; `head` is on its disk.
    pub(super) fn stream(&self, member: &str, head: OpId) -> Stream {
        let stream = Stream { acknowledgements: self.clone(), member: member.to_owned(), connection: self.number() };
        self.tell(Event::Joined { member: member.to_owned(), connection: stream.connection, head });
        stream
    }

    fn tell(&self, event: Event) {
        if let Some(reign) = self.reign.borrow().as_ref() {
            // It fails only when the reign is ending.
            let _ = reign.send(Told::Event(event));
        }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins to answer for a reign; ends when the returned value is dropped, with every sync that still waits unanswered.
    pub(super) fn begin(
        &self,
        coordinator: Arc<Coordinator>,
        board: Arc<Board>,
        identity: String,
        shipping: Arc<Shipping>,
        reign: Begun,
    ) -> Answering {
        let (sender, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(answer(coordinator, board, identity, shipping, reign, inbox));
        self.reign.send_replace(Some(sender));
        Answering { acknowledgements: self.clone(), task }
    }
}

impl Stream {
    /// The standby has its log up to `head` on its disk.
    pub(super) fn acknowledged(&self, head: OpId) {
        let (member, connection) = (self.member.clone(), self.connection);
        self.acknowledgements.tell(Event::Acknowledged { member, connection, head });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let (member, connection) = (std::mem::take(&mut self.member), self.connection);
        self.acknowledgements.tell(Event::Left { member, connection });
    }
}

/// Says, when dropped, that nobody waits for a sync any more.
struct Withdrawal {
    acknowledgements: Acknowledgements,
    /// Whom it was asked of.
    reign: Option<mpsc::UnboundedSender<Told>>,
    ticket: Ticket,
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        self.acknowledgements.waiting().remove(&self.ticket);
        if let Some(reign) = &self.reign {
            // It fails only when the reign is ending.
            let _ = reign.send(Told::Event(Event::Withdrawn { ticket: self.ticket }));
        }
    }
}

/// When a reign began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// Now, as the first one of its pair: nobody ever served.
    First,
    /// Now, with a log that ended here.
    At(Option<OpId>),
    /// Before this sidecar.
    Before,
}

/// A reign that is answered for; no longer when this is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    acknowledgements: Acknowledgements,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.acknowledgements.reign.send_replace(None);
        self.task.abort();
    }
}

type Look = Pin<Box<dyn Future<Output = (Ticket, Covers)> + Send>>;
type Write = Pin<Box<dyn Future<Output = Outcome> + Send>>;

async fn answer(
    coordinator: Arc<Coordinator>,
    board: Arc<Board>,
    identity: String,
    shipping: Arc<Shipping>,
    reign: Begun,
    mut inbox: mpsc::UnboundedReceiver<Told>,
) {
    let begun = Instant::now();
    let first = reign == Begun::First;
    let epoch = shipping.epoch();
    let mut policies = coordinator.acknowledgement();
    let policy = policies.borrow_and_update().clone();
    let mut machine = match reign {
        Begun::First => Acknowledgement::new(epoch, policy, None),
        Begun::At(head) => Acknowledgement::new(epoch, policy, head),
        Begun::Before => Acknowledgement::taken_over(epoch, policy, shipping.written().await.last),
    };
    let mut replies: HashMap<Ticket, oneshot::Sender<()>> = HashMap::new();
    let mut looks: FuturesUnordered<Look> = FuturesUnordered::new();
    let mut write: Option<Write> = None;
    let mut event = Event::Woke;
    loop {
        for action in machine.handle(event, begun.elapsed()) {
            match action {
                Action::Permit { ticket } => {
                    if let Some(reply) = replies.remove(&ticket) {
                        // Whoever asked may have gone.
                        let _ = reply.send(());
                    }
                }
                Action::Write { record } => {
                    let (coordinator, identity) = (Arc::clone(&coordinator), identity.clone());
                    write = Some(Box::pin(async move { record_it(&coordinator, &identity, epoch, record).await }));
                }
            }
        }
        board.facts().sync = machine.record().cloned().flatten();
        event = loop {
            let wake = machine.wake_at().map_or(Duration::MAX, |at| at.saturating_sub(begun.elapsed()));
            tokio::select! {
                told = inbox.recv() => match told {
                    Some(Told::Asked(ticket, reply)) => {
                        replies.insert(ticket, reply);
                        let shipping = Arc::clone(&shipping);
                        looks.push(async move { (ticket, covered(&shipping, first).await) }.boxed());
                    }
                    Some(Told::Event(Event::Withdrawn { ticket })) => {
                        replies.remove(&ticket);
                        break Event::Withdrawn { ticket };
                    }
                    Some(Told::Event(event)) => break event,
                    None => return,
                },
                Some((ticket, covers)) = looks.next(), if !looks.is_empty() => {
                    if replies.contains_key(&ticket) {
                        break Event::Asked { ticket, covers };
                    }
                }
                outcome = written(&mut write), if write.is_some() => {
                    write = None;
                    break Event::Wrote(outcome);
                }
                changed = policies.changed() => {
                    // The coordinator lives as long as the sidecar.
                    if changed.is_err() {
                        return;
                    }
                    break Event::Policy(policies.borrow_and_update().clone());
                }
                () = sleep(wake) => break Event::Woke,
            }
        };
    }
}

/// What a sync covers that has begun by now.
///
/// Into a new catalog Kudu writes entries of its own when it opens it. Until this reign's NO_OP is applied no client is there: the
/// Service points at the member later. And no standby can be, since there is nothing yet that it could take a base of. The NO_OP
/// with which the catalog was formatted says nothing of that, though its COMMIT may have come to the log.
async fn covered(shipping: &Shipping, first: bool) -> Covers {
    let written = shipping.written().await;
    let opened = shipping.heads().borrow().opened.filter(|op| terms::epoch_of(op.term) >= shipping.epoch());
    if first && opened.is_none() { Covers::Opening(written.last) } else { written.covers }
}

async fn written(write: &mut Option<Write>) -> Outcome {
    match write {
        Some(write) => write.await,
        None => std::future::pending().await,
    }
}

async fn record_it(coordinator: &Coordinator, identity: &str, epoch: i64, record: Option<SyncRecord>) -> Outcome {
    let (outcome, error) = coordinator.record(identity, epoch, record.as_ref()).await;
    match error {
        None => tracing::info!(epoch, ?record, "recorded which standbys have what is acknowledged"),
        Some(error) => tracing::warn!(epoch, ?record, ?outcome, %error, "the record of the standbys was not written"),
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        wal::tests::{commit, replicate},
        waldir::testkit::FakeKudu,
    };

    #[tokio::test]
    async fn what_a_new_catalog_begins_with_needs_no_standby_until_the_reign_is_open() {
        // As it was formatted, with the COMMIT of that.
        let mut kudu = FakeKudu::start();
        let [no_op, cluster_id] = [2, 3].map(|index| OpId::new(terms::floor(1) + 1, index));
        kudu.entry(replicate(no_op, 1, b""));
        kudu.entry(replicate(cluster_id, 3, b"cluster id"));
        let held = kudu.dir.with_file_name("held");
        let shipping = Shipping::begin(1, String::new(), kudu.dir.clone(), held);
        assert_eq!(covered(&shipping, true).await, Covers::Opening(Some(cluster_id)));
        assert_eq!(covered(&shipping, false).await, Covers::Operations(cluster_id), "of any other reign");
        kudu.entry(commit(no_op));
        assert_eq!(covered(&shipping, true).await, Covers::Operations(cluster_id));
    }
}
