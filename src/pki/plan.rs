//! When authorities and members' certificates are made, trusted and replaced. Pure.
//!
//! ```text
//! signing S ──2/3 of its life──▶ S and next N, both trusted ──SPREAD──▶ N signs, S is previous
//!                                                                        │ all members have certificates of N
//!                                                                        ▼ SPREAD, or S has ended
//!                                                                       N alone
//! ```
//!
//! **Invariant.** Whatever certificate a member may still show, or already shows, is trusted by every member, as long as what
//! is written reaches members within [`SPREAD`]: an authority signs only once it has been trusted for that long, and is
//! trusted for that long after the last certificate that it signed was replaced.
//!
//! Nothing but the certificates is remembered: when one was made is read from it, so that a controller that starts anew, or
//! was away for weeks, goes on where the last one was.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    certificate::{CertificateFacts, KeyId},
    issue::BACKDATE,
};

/// Within this, what is written reaches every member that is there: a kubelet looks once a minute or two, a sidecar every
/// few seconds.
pub const SPREAD: SignedDuration = SignedDuration::from_hours(1);

/// The authorities of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authorities {
    /// The one that signs.
    pub signing: Option<CertificateFacts>,
    /// The one that will sign next; trusted already.
    pub next: Option<CertificateFacts>,
    /// The one that signed before; still trusted.
    pub previous: Option<CertificateFacts>,
}

impl Authorities {
    /// The keys that members trust.
    pub fn trusted(&self) -> Vec<KeyId> {
        let all = [&self.signing, &self.next, &self.previous];
        all.into_iter().flatten().filter_map(|authority| authority.key.clone()).collect()
    }
}

/// What one member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSeen {
    /// Its certificate.
    pub certificate: CertificateFacts,
    /// The keys of the authorities that it is told to trust.
    pub trusts: Vec<KeyId>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the authority that signs from now on, because there is none that can.
    IssueAuthority,
    /// Make the authority that will sign next.
    IssueNextAuthority,
    /// Let the next authority sign; the one before becomes the previous one.
    Promote,
    /// Trust the previous authority no longer.
    DropPrevious,
    /// Make a certificate for this member.
    IssueMember(String),
    /// Tell this member whom to trust.
    Tell(String),
}

/// What to do now. An authority changes alone, since everything else depends on it: plan again once it has.
///
/// `members` has every member that the pair should have, by its name in the certificate, with what is known of it.
pub fn plan(now: Timestamp, authorities: &Authorities, members: &BTreeMap<String, Option<MemberSeen>>) -> Vec<Action> {
    if let Some(action) = plan_authorities(now, authorities, members) {
        return vec![action];
    }
    let mut trusted = authorities.trusted();
    trusted.sort();
    let needs = |(name, member): (&String, &Option<MemberSeen>)| match member {
        Some(member) if is_good(now, authorities, name, member) => {
            let mut trusts = member.trusts.clone();
            trusts.sort();
            (trusts != trusted).then(|| Action::Tell(name.clone()))
        }
        _ => Some(Action::IssueMember(name.clone())),
    };
    members.iter().filter_map(needs).collect()
}

fn plan_authorities(
    now: Timestamp,
    authorities: &Authorities,
    members: &BTreeMap<String, Option<MemberSeen>>,
) -> Option<Action> {
    let Authorities { signing, next, previous } = authorities;
    let next = next.as_ref().filter(|next| next.is_valid(now));
    let Some(signing) = signing.as_ref().filter(|signing| signing.is_valid(now)) else {
        // Nobody can be heard under an authority that has ended: there is nothing to wait for.
        return Some(if next.is_some() { Action::Promote } else { Action::IssueAuthority });
    };
    if let Some(previous) = previous {
        return (now > previous.ends || is_replaced(now, signing, members)).then_some(Action::DropPrevious);
    }
    match next {
        Some(next) => (now >= made(next).saturating_add_span(SPREAD)).then_some(Action::Promote),
        None => is_due(now, signing).then_some(Action::IssueNextAuthority),
    }
}

/// Whether every member has had a certificate of `signing` for long enough that no other is in use.
fn is_replaced(now: Timestamp, signing: &CertificateFacts, members: &BTreeMap<String, Option<MemberSeen>>) -> bool {
    members.values().all(|member| {
        member.as_ref().is_some_and(|member| {
            member.certificate.signed_by == signing.key && now >= made(&member.certificate).saturating_add_span(SPREAD)
        })
    })
}

fn is_good(now: Timestamp, authorities: &Authorities, name: &String, member: &MemberSeen) -> bool {
    let certificate = &member.certificate;
    let signer = authorities.signing.as_ref().and_then(|signing| signing.key.as_ref());
    certificate.signed_by.as_ref() == signer
        && certificate.names == std::slice::from_ref(name)
        && certificate.is_valid(now)
        && !is_due(now, certificate)
}

/// When it was made.
fn made(certificate: &CertificateFacts) -> Timestamp {
    certificate.begins.saturating_add_span(BACKDATE)
}

/// Whether two thirds of its life are over.
fn is_due(now: Timestamp, certificate: &CertificateFacts) -> bool {
    let life = certificate.ends.duration_since(certificate.begins);
    now.duration_since(certificate.begins) >= life * 2 / 3
}

/// Time arithmetic that stays within what can be written down.
trait Saturating {
    fn saturating_add_span(self, span: SignedDuration) -> Self;
}

impl Saturating for Timestamp {
    fn saturating_add_span(self, span: SignedDuration) -> Self {
        self.saturating_add(span).unwrap_or(Self::MAX)
    }
}
