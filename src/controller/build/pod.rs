//! A member's pod: kudu-master under the launcher, and the sidecar that replicates its log.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource, KeyToPath,
        LocalObjectReference, ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec,
        ProjectedVolumeSource, SeccompProfile, SecretProjection, ServiceAccountTokenProjection, Volume,
        VolumeProjection, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{BuildInput, containers, meta, secrets};
use crate::api::{AntiAffinity, Encryption, SchedulingSpec, names};

/// The programs that the init container copies out of the operator's image.
pub(super) const BIN_VOLUME: &str = "bin";
/// The sockets over which launcher and sidecar talk.
pub(super) const RUN_VOLUME: &str = "run";
/// `/tmp` of kudu-master, whose root file system is read-only.
pub(super) const TMP_VOLUME: &str = "tmp";
/// What the sidecar shows to the API server.
pub(super) const API_ACCESS_VOLUME: &str = "api-access";

/// The members' certificates.
pub(super) const CERTIFICATES_VOLUME: &str = "certificates";

/// User and group `kudu` of Apache's image. Both containers run as it, because both write the log.
const KUDU_USER: i64 = 1000;

/// The kubelet renews the token well before it is over; the value is what Kubernetes gives its own tokens.
const TOKEN_SECONDS: i64 = 3607;

/// Time for a stand-down after SIGTERM: ship what is left of the log, release the Lease.
const GRACE_SECONDS: i64 = 30;

/// Metadata of the members' pods.
pub(super) fn metadata(input: &BuildInput<'_>) -> ObjectMeta {
    ObjectMeta {
        labels: Some(meta::labels(input)),
        // Without it `kubectl logs` would ask which container is meant.
        annotations: Some(BTreeMap::from([(
            "kubectl.kubernetes.io/default-container".to_owned(),
            names::MASTER_CONTAINER.to_owned(),
        )])),
        ..Default::default()
    }
}

/// The members' pods.
pub(super) fn spec(input: &BuildInput<'_>) -> PodSpec {
    let scheduling = &input.spec.scheduling;
    PodSpec {
        init_containers: Some(vec![containers::install(input)]),
        containers: vec![containers::kudu_master(input), containers::replication(input)],
        image_pull_secrets: some_unless_empty(&pull_secrets(input), Vec::is_empty),
        volumes: Some(vec![
            scratch(BIN_VOLUME),
            scratch(RUN_VOLUME),
            scratch(TMP_VOLUME),
            api_access(),
            certificates(input),
        ]),
        affinity: Some(affinity(input)),
        node_selector: some_unless_empty(&scheduling.node_selector, BTreeMap::is_empty),
        // Only the user's. Kubernetes adds its own for nodes that are gone (300 s): a member need not leave earlier,
        // because a failover does not wait for that, and must not stay for ever, because its volume may be able to move.
        tolerations: some_unless_empty(&scheduling.tolerations, Vec::is_empty),
        priority_class_name: scheduling.priority_class_name.clone(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(KUDU_USER),
            run_as_group: Some(KUDU_USER),
            fs_group: Some(KUDU_USER),
            // A big volume is walked once, not at each start: that would be part of each recovery.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..Default::default()
        }),
        service_account_name: Some(input.name.to_owned()),
        // kudu-master has no business with the API server; the sidecar gets a token of its own (`api_access`).
        automount_service_account_token: Some(false),
        // Variables for each Service of the namespace could be taken for settings.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        ..Default::default()
    }
}

fn some_unless_empty<T: Clone>(value: &T, is_empty: impl Fn(&T) -> bool) -> Option<T> {
    (!is_empty(value)).then(|| value.clone())
}

fn pull_secrets(input: &BuildInput<'_>) -> Vec<LocalObjectReference> {
    input.spec.image_pull_secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect()
}

/// Keeps members apart: a pair on one node does not outlive that node.
fn affinity(input: &BuildInput<'_>) -> Affinity {
    let SchedulingSpec { anti_affinity, topology_key, .. } = &input.spec.scheduling;
    let apart = PodAffinityTerm {
        label_selector: Some(meta::selector(input)),
        topology_key: topology_key.clone(),
        ..Default::default()
    };
    let pod_anti_affinity = match anti_affinity {
        AntiAffinity::Required => PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![apart]),
            ..Default::default()
        },
        AntiAffinity::Preferred => PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: apart,
            }]),
            ..Default::default()
        },
    };
    Affinity { pod_anti_affinity: Some(pod_anti_affinity), ..Default::default() }
}

/// An empty folder. Without a size limit: passing it would evict the member.
fn scratch(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Default::default() }
}

/// What Kubernetes would mount into every container, as a volume that only the sidecar mounts.
fn api_access() -> Volume {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            path: "token".to_owned(),
            expiration_seconds: Some(TOKEN_SECONDS),
            audience: None,
        }),
        ..Default::default()
    };
    let authority = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: "kube-root-ca.crt".to_owned(),
            items: Some(vec![KeyToPath { key: "ca.crt".to_owned(), path: "ca.crt".to_owned(), mode: None }]),
            optional: None,
        }),
        ..Default::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection {
            items: Some(vec![DownwardAPIVolumeFile {
                path: "namespace".to_owned(),
                field_ref: Some(ObjectFieldSelector { field_path: "metadata.namespace".to_owned(), api_version: None }),
                ..Default::default()
            }]),
        }),
        ..Default::default()
    };
    Volume {
        name: API_ACCESS_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource { sources: Some(vec![token, authority, namespace]), default_mode: None }),
        ..Default::default()
    }
}

/// The certificates of all members that there can be, in a folder for each kind and member. Pods of a StatefulSet are alike, so
/// each has them all; the sidecar uses its own. A Secret that is not there yet, or of a kind that is not used, is left out
/// until it is there.
fn certificates(input: &BuildInput<'_>) -> Volume {
    let of_member = |ordinal: i32| {
        let member = names::member(input.name, ordinal);
        let kinds = [
            (Encryption::Managed, names::managed_secret(&member)),
            (Encryption::CertManager, names::cert_manager_secret(&member)),
        ];
        kinds
            .into_iter()
            .filter_map(move |(kind, secret)| Some(projection(secret, &format!("{}/{member}", kind.folder()?))))
    };
    Volume {
        name: CERTIFICATES_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some((0..names::MAX_MEMBERS).flat_map(of_member).collect()),
            // For the group, which is the sidecar's, and nobody else.
            default_mode: Some(0o440),
        }),
        ..Default::default()
    }
}

fn projection(secret: String, folder: &str) -> VolumeProjection {
    let item = |key: &str| KeyToPath { key: key.to_owned(), path: format!("{folder}/{key}"), mode: None };
    VolumeProjection {
        secret: Some(SecretProjection {
            name: secret,
            items: Some([secrets::TRUSTED, secrets::CERTIFICATE, secrets::KEY].map(item).into()),
            optional: Some(true),
        }),
        ..Default::default()
    }
}
