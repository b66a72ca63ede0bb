//! The active's side of the link: serves its log to every standby of the pair that registers.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    SidecarError,
    coordinator::Coordinator,
    link::Link,
    shipping::{Current, Shipping, blocking},
};
use crate::{
    replication::{
        Message, diff,
        message::{Answer, Heartbeat, Register},
        sender::Sender,
    },
    sidecar::board::Board,
    wal::{LogEntry, OpId, Replicate},
    waldir::{LogTail, TailError, TailState},
};

/// Time between two heartbeats. A standby takes an active for lost after several.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(200);
/// How long a standby may take to say who it is.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a standby may take to compare the digest, which reads its log.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn serve(
    listener: TcpListener,
    pair: String,
    coordinator: Arc<Coordinator>,
    current: Current,
    board: Arc<Board>,
    stop: CancellationToken,
) {
    let mut feeds = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = feeds.join_next(), if !feeds.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let feed = Feed {
                        pair: pair.clone(),
                        coordinator: Arc::clone(&coordinator),
                        current: current.clone(),
                        board: Arc::clone(&board),
                    };
                    feeds.spawn(async move {
                        if let Err(error) = feed.run(stream, address).await {
                            tracing::info!(%error, %address, "a standby's stream ended");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: waiting is all that helps.
                    tracing::warn!(%error, "a standby could not be accepted");
                    tokio::time::sleep(HEARTBEAT_INTERVAL).await;
                }
            },
        }
    }
}

struct Feed {
    pair: String,
    coordinator: Arc<Coordinator>,
    current: Current,
    board: Arc<Board>,
}

impl Feed {
    async fn run(&self, stream: TcpStream, address: SocketAddr) -> Result<(), SidecarError> {
        let failed = |source| SidecarError::Link { peer: address.to_string(), source };
        let mut link = Link::accept(stream, address, self.coordinator.security()).await?;
        let (epoch, register) = match timeout(REGISTER_TIMEOUT, link.receive()).await {
            Err(_) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
            Ok(received) => match received? {
                (epoch, Message::Register(register)) => (epoch, register),
                (_, other) => return Err(link.out_of_turn(&other, "a registration")),
            },
        };
        link.rename_peer(&register.member);
        let shipping = self.current.get();
        let own_epoch = shipping.as_ref().map_or(0, |shipping| shipping.epoch());
        let impostor = link.impostor(&self.coordinator.certificate_name(&register.member));
        let refusal = self.refusal(&register, epoch, shipping.as_deref(), address).or(impostor);
        if let Some(reason) = refusal {
            tracing::warn!(member = register.member, reason, "a registration is refused");
            return link.send(own_epoch, Message::Answer(Answer::Refused { reason })).await;
        }
        let Some(shipping) = shipping else { return Ok(()) };
        let answer = answer(&shipping, &register).await?;
        tracing::info!(member = register.member, ?answer, "a standby registered");
        let meets = matches!(answer, Answer::Meet { .. });
        link.send(own_epoch, Message::Answer(answer)).await?;
        if !meets {
            return Ok(());
        }
        match timeout(BEGIN_TIMEOUT, link.receive()).await {
            Ok(Ok((_, Message::Begin { after }))) => {
                let fed = self.feed(&mut link, &shipping, &register.member, after).await;
                self.board.facts().standbys.remove(&register.member);
                fed
            }
            Ok(Ok((_, other))) => Err(link.out_of_turn(&other, "the start of the stream")),
            // The standby found that it needs a base, and went to take it.
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    fn refusal(
        &self,
        register: &Register,
        epoch: i64,
        shipping: Option<&Shipping>,
        address: SocketAddr,
    ) -> Option<String> {
        if register.pair != self.pair {
            return Some(format!("it belongs to pair {:?}, not {:?}", register.pair, self.pair));
        }
        if !self.coordinator.admits(&register.member, address.ip()) {
            return Some(format!("{:?} at {} is no member of this pair", register.member, address.ip()));
        }
        match shipping {
            None => Some("this member is not the active".to_owned()),
            Some(shipping) if shipping.epoch() < epoch => Some(format!(
                "this member serves epoch {} and the standby has obeyed epoch {epoch}: this one is deposed",
                shipping.epoch()
            )),
            // Nobody can take a base from it yet, nor is anything known to be in its log.
            Some(shipping) if register.history.is_none() && shipping.heads().borrow().opened.is_none() => {
                Some("the active is starting; it can be followed in a moment".to_owned())
            }
            Some(_) => None,
        }
    }

    async fn feed(
        &self,
        link: &mut Link,
        shipping: &Arc<Shipping>,
        member: &str,
        after: OpId,
    ) -> Result<(), SidecarError> {
        let epoch = shipping.epoch();
        let (mut heads, mut serving) = (shipping.heads(), shipping.serving());
        let mut sender = Sender::new(after);
        let mut tail = LogTail::open(shipping.folder(), Some(after));
        let mut heartbeat = interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut more = true;
        loop {
            if more && sender.may_send() {
                let ops;
                (tail, ops) = next_ops(tail).await;
                let ops = ops?;
                more = !ops.is_empty();
                if let Some(last) = ops.last().map(Replicate::id) {
                    let bytes = ops.iter().map(|op| op.raw().len()).sum();
                    link.send(epoch, Message::Ops(ops)).await?;
                    sender.sent(last, bytes);
                }
            }
            tokio::select! {
                biased;
                () = shipping.ended() => return Ok(()),
                message = link.receive() => match message? {
                    (_, Message::Ack { replicate_head }) => {
                        sender.acknowledged(replicate_head)?;
                        self.board.facts().standbys.insert(member.to_owned(), (replicate_head, Instant::now()));
                    }
                    (_, other) => return Err(link.out_of_turn(&other, "an acknowledgement")),
                },
                _ = heads.changed() => more = true,
                _ = serving.changed() => heartbeat.reset_immediately(),
                _ = heartbeat.tick() => {
                    let beat = Heartbeat { current_head: heads.borrow().head, serving: *serving.borrow() };
                    link.send(epoch, Message::Heartbeat(beat)).await?;
                }
                () = std::future::ready(()), if more && sender.may_send() => {}
            }
        }
    }
}

async fn answer(shipping: &Arc<Shipping>, register: &Register) -> Result<Answer, SidecarError> {
    let history = shipping.history();
    let digest = match register.history.as_ref().and_then(|standby| history.diff_head(standby)) {
        Some(op) => shipping.digest_of(op).await?,
        None => None,
    };
    diff::answer(&history, register.history.as_ref(), shipping.uuid(), |_| Ok(digest))
}

/// The operations that are next in the log; empty at its end.
async fn next_ops(mut tail: LogTail) -> (LogTail, Result<Vec<Replicate>, TailError>) {
    blocking(move || {
        loop {
            match tail.poll() {
                Ok(batch) if batch.entries.is_empty() && batch.state != TailState::More => {
                    return (tail, Ok(Vec::new()));
                }
                Ok(batch) => {
                    // COMMITs name stores of this member and would lose data on another: they stay here.
                    let ops: Vec<_> = batch.entries.into_iter().filter_map(into_replicate).collect();
                    if !ops.is_empty() {
                        return (tail, Ok(ops));
                    }
                }
                Err(error) => return (tail, Err(error)),
            }
        }
    })
    .await
}

fn into_replicate(entry: LogEntry) -> Option<Replicate> {
    match entry {
        LogEntry::Replicate(replicate) => Some(replicate),
        LogEntry::Commit(_) => None,
    }
}
