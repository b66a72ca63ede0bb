//! A pair's certificates and keys, and carrying the plan out on them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    certificate::{CertificateFacts, PkiError},
    issue::{self, Issued},
    plan::{Action, Authorities, MemberSeen, plan},
};

/// What one member is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMaterial {
    /// Its own certificate and key.
    pub own: Issued,
    /// The certificates of the authorities that it is to trust, in PEM.
    pub trusted: String,
}

/// All certificates and keys of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Material {
    /// The authority that signs.
    pub signing: Option<Issued>,
    /// The authority that will sign next.
    pub next: Option<Issued>,
    /// The certificate of the authority that signed before. Its key is gone.
    pub previous: Option<String>,
    /// Each member's material by the name in its certificate; none for one that has none, or nothing that can be read.
    pub members: BTreeMap<String, Option<MemberMaterial>>,
}

/// More rounds than any rotation takes.
const ROUNDS: usize = 8;

impl Material {
    /// Does what is due at `now`. Returns whether anything was.
    ///
    /// What changed is to be kept authorities first: a member's certificate whose authority is lost is worthless.
    ///
    /// # Errors
    /// When an authority cannot be read, in which case nothing is replaced: a person has to look first.
    pub fn bring_up_to_date(&mut self, pair: &str, now: Timestamp) -> Result<bool, PkiError> {
        let mut changed = false;
        for _ in 0..ROUNDS {
            let actions = plan(now, &self.authorities()?, &self.members_seen());
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.act(pair, action, now)?;
                changed = true;
            }
        }
        Ok(changed)
    }

    fn authorities(&self) -> Result<Authorities, PkiError> {
        let read = |what: &str, pem: Option<&String>| pem.map(|pem| CertificateFacts::of_pem(what, pem)).transpose();
        let certificate = |issued: &'_ Option<Issued>| issued.as_ref().map(|issued| issued.certificate.clone());
        Ok(Authorities {
            signing: read("the signing authority", certificate(&self.signing).as_ref())?,
            next: read("the next authority", certificate(&self.next).as_ref())?,
            previous: read("the previous authority", self.previous.as_ref())?,
        })
    }

    fn members_seen(&self) -> BTreeMap<String, Option<MemberSeen>> {
        let seen = |(name, material): (&String, &Option<MemberMaterial>)| {
            (name.clone(), material.as_ref().and_then(member_seen))
        };
        self.members.iter().map(seen).collect()
    }

    fn act(&mut self, pair: &str, action: Action, now: Timestamp) -> Result<(), PkiError> {
        match action {
            Action::IssueAuthority => {
                self.signing = Some(issue::authority(pair, now)?);
                (self.next, self.previous) = (None, None);
            }
            Action::IssueNextAuthority => self.next = Some(issue::authority(pair, now)?),
            Action::Promote => {
                let before = std::mem::replace(&mut self.signing, self.next.take());
                self.previous = before.map(|before| before.certificate);
            }
            Action::DropPrevious => self.previous = None,
            Action::IssueMember(name) => {
                let signing = self.signing.as_ref().ok_or(PkiError::NoAuthority)?;
                let own = issue::member(pair, signing, &name, now)?;
                let trusted = self.trusted();
                self.members.insert(name, Some(MemberMaterial { own, trusted }));
            }
            Action::Tell(name) => {
                let trusted = self.trusted();
                if let Some(Some(member)) = self.members.get_mut(&name) {
                    member.trusted = trusted;
                }
            }
        }
        Ok(())
    }

    /// The certificates of all authorities that are to be trusted, in PEM.
    pub fn trusted(&self) -> String {
        let issued = [&self.signing, &self.next].into_iter().flatten().map(|issued| issued.certificate.as_str());
        issued.chain(self.previous.as_deref()).map(|pem| format!("{}\n", pem.trim_end())).collect()
    }
}

/// What cannot be read is made anew, like what is not there.
fn member_seen(material: &MemberMaterial) -> Option<MemberSeen> {
    let certificate = CertificateFacts::of_pem("", &material.own.certificate).ok()?;
    let trusted = CertificateFacts::all_of_pem("", &material.trusted).ok()?;
    Some(MemberSeen { certificate, trusts: trusted.into_iter().filter_map(|authority| authority.key).collect() })
}
