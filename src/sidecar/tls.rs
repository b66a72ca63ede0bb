//! This member's certificate and whom it trusts, from files, as connections need them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, ServerConfig,
    client::Resumption,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use serde::{Deserialize, Serialize};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::pki::{
    certificate::{CertificateFacts, certificates},
    verify,
};

/// Where a member's certificate is, in PEM files. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsFiles {
    /// The authorities that the members' certificates are issued by; several while one replaces another.
    pub ca: PathBuf,
    /// This member's certificate, and after it those between it and the authority, if any.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// What is wrong with the files; says which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// What is in the files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TlsMaterial {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What new connections are made with.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) acceptor: TlsAcceptor,
    pub(super) connector: TlsConnector,
    /// When the certificate is not valid any more.
    pub(super) ends: Timestamp,
}

impl TlsFiles {
    /// Reads all three.
    pub(super) fn read(&self) -> Result<TlsMaterial, TlsError> {
        let read = |field: &str, path: &Path| {
            std::fs::read(path).map_err(|error| TlsError(format!("{} cannot be read: {error}", place(field, path))))
        };
        Ok(TlsMaterial {
            ca: read("ca", &self.ca)?,
            certificate: read("certificate", &self.certificate)?,
            key: read("key", &self.key)?,
        })
    }

    /// Makes what connections need of what is in the files, once it is sure that other members accept it: a key and a
    /// certificate that belong together, for `name`, issued by an authority that is in `ca`, and valid.
    pub(super) fn credentials(
        &self,
        material: &TlsMaterial,
        name: &str,
        now: Timestamp,
    ) -> Result<Credentials, TlsError> {
        let wrong = |error: crate::pki::PkiError| TlsError(error.to_string());
        let certificate = place("certificate", &self.certificate);
        let trusted = verify::trusted(&place("ca", &self.ca), &material.ca).map_err(wrong)?;
        let chain = certificates(&certificate, &material.certificate).map_err(wrong)?;
        verify::verify(&certificate, &chain, &trusted, name, now).map_err(wrong)?;
        let facts = chain.first().map(|own| CertificateFacts::of_der(&certificate, own)).transpose().map_err(wrong)?;
        let key = PrivateKeyDer::from_pem_slice(&material.key)
            .map_err(|error| TlsError(format!("{} holds no private key in PEM: {error}", place("key", &self.key))))?;
        let failed = |error: Error| TlsError(format!("{}: {error}", place("key", &self.key)));

        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&trusted), verify::provider())
            .build()
            .map_err(|error| TlsError(format!("{}: {error}", place("ca", &self.ca))))?;
        let mut server = ServerConfig::builder_with_provider(verify::provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(failed)?;
        let mut client = ClientConfig::builder_with_provider(verify::provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?
            .with_root_certificates(trusted)
            .with_client_auth_cert(chain, key)
            .map_err(failed)?;
        // A resumed session would show no certificate: each connection is to be judged by what is trusted when it is made.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        Ok(Credentials {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            ends: facts.map_or(now, |facts| facts.ends),
        })
    }
}

fn place(field: &str, path: &Path) -> String {
    format!("tls.{field} ({})", path.display())
}

/// Says in words of this project why a connection failed.
pub(super) fn explain(error: io::Error) -> io::Error {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => io::Error::new(
                error.kind(),
                "it hung up before it showed a certificate: it may be set to plain text, or wait for its own certificate",
            ),
            _ => error,
        };
    };
    let why = match tls {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate was issued by an authority that this member does not trust".to_owned()
        }
        Error::InvalidCertificate(why) => format!("its certificate is refused: {why}"),
        Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            "it does not trust the authority that issued this member's certificate".to_owned()
        }
        Error::AlertReceived(alert) => format!("it refuses this member's certificate: {alert:?}"),
        Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        other => other.to_string(),
    };
    io::Error::other(why)
}

impl std::fmt::Debug for TlsMaterial {
    /// Without the key, which has no place in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsMaterial").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
