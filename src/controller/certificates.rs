//! The members' certificates: issued and replaced by the operator, or asked for at cert-manager.
//!
//! The plan ([`crate::pki::plan`]) is derived from the certificates in the Secrets. Those are replaced in the version that was
//! read, the authority's first: of two controllers one loses before it has given a member anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};

use super::{
    apply::{ApplyError, shares_owner},
    build::{self, BuildInput},
};
use crate::{
    api::{
        Encryption,
        names::{self, FIELD_MANAGER},
    },
    failover::observation::CertificatesSeen,
};

/// Looks after the certificates of all members that the spec asks for.
///
/// # Errors
/// When a Secret or a Certificate cannot be read or written. What was written before stays good.
pub async fn look_after(
    client: &Client,
    input: &BuildInput<'_>,
    now: Timestamp,
) -> Result<CertificatesSeen, ApplyError> {
    match input.spec.replication.encryption {
        Encryption::Plaintext => Ok(CertificatesSeen::Issued),
        Encryption::Managed => issue(client, input, now).await.map(|()| CertificatesSeen::Issued),
        Encryption::CertManager => ask_cert_manager(client, input).await,
    }
}

async fn issue(client: &Client, input: &BuildInput<'_>, now: Timestamp) -> Result<(), ApplyError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), input.namespace);
    let members = names::members(input.name, input.spec.standbys);
    let authority = read(&api, input, &names::authority_secret(input.name)).await?;
    let mut live = BTreeMap::new();
    for member in &members {
        live.insert(member.clone(), read(&api, input, &names::managed_secret(member)).await?);
    }

    let unusable = |error: crate::pki::PkiError| ApplyError::Unusable {
        object: format!("Secret {}", names::authority_secret(input.name)),
        why: error.to_string(),
    };
    let host = |member: &String| names::member_host(input.name, member, input.namespace);
    let of_members = live.iter().map(|(member, secret)| (host(member), secret.as_ref())).collect();
    let before = build::read_material(authority.as_ref(), of_members).map_err(unusable)?;
    let mut after = before.clone();
    if !after.bring_up_to_date(input.name, now).map_err(unusable)? {
        return Ok(());
    }
    let authority_before = build::authority_secret(input, &before);
    let authority_after = build::authority_secret(input, &after);
    if authority_before.data != authority_after.data {
        tracing::info!(pair = input.name, "the authority of the members' certificates changes");
        put(&api, authority_after, authority.as_ref()).await?;
    }
    for (member, live) in &live {
        let host = host(member);
        let material = after.members.get(&host).and_then(Option::as_ref);
        if let Some(material) = material.filter(|new| before.members.get(&host).and_then(Option::as_ref) != Some(*new))
        {
            tracing::info!(pair = input.name, member, "giving a member a certificate");
            put(&api, build::member_secret(input, member, material), live.as_ref()).await?;
        }
    }
    Ok(())
}

/// A Secret of the pair; none when it is not there.
async fn read(api: &Api<Secret>, input: &BuildInput<'_>, name: &str) -> Result<Option<Secret>, ApplyError> {
    let object = || format!("Secret {name}");
    let live = api.get_opt(name).await.map_err(|source| ApplyError::Read { object: object(), source })?;
    let ours = |live: &Secret| live.owner_references().iter().any(|owner| owner.uid == input.owner.uid);
    match live {
        Some(live) if !ours(&live) => Err(ApplyError::NotOurs { object: object() }),
        live => Ok(live),
    }
}

/// Makes or replaces a Secret, if it is still the one that was read.
async fn put(api: &Api<Secret>, mut wanted: Secret, live: Option<&Secret>) -> Result<(), ApplyError> {
    let name = wanted.name_any();
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let written = match live {
        None => api.create(&params, &wanted).await,
        Some(live) => {
            wanted.metadata.resource_version = live.resource_version();
            api.replace(&name, &params, &wanted).await
        }
    };
    written.map(drop).map_err(|source| ApplyError::Apply { object: format!("Secret {name}"), source })
}

async fn ask_cert_manager(client: &Client, input: &BuildInput<'_>) -> Result<CertificatesSeen, ApplyError> {
    let missing = |reason, message: String| Ok(CertificatesSeen::Missing { reason, message });
    let Some(issuer) = &input.spec.replication.issuer_ref else {
        // The API server refuses such a pair.
        return missing("NoIssuer", "spec.replication.issuerRef is missing; set it".to_owned());
    };
    let resource = build::certificate_resource();
    let api = Api::namespaced_with(client.clone(), input.namespace, &resource);
    let mut not_issued = Vec::new();
    for member in names::members(input.name, input.spec.standbys) {
        let wanted = build::certificate(input, &member, issuer);
        let name = wanted.name_any();
        let object = || format!("Certificate {name}");
        let asked = async {
            let live =
                api.get_metadata_opt(&name).await.map_err(|source| ApplyError::Read { object: object(), source })?;
            if live.is_some_and(|live| !shares_owner(&wanted, &live)) {
                return Err(ApplyError::NotOurs { object: object() });
            }
            let applied = api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&wanted)).await;
            applied.map_err(|source| ApplyError::Apply { object: object(), source })
        };
        match asked.await {
            Ok(live) => not_issued.extend(build::not_issued(&live).map(|why| format!("{name}: {why}"))),
            Err(error) if is_kind_unknown(&error) => {
                return missing(
                    "CertManagerMissing",
                    "the cluster does not know cert-manager's Certificates; install cert-manager, or set \
                     spec.replication.encryption to Managed"
                        .to_owned(),
                );
            }
            Err(error) => return Err(error),
        }
    }
    if not_issued.is_empty() {
        Ok(CertificatesSeen::Issued)
    } else {
        missing("CertificatePending", format!("waiting for cert-manager: {}", not_issued.join("; ")))
    }
}

/// An object that is not there is no error, so what is not found is its kind.
fn is_kind_unknown(error: &ApplyError) -> bool {
    let (ApplyError::Read { source, .. } | ApplyError::Apply { source, .. }) = error else { return false };
    matches!(source, kube::Error::Api(status) if status.code == 404)
}
