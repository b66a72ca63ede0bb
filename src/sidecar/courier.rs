//! Hands the gaps of a standby that somebody wants replayed to the active, which replays them in place.
//!
//! It goes over a connection of its own, one gap at a time, and this member keeps its copy. The active makes its own copy durable before it
//! says that it has it, and says what became of it when that is known. A connection that is cut on the way costs nothing: the gap is handed over
//! again, and a replay that is there already adds nothing.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    SidecarError, coordinator::Coordinator, gaps::GapStore, link::Link, member::Member, shipping::blocking,
    tablet_watch::Held,
};
use crate::{
    gap::KeptGap,
    replication::{
        Message,
        message::{Deliver, Delivered},
    },
};

/// Bytes of a segment that are sent at once.
const PART_BYTES: usize = 1024 * 1024;
/// How long the active may take to replay: it restarts kudu-master, and its standbys have to get what it adds.
const REPLAY_PATIENCE: Duration = Duration::from_secs(120);
/// Pause before a gap that could not be handed over is handed over again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What a standby hands over, and to whom.
#[derive(Debug)]
struct Parcel {
    active: String,
    epoch: i64,
    /// The address to connect from.
    from: IpAddr,
    deliver: Deliver,
}

/// What came of it.
#[derive(Debug)]
enum Fate {
    /// The active's gap, as it is there.
    Settled(Box<KeptGap>),
    /// The active does not take it, for this reason.
    Refused(String),
}

/// A parcel that has come to its end.
#[derive(Debug)]
pub(super) struct Returned {
    parcel: Parcel,
    fate: Result<Fate, SidecarError>,
}

/// Takes one gap at a time to the active.
#[derive(Debug, Default)]
pub(super) struct Courier {
    /// Ends with this value.
    on_its_way: JoinSet<Returned>,
    /// When the last one set out.
    begun: Option<Instant>,
}

impl Courier {
    /// Sets out with a gap that is to be replayed, if there is one.
    pub(super) fn set_out(&mut self, member: &Member, active: &str, epoch: i64) {
        if !self.on_its_way.is_empty() || self.begun.is_some_and(|begun| begun.elapsed() < RETRY_PAUSE) {
            return;
        }
        let open: Vec<_> = member.board.facts().gaps.iter().filter(|gap| gap.is_open()).cloned().collect();
        if open.is_empty() {
            return;
        }
        let orders = member.gap_orders();
        let Some((gap, request)) = open.into_iter().find_map(|gap| {
            let request = orders.request(&gap).filter(|_| orders.wants_replay(&gap, false))?.1.to_owned();
            Some((gap, request))
        }) else {
            return;
        };
        tracing::info!(gap = gap.name, active, request, "a gap is handed to the active");
        self.begun = Some(Instant::now());
        let (config, held) = (&member.config, member.board.facts().held.as_ref().and_then(Held::fresh));
        let parcel = Parcel {
            active: active.to_owned(),
            epoch,
            from: config.link_listen.ip(),
            deliver: Deliver {
                pair: config.pair.clone(),
                member: config.member.clone(),
                request,
                gap,
                segment_bytes: 0,
                held_tablets: held.as_deref().cloned(),
            },
        };
        let (coordinator, store) = (Arc::clone(&member.coordinator), member.gaps.clone());
        self.on_its_way.spawn(async move {
            let fate = deliver(&parcel, &coordinator, store).await;
            Returned { parcel, fate }
        });
    }

    /// Resolves when one has come to its end; never when none is on its way.
    pub(super) async fn returned(&mut self) -> Returned {
        loop {
            match self.on_its_way.join_next().await {
                Some(Ok(returned)) => return returned,
                // Only this value ends one, and then nobody asks.
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

impl Member {
    /// Writes down what became of a gap with the active.
    pub(super) async fn gap_returned(&self, returned: Returned) {
        let Returned { parcel: Parcel { active, deliver: Deliver { gap, request, .. }, .. }, fate } = returned;
        let became = match fate {
            Ok(Fate::Settled(theirs)) => {
                tracing::info!(gap = gap.name, active, state = ?theirs.state, "the active has dealt with a gap");
                let KeptGap { state, request, replayed, after_replay, outcome, new_first, .. } = *theirs;
                KeptGap { state, request, replayed, after_replay, outcome, new_first, ..gap }
            }
            Ok(Fate::Refused(why)) => {
                tracing::error!(gap = gap.name, active, why, "the active does not take a gap; it is kept");
                let outcome = vec![format!("not replayed: {active} does not take it: {why}")];
                KeptGap { request: Some(request), outcome, ..gap }
            }
            Err(error) => {
                tracing::warn!(gap = gap.name, active, %error, "a gap could not be handed over; trying again");
                return;
            }
        };
        self.gap_became(became).await;
    }
}

/// Hands a gap over and waits for what becomes of it.
async fn deliver(parcel: &Parcel, coordinator: &Coordinator, store: GapStore) -> Result<Fate, SidecarError> {
    let Parcel { active, epoch, from, deliver } = parcel;
    let gap = deliver.gap.clone();
    let mut segment = Bytes::from(blocking(move || store.segment(&gap)).await?);
    let addresses = coordinator.addresses(active);
    let mut link = Link::connect(active, &addresses, *from, coordinator.security()).await?;
    let segment_bytes = u64::try_from(segment.len()).unwrap_or(u64::MAX);
    let deliver = Deliver { segment_bytes, ..deliver.clone() };
    link.send(*epoch, Message::Deliver(Box::new(deliver))).await?;
    while !segment.is_empty() {
        let part = segment.split_to(PART_BYTES.min(segment.len()));
        link.send(*epoch, Message::Part(part)).await?;
    }
    loop {
        match link.receive_within(REPLAY_PATIENCE).await?.1 {
            Message::Delivered(Delivered { refused: None }) => {}
            Message::Delivered(Delivered { refused: Some(why) }) => return Ok(Fate::Refused(why)),
            Message::Settled(gap) => return Ok(Fate::Settled(gap)),
            _ => return Err(SidecarError::cut(active, "it answers with something else")),
        }
    }
}
