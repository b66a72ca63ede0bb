//! What a failover to a candidate loses, as far as it is known, and whether the spec allows that without a person.

use std::{fmt, time::Duration};

use super::{
    choose::{Candidate, Recorded},
    lease::LeaseSeen,
    observation::Observation,
};
use crate::{
    api::{FailoverSpec, SwitchRecord, TriedMember},
    replication::terms,
    wal::OpId,
};

/// Operations of the old active that a candidate does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LostOps {
    /// So many, beyond doubt: the recorded head was read after the old active's kudu-master was dead.
    Exactly(i64),
    /// So many are known; the old active may have gone on after it was heard last.
    AtLeast(i64),
    /// Nothing is known of what the old active had, or the candidate never followed its reign.
    Unknown,
}

impl LostOps {
    /// What a candidate that has `inherited` of the old reign lacks.
    pub(crate) fn between(recorded: Recorded, inherited: OpId) -> Self {
        let Some(head) = recorded.head else { return Self::Unknown };
        if terms::epoch_of(inherited.term) < terms::epoch_of(head.term) {
            return Self::Unknown;
        }
        // Within one reign the candidate's log is a part of the old active's, so indexes can be compared.
        let ops = (head.index - inherited.index).max(0);
        if recorded.is_final { Self::Exactly(ops) } else { Self::AtLeast(ops) }
    }

    /// Whether somebody who accepted `approved` accepted this as well.
    fn is_within(self, approved: Self) -> bool {
        match (self, approved) {
            (Self::Exactly(0), _) => true,
            (Self::Exactly(lost), Self::Exactly(most)) => lost <= most,
            (Self::Exactly(lost) | Self::AtLeast(lost), Self::AtLeast(most)) => lost <= most,
            (Self::Unknown, approved) => approved == Self::Unknown,
            (Self::AtLeast(_), Self::Exactly(_)) | (_, Self::Unknown) => false,
        }
    }

    /// For people.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Exactly(1) => "1 operation is lost".to_owned(),
            Self::Exactly(ops) => format!("{ops} operations are lost"),
            Self::AtLeast(ops) => {
                format!("at least {ops} operations are lost, and whatever came after the last known one")
            }
            Self::Unknown => "how many operations are lost is unknown".to_owned(),
        }
    }
}

/// As it stands in an approval.
impl fmt::Display for LostOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(ops) => write!(f, "{ops}"),
            Self::AtLeast(ops) => write!(f, "at-least-{ops}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// What a person approves: this reign, this member, this loss. A value that was meant for something else is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approval {
    /// The reign that the failover leads to.
    pub(crate) epoch: i64,
    /// The member that takes over.
    pub(crate) member: String,
    /// What is lost.
    pub(crate) lost: LostOps,
}

impl Approval {
    /// What has to be approved of a failover to this candidate.
    pub(crate) fn of(epoch: i64, candidate: &Candidate, recorded: Recorded) -> Self {
        let lost = LostOps::between(recorded, candidate.inherited);
        Self { epoch, member: candidate.name.clone(), lost }
    }

    /// Reads the annotation's value; none when it approves nothing.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.trim().split('/');
        let (epoch, member, lost, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let number = |text: &str| text.parse().ok().filter(|ops: &i64| *ops >= 0);
        let lost = match (lost, lost.strip_prefix("at-least-")) {
            ("unknown", _) => LostOps::Unknown,
            (_, Some(least)) => LostOps::AtLeast(number(least)?),
            (exactly, None) => LostOps::Exactly(number(exactly)?),
        };
        Some(Self { epoch: epoch.parse().ok()?, member: member.to_owned(), lost })
    }

    /// Whether this annotation's value approves it: the same reign and member, and no smaller loss.
    pub(crate) fn is_given_by(&self, value: &str) -> bool {
        Self::parse(value).is_some_and(|given| {
            given.epoch == self.epoch && given.member == self.member && self.lost.is_within(given.lost)
        })
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.epoch, self.member, self.lost)
    }
}

/// For how long before the old active was dead the candidate is not known to have had all of its log; none when it never was known
/// to.
///
/// Both ends err to the safe side: the candidate may have been level later than it was last seen to be, and the active may have
/// been dead earlier. A candidate that has all that a tried member had was level when that one was; the old active itself may have
/// cut its log to follow it.
pub(crate) fn window(
    seen: &Observation,
    switch: &SwitchRecord,
    lease: &LeaseSeen,
    candidate: &Candidate,
) -> Option<Duration> {
    let from = switch.from.as_deref()?;
    let has = |tried: &&TriedMember| tried.head.is_some_and(|head| candidate.inherited >= head);
    let tried = switch.tried.iter().filter(has).map(|tried| tried.name.as_str());
    let level = tried
        .chain(std::iter::once(candidate.name.as_str()))
        .filter(|name| *name != from)
        .filter_map(|name| seen.caught_up_at(seen.member(name)?, from))
        .max()?;
    let recorded = switch.dead_at.as_ref().map(|at| at.0);
    let fenced = (lease.epoch >= switch.epoch).then(|| seen.ago(lease.unchanged_for));
    let dead = recorded.or(fenced).unwrap_or(seen.now);
    Some(Duration::try_from(dead.duration_since(level)).unwrap_or_default())
}

