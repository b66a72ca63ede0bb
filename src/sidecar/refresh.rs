//! A new base for a standby while the stream goes on, so that a promotion has little to replay.
//!
//! ```text
//! the log of the generation in use  ──────────────── the stream goes on ────────────────▶ ─┐
//! a new generation:  copy of a base ─▶ what the old log has past it, made durable ─▶ the rest ─▶ it counts
//! ```
//!
//! Promises:
//! - The control file names the new generation only when that holds, durably, every operation that the old one does: whatever
//!   was acknowledged is in the generation that counts, at every moment.
//! - The base is used only when it and the old log have the same operation at the base's end: so one continues the other.
//! - A crash or a lost connection at any point leaves the old generation as it was; a copy that was begun is thrown away.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{SidecarError, base::Copy, board::Board, generation, log, member::Member, shipping::blocking};
use crate::{
    launcher::{
        client::LauncherClient,
        protocol::{Generation, Request},
    },
    replication::{
        Message,
        replay::{OPS_PER_SECOND, Observation, Pending, Refresher, Step},
        terms,
    },
    volume::Disk,
    wal::{LogEntry, OpId},
    waldir::{LogAppender, LogTail, TailState},
};

/// How often is looked whether the stream has come as far as the base.
const LOOK: Duration = Duration::from_millis(50);

/// A standby's new bases.
pub(super) struct Refresh {
    refresher: Refresher,
    born: Instant,
    pending: Pending,
    /// Whether the active said last that it serves.
    serving: bool,
    /// Whether the active was asked for this standby's turn over this connection.
    asked: bool,
    turn: bool,
    began: Instant,
    making: Option<Made>,
    made: Option<Fresh>,
}

/// Resolves when a new generation is made.
type Made = Pin<Box<dyn Future<Output = Result<Fresh, SidecarError>> + Send>>;

/// A new generation that has all of the old log, as of a moment ago.
struct Fresh {
    generation: Generation,
    base_head: OpId,
    log: LogAppender,
    /// Where the old log goes on.
    tail: LogTail,
}

impl Fresh {
    /// Takes what the old log has got since, to which nobody writes now. Afterwards both hold the same, durably: so all that this
    /// member has acknowledged is in the new one.
    fn complete(&mut self, old: &LogAppender) -> Result<(), SidecarError> {
        catch_up(&mut self.log, &mut self.tail)?;
        match self.log.durable() == old.durable() {
            true => Ok(()),
            false => Err(SidecarError::ForeignBase { op: self.base_head }),
        }
    }
}

impl Refresh {
    pub(super) fn new(member: &Member) -> Self {
        Self {
            refresher: Refresher::new(member.coordinator.replay_bounds(), &member.config.member),
            born: Instant::now(),
            pending: Pending::default(),
            serving: false,
            asked: false,
            turn: false,
            began: Instant::now(),
            making: None,
            made: None,
        }
    }

    /// What the log in use holds now.
    pub(super) fn saw(&mut self, member: &Member, log: &LogAppender) {
        let ops = u64::try_from(log.summary().pending_ops()).unwrap_or(u64::MAX);
        self.pending = Pending { ops, bytes: log.summary().pending_bytes };
        let time = self.pending.replay_time(rate(member));
        member.board.facts().pending = Some((self.pending, time));
    }

    /// The active said whether it serves; while it does not, a switch may be under way.
    pub(super) fn heard(&mut self, serving: bool) {
        self.serving = serving;
    }

    /// The active said that it is this standby's turn.
    pub(super) fn has_turn(&mut self) {
        // An answer to a wish that was taken back comes too late.
        self.turn = self.asked;
    }

    /// The connection ended, and with it the turn. What was begun is begun anew later.
    pub(super) fn disconnected(&mut self) {
        if self.asked {
            self.refresher.failed(self.born.elapsed());
        }
        (self.making, self.made) = (None, None);
        (self.asked, self.turn, self.serving) = (false, false, false);
    }

    /// Resolves when a step is due because the new generation is made, or cannot be.
    pub(super) async fn progress(&mut self) {
        let Some(making) = &mut self.making else { return std::future::pending().await };
        let made = making.await;
        self.making = None;
        match made {
            Ok(fresh) => self.made = Some(fresh),
            Err(error) => self.fail(&error),
        }
    }

    /// Does what is due; called again and again while the stream goes on. `log` is the log in use, none while it is written to.
    /// Returns what is to be said to the active.
    pub(super) async fn step(
        &mut self,
        member: &mut Member,
        log: &mut Option<LogAppender>,
        rpc: &str,
    ) -> Result<Option<Message>, SidecarError> {
        if self.made.is_some()
            && let Some(old) = log.take()
            && let Some(fresh) = self.made.take()
        {
            *log = Some(self.switch(member, old, fresh).await?);
        }
        if self.making.is_some() || self.made.is_some() {
            return Ok(None);
        }
        self.refresher.set_bounds(member.coordinator.replay_bounds());
        let seen = Observation {
            pending: self.pending,
            ops_per_second: rate(member),
            steady: self.serving,
            granted: self.turn,
        };
        match self.refresher.step(self.born.elapsed(), &seen) {
            Step::Keep if self.asked => {
                (self.asked, self.turn) = (false, false);
                Ok(Some(Message::WantBase { wanted: false }))
            }
            Step::Ask if !self.asked => {
                self.asked = true;
                Ok(Some(Message::WantBase { wanted: true }))
            }
            Step::Keep | Step::Ask => Ok(None),
            Step::Take => self.begin(member, rpc).await.map(|()| None),
        }
    }

