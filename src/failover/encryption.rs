//! Whether members encrypt what they say to each other, for people.

use super::{
    member::LinkEncryption,
    observation::{CertificatesSeen, Observation},
    overview::{Said, said},
};
use crate::api::{Encryption, names::STREAM_ENCRYPTED};

/// True only when every member that is heard encrypts, and refuses who does not.
pub(crate) fn condition(seen: &Observation) -> Said {
    let mode = seen.pair.spec.replication.encryption;
    let not_yet: Vec<_> = seen.members.iter().filter_map(|member| not_yet(mode, member.report()?)).collect();
    let heard = seen.members.iter().any(|member| member.report().is_some());
    let trouble = match &seen.certificates {
        Some(CertificatesSeen::Missing { reason, message }) if mode != Encryption::Plaintext => {
            Some((*reason, message.clone()))
        }
        _ => None,
    };
    let no = |reason: &str, message: String| said(STREAM_ENCRYPTED, false, reason, message);
    match (mode, trouble) {
        (Encryption::Plaintext, _) => no(
            "Plaintext",
            "spec.replication.encryption is Plaintext: keep other pods from the members' ports with a NetworkPolicy"
                .to_owned(),
        ),
        (_, Some((reason, message))) if !heard || !not_yet.is_empty() => no(reason, message),
        _ if !heard => no("Waiting", "no member is heard".to_owned()),
        _ if !not_yet.is_empty() => no("Waiting", not_yet.join("; ")),
        (_, Some((reason, message))) => {
            // What members have is good for weeks; it is its replacement that somebody has to see to.
            said(STREAM_ENCRYPTED, true, reason, format!("members talk by mutual TLS; {message}"))
        }
        (Encryption::CertManager, None) => {
            said(STREAM_ENCRYPTED, true, "CertManager", "members talk by mutual TLS, with certificates of cert-manager")
        }
        (Encryption::Managed, None) => {
            said(STREAM_ENCRYPTED, true, "Managed", "members talk by mutual TLS, with certificates of the operator")
        }
    }
}

/// Why a member does not encrypt as it should; none when it does.
fn not_yet(mode: Encryption, report: &super::member::MemberReport) -> Option<String> {
    match &report.encryption {
        _ if mode == Encryption::Plaintext => None,
        Some(LinkEncryption::Tls) => None,
        Some(LinkEncryption::Waiting(why)) => Some(format!("{}: {why}", report.member)),
        Some(LinkEncryption::Plaintext) => Some(format!("{} has not seen yet that it is to encrypt", report.member)),
        None => Some(format!("{} is of a version that talks in plain text only", report.member)),
    }
}
