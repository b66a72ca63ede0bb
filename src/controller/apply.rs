//! Sends a pair's objects to the API server by server-side apply.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::StatefulSet, core::v1::Service},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};

use super::build::{PairObjects, immutable_changes};
use crate::api::names::FIELD_MANAGER;

/// What became of a pair's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What the user asks for and Kubernetes cannot change, one sentence for each field. When there is any, the
    /// StatefulSet was left as it is, and everything else was applied.
    pub immutable_changes: Vec<String>,
}

/// An object that could not be applied. The others before it were.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Worth another try.
    #[error("cannot read {object}")]
    Read {
        /// Kind and name.
        object: String,
        /// Why.
        source: kube::Error,
    },
    /// Worth another try, unless the API server says that the object itself is wrong.
    #[error("cannot apply {object}")]
    Apply {
        /// Kind and name.
        object: String,
        /// Why.
        source: kube::Error,
    },
    /// For a person.
    #[error("{object} cannot be used: {why}; correct it, or delete it to have it made anew")]
    Unusable {
        /// Kind and name.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// For a person, unless it is left from an earlier pair of the same name, which the garbage collector removes.
    #[error("{object} is there already and does not belong to this pair; delete it or give the pair another name")]
    NotOurs {
        /// Kind and name.
        object: String,
    },
}

/// Makes all objects of a pair what `objects` says.
///
/// The Services come first, so that nothing that is wrong with the rest keeps clients from a new active; the StatefulSet
/// comes last, so that its pods find their addresses and rights.
pub async fn apply(client: &Client, objects: &PairObjects) -> Result<Applied, ApplyError> {
    // Without `..`: an object that is added to the struct cannot be forgotten here.
    let PairObjects {
        active_service,
        members_service,
        service_account,
        role,
        role_binding,
        disruption_budget,
        stateful_set,
    } = objects;
    apply_one(client, active_service).await?;
    apply_one(client, members_service).await?;
    apply_one(client, service_account).await?;
    apply_one(client, role).await?;
    apply_one(client, role_binding).await?;
    apply_one(client, disruption_budget).await?;
    apply_stateful_set(client, stateful_set).await
}

/// Points the pair's Service at its active: the one object that a switch waits for.
pub async fn apply_active_service(client: &Client, service: &Service) -> Result<(), ApplyError> {
    apply_one(client, service).await
}

async fn apply_stateful_set(client: &Client, wanted: &StatefulSet) -> Result<Applied, ApplyError> {
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace(wanted));
    let live = api.get_opt(&wanted.name_any()).await.map_err(|source| read_error(wanted, source))?;
    let immutable_changes = live.map(|live| immutable_changes(&live, wanted)).unwrap_or_default();
    if immutable_changes.is_empty() {
        apply_one(client, wanted).await?;
    }
    Ok(Applied { immutable_changes })
}

/// Applies one object, unless one of that name is there that the pair does not own: server-side apply would make, say, a
/// user's Service of the same name ours without a word.
async fn apply_one<K>(client: &Client, wanted: &K) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), &namespace(wanted));
    let name = wanted.name_any();
    let live = api.get_metadata_opt(&name).await.map_err(|source| read_error(wanted, source))?;
    if live.is_some_and(|live| !shares_owner(wanted, &live)) {
        return Err(ApplyError::NotOurs { object: object(wanted) });
    }
    // Forced: a field that somebody else took over and that the operator sets is the operator's.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(wanted))
        .await
        .map(drop)
        .map_err(|source| ApplyError::Apply { object: object(wanted), source })
}

pub(super) fn shares_owner(wanted: &impl ResourceExt, live: &impl ResourceExt) -> bool {
    let owners = live.owner_references();
    wanted.owner_references().iter().all(|ours| owners.iter().any(|owner| owner.uid == ours.uid))
}

fn namespace(object: &impl ResourceExt) -> String {
    object.namespace().unwrap_or_default()
}

fn object<K: Resource<DynamicType = ()>>(wanted: &K) -> String {
    format!("{} {}", K::kind(&()), wanted.name_any())
}

fn read_error<K: Resource<DynamicType = ()>>(wanted: &K, source: kube::Error) -> ApplyError {
    ApplyError::Read { object: object(wanted), source }
}
