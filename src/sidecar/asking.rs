//! Where an active's question for pledges goes, and where the answers come together.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use crate::{failover::failsafe::Ask, replication::message::PledgeAnswer};

/// The last answer of each member.
pub(super) type Answers = BTreeMap<String, PledgeAnswer>;

/// Between the active's Lease and the streams of its standbys. One for the life of a sidecar.
#[derive(Debug, Clone, Default)]
pub(super) struct Asking(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    /// The last question and the reign that asks.
    question: watch::Sender<Option<(i64, Ask)>>,
    answers: watch::Sender<Answers>,
}

impl Asking {
    /// Asks all standbys that stream in this reign.
    pub(super) fn ask(&self, epoch: i64, ask: Ask) {
        self.0.question.send_replace(Some((epoch, ask)));
    }

    /// Questions from now on.
    pub(super) fn questions(&self) -> watch::Receiver<Option<(i64, Ask)>> {
        self.0.question.subscribe()
    }

    /// A member has answered. Which question it answers is in the answer, so an old one does no harm.
    pub(super) fn answered(&self, member: &str, answer: PledgeAnswer) {
        self.0.answers.send_modify(|answers| {
            answers.insert(member.to_owned(), answer);
        });
    }

    /// Answers from now on.
    pub(super) fn answers(&self) -> watch::Receiver<Answers> {
        self.0.answers.subscribe()
    }
}
