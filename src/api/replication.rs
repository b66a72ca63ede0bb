//! How the active's log gets to its standbys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::encryption::{Encryption, IssuerRef};

/// How the active's log gets to its standbys.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.issuerRef) == (self.encryption == 'CertManager')",
    "fieldPath": ".issuerRef",
    "message": "issuerRef is needed with the encryption CertManager, and only with it; set it, or remove it",
}]))]
pub struct ReplicationSpec {
    /// How the stream between members is encrypted: `Managed`, by certificates that the operator issues and replaces;
    /// `CertManager`, by certificates that cert-manager issues and replaces; `Plaintext`, not at all: whoever sees the stream has
    /// the private key of the cluster's own authority. A change needs no new pods; members find each other again
    /// within minutes, and the active serves meanwhile. Default: `Managed`.
    pub encryption: Encryption,
    /// With `CertManager`: who issues the certificates. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
}
