//! The members' certificates: made and replaced by the controller's own ServiceAccount with the rights that the chart gives
//! it, or asked for at cert-manager.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::Secret, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use kudu_pair::{
    api::{KuduMasterPair, names},
    controller::{
        apply::ApplyError,
        build::{self, BuildInput},
        certificates,
    },
    failover::observation::CertificatesSeen,
    pki::{
        CertificateFacts,
        issue::{AUTHORITY_LIFE, MEMBER_LIFE},
    },
};
use serde_json::json;

use crate::{chart, make_namespace, server, server_with_pairs};

const NAMESPACE: &str = "kudu";
const CONTROLLER: &str = "kudu-pair";

async fn make_pair(admin: &Client, name: &str, spec: serde_json::Value) -> KuduMasterPair {
    let api: Api<KuduMasterPair> = Api::namespaced(admin.clone(), NAMESPACE);
    let pair = serde_json::from_value(json!({
        "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": name }, "spec": spec
    }));
    api.create(&PostParams::default(), &pair.expect("a pair")).await.expect("the pair is taken")
}

/// Looks after a pair's certificates once.
async fn look(controller: &Client, pair: &KuduMasterPair, now: Timestamp) -> Result<CertificatesSeen, ApplyError> {
    certificates::look_after(controller, &BuildInput::new(pair, "kudu-pair:test").expect("a whole pair"), now).await
}

/// Looks every half an hour for so long, as a controller would at least.
async fn pass(controller: &Client, pair: &KuduMasterPair, now: &mut Timestamp, time: SignedDuration) {
    let end = *now + time;
    while *now < end {
        *now += SignedDuration::from_mins(30);
        assert_eq!(look(controller, pair, *now).await.expect("looked"), CertificatesSeen::Issued);
    }
}

/// The Secrets of the pair `demo` by name, each with its version.
async fn secrets(admin: &Client) -> BTreeMap<String, (Option<String>, Secret)> {
    let api: Api<Secret> = Api::namespaced(admin.clone(), NAMESPACE);
    let all = api.list(&kube::api::ListParams::default().labels("kudupair.io/pair=demo")).await.expect("a list");
    let entry = |secret: Secret| {
        (secret.metadata.name.clone().expect("a name"), (secret.metadata.resource_version.clone(), secret))
    };
    all.items.into_iter().map(entry).collect()
}

fn field(secret: &Secret, field: &str) -> String {
    String::from_utf8(secret.data.as_ref().expect("data")[field].0.clone()).expect("text")
}

/// Checks that all members have certificates of their own which all members accept, and returns the signing key.
fn check(secrets: &BTreeMap<String, (Option<String>, Secret)>, members: i32) -> String {
    let member = |ordinal| &secrets[&names::managed_secret(&names::member("demo", ordinal))].1;
    let mut signers = Vec::new();
    for ordinal in 0..members {
        let own = CertificateFacts::of_pem("own", &field(member(ordinal), "tls.crt")).expect("a certificate");
        assert_eq!(own.names, [names::member_host("demo", &names::member("demo", ordinal), NAMESPACE)]);
        for other in 0..members {
            let trusted = CertificateFacts::all_of_pem("ca", &field(member(other), "ca.crt")).expect("authorities");
            assert!(
                trusted.iter().any(|authority| authority.key == own.signed_by),
                "{other} does not accept {ordinal}"
            );
        }
        signers.push(own.signed_by.expect("a signer").to_string());
    }
    signers.dedup();
    signers.join(" ")
}

#[tokio::test]
async fn certificates_are_made_kept_and_replaced() {
    let Some(server) = server_with_pairs().await else { return };
    let admin = server.admin();
    make_namespace(&admin, NAMESPACE).await;
    chart::install(&admin, &server::programs().expect("the server runs"), CONTROLLER, NAMESPACE, &[]).await;
    let controller = server.service_account(NAMESPACE, CONTROLLER);
    let mut now = Timestamp::now();

    let pair = make_pair(&admin, "demo", json!({})).await;
    assert_eq!(look(&controller, &pair, now).await.expect("made"), CertificatesSeen::Issued);
    let made = secrets(&admin).await;
    let wanted = ["demo-0-replication-tls", "demo-1-replication-tls", "demo-replication-ca"];
    assert_eq!(made.keys().collect::<Vec<_>>(), wanted);
    let signer = check(&made, 2);
    for (name, (_, secret)) in &made {
        let owner = &secret.metadata.owner_references.as_ref().expect("an owner")[0];
        assert_eq!(Some(&owner.uid), pair.metadata.uid.as_ref(), "{name} would outlive its pair");
    }
    assert!(!made["demo-0-replication-tls"].1.data.as_ref().expect("data").keys().any(|field| field.contains("next")));

    look(&controller, &pair, now).await.expect("nothing to do");
    assert_eq!(versions(&secrets(&admin).await), versions(&made), "looking again wrote something");

    // A member more changes nothing for the others.
    let pairs: Api<KuduMasterPair> = Api::namespaced(admin.clone(), NAMESPACE);
    let change = Patch::Merge(json!({ "spec": { "standbys": 2 } }));
    let pair = pairs.patch("demo", &PatchParams::default(), &change).await.expect("a standby more");
    look(&controller, &pair, now).await.expect("made");
    let three = secrets(&admin).await;
    assert_eq!(check(&three, 3), signer);
    assert!(versions(&made).iter().all(|(name, version)| versions(&three).get(name) == Some(version)));

    // A certificate is replaced at two thirds of its life, by the same authority.
    now += MEMBER_LIFE * 2 / 3;
    look(&controller, &pair, now).await.expect("replaced");
    let renewed = secrets(&admin).await;
    assert_eq!(check(&renewed, 3), signer);
    assert_eq!(renewed["demo-replication-ca"], three["demo-replication-ca"]);
    for name in renewed.keys().filter(|name| name.ends_with("-tls")) {
        assert_ne!(field(&renewed[name].1, "tls.key"), field(&three[name].1, "tls.key"), "{name} was not replaced");
    }

    // The authority too, without a moment in which a member does not accept another.
    now += AUTHORITY_LIFE * 2 / 3;
    look(&controller, &pair, now).await.expect("begun");
    assert_eq!(check(&secrets(&admin).await, 3), signer, "it signs before it is trusted everywhere");
    let mut both = 0;
    for _ in 0..8 {
        pass(&controller, &pair, &mut now, SignedDuration::from_mins(30)).await;
        let seen = secrets(&admin).await;
        check(&seen, 3);
        let trusted = CertificateFacts::all_of_pem("ca", &field(&seen["demo-0-replication-tls"].1, "ca.crt"));
        both += i32::from(trusted.expect("authorities").len() == 2);
    }
    assert!(both >= 3, "both authorities were trusted for {both} half hours only");
    let replaced = secrets(&admin).await;
    assert_ne!(check(&replaced, 3), signer);
    assert_eq!(replaced["demo-replication-ca"].1.data.as_ref().expect("data").len(), 2, "the old authority is kept");

    what_is_wrong_is_told_and_not_replaced(&admin, &controller, &pair, now).await;
}

