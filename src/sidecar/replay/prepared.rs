//! A replay as it is planned for the end of one log, and added to it.

use std::{collections::BTreeSet, path::Path};

use crate::{
    gap::{self, Gap, Plan, Sides},
    sidecar::SidecarError,
    wal::{OpId, Replicate},
    waldir::LogAppender,
};

/// The log of a kudu-master that is stopped, open for what a replay adds. Nobody else can append to it meanwhile.
#[derive(Debug)]
pub struct LogAtRest {
    appender: LogAppender,
    /// Its operations, if they were asked for.
    ops: Vec<Replicate>,
}

impl LogAtRest {
    /// Opens and checks a log, mends what a crash tore, and keeps its operations in memory: a replay needs them.
    ///
    /// # Errors
    /// When the log cannot be read or appended to.
    pub fn read(log_folder: &Path) -> Result<Self, SidecarError> {
        let mut ops = Vec::new();
        let appender = LogAppender::open_reading(log_folder, |op| ops.push(op.clone()))?;
        Ok(Self { appender, ops })
    }

    /// The same without its operations, for who only needs to know how far it comes.
    pub(in crate::sidecar) fn check(log_folder: &Path) -> Result<Self, SidecarError> {
        Ok(Self { appender: LogAppender::open(log_folder)?, ops: Vec::new() })
    }

    /// Its last operation.
    pub(in crate::sidecar) fn head(&self) -> Option<OpId> {
        self.appender.last()
    }

    /// How many operations a start would apply.
    pub(in crate::sidecar) fn pending_ops(&self) -> u64 {
        u64::try_from(self.appender.summary().pending_ops()).unwrap_or(u64::MAX)
    }

    /// What it has behind the diff-head of `gap`. `ahead` is what was read before kudu-master was stopped: with it only what came after is
    /// decoded.
    pub(super) fn since(&self, gap: &Gap, ahead: Option<Gap>) -> Result<Gap, SidecarError> {
        match ahead.and_then(|ahead| ahead.continued(&self.ops)) {
            Some(since) => Ok(since),
            None => gap::read(&self.ops, gap.after).map_err(SidecarError::Gap),
        }
    }
}

/// A gap, and what the active's log has behind the diff-head as far as it was read while kudu-master still ran.
pub(super) struct Known<'a> {
    pub(super) gap: &'a Gap,
    pub(super) ahead: Option<Gap>,
}

/// A replay that was planned for the end of one log.
#[derive(Debug)]
pub struct Prepared {
    /// What becomes of each table.
    pub plan: Plan,
    /// What the log has behind the diff-head.
    pub(super) since: Gap,
    ops: Vec<Replicate>,
}

impl Prepared {
    /// Plans the replay of a gap into a log at rest. Its operations get `term`, or one above that of the log's last operation. `held` are
    /// the tablets that tablet servers hold, if that is known.
    ///
    /// # Errors
    /// When the log does not have the diff-head or begins behind it, or there is no plan.
    pub fn new(log: &LogAtRest, gap: &Gap, term: i64, held: Option<&BTreeSet<String>>) -> Result<Self, SidecarError> {
        Self::with(log, Known { gap, ahead: None }, term, held)
    }

    /// The same with what was read ahead.
    pub(super) fn with(
        log: &LogAtRest,
        Known { gap, ahead }: Known<'_>,
        term: i64,
        held: Option<&BTreeSet<String>>,
    ) -> Result<Self, SidecarError> {
        let since = log.since(gap, ahead)?;
        let plan = gap::plan(Sides { gap, since: &since, held_tablets: held }).map_err(SidecarError::GapPlan)?;
        let head = since.last().ok_or(SidecarError::NoCatalog)?;
        let time = log.ops.iter().map(Replicate::timestamp).max().unwrap_or(0);
        let ops = gap::renumber(&plan, gap, head, term, time).map_err(SidecarError::Renumber)?;
        Ok(Self { plan, since, ops })
    }

    /// The operations that are to be added, first and last; none when there is nothing to add.
    #[must_use]
    pub fn ops(&self) -> Option<(OpId, OpId)> {
        self.ops.first().zip(self.ops.last()).map(|(first, last)| (first.id(), last.id()))
    }

    /// Adds them, and makes them durable.
    ///
    /// # Errors
    /// When the log cannot be appended to. Some of the tables may be there then, each as a whole.
    pub fn append(&self, log: &mut LogAtRest) -> Result<(), SidecarError> {
        if !self.ops.is_empty() {
            log.appender.append(&self.ops)?;
            log.appender.sync()?;
            log.ops.extend_from_slice(&self.ops);
        }
        Ok(())
    }
}
