//! Writes the pair's status: its memory, and what people read.

use std::time::Duration;

use kube::{Api, Client, ResourceExt as _, api::PostParams};

use super::error::{Error, within};
use crate::api::{KuduMasterPair, PairStatus, names::FIELD_MANAGER};

/// A write takes milliseconds; one that hangs is dropped and everything is observed anew.
const WRITE: Duration = Duration::from_secs(3);

/// Replaces the status of the very version that was read, and returns the pair as it is then.
pub(crate) async fn write(client: &Client, pair: &KuduMasterPair, status: PairStatus) -> Result<KuduMasterPair, Error> {
    let api: Api<KuduMasterPair> = Api::namespaced(client.clone(), &pair.namespace().unwrap_or_default());
    let mut written = pair.clone();
    written.metadata.managed_fields = None;
    written.status = Some(status);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
    within(WRITE, "write the status", api.replace_status(&pair.name_any(), &params, &written)).await
}
