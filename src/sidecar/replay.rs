//! Replaying gaps: what only this member had as an active of old goes behind the head of its log, while kudu-master is stopped.
//!
//! What is to be added is written down before it is, and planned anew after any crash; what is there already is planned as
//! replayed before. A gap that cannot be replayed stays as it is and keeps nobody from serving.

use std::{collections::BTreeSet, path::Path};

use super::{
    SidecarError,
    gaps::{GapStore, read_segments},
    member::Member,
    shipping::blocking,
    tablet_watch::Held,
};
use crate::{
    api::{GapPolicy, GapRequest, GapState, SwitchBackSpec},
    gap::{self, Gap, KeptGap, Plan, Sides, kept},
    wal::{OpId, Replicate},
    waldir::LogAppender,
};

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

    /// Replays every gap that is to be, into the log of a kudu-master that is stopped. Returns the log's last operation when
    /// something was added. What cannot be replayed is said in its outcome.
    pub(super) async fn replay_gaps(&self, log_folder: &Path, term: i64, beginning: bool) -> Option<OpId> {
        let orders = self.gap_orders();
        let wanted = self.board.facts().gaps.clone().into_iter().filter(|kept| orders.wants_replay(kept, beginning));
        let held = self.board.facts().held.as_ref().and_then(Held::fresh);
        let mut added = None;
        for kept in wanted.collect::<Vec<_>>() {
            let request = orders.request(&kept).map(|(_, text)| text.to_owned()).or_else(|| kept.request.clone());
            let (store, folder, asked) = (self.gaps.clone(), log_folder.to_owned(), kept.clone());
            let held = held.clone();
            let replayed = blocking(move || {
                let asked = KeptGap { request, ..asked };
                replay(&store, &folder, &asked, term, held.as_deref())
            });
            let replayed = replayed.await;
            match replayed {
                Ok(replayed) => {
                    tracing::info!(gap = kept.name, outcome = ?replayed.outcome, added = ?replayed.replayed, "replayed a gap");
                    added = replayed
                        .replayed
                        .filter(|_| replayed.replayed != kept.replayed)
                        .map_or(added, |ops| Some(ops.1));
                }
                Err(error) => {
                    tracing::error!(gap = kept.name, %error, "a gap cannot be replayed; it is kept");
                    let request = orders.request(&kept).map(|(_, text)| text.to_owned());
                    let outcome = vec![format!("not replayed: {error}")];
                    self.gap_became(KeptGap { request: request.or(kept.request.clone()), outcome, ..kept }).await;
                }
            }
            self.look_at_gaps().await;
        }
        added
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
            } else if kept.state == GapState::Replaying && self.every_standby_has(kept.replayed.map(|ops| ops.1)) {
                let state = kept.after_replay.unwrap_or(GapState::Replayed);
                tracing::info!(gap = kept.name, ?state, "every standby has what was replayed");
                self.gap_became(KeptGap { state, ..kept }).await;
            }
        }
    }

    /// Whether somebody asked for a replay into the log of the active that runs.
    pub(super) fn is_asked_to_replay(&self) -> bool {
        let orders = self.gap_orders();
        self.board.facts().gaps.iter().any(|kept| orders.wants_replay(kept, false))
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
    log_folder: &Path,
    kept: &KeptGap,
    term: i64,
    held: Option<&BTreeSet<String>>,
) -> Result<KeptGap, SidecarError> {
    let prepared = prepare(log_folder, &store.ops(kept)?, term, held)?;
    let (state, mut outcome) = kept::outcome(&prepared.plan);
    if held.is_none() && prepared.ops().is_some() {
        outcome.push(NOT_CHECKED.to_owned());
    }
    let next = KeptGap {
        state: GapState::Replaying,
        after_replay: Some(state),
        replayed: prepared.ops().or(kept.replayed),
        outcome,
        new_first: prepared.new_first.or(kept.new_first),
        ..kept.clone()
    };
    store.update(&next)?;
    prepared.append(log_folder)?;
    Ok(next)
}

/// A replay that was planned for the end of one log.
#[derive(Debug)]
pub struct Prepared {
    /// What becomes of each table.
    pub plan: Plan,
    /// The first operation of the log behind the diff-head.
    pub new_first: Option<OpId>,
    ops: Vec<Replicate>,
}

/// Plans the replay of a gap into a log at rest. Its operations get `term`, or one above that of the log's last operation. `held` are the
/// tablets that tablet servers hold, if that is known.
///
/// # Errors
/// When the log cannot be read, does not have the diff-head or begins behind it, or there is no plan.
pub fn prepare(
    log_folder: &Path,
    gap: &Gap,
    term: i64,
    held: Option<&BTreeSet<String>>,
) -> Result<Prepared, SidecarError> {
    let (own, _) = read_segments(log_folder)?;
    let since = gap::read(&own, gap.after).map_err(SidecarError::Gap)?;
    let plan = gap::plan(Sides { gap, since: &since, held_tablets: held }).map_err(SidecarError::GapPlan)?;
    let head = since.last().ok_or(SidecarError::NoCatalog)?;
    let time = own.iter().map(Replicate::timestamp).max().unwrap_or(0);
    let ops = gap::renumber(&plan, gap, head, term, time).map_err(SidecarError::Renumber)?;
    Ok(Prepared { plan, new_first: since.ops.first().map(gap::GapOp::id), ops })
}

impl Prepared {
    /// The operations that are to be added, first and last; none when there is nothing to add.
    #[must_use]
    pub fn ops(&self) -> Option<(OpId, OpId)> {
        self.ops.first().zip(self.ops.last()).map(|(first, last)| (first.id(), last.id()))
    }

    /// Adds them, and makes them durable. No kudu-master may run on the log, and nothing may have been added since it was planned.
    ///
    /// # Errors
    /// When the log cannot be appended to. Some of the tables may be there then, each as a whole.
    pub fn append(&self, log_folder: &Path) -> Result<(), SidecarError> {
        if !self.ops.is_empty() {
            let mut log = LogAppender::open(log_folder)?;
            log.append(&self.ops)?;
            log.sync()?;
        }
        Ok(())
    }
}
