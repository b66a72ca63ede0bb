//! `failover`: what waits for a person's approval, and the approval.

use super::look::Look;
use crate::api::{
    PairStatus,
    names::{APPROVAL_ANNOTATION, SWITCHOVER_ANY},
};

use super::ask::{Wish, unique};

/// What a person can say to a pair whose active is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// What is asked for with it.
    pub(crate) wish: Wish,
    /// The annotation's value.
    pub(crate) value: String,
    /// What the pair says, with what would be lost.
    pub(crate) message: String,
}

/// What the pair waits for; otherwise why there is nothing to approve.
pub(crate) fn proposal(look: &Look) -> Result<Proposal, String> {
    let status = look.status();
    let Some(ready) = status.conditions.iter().find(|condition| condition.type_ == "Ready") else {
        return Err("the pair has no condition Ready: no controller has looked at it yet".to_owned());
    };
    let message = ready.message.clone();
    if let Some(value) = asked_for(&status, &message) {
        return Ok(Proposal { wish: Wish::Failover, value, message });
    }
    if ready.reason == "FailoverOff" {
        return Ok(Proposal { wish: Wish::Switchover, value: unique(SWITCHOVER_ANY, look.now), message });
    }
    let advice = match (&status.switch, ready.status.as_str()) {
        (Some(_), _) => format!(
            "a switch is under way; watch it: kubectl kudupair status -w -n {} {}",
            look.namespace(),
            look.name()
        ),
        (None, "True") => format!(
            "the active serves; to let another member serve: kubectl kudupair switchover -n {} {}",
            look.namespace(),
            look.name()
        ),
        (None, _) => "nobody can be approved now; do what the message says".to_owned(),
    };
    Err(format!("no failover waits for approval ({}: {message}); {advice}", ready.reason))
}

/// The value that the condition `Ready`, or a switch that waits, asks a person to approve.
fn asked_for(status: &PairStatus, message: &str) -> Option<String> {
    let waiting = status.switch.as_ref().and_then(|switch| switch.waiting_for.as_deref());
    std::iter::once(message).chain(waiting).find_map(|text| {
        let (_, rest) = text.split_once(&format!("{APPROVAL_ANNOTATION}="))?;
        let value = rest.split(|letter: char| letter.is_whitespace() || ";,)".contains(letter)).next()?;
        (!value.is_empty()).then(|| value.to_owned())
    })
}

impl Proposal {
    /// For people, before they have said anything.
    pub(crate) fn text(&self, look: &Look) -> String {
        let (namespace, name) = (look.namespace(), look.name());
        let what = match self.wish {
            Wish::Failover => {
                let mut parts = self.value.split('/');
                let (epoch, member, lost) = (parts.next(), parts.next(), parts.next());
                let (epoch, member) = (epoch.unwrap_or("?"), member.unwrap_or("?"));
                let lost = match lost.map(|lost| (lost, lost.strip_prefix("at-least-"))) {
                    Some((_, Some(least))) => {
                        format!("{least} operations, and whatever came after the last one that is known")
                    }
                    Some(("unknown", None)) | None => "an unknown number of operations".to_owned(),
                    Some((lost, None)) => format!("{lost} operations"),
                };
                format!("Member   {member} takes over\nEpoch    {epoch}\nLost     {lost}\nValue    {}\n", self.value)
            }
            Wish::Switchover | Wish::Gap => "Member   the best one that answers\n".to_owned(),
        };
        format!("{}\n\n{what}\nApprove it: kubectl kudupair failover -n {namespace} {name} --approve\n", self.message)
    }
}
