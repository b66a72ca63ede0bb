//! The log of a reign, as its sidecar offers it to standbys: where it is, what it holds, how far it is applied.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{lags::Lags, log, log_watch::LogWatch};
use crate::{
    catalog::CreatingTablets,
    clock::unix_millis,
    replication::{acknowledgement::Covers, feed::Reign, message::Heartbeat, terms},
    wal::{LogEntry, LogSummary, OpDigest, OpId, TermHistory},
    waldir::{HeldTail, LogTail, ReadError, TailError, TailState, held::held_digest, stopped_log_dir},
};

/// Pause between two looks at a log of which there is no hint that it was written to.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

/// The reign whose log is offered now, if there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Current(Arc<watch::Sender<Option<Arc<Shipping>>>>);

impl Current {
    pub(super) fn get(&self) -> Option<Arc<Shipping>> {
        self.0.borrow().clone()
    }

    /// Offers a reign's log; ends with the returned guard.
    pub(super) fn offer(&self, shipping: &Arc<Shipping>) -> Offer {
        self.0.send_replace(Some(Arc::clone(shipping)));
        Offer { current: self.clone(), ended: shipping.ended.clone() }
    }
}

/// Withdraws the offer when dropped, and ends the streams that were fed from it.
#[derive(Debug)]
pub(super) struct Offer {
    current: Current,
    ended: CancellationToken,
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.current.0.send_replace(None);
        self.ended.cancel();
    }
}

/// What the log of a reign shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Heads {
    /// Last op.
    pub(super) head: Option<OpId>,
    /// Last op that is applied with all before it.
    pub(super) applied: Option<OpId>,
    /// The latest NO_OP that is applied, or what is left behind it: from there on its term serves.
    pub(super) opened: Option<OpId>,
}

/// What a log holds at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Last op.
    pub(super) last: Option<OpId>,
    /// What a sync covers that began when this was the end.
    pub(super) covers: Covers,
}

impl Default for Written {
    fn default() -> Self {
        Self { last: None, covers: Covers::Opening(None) }
    }
}

/// The log of a reign.
#[derive(Debug)]
pub(super) struct Shipping {
    epoch: i64,
    uuid: String,
    folder: PathBuf,
    /// Where segments of the log are kept for standbys that are away.
    held: PathBuf,
    /// What those segments hold.
    kept: Mutex<TermHistory>,
    summary: Mutex<LogSummary>,
    lags: Arc<Lags>,
    /// The tablets that are being created.
    creating: Mutex<CreatingTablets>,
    /// Whether `summary` was read from a log that is not being rewritten, to its end.
    whole: AtomicBool,
    heads: watch::Sender<Heads>,
    serving: watch::Sender<bool>,
    /// How often the log was read to its end.
    looks: watch::Sender<u64>,
    /// How often somebody asked what is written.
    asked: watch::Sender<u64>,
    /// What the last look to the end of a log that is there showed, and how often had been asked when it began.
    answered: watch::Sender<(u64, Written)>,
    /// Somebody waits for a look.
    hurry: Arc<Notify>,
    ended: CancellationToken,
    _end: DropGuard,
}

impl Shipping {
    /// Begins to follow the log in `folder`, of which segments may be kept in `held`.
    pub(super) fn begin(epoch: i64, uuid: String, folder: PathBuf, held: PathBuf) -> Arc<Self> {
        let ended = CancellationToken::new();
        let hurry = Arc::new(Notify::new());
        let shipping = Arc::new(Self {
            epoch,
            uuid,
            folder: folder.clone(),
            held,
            kept: Mutex::default(),
            summary: Mutex::default(),
            lags: Arc::new(Lags::new()),
            creating: Mutex::default(),
            whole: AtomicBool::new(false),
            heads: watch::Sender::new(Heads::default()),
            serving: watch::Sender::new(true),
            looks: watch::Sender::new(0),
            asked: watch::Sender::new(0),
            answered: watch::Sender::new((0, Written::default())),
            hurry: Arc::clone(&hurry),
            ended: ended.clone(),
            _end: ended.clone().drop_guard(),
        });
        let weak = Arc::downgrade(&shipping);
        tokio::spawn(async move {
            let mut tail = None;
            let mut watch = LogWatch::new(&folder);
            while let Some(shipping) = weak.upgrade() {
                watch.renew();
                tail = shipping.look(tail).await;
                drop(shipping);
                tokio::select! {
                    () = ended.cancelled() => break,
                    () = hurry.notified() => {}
                    () = watch.written() => {}
                    () = tokio::time::sleep(IDLE_PAUSE) => {}
                }
            }
        });
        shipping
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log with what is kept of it, after an operation that a standby has.
    pub(super) fn tail(&self, after: OpId) -> HeldTail {
        HeldTail::open(&self.folder, &self.held, after)
    }

    /// Notes what the kept segments hold.
    pub(super) fn keeps(&self, kept: TermHistory) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// How far standbys are behind this log.
    pub(super) fn lags(&self) -> Arc<Lags> {
        Arc::clone(&self.lags)
    }

    pub(super) fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.subscribe()
    }

    /// The reign, for a standby that registers.
    pub(super) fn reign(&self) -> Reign {
        let history = self.summary.lock().unwrap_or_else(PoisonError::into_inner).history.clone();
        // A sidecar that was started anew has read only what Kudu still has.
        let history = history.preceded_by(&self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        Reign {
            epoch: self.epoch,
            uuid: self.uuid.clone(),
            history,
            whole: self.whole.load(Ordering::SeqCst),
            opened: self.heads.borrow().opened.is_some(),
            beat: self.beat(),
        }
    }

    /// How the log and its master are now.
    pub(super) fn beat(&self) -> Heartbeat {
        Heartbeat { current_head: self.heads.borrow().head, serving: *self.serving.borrow() }
    }

    pub(super) fn has_applied(&self, op: OpId) -> bool {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).has_applied(op)
    }

