//! The members as a StatefulSet: stable names and volumes, pods that are replaced only when the operator says so.

use k8s_openapi::{
    api::apps::v1::{
        StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
    },
    api::core::v1::PodTemplateSpec,
};

use super::{BuildInput, claims, meta, pod};
use crate::api::names;

/// The members of a pair.
pub fn stateful_set(input: &BuildInput<'_>) -> StatefulSet {
    StatefulSet {
        metadata: meta::metadata(input, input.name.to_owned()),
        spec: Some(StatefulSetSpec {
            replicas: Some(input.spec.standbys + 1),
            selector: meta::selector(input),
            service_name: Some(names::members_service(input.name)),
            // No member waits for another's readiness: who leads is not a matter of ordinals.
            pod_management_policy: Some("Parallel".to_owned()),
            // A rolling update would restart the active without a switch. The controller deletes pods of an old revision
            // itself: standbys first, then a switchover, then the old active.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            // The volumes hold the only copies of the catalog. Nothing but a person deletes them.
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some("Retain".to_owned()),
                when_scaled: Some("Retain".to_owned()),
            }),
            template: PodTemplateSpec { metadata: Some(pod::metadata(input)), spec: Some(pod::spec(input)) },
            volume_claim_templates: Some(claims::templates(&input.spec.storage)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    #[test]
    fn with_an_empty_spec() {
        insta::assert_json_snapshot!(stateful_set(&testing::input(&testing::pair("spec: {}"))));
    }

    /// To wait for standbys takes the gate in kudu-master, which only new pods get; how it waits is no matter of the pods.
    #[test]
    fn only_a_synchronous_pair_has_the_gate() {
        let pods = |mode: &str| {
            let pair = testing::pair(&format!("spec:\n  replication: {{ acknowledgement: {mode} }}\n"));
            serde_json::to_string(&stateful_set(&testing::input(&pair))).unwrap()
        };
        assert_eq!(pods("{ mode: All }").matches("sync-gate-socket").count(), 2);
        assert_eq!(pods("{ mode: All }"), pods("{ mode: Any, count: 1 }"));
        assert!(!pods("{}").contains("sync-gate"));
    }

    #[test]
    fn with_everything_set() {
        let pair = testing::pair(
            r#"
spec:
  kudu:
    version: 1.17.1
    image: registry.example/kudu:1.17.1-patched
    imagePullPolicy: Always
    flags:
      time_source: system_unsync
      unlock_unsafe_flags: "true"
      webserver_password_file: $HOME/$(NOT_A_VARIABLE)
  imagePullSecrets: [{ name: registry }]
  standbys: 2
  storage:
    wal: { size: 1Gi, storageClassName: fast }
    data: { size: 20Gi }
  resources:
    requests: { cpu: "1", memory: 2Gi }
    limits: { memory: 4Gi }
  scheduling:
    antiAffinity: Preferred
    topologyKey: topology.kubernetes.io/zone
    nodeSelector: { disk: ssd }
    tolerations:
      - { key: dedicated, operator: Equal, value: kudu, effect: NoSchedule }
    priorityClassName: system-cluster-critical
"#,
        );
        insta::assert_json_snapshot!(stateful_set(&testing::input(&pair)));
    }
}
