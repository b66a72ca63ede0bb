//! How the stream between members is encrypted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the stream between members is encrypted.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[schemars(inline)]
pub enum Encryption {
    /// By certificates that the operator issues and replaces.
    #[default]
    Managed,
    /// By certificates that cert-manager issues and replaces.
    CertManager,
    /// Not at all.
    Plaintext,
}

impl Encryption {
    /// The folder of these certificates among a member's; none without certificates.
    pub fn folder(self) -> Option<&'static str> {
        match self {
            Self::Managed => Some("managed"),
            Self::CertManager => Some("cert-manager"),
            Self::Plaintext => None,
        }
    }
}

/// Who issues certificates for cert-manager, in the pair's namespace or cluster-wide.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Name of the issuer. It has to issue certificates for the members' DNS names, and put its own certificate beside
    /// them as `ca.crt`, as issuers of the kinds CA and Vault do.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// `Issuer`, `ClusterIssuer`, or the kind of an external issuer. Default: `Issuer`.
    #[serde(default = "issuer_kind")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// API group of the issuer. Default: `cert-manager.io`.
    #[serde(default = "issuer_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

fn issuer_kind() -> String {
    "Issuer".to_owned()
}

fn issuer_group() -> String {
    "cert-manager.io".to_owned()
}
