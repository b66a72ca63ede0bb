//! What cert-manager is asked for: one Certificate a member.

use kube::{
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use serde_json::json;

use super::{BuildInput, meta};
use crate::api::{IssuerRef, names};

/// cert-manager's kind of object.
pub fn certificate_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"))
}

/// The Certificate of one member, with the times and the kind of key of those that the operator issues itself.
pub fn certificate(input: &BuildInput<'_>, member: &str, issuer: &IssuerRef) -> DynamicObject {
    let name = names::cert_manager_secret(member);
    let spec = json!({
        "secretName": name,
        "dnsNames": [names::member_host(input.name, member, input.namespace)],
        "duration": "2160h",
        "renewBefore": "720h",
        "usages": ["digital signature", "server auth", "client auth"],
        "privateKey": { "algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always" },
        "issuerRef": { "name": issuer.name, "kind": issuer.kind, "group": issuer.group },
    });
    let mut certificate = DynamicObject::new(&name, &certificate_resource()).data(json!({ "spec": spec }));
    certificate.metadata = meta::metadata(input, name);
    certificate
}

/// Why cert-manager has not issued this Certificate yet; none when it has.
pub fn not_issued(certificate: &DynamicObject) -> Option<String> {
    let conditions = certificate.data.pointer("/status/conditions").and_then(serde_json::Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    match ready {
        Some(ready) if ready["status"] == "True" => None,
        Some(ready) => Some(ready["message"].as_str().unwrap_or("cert-manager does not say why").to_owned()),
        None => Some("cert-manager has not looked at it yet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    #[test]
    fn certificate_of_a_member() {
        let pair = testing::pair(
            "spec: {replication: {encryption: CertManager, issuerRef: {name: house, kind: ClusterIssuer}}}",
        );
        let issuer = pair.spec.replication.issuer_ref.clone().unwrap();
        insta::assert_json_snapshot!(certificate(&testing::input(&pair), "demo-0", &issuer));
    }

    #[test]
    fn only_a_ready_certificate_is_issued() {
        let with = |status: serde_json::Value| {
            DynamicObject::new("x", &certificate_resource()).data(json!({ "status": status }))
        };
        assert_eq!(not_issued(&with(json!({ "conditions": [{ "type": "Ready", "status": "True" }] }))), None);
        let waits = json!({ "conditions": [{ "type": "Ready", "status": "False", "message": "no such issuer" }] });
        assert_eq!(not_issued(&with(waits)).as_deref(), Some("no such issuer"));
        assert!(not_issued(&with(json!({}))).is_some_and(|why| why.contains("has not looked")));
    }
}
