//! Replaying gaps: what only this member had as an active of old goes behind the head of its log, while kudu-master is stopped.
//!
//! What is to be added is written down before it is, and planned anew after any crash; what is there already is planned as
//! replayed before. A gap that cannot be replayed stays as it is and keeps nobody from serving.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use tokio::task::{JoinHandle, spawn_blocking};

use super::{SidecarError, gaps::GapStore, member::Member, shipping::blocking, tablet_watch::Held};
use crate::{
    api::{GapPolicy, GapRequest, GapState, SwitchBackSpec},
    gap::{Gap, GapOp, KeptGap, Plan, kept},
    wal::OpId,
};

mod ahead;
mod prepared;

pub(super) use ahead::Ahead;
use ahead::ReadAhead;
use prepared::Known;
pub use prepared::{LogAtRest, Prepared};

/// A gap that is to be replayed now.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    kept: KeptGap,
    /// The text of the request that asks for it, if one does.
    request: Option<String>,
}

/// What the outcome says when tablet servers could not be asked before.
const NOT_CHECKED: &str = "not checked: whether tablet servers still hold the tablets";

/// What the pair's spec and a person say about gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapOrders {
    /// What becomes of a gap when its member serves again.
    pub policy: GapPolicy,
    /// How many bytes of gaps this member keeps at most.
    pub max_bytes: u64,
    /// What a person asked for: the gap's name, what, and the request's text.
    pub requests: Vec<(String, GapRequest, String)>,
}

impl From<&SwitchBackSpec> for GapOrders {
    fn from(spec: &SwitchBackSpec) -> Self {
        let mebibytes = u64::try_from(spec.max_mebibytes).unwrap_or(0);
        Self { policy: spec.gap, max_bytes: mebibytes.saturating_mul(1 << 20), requests: Vec::new() }
    }
}

/// Until anything is known: everything is kept.
impl Default for GapOrders {
    fn default() -> Self {
        Self { policy: GapPolicy::Keep, ..Self::from(&SwitchBackSpec::default()) }
    }
}

impl GapOrders {
    /// The request about a gap that was not obeyed yet.
    pub(super) fn request(&self, kept: &KeptGap) -> Option<(GapRequest, &str)> {
        let (_, what, text) = self.requests.iter().find(|(name, ..)| *name == kept.name)?;
        (kept.request.as_deref() != Some(text)).then_some((*what, text.as_str()))
    }

    /// Whether a gap is to be replayed: because a person asked for it, or, at the `beginning` of a reign, because the spec says so.
    pub(super) fn wants_replay(&self, kept: &KeptGap, beginning: bool) -> bool {
        let asked = matches!(self.request(kept), Some((GapRequest::Replay, _)));
        let by_itself = beginning && self.policy == GapPolicy::Replay;
        kept.is_open() && (asked || by_itself || beginning && kept.state == GapState::Replaying)
    }
}

impl Member {
    /// What is to become of gaps: by the pair's spec and people, and by the standbys that handed them over.
    pub(super) fn gap_orders(&self) -> GapOrders {
        let mut orders = self.coordinator.gap_orders();
        for (name, request) in &self.board.facts().delivered {
            if orders.requests.iter().all(|(asked, ..)| asked != name) {
                orders.requests.push((name.clone(), GapRequest::Replay, request.clone()));
            }
        }
        orders
    }

    /// The gaps that are to be replayed now.
    pub(super) fn wanted_replays(&self, beginning: bool) -> Vec<Wanted> {
        let orders = self.gap_orders();
        let gaps = self.board.facts().gaps.clone();
        let wanted = gaps.into_iter().filter(|kept| orders.wants_replay(kept, beginning));
        wanted.map(|kept| Wanted { request: orders.request(&kept).map(|(_, text)| text.to_owned()), kept }).collect()
    }

    /// Writes down what becomes of those gaps of which a replay would add nothing, for which nobody has to wait. Returns the others.
    pub(super) async fn decide_without_restart(&self, wanted: Vec<Wanted>, ahead: &Ahead) -> Vec<Wanted> {
        let mut others = Vec::new();
        for wanted in wanted {
            let read = ahead.get(&wanted.kept.name);
            match read.and_then(|read| Some((read, read.adds_nothing.as_ref()?))) {
                Some((read, plan)) => {
                    let next = decided(&wanted, plan, &read.since);
                    tracing::info!(gap = next.name, outcome = ?next.outcome, "a replay has nothing to add");
                    self.gap_became(next).await;
                }
                None => others.push(wanted),
            }
        }
        others
    }

    /// Replays gaps into the log of a kudu-master that is stopped. Returns the log's last operation when
    /// something was added. What cannot be replayed is said in its outcome.
    pub(super) async fn replay_gaps(
        &self,
        mut log: LogAtRest,
        wanted: Vec<Wanted>,
        mut ahead: Ahead,
        term: i64,
    ) -> Option<OpId> {
        let held = self.held_tablets();
        let store = self.gaps.clone();
        let replays = blocking(move || {
            let replay = |wanted: Wanted| {
                let ahead = ahead.remove(&wanted.kept.name);
                (replay(&store, &mut log, &wanted, ahead, term, held.as_deref()), wanted)
            };
            wanted.into_iter().map(replay).collect::<Vec<_>>()
        });
        let mut added = None;
        for (replayed, Wanted { kept, request }) in replays.await {
            match replayed {
                Ok(replayed) => {
                    tracing::info!(gap = kept.name, outcome = ?replayed.outcome, added = ?replayed.replayed, "replayed a gap");
                    added = replayed
                        .replayed
                        .filter(|_| replayed.replayed != kept.replayed)
                        .map_or(added, |ops| Some(ops.1));
                }
                Err(error) => self.cannot_replay(vec![Wanted { kept, request }], &error).await,
            }
        }
        self.look_at_gaps().await;
        added
    }

