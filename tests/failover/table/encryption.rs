//! The condition that says how members talk to each other.

use kudu_pair::{
    api::Encryption,
    failover::{member::LinkEncryption, observation::CertificatesSeen},
};

use super::*;

fn with(mode: Encryption, of_standby: Option<LinkEncryption>, certificates: Option<CertificatesSeen>) -> Observation {
    let mut seen = running();
    seen.pair.spec.replication.encryption = mode;
    report_mut(&mut seen, "demo-1").encryption = of_standby;
    seen.certificates = certificates;
    seen
}

fn missing() -> Option<CertificatesSeen> {
    Some(CertificatesSeen::Missing { reason: "CertManagerMissing", message: "install it".to_owned() })
}

#[rstest]
#[case::as_it_should_be(Encryption::Managed, Some(LinkEncryption::Tls), None, "True", "Managed", "mutual TLS")]
#[case::by_cert_manager(
    Encryption::CertManager,
    Some(LinkEncryption::Tls),
    Some(CertificatesSeen::Issued),
    "True",
    "CertManager",
    "cert-manager"
)]
#[case::not_at_all(Encryption::Plaintext, Some(LinkEncryption::Plaintext), None, "False", "Plaintext", "NetworkPolicy")]
#[case::not_at_all_soon(Encryption::Plaintext, Some(LinkEncryption::Tls), None, "False", "Plaintext", "NetworkPolicy")]
#[case::a_member_waits(
    Encryption::Managed, Some(LinkEncryption::Waiting("no file".to_owned())), None, "False", "Waiting", "demo-1: no file"
)]
#[case::a_member_has_not_seen_it(
    Encryption::Managed,
    Some(LinkEncryption::Plaintext),
    None,
    "False",
    "Waiting",
    "demo-1 has not seen yet"
)]
#[case::an_old_sidecar(Encryption::Managed, None, None, "False", "Waiting", "demo-1 is of a version")]
#[case::nobody_issues(
    Encryption::CertManager, Some(LinkEncryption::Waiting("no file".to_owned())), missing(), "False", "CertManagerMissing",
    "install it"
)]
#[case::nobody_replaces(
    Encryption::CertManager,
    Some(LinkEncryption::Tls),
    missing(),
    "True",
    "CertManagerMissing",
    "mutual TLS; install it"
)]
#[case::what_is_not_asked_for_is_not_missing(
    Encryption::Plaintext,
    Some(LinkEncryption::Plaintext),
    missing(),
    "False",
    "Plaintext",
    "NetworkPolicy"
)]
fn is_told(
    #[case] mode: Encryption,
    #[case] of_standby: Option<LinkEncryption>,
    #[case] certificates: Option<CertificatesSeen>,
    #[case] status: &str,
    #[case] reason: &str,
    #[case] message: &str,
) {
    let shown = condition(&decided(&with(mode, of_standby, certificates)), "StreamEncrypted").clone();
    assert_eq!((shown.status.as_str(), shown.reason.as_str()), (status, reason), "{shown:?}");
    assert!(shown.message.contains(message), "{shown:?}");
}

#[test]
fn a_member_that_is_away_does_not_make_it_false() {
    let mut seen = with(Encryption::Managed, None, None);
    silence(&mut seen, "demo-1");
    assert_eq!(condition(&decided(&seen), "StreamEncrypted").status, "True");
    silence(&mut seen, "demo-0");
    assert_eq!(condition(&decided(&seen), "StreamEncrypted").reason, "Waiting");
}
