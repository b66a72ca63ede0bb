//! The active's side of a gap that a standby hands over ([`courier`](super::courier)): it is made durable here, and then replayed in place.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    SidecarError,
    board::Board,
    coordinator::Coordinator,
    gaps::GapStore,
    link::Link,
    shipping::{Shipping, blocking},
    tablet_watch::Held,
};
use crate::{
    api::GapState,
    gap::KeptGap,
    replication::{
        Message,
        message::{Deliver, Delivered},
    },
};

/// How long the next part may take.
const PART_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at what became of it.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Takes gaps that standbys hand over.
pub(super) struct Desk<'a> {
    pub(super) coordinator: &'a Coordinator,
    pub(super) board: &'a Arc<Board>,
    pub(super) gaps: &'a GapStore,
    /// The reign that serves.
    pub(super) reign: Option<Arc<Shipping>>,
}

impl Desk<'_> {
    /// Takes a gap that a standby hands over, and tells it what became of it.
    pub(super) async fn take(
        &self,
        link: &mut Link,
        address: SocketAddr,
        deliver: Deliver,
    ) -> Result<(), SidecarError> {
        link.rename_peer(&deliver.member);
        let reign = self.reign.as_ref().filter(|reign| !reign.has_ended() && *reign.serving().borrow());
        let Some(reign) = reign else { return Err(SidecarError::cut(&deliver.member, "this member does not serve")) };
        let epoch = reign.epoch();
        let refused = match self.stranger(link, address, &deliver) {
            Some(why) => Some(why),
            None => self.store(link, &deliver).await?,
        };
        tracing::info!(
            member = deliver.member,
            gap = deliver.gap.name,
            request = deliver.request,
            ?refused,
            "a gap was handed over"
        );
        let taken = refused.is_none();
        link.send(epoch, Message::Delivered(Delivered { refused })).await?;
        if !taken {
            return Ok(());
        }
        if let Some(held) = &deliver.held_tablets {
            self.board.facts().held = Some(Held::now(held.clone()));
        }
        let asked = Asked::new(self.board, &deliver);
        let settled = tokio::select! {
            settled = asked.settled() => settled,
            () = reign.ended() => return Ok(()),
            // Nothing more is to come: it is gone.
            received = link.receive() => return received.map(drop),
        };
        link.send(epoch, Message::Settled(Box::new(settled))).await
    }

    /// Why it is not one of the pair's members that hands it over.
    fn stranger(&self, link: &Link, address: SocketAddr, deliver: &Deliver) -> Option<String> {
        let Deliver { pair, member, gap, .. } = deliver;
        if *pair != self.board.pair() || gap.pair != *pair {
            return Some(format!("it is of the pair {:?}, and this one is {:?}", gap.pair, self.board.pair()));
        }
        if !self.coordinator.admits(member, address.ip()) {
            return Some(format!("{member:?} at {} is no member of this pair", address.ip()));
        }
        link.impostor(&self.coordinator.certificate_name(member))
    }

    /// Receives it and makes it durable. Returns why it is not taken.
    async fn store(&self, link: &mut Link, deliver: &Deliver) -> Result<Option<String>, SidecarError> {
        let max_bytes = self.coordinator.gap_orders().max_bytes;
        if deliver.segment_bytes > max_bytes {
            let bytes = deliver.segment_bytes;
            return Ok(Some(format!(
                "it takes {bytes} bytes, more than spec.switchBack.maxMebibytes allows ({max_bytes} bytes)"
            )));
        }
        let mut segment = Vec::new();
        while u64::try_from(segment.len()).unwrap_or(u64::MAX) < deliver.segment_bytes {
            match link.receive_within(PART_PATIENCE).await? {
                (_, Message::Part(part)) if !part.is_empty() => segment.extend_from_slice(&part),
                _ => return Err(SidecarError::cut(&deliver.member, "something else came than the next part of a gap")),
            }
        }
        let (store, kept) = (self.gaps.clone(), deliver.gap.clone());
        let (taken, all) = blocking(move || (store.take(&kept, &segment, max_bytes), store.all())).await;
        if let Ok(all) = all {
            self.board.facts().gaps = all;
        }
        Ok(taken.err().map(|error| error.to_string()))
    }
}

/// A request on the board, as long as the standby waits for what becomes of it.
struct Asked<'a> {
    board: &'a Board,
    gap: &'a str,
    request: &'a str,
}

impl<'a> Asked<'a> {
    fn new(board: &'a Board, deliver: &'a Deliver) -> Self {
        board.facts().delivered.insert(deliver.gap.name.clone(), deliver.request.clone());
        Self { board, gap: &deliver.gap.name, request: &deliver.request }
    }

    /// The gap, once the request was obeyed, or nothing is left to do.
    async fn settled(&self) -> KeptGap {
        loop {
            let kept = self.board.facts().gaps.iter().find(|kept| kept.name == self.gap).cloned();
            if let Some(kept) = kept.filter(|kept| is_settled(kept, self.request)) {
                return kept;
            }
            sleep(LOOK_PAUSE).await;
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut facts = self.board.facts();
        if facts.delivered.get(self.gap).is_some_and(|request| request == self.request) {
            facts.delivered.remove(self.gap);
        }
    }
}

fn is_settled(kept: &KeptGap, request: &str) -> bool {
    !kept.is_open() || kept.request.as_deref() == Some(request) && kept.state != GapState::Replaying
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{gap::testkit::kept_gap, wal::OpId};

    #[rstest]
    #[case(GapState::Pending, None, false)]
    #[case(GapState::Pending, Some("r"), true)]
    #[case(GapState::Conflict, Some("another"), false)]
    #[case(GapState::Conflict, Some("r"), true)]
    #[case(GapState::Replaying, Some("r"), false)]
    #[case(GapState::Replayed, None, true)]
    #[case(GapState::Discarded, Some("another"), true)]
    fn a_request_is_settled_when_it_was_obeyed_or_nothing_is_left(
        #[case] state: GapState,
        #[case] request: Option<&str>,
        #[case] settled: bool,
    ) {
        let kept = KeptGap { state, request: request.map(str::to_owned), ..kept_gap("demo-0", OpId::new(1, 9)) };
        assert_eq!(is_settled(&kept, "r"), settled);
    }
}