    /// Writes down why gaps are not replayed; they are kept.
    pub(super) async fn cannot_replay(&self, wanted: Vec<Wanted>, error: &SidecarError) {
        for Wanted { kept, request } in wanted {
            tracing::error!(gap = kept.name, %error, "a gap cannot be replayed; it is kept");
            let outcome = vec![format!("not replayed: {error}")];
            self.gap_became(KeptGap { request: request.or(kept.request.clone()), outcome, ..kept }).await;
        }
    }

    /// Calls those replays done that every standby has, and gives up what a person gave up.
    pub(super) async fn settle_gaps(&self) {
        let orders = self.gap_orders();
        let gaps = self.board.facts().gaps.clone();
        for kept in gaps {
            if let Some((GapRequest::Discard, text)) = orders.request(&kept).filter(|_| kept.is_open()) {
                tracing::info!(gap = kept.name, request = text, "a gap is given up");
                let (request, outcome) = (Some(text.to_owned()), vec!["discarded, as asked".to_owned()]);
                self.gap_became(KeptGap { state: GapState::Discarded, request, outcome, ..kept }).await;
            } else if kept.state == GapState::Replaying && self.every_standby_has(kept.settled_with()) {
                let state = kept.after_replay.unwrap_or(GapState::Replayed);
                tracing::info!(
                    gap = kept.name,
                    ?state,
                    "every standby has what was replayed, and what was planned with"
                );
                self.gap_became(KeptGap { state, ..kept }).await;
            }
        }
    }

    /// Puts the gaps of this member's volume on the board.
    pub(super) async fn look_at_gaps(&self) {
        let store = self.gaps.clone();
        match blocking(move || store.all()).await {
            Ok(gaps) => self.board.facts().gaps = gaps,
            Err(error) => tracing::error!(%error, "the gaps that are kept here cannot be read"),
        }
    }

    pub(super) async fn gap_became(&self, kept: KeptGap) {
        let store = self.gaps.clone();
        if let Err(error) = blocking(move || store.update(&kept)).await {
            tracing::error!(%error, "what became of a gap cannot be written down");
        }
        self.look_at_gaps().await;
    }

    /// Reads ahead what replays in place need, while kudu-master runs on that log.
    pub(super) fn read_ahead(&self, log_folder: PathBuf, wanted: Vec<Wanted>) -> JoinHandle<Ahead> {
        let (store, held) = (self.gaps.clone(), self.held_tablets());
        spawn_blocking(move || ahead::read(&store, &log_folder, &wanted, held.as_deref()))
    }

    /// The tablets that tablet servers hold, if they were asked not long ago.
    fn held_tablets(&self) -> Option<Arc<BTreeSet<String>>> {
        self.board.facts().held.as_ref().and_then(Held::fresh)
    }

    fn every_standby_has(&self, op: Option<OpId>) -> bool {
        let facts = self.board.facts();
        let applied = op.is_none_or(|op| facts.applied_head.is_some_and(|applied| applied >= op));
        applied
            && !facts.standbys.is_empty()
            && facts.standbys.values().all(|standby| Some(standby.replicate_head) >= op)
    }
}

/// Plans and adds. Returns the gap as it is written down then.
fn replay(
    store: &GapStore,
    log: &mut LogAtRest,
    wanted: &Wanted,
    ahead: Option<ReadAhead>,
    term: i64,
    held: Option<&BTreeSet<String>>,
) -> Result<KeptGap, SidecarError> {
    let kept = &wanted.kept;
    let (gap, ahead) = match ahead {
        Some(ahead) => (ahead.gap, Some(ahead.since)),
        None => (store.ops(kept)?, None),
    };
    let prepared = Prepared::with(log, Known { gap: &gap, ahead }, term, held)?;
    let mut next = decided(wanted, &prepared.plan, &prepared.since);
    if let Some(ops) = prepared.ops() {
        next.replayed = Some(ops);
        if held.is_none() {
            next.outcome.push(NOT_CHECKED.to_owned());
        }
    }
    store.update(&next)?;
    prepared.append(log)?;
    Ok(next)
}

/// The gap as it is once this plan was carried out, until every standby has what was added. `since` is what the active's log has behind the
/// diff-head.
fn decided(wanted: &Wanted, plan: &Plan, since: &Gap) -> KeptGap {
    let (state, outcome) = kept::outcome(plan);
    let kept = wanted.kept.clone();
    KeptGap {
        state: GapState::Replaying,
        planned_head: since.last(),
        after_replay: Some(state),
        outcome,
        new_first: since.ops.first().map(GapOp::id).or(kept.new_first),
        request: wanted.request.clone().or(kept.request),
        ..kept
    }
}
