//! Making keys and certificates: ECDSA P-256, signed with SHA-256.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::DnsName;
use x509_parser::time::ASN1Time;

use super::certificate::PkiError;

/// How long an authority is valid.
pub const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(5 * 365 * 24);
/// How long a member's certificate is valid.
pub const MEMBER_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// A certificate is valid from so long before it was made: clocks of other machines may be behind.
pub const BACKDATE: SignedDuration = SignedDuration::from_hours(1);

/// Hexadecimal digits of its key in an authority's name.
const KEY_DIGITS: usize = 16;

/// A certificate and its private key, both in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The key, as PKCS #8.
    pub key: String,
}

impl fmt::Debug for Issued {
    /// Without the key, which has no place in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Makes a new authority, which signs for nobody but the members of `pair`.
///
/// # Errors
/// When no key can be made.
pub fn authority(pair: &str, now: Timestamp) -> Result<Issued, PkiError> {
    let failed = |why: rcgen::Error| PkiError::Issue { name: pair.to_owned(), why: why.to_string() };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = authority_params(pair, &key);
    set_validity(&mut params, pair, now, AUTHORITY_LIFE)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Makes a certificate for the member of `pair` that goes by the DNS name `name`, signed by `authority`, as good for a
/// server as for a client.
///
/// # Errors
/// When `name` is no DNS name, or the authority's key cannot be used.
pub fn member(pair: &str, authority: &Issued, name: &str, now: Timestamp) -> Result<Issued, PkiError> {
    let failed = |why: String| PkiError::Issue { name: name.to_owned(), why };
    DnsName::try_from(name).map_err(|_| failed("it is no DNS name (letters, digits, '-' and '.')".to_owned()))?;
    let authority_key = KeyPair::from_pkcs8_pem_and_sign_algo(&authority.key, &PKCS_ECDSA_P256_SHA256)
        .map_err(|error| PkiError::Key { what: "the authority".to_owned(), why: error.to_string() })?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| failed(error.to_string()))?;
    let mut params = CertificateParams::new([name.to_owned()]).map_err(|error| failed(error.to_string()))?;
    params.distinguished_name = subject(pair, name.split('.').next().unwrap_or_default());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, name, now, MEMBER_LIFE)?;
    let issuer = Issuer::new(authority_params(pair, &authority_key), authority_key);
    let certificate = params.signed_by(&key, &issuer).map_err(|error| failed(error.to_string()))?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The same for an authority that is made and for one that signs: its subject has to be the signature's issuer, byte by byte.
///
/// The key is in the name, so that an authority is never taken for another one of the same pair, whose signature would then
/// look forged.
fn authority_params(pair: &str, key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = digest(&SHA256, key.public_key_raw());
    let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).take(KEY_DIGITS / 2).collect();
    params.distinguished_name = subject(pair, &format!("kudu-pair replication CA {digits}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn subject(pair: &str, name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, pair);
    subject.push(DnType::CommonName, name);
    subject
}

fn set_validity(
    params: &mut CertificateParams,
    name: &str,
    now: Timestamp,
    life: SignedDuration,
) -> Result<(), PkiError> {
    let failed = |why: String| PkiError::Issue { name: name.to_owned(), why };
    let moment = |time: Result<Timestamp, jiff::Error>| {
        let time = time.map_err(|error| failed(error.to_string()))?;
        ASN1Time::from_timestamp(time.as_second()).map_err(|error| failed(error.to_string()))
    };
    params.not_before = moment(now.checked_sub(BACKDATE))?.to_datetime();
    params.not_after = moment(now.checked_add(life))?.to_datetime();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::CertificateFacts;

    fn now() -> Timestamp {
        "2030-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_member_is_signed_by_its_authority_and_named() {
        let ca = authority("demo", now()).unwrap();
        let leaf = member("demo", &ca, "demo-0.demo-members.kudu.svc", now()).unwrap();
        let ca = CertificateFacts::of_pem("ca", &ca.certificate).unwrap();
        let leaf = CertificateFacts::of_pem("leaf", &leaf.certificate).unwrap();
        assert!(ca.is_authority && !leaf.is_authority);
        assert!(ca.key.is_some());
        assert_eq!(leaf.signed_by, ca.key);
        assert_eq!(leaf.names, ["demo-0.demo-members.kudu.svc"]);
        assert_eq!(leaf.begins, now() - BACKDATE);
        assert_eq!(leaf.ends, now() + MEMBER_LIFE);
    }

    #[test]
    fn names_that_no_certificate_can_hold_are_refused() {
        let ca = authority("demo", now()).unwrap();
        for name in ["", "a b.demo", "ü.demo", &"a".repeat(64)] {
            let error = member("demo", &ca, name, now()).unwrap_err().to_string();
            assert!(error.contains("it is no DNS name"), "{name}: {error}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert!(!format!("{:?}", authority("demo", now()).unwrap()).contains("PRIVATE"));
    }
}
