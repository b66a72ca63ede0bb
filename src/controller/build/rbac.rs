//! What the sidecars of a pair are to the API server, and the little that they may do there.

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
};

use super::{BuildInput, meta};
use crate::api::names;

/// The members' ServiceAccount. Its token is mounted into the sidecar only.
pub fn service_account(input: &BuildInput<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: meta::metadata(input, input.name.to_owned()),
        automount_service_account_token: Some(false),
        ..Default::default()
    }
}

/// Read this pair, hold this pair's Lease; no other object of the namespace.
///
/// `list` and `watch` of one object by its name are granted to a request with the field selector `metadata.name=<pair>`.
pub fn role(input: &BuildInput<'_>) -> Role {
    let rule = |group: &str, resource: &str, name: String, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: Some(vec![name]),
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..Default::default()
    };
    Role {
        metadata: meta::metadata(input, input.name.to_owned()),
        rules: Some(vec![
            rule(names::GROUP, "kudumasterpairs", input.name.to_owned(), &["get", "list", "watch"]),
            rule("coordination.k8s.io", "leases", names::lease(input.name), &["get", "update", "patch"]),
        ]),
    }
}

/// Gives [`role`] to [`service_account`].
pub fn role_binding(input: &BuildInput<'_>) -> RoleBinding {
    RoleBinding {
        metadata: meta::metadata(input, input.name.to_owned()),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: input.name.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: input.name.to_owned(),
            namespace: Some(input.namespace.to_owned()),
            ..Default::default()
        }]),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    #[test]
    fn rights_of_the_sidecars() {
        let pair = testing::pair("spec: {}");
        let input = testing::input(&pair);
        insta::assert_json_snapshot!((service_account(&input), role(&input), role_binding(&input)));
    }
}
