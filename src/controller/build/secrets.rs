//! The Secrets with a pair's certificates, and reading them back.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::{BuildInput, meta};
use crate::{
    api::names,
    pki::{Issued, Material, PkiError, material::MemberMaterial},
};

/// A certificate, in the Secrets of members and of the authority; named as by cert-manager, and as Kubernetes asks of the type.
pub(super) const CERTIFICATE: &str = "tls.crt";
/// Its key.
pub(super) const KEY: &str = "tls.key";
/// The authorities that a member trusts.
pub(super) const TRUSTED: &str = "ca.crt";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const PREVIOUS_CERTIFICATE: &str = "previous.crt";

/// The Secret with the authority of a pair's members. No pod mounts it.
pub fn authority_secret(input: &BuildInput<'_>, material: &Material) -> Secret {
    let certificate = |issued: &Option<Issued>| issued.as_ref().map(|issued| issued.certificate.clone());
    let key = |issued: &Option<Issued>| issued.as_ref().map(|issued| issued.key.clone());
    let fields = [
        (CERTIFICATE, certificate(&material.signing)),
        (KEY, key(&material.signing)),
        (NEXT_CERTIFICATE, certificate(&material.next)),
        (NEXT_KEY, key(&material.next)),
        (PREVIOUS_CERTIFICATE, material.previous.clone()),
    ];
    let fields = fields.into_iter().filter_map(|(field, text)| Some((field, text?)));
    secret(input, names::authority_secret(input.name), "Opaque", fields)
}

/// The Secret with one member's certificate, which every pod of the pair mounts.
pub fn member_secret(input: &BuildInput<'_>, member: &str, material: &MemberMaterial) -> Secret {
    let fields = [
        (CERTIFICATE, material.own.certificate.clone()),
        (KEY, material.own.key.clone()),
        (TRUSTED, material.trusted.clone()),
    ];
    secret(input, names::managed_secret(member), "kubernetes.io/tls", fields)
}

fn secret(
    input: &BuildInput<'_>,
    name: String,
    type_: &str,
    fields: impl IntoIterator<Item = (&'static str, String)>,
) -> Secret {
    let data = fields.into_iter().map(|(field, text)| (field.to_owned(), ByteString(text.into_bytes())));
    Secret {
        metadata: meta::metadata(input, name),
        type_: Some(type_.to_owned()),
        data: Some(data.collect()),
        ..Default::default()
    }
}

/// Reads back what [`authority_secret`] and [`member_secret`] wrote; members by the name in their certificate. A member's
/// Secret that cannot be read is as none: it is made anew.
///
/// # Errors
/// When a part of the authority is missing; to replace it is for a person to decide.
pub fn read_material(
    authority: Option<&Secret>,
    members: BTreeMap<String, Option<&Secret>>,
) -> Result<Material, PkiError> {
    let field = |field| authority.and_then(|secret| text(secret, field));
    Ok(Material {
        signing: issued(CERTIFICATE, field(CERTIFICATE), field(KEY))?,
        next: issued(NEXT_CERTIFICATE, field(NEXT_CERTIFICATE), field(NEXT_KEY))?,
        previous: field(PREVIOUS_CERTIFICATE),
        members: members.into_iter().map(|(name, secret)| (name, secret.and_then(read_member))).collect(),
    })
}

fn read_member(secret: &Secret) -> Option<MemberMaterial> {
    let own = Issued { certificate: text(secret, CERTIFICATE)?, key: text(secret, KEY)? };
    Some(MemberMaterial { own, trusted: text(secret, TRUSTED)? })
}

fn issued(field: &str, certificate: Option<String>, key: Option<String>) -> Result<Option<Issued>, PkiError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Issued { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(PkiError::Key { what: field.to_owned(), why: "its key is missing".to_owned() }),
        (None, Some(_)) => {
            Err(PkiError::Certificate { what: field.to_owned(), why: "only its key is there".to_owned() })
        }
    }
}

fn text(secret: &Secret, field: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(field)?.0.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    fn material() -> Material {
        let issued = |name: &str| Issued { certificate: format!("{name} certificate"), key: format!("{name} key") };
        let member = MemberMaterial { own: issued("member"), trusted: "whom it trusts".to_owned() };
        Material {
            signing: Some(issued("signing")),
            next: Some(issued("next")),
            previous: Some("previous certificate".to_owned()),
            members: [("demo-0.demo-members.kudu.svc".to_owned(), Some(member))].into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let pair = testing::pair("spec: {}");
        let input = testing::input(&pair);
        for previous in [None, material().previous] {
            let material = Material { previous, ..material() };
            let authority = authority_secret(&input, &material);
            let (name, member) = material.members.first_key_value().unwrap();
            let secret = member_secret(&input, "demo-0", member.as_ref().unwrap());
            assert_eq!(secret.metadata.name.as_deref(), Some("demo-0-replication-tls"));
            let read = read_material(Some(&authority), [(name.clone(), Some(&secret))].into());
            assert_eq!(read, Ok(material));
        }
    }

    #[test]
    fn half_an_authority_is_no_reason_to_make_another() {
        let pair = testing::pair("spec: {}");
        let mut authority = authority_secret(&testing::input(&pair), &material());
        authority.data.as_mut().unwrap().remove(KEY);
        let error = read_material(Some(&authority), BTreeMap::new()).unwrap_err().to_string();
        assert!(error.starts_with("tls.crt ") && error.contains("its key is missing"), "{error}");
    }

    #[test]
    fn half_of_a_members_certificate_is_as_none() {
        let pair = testing::pair("spec: {}");
        let material = material();
        let (name, member) = material.members.first_key_value().unwrap();
        let mut secret = member_secret(&testing::input(&pair), "demo-0", member.as_ref().unwrap());
        secret.data.as_mut().unwrap().remove(KEY);
        let read = read_material(None, [(name.clone(), Some(&secret))].into()).unwrap();
        assert_eq!(read.members[name], None);
    }
}
