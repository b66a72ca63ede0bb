//! How the active's log gets to its standbys.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    encryption::{Encryption, IssuerRef},
    refresh::RefreshSpec,
    sync::{AcknowledgementSpec, WhenUnavailable},
};

/// How the active's log gets to its standbys.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
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
    /// within minutes, and until then it is as if the standbys were away. Default: `Managed`.
    pub encryption: Encryption,
    /// With `CertManager`: who issues the certificates. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// When a client is told that its operation is done. Default: as soon as the active has it. To change between `Async` and
    /// the other two makes the pods anew, standbys first.
    pub acknowledgement: AcknowledgementSpec,
    /// What happens to operations while too few standbys have them: `Block` or `Degrade`. Default: `Block`.
    pub when_unavailable: WhenUnavailable,
    /// After so long without a standby that has to have an operation the standby counts as unavailable, in milliseconds.
    /// Default: 10000, which leaves a client 20 of the 30 seconds that it gives an administrative operation.
    #[schemars(range(min = 500, max = 600_000))]
    pub timeout_milliseconds: i32,
    /// When a standby takes a new base while it goes on to stream.
    pub refresh: RefreshSpec,
    /// How many bytes of its log an active keeps on its volume for standbys that are away, beyond what Kudu itself keeps, so that
    /// they need no new base. What goes beyond is let go, and so is what a volume needs that is nearly full. A change
    /// needs no new pods. `0`: none. Default: `1Gi`.
    #[schemars(schema_with = "retention_schema")]
    pub retention: Quantity,
}

impl Default for ReplicationSpec {
    fn default() -> Self {
        Self {
            encryption: Encryption::default(),
            issuer_ref: None,
            acknowledgement: AcknowledgementSpec::default(),
            when_unavailable: WhenUnavailable::Block,
            timeout_milliseconds: 10_000,
            refresh: RefreshSpec::default(),
            retention: Quantity("1Gi".to_owned()),
        }
    }
}

/// Narrower than a quantity: what cannot be a number of bytes is refused by name.
fn retention_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[0-9]+([.][0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$')",
            "messageExpression": "self + ': no number of bytes; write a number and a unit, as in 1Gi, or 0 to keep nothing'",
            "message": "no number of bytes; write a number and a unit, as in 1Gi, or 0 to keep nothing"
        }]
    })
}
