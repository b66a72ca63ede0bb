//! What a certificate says of itself.

use std::fmt;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
    time::ASN1Time,
};

/// A certificate or key that cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// Text that holds no certificate.
    #[error("{what} holds no readable certificate in PEM: {why}")]
    Certificate {
        /// Which file or field.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// A certificate that nobody would accept.
    #[error("{what}: {why}")]
    Refused {
        /// Which file or field.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// A key that cannot be used.
    #[error("{what} holds no usable private key in PEM (ECDSA P-256, PKCS #8): {why}")]
    Key {
        /// Which file or field.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// A certificate that cannot be made.
    #[error("no certificate can be made for {name:?}: {why}")]
    Issue {
        /// For whom.
        name: String,
        /// Why.
        why: String,
    },
    /// No authority to sign with.
    #[error("there is no authority to sign with")]
    NoAuthority,
}

/// Identifies a key in certificates: hexadecimal digits, the same in what it signed and in its own certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a certificate says of itself. Nothing here is verified; whoever connects verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The DNS names that it is for.
    pub names: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Its own key; none when it does not say.
    pub key: Option<KeyId>,
    /// The key that signed it; none when it does not say.
    pub signed_by: Option<KeyId>,
    /// Not valid before.
    pub begins: Timestamp,
    /// Not valid after.
    pub ends: Timestamp,
}

impl CertificateFacts {
    /// Reads one certificate; `what` names the file or field in an error.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn of_der(what: &str, der: &CertificateDer<'_>) -> Result<Self, PkiError> {
        let wrong = |why: String| PkiError::Certificate { what: what.to_owned(), why };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| wrong(error.to_string()))?;
        let mut facts = Self {
            names: Vec::new(),
            is_authority: false,
            key: None,
            signed_by: None,
            begins: timestamp(certificate.validity().not_before).map_err(&wrong)?,
            ends: timestamp(certificate.validity().not_after).map_err(&wrong)?,
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => facts.names.extend(dns_names(&names.general_names)),
                ParsedExtension::BasicConstraints(constraints) => facts.is_authority = constraints.ca,
                ParsedExtension::SubjectKeyIdentifier(key) => facts.key = Some(KeyId::of(key.0)),
                ParsedExtension::AuthorityKeyIdentifier(authority) => {
                    facts.signed_by = authority.key_identifier.as_ref().map(|key| KeyId::of(key.0));
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Reads the first certificate in `pem`.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_pem(what: &str, pem: &str) -> Result<Self, PkiError> {
        Self::all_of_pem(what, pem)?.into_iter().next().ok_or_else(|| none(what))
    }

    /// Reads every certificate in `pem`, in order.
    ///
    /// # Errors
    /// When one cannot be read, or there is none.
    pub fn all_of_pem(what: &str, pem: &str) -> Result<Vec<Self>, PkiError> {
        certificates(what, pem.as_bytes())?.iter().map(|der| Self::of_der(what, der)).collect()
    }

    /// Whether it is valid at that time.
    pub fn is_valid(&self, at: Timestamp) -> bool {
        self.begins <= at && at <= self.ends
    }
}

/// The certificates in `pem`, in order; at least one.
///
/// # Errors
/// When one cannot be read, or there is none.
pub fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(all) if all.is_empty() => Err(none(what)),
        Ok(all) => Ok(all),
        Err(error) => Err(PkiError::Certificate { what: what.to_owned(), why: error.to_string() }),
    }
}

fn none(what: &str) -> PkiError {
    PkiError::Certificate { what: what.to_owned(), why: "there is none in it".to_owned() }
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, String> {
    Timestamp::from_second(time.timestamp()).map_err(|error| error.to_string())
}

fn dns_names(names: &[GeneralName<'_>]) -> impl Iterator<Item = String> {
    names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty("", "there is none in it")]
    #[case::no_pem("rubbish", "there is none in it")]
    #[case::cut("-----BEGIN CERTIFICATE-----\nMIIB", "")]
    #[case::no_certificate("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "")]
    fn what_is_no_certificate_is_told_with_its_place(#[case] pem: &str, #[case] why: &str) {
        let error = CertificateFacts::of_pem("tls.ca", pem).unwrap_err().to_string();
        assert!(error.starts_with("tls.ca holds no readable certificate in PEM: ") && error.contains(why), "{error}");
    }
}