    async fn begin(&mut self, member: &mut Member, rpc: &str) -> Result<(), SidecarError> {
        // What an attempt that was cut short has left.
        member.tidy().await?;
        let anchors = member.anchors.current();
        let Some(old) = anchors.generation else { return Ok(()) };
        let generation = generation::next(&member.anchors)?;
        tracing::info!(?self.pending, generation, "a new base is taken while the stream goes on");
        let wal_dir = &member.config.wal_dir;
        let making = Making {
            copy: Copy::new(member, &generation, anchors.uuid, rpc),
            board: Arc::clone(&member.board),
            launcher_socket: member.config.launcher_socket.clone(),
            term: terms::floor(anchors.epoch.saturating_add(1)),
            old: generation::log_folder(wal_dir, &old),
            new: generation::log_folder(wal_dir, &generation),
            generation,
        };
        self.began = Instant::now();
        self.making = Some(Box::pin(making.run()));
        Ok(())
    }

    /// Lets the new generation count once it has everything. Returns the log that is in use from now on.
    async fn switch(
        &mut self,
        member: &mut Member,
        old: LogAppender,
        fresh: Fresh,
    ) -> Result<LogAppender, SidecarError> {
        let (fresh, old, completed) = blocking(move || {
            let mut fresh = fresh;
            let completed = fresh.complete(&old);
            (fresh, old, completed)
        })
        .await;
        if let Err(error) = completed {
            self.fail(&error);
            return Ok(old);
        }
        let replaced = member.anchors.current().generation;
        member.anchors.update(|anchors| {
            anchors.adopt(&fresh.generation, Some(fresh.base_head), fresh.log.durable());
        })?;
        drop(old);
        let took = self.began.elapsed();
        self.refresher.taken(self.born.elapsed(), took);
        self.saw(member, &fresh.log);
        tracing::info!(
            generation = fresh.generation,
            base_head = %fresh.base_head,
            millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            pending_ops = self.pending.ops,
            "the new base counts"
        );
        let (wal_dir, data_dir) = (member.config.wal_dir.clone(), member.config.data_dir.clone());
        if let Some(replaced) = replaced {
            // Its log has nothing that the new one has not, so there is nothing to keep. What stays is removed later.
            let removed = blocking(move || generation::remove(&Disk, &wal_dir, &data_dir, &replaced)).await;
            if let Err(error) = removed {
                tracing::warn!(%error, "the replaced generation cannot be removed");
            }
        }
        Ok(fresh.log)
    }

    fn fail(&mut self, error: &SidecarError) {
        let pause = self.refresher.failed(self.born.elapsed());
        tracing::warn!(%error, ?pause, "no new base was taken; the one in use goes on");
    }
}

/// The operations that a promotion of this member is taken to replay in a second.
fn rate(member: &Member) -> u32 {
    member.anchors.current().replay_ops_per_second.unwrap_or(OPS_PER_SECOND)
}

/// The making of a new generation, beside the stream.
struct Making {
    copy: Copy,
    board: Arc<Board>,
    launcher_socket: PathBuf,
    term: i64,
    old: PathBuf,
    new: PathBuf,
    generation: Generation,
}

impl Making {
    async fn run(self) -> Result<Fresh, SidecarError> {
        self.copy.run().await?;
        let set_term = Request::SetTerm { generation: self.generation.clone(), term: self.term };
        LauncherClient::connect(&self.launcher_socket).await?.call(set_term).await?;
        let folder = self.new.clone();
        let log = blocking(move || LogAppender::open(&folder)).await?;
        let base_head = log.last().ok_or(SidecarError::NoCatalog)?;
        // The base can be ahead of the stream.
        while self.board.facts().head.is_none_or(|head| head < base_head) {
            sleep(LOOK).await;
        }
        let (old, new, generation) = (self.old, self.new, self.generation);
        blocking(move || {
            let (mut log, mut tail) = (log, LogTail::open(&old, Some(base_head)));
            check_same(&old, &new, base_head)?;
            catch_up(&mut log, &mut tail)?;
            Ok(Fresh { generation, base_head, log, tail })
        })
        .await
    }
}

/// Whether both logs have the same operation there.
fn check_same(old: &Path, new: &Path, op: OpId) -> Result<(), SidecarError> {
    let digest = log::digest_at(old, op)?;
    match digest.is_some() && digest == log::digest_at(new, op)? {
        true => Ok(()),
        false => Err(SidecarError::ForeignBase { op }),
    }
}

/// Appends what the old log has more, and makes it durable.
fn catch_up(log: &mut LogAppender, old: &mut LogTail) -> Result<(), SidecarError> {
    loop {
        let batch = old.poll()?;
        let ops: Vec<_> = batch
            .entries
            .into_iter()
            .filter_map(|entry| match entry {
                LogEntry::Replicate(replicate) => Some(replicate),
                // A COMMIT of an earlier base names stores that this one does not have.
                LogEntry::Commit(_) => None,
            })
            .collect();
        log.append(&ops)?;
        if batch.state != TailState::More {
            return Ok(log.sync()?);
        }
    }
}

#[cfg(test)]
mod tests;