    /// Resolves at a moment when no tablet is being created, other than such that have been so for `patience`.
    pub(super) async fn is_quiet(&self, patience: Duration) {
        let mut heads = self.heads();
        loop {
            let now = Duration::from_millis(unix_millis());
            if !self.creating.lock().unwrap_or_else(PoisonError::into_inner).any_younger_than(patience, now) {
                return;
            }
            if heads.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether kudu-master is running; false while what is left of its log is shipped.
    pub(super) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    pub(super) fn stopped_serving(&self) {
        self.serving.send_replace(false);
    }

    /// The last op of a log that nobody writes to any more: what a look shows that began after the call.
    pub(super) async fn final_head(&self) -> Option<OpId> {
        let mut looks = self.looks.subscribe();
        let begun = *looks.borrow_and_update();
        // The look that is under way may have passed the end already; the one after it has not begun yet.
        let whole = begun.saturating_add(2);
        // It fails only when this value is gone.
        let _ = looks.wait_for(|looks| *looks >= whole).await;
        self.heads.borrow().head
    }

    /// How often somebody asked what is written: something was, just before.
    pub(super) fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// What is in the log now, of all that was written before this was called.
    pub(super) async fn written(&self) -> Written {
        let mut answered = self.answered.subscribe();
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked = asked.saturating_add(1);
            number = *asked;
        });
        self.hurry.notify_one();
        let answer = answered.wait_for(|(asked, _)| *asked >= number).await.map(|answer| answer.1).ok();
        match answer {
            Some(written) => written,
            // This value is gone, and whoever asked with it.
            None => std::future::pending().await,
        }
    }

    /// Whether this reign's log is no longer offered.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Resolves when this reign's log is no longer offered.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Reads one operation's digest from the log.
    pub(super) async fn digest_of(&self, op: OpId) -> Result<Option<OpDigest>, ReadError> {
        // While kudu-master rewrites its log, all of it is still beside.
        let (folder, held) = (stopped_log_dir(&self.folder), self.held.clone());
        blocking(move || match log::digest_at(&folder, op)? {
            None => held_digest(&held, op),
            found => Ok(found),
        })
        .await
    }

    /// Reads what is new in the log. A log that cannot be followed any further is read anew from its beginning.
    async fn look(self: &Arc<Self>, tail: Option<LogTail>) -> Option<LogTail> {
        let shipping = Arc::clone(self);
        let asked = *self.asked.borrow();
        let began = Instant::now();
        let (tail, result) = blocking(move || {
            let mut tail = tail.unwrap_or_else(|| LogTail::open(&shipping.folder, None));
            let result = shipping.read(&mut tail);
            let at_rest = stopped_log_dir(&shipping.folder) == shipping.folder;
            shipping.whole.store(result.is_ok() && at_rest, Ordering::SeqCst);
            (tail, result)
        })
        .await;
        match result {
            Ok(state) => {
                if state == TailState::CaughtUp {
                    self.lags.came_to_end(began);
                    self.answered.send_replace((asked, self.written_so_far()));
                }
                self.looks.send_modify(|looks| *looks = looks.saturating_add(1));
                Some(tail)
            }
            // The log is being rewritten, or not there yet: kudu-master is starting.
            Err(TailError::Read(error)) => {
                tracing::debug!(%error, "the log cannot be read now");
                Some(tail)
            }
            Err(error @ (TailError::Gone { .. } | TailError::Diverged { .. })) => {
                tracing::debug!(%error, "the log is read again from its beginning");
                *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = LogSummary::default();
                self.lags.restart();
                *self.creating.lock().unwrap_or_else(PoisonError::into_inner) = CreatingTablets::default();
                None
            }
        }
    }

    /// What the log holds as far as it was read.
    fn written_so_far(&self) -> Written {
        let summary = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
        let last = summary.last;
        // Without a NO_OP it was collected, and what is left was asked for by clients.
        let opening = summary.no_ops.last().map(|no_op| no_op.id).or_else(|| summary.opened());
        let opening = opening.filter(|id| terms::epoch_of(id.term) >= self.epoch);
        let covers = match (opening, last) {
            (Some(opening), Some(last)) if opening < last => Covers::Operations(last),
            // Of a log that does not say what was before, all of it.
            (Some(opening), _) if opening.index > 1 => {
                let before = opening.index.saturating_sub(1);
                let term = summary.history.term_at(before);
                Covers::Opening(Some(term.map_or(opening, |term| OpId::new(term, before))))
            }
            (Some(_), _) => Covers::Opening(None),
            (None, last) => Covers::Opening(last),
        };
        Written { last, covers }
    }

    fn read(&self, tail: &mut LogTail) -> Result<TailState, TailError> {
        loop {
            let batch = tail.poll()?;
            if batch.entries.is_empty() && batch.state != TailState::More {
                return Ok(batch.state);
            }
            self.lags.saw(&batch.entries);
            let heads = {
                let mut summary = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
                let mut creating = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
                for entry in &batch.entries {
                    summary.fold(entry);
                    if let LogEntry::Replicate(op) = entry {
                        creating.fold(op);
                    }
                }
                Heads { head: summary.last, applied: summary.applied_through(), opened: summary.opened() }
            };
            self.heads.send_if_modified(|old| std::mem::replace(old, heads) != heads);
        }
    }
}

/// Runs file I/O where it may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
