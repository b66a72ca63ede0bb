//! What the controller does next.

use std::time::Duration;

use crate::api::PairStatus;

/// One effect on the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Replace the pair's status, if it is still the one that was read.
    WriteStatus(Box<PairStatus>),
    /// Make the pair's Lease, held by nobody, for this epoch.
    CreateLease {
        /// The reign for which it may be held.
        epoch: i64,
    },
    /// Take the Lease from whoever held it, if it is still this version: no holder, no final head, a higher epoch.
    FenceLease {
        /// The version that was seen.
        resource_version: String,
        /// The reign for which it may be held from now on.
        epoch: i64,
    },
    /// Bring all objects of the pair to what the spec wants; nothing to do when that was done already.
    ApplyObjects {
        /// The member that the Service selects.
        active: Option<String>,
    },
    /// The same without looking at what was done already, because the Service does not select this member.
    Repoint {
        /// The member that the Service has to select.
        active: String,
    },
    /// Delete a pod, if it is still this one.
    DeletePod {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// Tell of something on the pair.
    Event(PairEvent),
}

/// An event on the pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairEvent {
    /// Whether somebody should look.
    pub warning: bool,
    /// One word, as in `FailoverCompleted`.
    pub reason: &'static str,
    /// What happened.
    pub note: String,
}

impl PairEvent {
    /// Something that went as it should.
    pub fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self { warning: false, reason, note: note.into() }
    }

    /// Something that somebody should look at.
    pub fn warning(reason: &'static str, note: impl Into<String>) -> Self {
        Self { warning: true, reason, note: note.into() }
    }
}

/// What to do now, and when to look again.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// In this order; when one fails, the rest is dropped and everything is observed anew.
    ///
    /// Either the first one writes the pair's memory and only events follow, or all act on memory already written; a
    /// status that follows then changes nothing but what it tells people, and only events follow it.
    pub actions: Vec<Action>,
    /// Look again after so long, if nothing happens before; zero: at once.
    pub requeue_after: Duration,
}

/// What one step of the state machine comes to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Write this memory, and nothing else; once it is written, tell.
    Remember {
        /// The new memory; the parts for people are filled in later.
        status: Box<PairStatus>,
        /// Told after the write.
        events: Vec<PairEvent>,
    },
    /// Act on the memory as it is.
    Act {
        /// What to do; may be nothing.
        actions: Vec<Action>,
        /// Why things do not go on, when they do not.
        waiting: Option<Waiting>,
    },
}

impl Step {
    pub(crate) fn remember(status: PairStatus) -> Self {
        Self::Remember { status: Box::new(status), events: Vec::new() }
    }

    pub(crate) fn remember_and_tell(status: PairStatus, event: PairEvent) -> Self {
        Self::Remember { status: Box::new(status), events: vec![event] }
    }

    pub(crate) fn act(action: Action) -> Self {
        Self::Act { actions: vec![action], waiting: None }
    }

    pub(crate) fn wait(waiting: Waiting) -> Self {
        Self::Act { actions: Vec::new(), waiting: Some(waiting) }
    }

    /// Also does this, when the step is to act.
    pub(crate) fn and(mut self, action: Option<Action>) -> Self {
        if let Self::Act { actions, .. } = &mut self {
            actions.extend(action);
        }
        self
    }
}

/// Why things do not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// One word for a condition's reason.
    pub(crate) reason: &'static str,
    /// What is missing and what to do; without numbers that change at each look, since it becomes part of the status.
    pub(crate) text: String,
    /// Whether only a person, or a member that is away, can make it go on.
    pub(crate) stuck: bool,
}

impl Waiting {
    /// Goes on by itself within seconds.
    pub(crate) fn briefly(reason: &'static str, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), stuck: false }
    }

    /// Needs a person, or a member that is away.
    pub(crate) fn stuck(reason: &'static str, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), stuck: true }
    }
}
