//! The Kubernetes objects of a pair, built from its spec. Pure: same input, same objects; [`super::apply`] sends them.

mod cert_manager;
mod claims;
mod containers;
mod disruption;
mod lease;
mod meta;
mod pod;
mod rbac;
mod secrets;
mod service;
mod stateful_set;
#[cfg(test)]
mod testing;

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{Service, ServiceAccount},
        policy::v1::PodDisruptionBudget,
        rbac::v1::{Role, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::Resource as _;

pub use self::{
    cert_manager::{certificate, certificate_resource, not_issued},
    claims::immutable_changes,
    disruption::disruption_budget,
    lease::lease,
    rbac::{role, role_binding, service_account},
    secrets::{authority_secret, member_secret, read_material},
    service::{NOBODY, active_service, members_service},
    stateful_set::stateful_set,
};
use crate::api::{KuduMasterPair, KuduMasterPairSpec};

/// What every builder needs to know; made once per reconciliation.
#[derive(Debug, Clone)]
pub struct BuildInput<'a> {
    /// Name of the pair.
    pub name: &'a str,
    /// Namespace of the pair and of all its objects.
    pub namespace: &'a str,
    /// Makes the pair the owner, so that its objects go when it goes.
    pub owner: OwnerReference,
    /// What the user asks for.
    pub spec: &'a KuduMasterPairSpec,
    /// Image of this operator, which members take the launcher and the sidecar from.
    pub operator_image: &'a str,
}

/// A pair that nothing can be built from, because it never was in an API server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pair has no metadata.{0}: it does not come from an API server")]
pub struct NotFromApiServer(&'static str);

impl<'a> BuildInput<'a> {
    /// Checks that the pair has what an API server gives to every object.
    pub fn new(pair: &'a KuduMasterPair, operator_image: &'a str) -> Result<Self, NotFromApiServer> {
        Ok(Self {
            name: pair.metadata.name.as_deref().ok_or(NotFromApiServer("name"))?,
            namespace: pair.metadata.namespace.as_deref().ok_or(NotFromApiServer("namespace"))?,
            owner: pair.controller_owner_ref(&()).ok_or(NotFromApiServer("uid"))?,
            spec: &pair.spec,
            operator_image,
        })
    }
}

/// Everything that a pair owns, but for its Lease ([`lease`]), which is created once and then belongs to its holder, its
/// certificates ([`super::certificates`]), which change with time, and the volume claims, which the StatefulSet makes and which outlive the pair.
#[derive(Debug, Clone, PartialEq)]
pub struct PairObjects {
    /// The address that follows the active.
    pub active_service: Service,
    /// Each member's own address.
    pub members_service: Service,
    /// Who the sidecars are to the API server.
    pub service_account: ServiceAccount,
    /// What the sidecars may do there.
    pub role: Role,
    /// Gives the sidecars that role.
    pub role_binding: RoleBinding,
    /// Keeps drains from stopping two members at once.
    pub disruption_budget: PodDisruptionBudget,
    /// The members.
    pub stateful_set: StatefulSet,
}

impl PairObjects {
    /// All of them; the Service points at `active`, or at nobody.
    pub fn build(input: &BuildInput<'_>, active: Option<&str>) -> Self {
        Self {
            active_service: active_service(input, active),
            members_service: members_service(input),
            service_account: service_account(input),
            role: role(input),
            role_binding: role_binding(input),
            disruption_budget: disruption_budget(input),
            stateful_set: stateful_set(input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_was_only_written_is_refused() {
        let mut pair = testing::pair("spec: {}");
        pair.metadata.uid = None;
        let error = BuildInput::new(&pair, testing::OPERATOR_IMAGE).unwrap_err();
        assert_eq!(error.to_string(), "the pair has no metadata.uid: it does not come from an API server");
    }
}
