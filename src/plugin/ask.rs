//! Asks the controller for something by an annotation, and waits until it has answered in the status.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use super::{cluster::Cluster, exit::Exit, look::Look};
use crate::api::{
    Answer, KuduMasterPair, PairStatus, Receipt, RequestAnswer,
    names::{APPROVAL_ANNOTATION, GAP_ANNOTATION, SWITCHOVER_ANNOTATION},
};

/// A controller that runs answers within a second; one that was just started, within a few.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// How often the status is read meanwhile.
const EVERY: Duration = Duration::from_millis(250);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A planned switch.
    Switchover,
    /// A failover that a person approves.
    Failover,
    /// Something about a gap.
    Gap,
}

impl Wish {
    fn annotation(self) -> &'static str {
        match self {
            Self::Switchover => SWITCHOVER_ANNOTATION,
            Self::Failover => APPROVAL_ANNOTATION,
            Self::Gap => GAP_ANNOTATION,
        }
    }

    fn answer(self, status: &PairStatus) -> Option<&RequestAnswer> {
        match self {
            Self::Switchover => status.switchover.as_ref(),
            Self::Failover => status.approval.as_ref(),
            Self::Gap => status.gap_request.as_ref(),
        }
    }
}

/// A value of a request that was never used before.
pub(crate) fn unique(what: &str, now: Timestamp) -> String {
    format!("{what}@{}", now.strftime("%Y%m%dT%H%M%S.%3fZ"))
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nobody has taken notice.
    Unanswered,
    /// It is being done.
    UnderWay(String),
    /// That became of it.
    Ended(Answer, String),
}

/// How far the request with this value is.
pub(crate) fn progress(status: &PairStatus, wish: Wish, value: &str) -> Progress {
    let Some(answer) = wish.answer(status).filter(|answer| answer.request == value) else {
        return Progress::Unanswered;
    };
    match answer.answer {
        Answer::Accepted => {
            let step = status.switch.as_ref().map(|switch| match &switch.waiting_for {
                Some(waiting) => format!("{:?}: {waiting}", switch.step),
                None => format!("{:?}", switch.step),
            });
            Progress::UnderWay(step.unwrap_or_else(|| answer.message.clone()))
        }
        ended => Progress::Ended(ended, answer.message.clone()),
    }
}

/// What came of a request, as it is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// The annotation's value.
    pub(crate) request: String,
    /// What became of it; none when nobody answered.
    pub(crate) answer: Option<Answer>,
    /// Why, and what to do.
    pub(crate) message: String,
    /// The receipt of the switch that it led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receipt: Option<Receipt>,
    /// Whether it had not ended when nobody wanted to wait any longer.
    #[serde(skip)]
    pub(crate) overdue: bool,
}

impl Outcome {
    fn ended(status: &PairStatus, wish: Wish, value: &str, answer: Answer, message: String) -> Self {
        let switched = wish != Wish::Gap && matches!(answer, Answer::Completed | Answer::RolledBack);
        let receipt = status.last_switch.clone().filter(|_| switched);
        Self { request: value.to_owned(), answer: Some(answer), message, receipt, overdue: false }
    }

    /// Nothing was asked for, and that is why.
    pub(crate) fn refused(message: String) -> Self {
        Self { request: String::new(), answer: Some(Answer::Refused), message, receipt: None, overdue: false }
    }

    /// The plugin's exit status.
    pub(crate) fn exit(&self) -> Exit {
        match self.answer {
            Some(Answer::Completed) => Exit::Done,
            Some(Answer::Accepted) if !self.overdue => Exit::Done,
            Some(Answer::Refused) => Exit::No,
            Some(Answer::RolledBack) => Exit::RolledBack,
            Some(Answer::Accepted) | None => Exit::NoAnswer,
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let word = match self.answer {
            Some(Answer::Completed) => "done",
            Some(Answer::Accepted) if !self.overdue => "accepted",
            Some(Answer::Refused) => "refused",
            Some(Answer::RolledBack) => "rolled back",
            Some(Answer::Accepted) => "not done yet",
            None => "no answer",
        };
        format!("{word}: {}\n", self.message)
    }
}

/// Asks, and waits for the end; what happens meanwhile is told on the standard error.
pub(crate) async fn ask(
    cluster: &Cluster,
    look: &Look,
    wish: Wish,
    value: &str,
    patience: Duration,
) -> anyhow::Result<Outcome> {
    let name = look.name();
    if let Some(age) = look.controller_silent() {
        tell(&format!(
            "the status is {} old, so the controller may be down; the request is withdrawn if nobody answers within {} s",
            super::words::span(age),
            FIRST_ANSWER.as_secs()
        ));
    }
    let mut pair = cluster.annotate(&name, wish.annotation(), value).await?;
    let begun = Instant::now();
    let mut told = String::new();
    loop {
        let status = pair.status.clone().unwrap_or_default();
        match progress(&status, wish, value) {
            Progress::Ended(answer, message) => return Ok(Outcome::ended(&status, wish, value, answer, message)),
            Progress::Unanswered if begun.elapsed() >= FIRST_ANSWER.min(patience) => {
                if let Some(outcome) = give_up(cluster, &pair, wish, value).await? {
                    return Ok(outcome);
                }
            }
            Progress::Unanswered => {}
            Progress::UnderWay(step) if begun.elapsed() >= patience => {
                let message = format!(
                    "it was begun and goes on without you ({step}); watch it: kubectl kudupair status -w -n {} {name}",
                    look.namespace()
                );
                let (request, answer) = (value.to_owned(), Some(Answer::Accepted));
                return Ok(Outcome { request, answer, message, receipt: None, overdue: true });
            }
            Progress::UnderWay(step) => {
                if step != told {
                    tell(&step);
                    told = step;
                }
            }
        }
        tokio::time::sleep(EVERY).await;
        match cluster.pair(Some(&name)).await {
            Ok(read) => pair = read,
            // A switch may go on while this machine does not see it.
            Err(error) if begun.elapsed() < patience => tell(&format!("{error:#}; trying again")),
            Err(error) => return Err(error),
        }
    }
}

/// Withdraws a request that nobody has seen, so that nobody obeys it when it is not expected any more. None: it was answered
/// at the last moment.
async fn give_up(cluster: &Cluster, pair: &KuduMasterPair, wish: Wish, value: &str) -> anyhow::Result<Option<Outcome>> {
    let still_asked = pair.annotations().get(wish.annotation()).is_some_and(|now| now == value);
    if still_asked && !cluster.reannotate(pair, wish.annotation(), None).await? {
        return Ok(None);
    }
    // An approval of something else than what is asked for now is ignored.
    let or_else = if wish == Wish::Failover { "Look again at what is asked for, and see" } else { "See" };
    let message = format!(
        "nobody answered within {} s, and the request was withdrawn: nothing was done. {or_else} the controller's pods: {}",
        FIRST_ANSWER.as_secs(),
        super::look::CONTROLLER_PODS
    );
    Ok(Some(Outcome { request: value.to_owned(), answer: None, message, receipt: None, overdue: true }))
}

/// Tells on the standard error, where it does not get into what a script reads.
pub(crate) fn tell(text: &str) {
    // Nobody may be listening there.
    let _ = writeln!(std::io::stderr(), "{text}");
}
