//! Stands in for the StatefulSet controller and the kubelets, and moves the members ([`super::members`]).

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    coordination::v1::Lease,
    core::v1::{PersistentVolumeClaimVolumeSource, Pod, Volume},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use kudu_pair::api::{KuduMasterPair, names};
use serde_json::json;

use super::members::{MEMBERS, PAIR, Shared};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(40);

/// One pair's machines.
pub(crate) struct Machines {
    pairs: Api<KuduMasterPair>,
    leases: Api<Lease>,
    stateful_sets: Api<StatefulSet>,
    pods: Api<Pod>,
    members: Shared,
}

impl Machines {
    pub(crate) fn new(admin: &Client, namespace: &str, members: Shared) -> Self {
        Self {
            pairs: Api::namespaced(admin.clone(), namespace),
            leases: Api::namespaced(admin.clone(), namespace),
            stateful_sets: Api::namespaced(admin.clone(), namespace),
            pods: Api::namespaced(admin.clone(), namespace),
            members,
        }
    }

    /// Goes on for as long as it is polled.
    pub(crate) async fn run(self) {
        let mut looks = 0_u64;
        loop {
            // Something that is lost for a look is done at the next one.
            if let Err(error) = self.look(looks).await {
                eprintln!("machines: {error}");
            }
            looks += 1;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&self, looks: u64) -> kube::Result<()> {
        if looks.is_multiple_of(3) {
            self.pods_as_asked().await?;
        }
        if looks.is_multiple_of(5) {
            self.members.lock().append();
        }
        let asked = Instant::now();
        let lease = names::lease(PAIR);
        let (pair, lease) = tokio::try_join!(self.pairs.get_opt(PAIR), self.leases.get_opt(&lease))?;
        let status = pair.and_then(|pair| pair.status).unwrap_or_default();
        for number in 0..MEMBERS {
            let wished = {
                let mut members = self.members.lock();
                let wish = members.step(number, &status, lease.as_ref());
                wish.zip(lease.as_ref()).map(|(wish, lease)| (wish, members.wished(number, lease, wish)))
            };
            let Some((wish, lease)) = wished else { continue };
            // In the version that was read: of two writers one loses.
            let taken = self.leases.replace(&lease.name_any(), &PostParams::default(), &lease).await;
            let mut members = self.members.lock();
            if taken.is_ok() && members.may_be_taken(number) {
                members.granted(number, wish, asked);
            }
        }
        Ok(())
    }

    async fn pods_as_asked(&self) -> kube::Result<()> {
        let Some(wanted) = self.stateful_sets.get_opt(PAIR).await? else { return Ok(()) };
        let spec = wanted.spec.clone().unwrap_or_default();
        let replicas = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&spec.template).expect("JSON").hash(&mut hasher);
        let revision = format!("{PAIR}-{:x}", hasher.finish() & 0xffff_ffff);
        let seen = json!({
            "observedGeneration": wanted.metadata.generation, "updateRevision": revision, "replicas": replicas
        });
        self.tell(&wanted, seen).await?;

        let pods = self.pods.list(&ListParams::default()).await?.items;
        let mut pods: BTreeMap<_, _> = pods.into_iter().map(|pod| (pod.name_any(), pod)).collect();
        for number in 0..MEMBERS {
            let name = names::member(PAIR, i32::try_from(number).expect("a small number"));
            match pods.remove(&name) {
                Some(_) if number >= replicas => {
                    self.members.lock().pod_is(number, None);
                    self.pods.delete(&name, &DeleteParams::default()).await?;
                }
                Some(pod) => {
                    self.members.lock().pod_is(number, pod.uid());
                    self.as_a_kubelet(&pod).await?;
                }
                None if number < replicas => {
                    self.members.lock().pod_is(number, None);
                    self.pods.create(&PostParams::default(), &pod(&name, &revision, &wanted)).await?;
                }
                None => self.members.lock().pod_is(number, None),
            }
        }
        Ok(())
    }

    async fn tell(&self, wanted: &StatefulSet, seen: serde_json::Value) -> kube::Result<()> {
        let known = wanted.status.as_ref().map(|status| {
            json!({
                "observedGeneration": status.observed_generation, "updateRevision": status.update_revision,
                "replicas": status.replicas
            })
        });
        if known.as_ref() != Some(&seen) {
            let patch = Patch::Merge(json!({ "status": seen }));
            self.stateful_sets.patch_status(PAIR, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    async fn as_a_kubelet(&self, pod: &Pod) -> kube::Result<()> {
        let (address, ready) = {
            let mut members = self.members.lock();
            let member = members.member(&pod.name_any());
            (member.address.to_string(), member.is_ready(Instant::now()))
        };
        let status = pod.status.clone().unwrap_or_default();
        let says = |one: &k8s_openapi::api::core::v1::PodCondition| one.type_ == "Ready" && one.status == "True";
        let known = status.conditions.iter().flatten().any(says);
        if status.pod_ip.as_ref() != Some(&address) || known != ready {
            let patch = Patch::Merge(json!({ "status": {
                "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
                "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }]
            } }));
            // The pod may be gone by now.
            let _ = self.pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await;
        }
        Ok(())
    }
}

/// The pod that the StatefulSet controller makes.
fn pod(name: &str, revision: &str, of: &StatefulSet) -> Pod {
    let spec = of.spec.clone().unwrap_or_default();
    let claims = spec.volume_claim_templates.into_iter().flatten().filter_map(|claim| claim.metadata.name);
    let template = spec.template;
    let mut labels = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
    labels.insert(names::POD_NAME_LABEL.to_owned(), name.to_owned());
    labels.insert("controller-revision-hash".to_owned(), revision.to_owned());
    let mut spec = template.spec.unwrap_or_default();
    spec.volumes.get_or_insert_default().extend(claims.map(|claim| Volume {
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: format!("{claim}-{name}"),
            read_only: None,
        }),
        name: claim,
        ..Default::default()
    }));
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..Default::default() };
    Pod { metadata, spec: Some(spec), ..Default::default() }
}
