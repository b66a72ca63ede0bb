//! Whether a certificate holds, checked as another member does.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::certificate::{PkiError, certificates};

/// The cryptography of everything between members.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The authorities in `pem`, to trust.
///
/// # Errors
/// When there is none, or one cannot be trusted; `what` names the file or field.
pub fn trusted(what: &str, pem: &[u8]) -> Result<Arc<RootCertStore>, PkiError> {
    let mut store = RootCertStore::empty();
    for authority in certificates(what, pem)? {
        store
            .add(authority)
            .map_err(|error| PkiError::Certificate { what: what.to_owned(), why: error.to_string() })?;
    }
    Ok(Arc::new(store))
}

/// Checks that `chain` leads from a certificate for `name` to one of `trusted`, and is valid at `now`.
///
/// # Errors
/// When it does not; `what` names the file or field that holds the chain.
pub fn verify(
    what: &str,
    chain: &[CertificateDer<'_>],
    trusted: &Arc<RootCertStore>,
    name: &str,
    now: Timestamp,
) -> Result<(), PkiError> {
    let wrong = |why: String| PkiError::Refused { what: what.to_owned(), why };
    let (own, others) = chain.split_first().ok_or_else(|| wrong("there is none in it".to_owned()))?;
    let name = ServerName::try_from(name).map_err(|error| wrong(format!("{name:?}: {error}")))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(trusted), provider())
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    verifier.verify_server_cert(own, others, &name, &[], now).map(drop).map_err(|error| wrong(explain(&error)))
}

/// What is wrong with a certificate, in words of this project.
pub fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "it was issued by none of the trusted authorities".to_owned()
        }
        rustls::Error::InvalidCertificate(why) => why.to_string(),
        other => other.to_string(),
    }
}