fn versions(secrets: &BTreeMap<String, (Option<String>, Secret)>) -> BTreeMap<&String, &Option<String>> {
    secrets.iter().map(|(name, (version, _))| (name, version)).collect()
}

async fn what_is_wrong_is_told_and_not_replaced(
    admin: &Client,
    controller: &Client,
    pair: &KuduMasterPair,
    now: Timestamp,
) {
    let api: Api<Secret> = Api::namespaced(admin.clone(), NAMESPACE);
    let change = Patch::Merge(json!({ "stringData": { "tls.crt": "rubbish" } }));
    api.patch("demo-replication-ca", &PatchParams::default(), &change).await.expect("spoilt");
    let error = look(controller, pair, now).await.expect_err("it cannot be read").to_string();
    assert!(error.starts_with("Secret demo-replication-ca cannot be used") && error.contains("delete it"), "{error}");
    assert_eq!(field(&api.get("demo-replication-ca").await.expect("there"), "tls.crt"), "rubbish");

    let theirs = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "shop-0-replication-tls" } });
    let theirs = serde_json::from_value(theirs).expect("a Secret");
    api.create(&PostParams::default(), &theirs).await.expect("somebody's Secret");
    let shop = make_pair(admin, "shop", json!({})).await;
    let error = look(controller, &shop, now).await.expect_err("it is not ours");
    assert!(matches!(error, ApplyError::NotOurs { .. }), "{error:?}");
    assert!(api.get("shop-0-replication-tls").await.expect("still there").data.is_none());
    assert!(api.get_opt("shop-replication-ca").await.expect("an answer").is_none());
}

#[tokio::test]
async fn cert_manager_is_asked_and_waited_for() {
    let Some(server) = server_with_pairs().await else { return };
    let admin = server.admin();
    make_namespace(&admin, NAMESPACE).await;
    chart::install(&admin, &server::programs().expect("the server runs"), CONTROLLER, NAMESPACE, &[]).await;
    let controller = server.service_account(NAMESPACE, CONTROLLER);
    let now = Timestamp::now();
    let issuer = json!({ "encryption": "CertManager", "issuerRef": { "name": "house" } });
    let pair = make_pair(&admin, "demo", json!({ "replication": issuer })).await;

    let seen = look(&controller, &pair, now).await.expect("no error: trying again would not help");
    let CertificatesSeen::Missing { reason, message } = seen else { panic!("issued without cert-manager") };
    assert_eq!(reason, "CertManagerMissing");
    assert!(message.contains("install cert-manager"), "{message}");

    install_certificates(&admin).await;
    let seen = look(&controller, &pair, now).await.expect("asked");
    let CertificatesSeen::Missing { reason, message } = seen else { panic!("nobody has issued anything") };
    assert_eq!(reason, "CertificatePending");
    assert!(message.contains("demo-1-replication-cert-manager: cert-manager has not looked at it yet"), "{message}");

    let api: Api<DynamicObject> = Api::namespaced_with(admin.clone(), NAMESPACE, &build::certificate_resource());
    for ordinal in 0..2 {
        let name = names::cert_manager_secret(&names::member("demo", ordinal));
        let made = api.get(&name).await.expect("a Certificate");
        assert_eq!(made.data["spec"]["issuerRef"]["kind"], "Issuer");
        let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(ready)).await.expect("issued");
    }
    assert_eq!(look(&controller, &pair, now).await.expect("looked"), CertificatesSeen::Issued);
    assert!(secrets(&admin).await.is_empty(), "the operator issued something itself");
}

/// cert-manager's kind of object, without its rules.
async fn install_certificates(admin: &Client) {
    let definition = serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "certificates.cert-manager.io" },
        "spec": {
            "group": "cert-manager.io", "scope": "Namespaced",
            "names": { "kind": "Certificate", "plural": "certificates", "singular": "certificate" },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } }
            }]
        }
    }));
    let api: Api<CustomResourceDefinition> = Api::all(admin.clone());
    api.create(&PostParams::default(), &definition.expect("a definition")).await.expect("taken");
    let served = conditions::is_crd_established();
    await_condition(api, "certificates.cert-manager.io", served).await.expect("served");
}