/// Which bound of the spec a loss breaks, with its numbers; none when it keeps them.
pub(crate) fn broken_bound(spec: &FailoverSpec, lost: LostOps, window: Option<Duration>) -> Option<String> {
    let (most, seconds) = (spec.max_loss_ops, spec.max_loss_seconds);
    match lost {
        LostOps::Exactly(0) => return None,
        LostOps::Unknown => {
            return Some(format!(
                "the loss is unknown, which no spec.failover.maxLossOps allows (it is {most}): unknown > {most}"
            ));
        }
        LostOps::AtLeast(_) if most == 0 => {
            return Some(
                "the loss is not proven to be none, and spec.failover.maxLossOps allows none: unknown > 0".to_owned(),
            );
        }
        LostOps::Exactly(ops) | LostOps::AtLeast(ops) if ops > most => {
            return Some(format!("the loss is above spec.failover.maxLossOps: {ops} > {most}"));
        }
        LostOps::Exactly(_) | LostOps::AtLeast(_) => {}
    }
    let allowed = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    match window {
        None => Some(format!(
            "since when operations are lost is unknown, which no spec.failover.maxLossSeconds allows (it is {seconds}): unknown > {seconds}"
        )),
        Some(window) if window > allowed => {
            let window = window.as_secs() + u64::from(window.subsec_nanos() > 0);
            Some(format!(
                "it last had all of the active's log that long before that was dead, above spec.failover.maxLossSeconds: {window} > {seconds}"
            ))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{LostOps::*, *};

    fn op(epoch: i64, index: i64) -> OpId {
        OpId::new(epoch * 1_000_000, index)
    }

    #[rstest]
    #[case::proven(Some(op(3, 105)), true, op(3, 100), Exactly(5))]
    #[case::nothing(Some(op(3, 105)), true, op(3, 105), Exactly(0))]
    #[case::not_proven(Some(op(3, 105)), false, op(3, 100), AtLeast(5))]
    #[case::has_more_than_was_heard(Some(op(3, 105)), false, op(3, 106), AtLeast(0))]
    #[case::another_reign(Some(op(3, 105)), true, op(2, 104), Unknown)]
    #[case::nothing_known(None, false, op(3, 1), Unknown)]
    fn is_what_lies_between(
        #[case] head: Option<OpId>,
        #[case] is_final: bool,
        #[case] inherited: OpId,
        #[case] expected: LostOps,
    ) {
        assert_eq!(LostOps::between(Recorded { head, is_final }, inherited), expected);
    }

    #[rstest]
    #[case("4/demo-1/5", Exactly(5), true)]
    #[case("4/demo-1/5", Exactly(4), true)]
    #[case("4/demo-1/5", Exactly(6), false)]
    #[case("4/demo-1/5", AtLeast(5), false)]
    #[case("4/demo-1/5", Unknown, false)]
    #[case("4/demo-1/at-least-5", AtLeast(5), true)]
    #[case("4/demo-1/at-least-5", AtLeast(6), false)]
    #[case("4/demo-1/at-least-5", Exactly(5), true)]
    #[case("4/demo-1/at-least-5", Exactly(6), false)]
    #[case("4/demo-1/at-least-5", Unknown, false)]
    #[case("4/demo-1/unknown", Unknown, true)]
    #[case("4/demo-1/unknown", Exactly(1), false)]
    #[case("4/demo-1/unknown", Exactly(0), true)]
    #[case("5/demo-1/5", Exactly(5), false)]
    #[case("4/demo-2/5", Exactly(5), false)]
    #[case("4/demo-1", Exactly(0), false)]
    #[case("4/demo-1/5/6", Exactly(5), false)]
    #[case("4/demo-1/-5", Exactly(0), false)]
    #[case("any", Exactly(0), false)]
    #[case("", Exactly(0), false)]
    fn an_approval_is_for_one_reign_one_member_and_no_greater_loss(
        #[case] value: &str,
        #[case] lost: LostOps,
        #[case] given: bool,
    ) {
        assert_eq!(Approval { epoch: 4, member: "demo-1".to_owned(), lost }.is_given_by(value), given);
    }

    #[rstest]
    #[case(Exactly(7))]
    #[case(AtLeast(0))]
    #[case(Unknown)]
    fn an_approval_is_read_as_it_is_asked_for(#[case] lost: LostOps) {
        let asked = Approval { epoch: 4, member: "demo-1".to_owned(), lost };
        assert_eq!(Approval::parse(&asked.to_string()), Some(asked));
    }

    #[rstest]
    #[case::nothing(Exactly(0), None, 0, 0, None)]
    #[case::few(Exactly(10), Some(5), 10, 5, None)]
    #[case::too_many(Exactly(11), Some(5), 10, 5, Some("11 > 10"))]
    #[case::at_least_too_many(AtLeast(11), Some(5), 10, 5, Some("11 > 10"))]
    #[case::too_old(AtLeast(10), Some(6), 10, 5, Some("6 > 5"))]
    #[case::of_unknown_age(AtLeast(10), None, 10, 5, Some("unknown > 5"))]
    #[case::none_allowed_and_none_proven(AtLeast(0), Some(0), 0, 5, Some("unknown > 0"))]
    #[case::unknown(Unknown, Some(0), 10, 5, Some("unknown > 10"))]
    fn the_broken_bound_is_named_with_its_numbers(
        #[case] lost: LostOps,
        #[case] seconds: Option<u64>,
        #[case] max_loss_ops: i64,
        #[case] max_loss_seconds: i32,
        #[case] says: Option<&str>,
    ) {
        let spec = FailoverSpec { max_loss_ops, max_loss_seconds, ..FailoverSpec::default() };
        let broken = broken_bound(&spec, lost, seconds.map(Duration::from_secs));
        match (says, &broken) {
            (None, None) => {}
            (Some(says), Some(broken)) => assert!(broken.ends_with(says), "{broken}"),
            _ => panic!("{broken:?}"),
        }
    }
}
