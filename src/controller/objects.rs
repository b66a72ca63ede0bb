//! The seam to the builders of a pair's objects.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{Client, Resource as _, ResourceExt as _, api::ObjectMeta};

use super::error::Error;
use crate::api::{KuduMasterPair, names};

/// Applies all objects of the pair, the Service selecting `active`, or nobody.
///
/// To join: `PairObjects::build(&BuildInput::new(pair, operator_image)?, active)`, then `apply::apply(client, &objects)`.
pub(crate) async fn apply(
    _client: &Client,
    pair: &KuduMasterPair,
    active: Option<&str>,
    operator_image: &str,
) -> Result<(), Error> {
    tracing::debug!(pair = pair.name_any(), active, operator_image, "objects are not built yet");
    Ok(())
}

/// The pair's Lease, held by nobody, for `epoch`.
///
/// To join: `build::lease(&BuildInput::new(pair, operator_image)?, epoch)`.
pub(crate) fn lease(pair: &KuduMasterPair, epoch: i64) -> Lease {
    let name = pair.name_any();
    Lease {
        metadata: ObjectMeta {
            name: Some(names::lease(&name)),
            namespace: pair.namespace(),
            labels: Some([(names::PAIR_LABEL.to_owned(), name)].into()),
            annotations: Some([(names::EPOCH_ANNOTATION.to_owned(), epoch.to_string())].into()),
            owner_references: pair.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..Default::default()
        },
        spec: Some(LeaseSpec::default()),
    }
}
