//! What is seen of a pair: read from the API server itself where a decision hangs on it, from watches and the members'
//! own reports elsewhere.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    coordination::v1::Lease,
    core::v1::{Pod, Service},
};
use kube::{Api, ResourceExt as _, runtime::reflector::ObjectRef};

use super::{
    context::Context,
    error::{Error, within},
    leases::{self, PairKey},
    report::Target,
};
use crate::{
    api::{KuduMasterPair, Role, names},
    failover::{
        lease::LeaseSeen,
        observation::{MemberSeen, Observation, PodSeen},
    },
    wal::OpId,
};

/// A read takes milliseconds.
const READ: Duration = Duration::from_secs(2);
/// The label of a StatefulSet's pod with the revision that it was made from.
const REVISION_LABEL: &str = "controller-revision-hash";

/// What is seen, and the objects that it was read from, in the versions in which they may be replaced.
pub(crate) struct Seen {
    /// What a decision is made from.
    pub(crate) observation: Observation,
    /// The Lease as it was read.
    pub(crate) lease: Option<Lease>,
}

/// Looks at everything at once. None: the pair is gone, or going.
pub(crate) async fn observe(context: &Context, key: &PairKey) -> Result<Option<Seen>, Error> {
    let (namespace, name) = key;
    let pairs: Api<KuduMasterPair> = Api::namespaced(context.client.clone(), namespace);
    let leases: Api<Lease> = Api::namespaced(context.client.clone(), namespace);
    let services: Api<Service> = Api::namespaced(context.client.clone(), namespace);
    let (lease_name, service_name) = (names::lease(name), names::service(name));
    let pods = pods(context, key).await;
    let targets: Vec<_> = pods.iter().filter_map(|pod| target(name, pod)).collect();
    let asked = async {
        context.reports.ask(&targets).await;
        Ok(())
    };
    let (pair, lease, service, ()) = futures::try_join!(
        within(READ, "read the pair", pairs.get_opt(name)),
        within(READ, "read the Lease", leases.get_opt(&lease_name)),
        within(READ, "read the Service", services.get_opt(&service_name)),
        asked,
    )?;
    let Some(pair) = pair.filter(|pair| pair.metadata.deletion_timestamp.is_none()) else { return Ok(None) };
    let lease_seen = lease.as_ref().map(|lease| leases::read(lease, context.leases.look(lease))).transpose()?;
    let members = members(context, &pair, &pods);
    let observation = Observation {
        lease: lease_seen,
        update_revision: update_revision(context, key),
        service_active: service.and_then(|service| service.spec?.selector?.remove(names::POD_NAME_LABEL)),
        active_head: active_head(context, key, &pair, &members),
        certificates: context.memory.certificates(key),
        status_written_ago: context.memory.status_written_ago(key),
        fresh_uuid: uuid::Uuid::new_v4().simple().to_string(),
        now: now(),
        members,
        pair,
    };
    warn_of_foreign_holder(&observation);
    Ok(Some(Seen { observation, lease }))
}

/// The time, as precise as the API keeps it, so that what was written compares equal to what is read back.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

async fn pods(context: &Context, key: &PairKey) -> Vec<std::sync::Arc<Pod>> {
    let (namespace, name) = key;
    // Without the first list it would look as if there were no pods. When the watch cannot start, that is how it is.
    let _ = tokio::time::timeout(READ, context.pods.wait_until_ready()).await;
    let of_pair =
        |pod: &Pod| pod.namespace().as_deref() == Some(namespace) && pod.labels().get(names::PAIR_LABEL) == Some(name);
    context.pods.state_filter(of_pair)
}

fn target(pair: &str, pod: &Pod) -> Option<Target> {
    let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(Target { pair: pair.to_owned(), member: pod.name_any(), uid: pod.uid()?, address })
}

/// Every member that the spec asks for, by ordinal, and after them pods that it does not ask for any more.
fn members(context: &Context, pair: &KuduMasterPair, pods: &[std::sync::Arc<Pod>]) -> Vec<MemberSeen> {
    let wanted = names::members(&pair.name_any(), pair.spec.standbys);
    let mut beyond: Vec<_> = pods.iter().map(|pod| pod.name_any()).filter(|name| !wanted.contains(name)).collect();
    beyond.sort();
    wanted
        .into_iter()
        .chain(beyond)
        .map(|name| {
            let pod = pods.iter().find(|pod| pod.name_any() == name).and_then(|pod| pod_seen(pod));
            let heard = pod.as_ref().and_then(|pod| context.reports.heard(&pod.uid));
            MemberSeen { name, pod, heard }
        })
        .collect()
}

fn pod_seen(pod: &Pod) -> Option<PodSeen> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"));
    let age = pod.creation_timestamp().map(|created| Timestamp::now().duration_since(created.0));
    Some(PodSeen {
        uid: pod.uid()?,
        revision: pod.labels().get(REVISION_LABEL).cloned(),
        ready,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        age: age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default(),
    })
}

/// The revision that pods should run, once the StatefulSet controller has looked at the StatefulSet as it is now.
fn update_revision(context: &Context, key: &PairKey) -> Option<String> {
    let (namespace, name) = key;
    let stateful_set = context.stateful_sets.get(&ObjectRef::<StatefulSet>::new(name).within(namespace))?;
    let status = stateful_set.status.as_ref()?;
    let current =
        status.observed_generation.is_some() && status.observed_generation == stateful_set.metadata.generation;
    status.update_revision.clone().filter(|_| current)
}

/// The highest head that the active itself reported in its reign, as long as this process remembers.
fn active_head(context: &Context, key: &PairKey, pair: &KuduMasterPair, members: &[MemberSeen]) -> Option<OpId> {
    let status = pair.status.as_ref()?;
    let active = members.iter().find(|member| Some(&member.name) == status.active.as_ref());
    let report = active.and_then(|member| member.heard.as_ref()).map(|heard| &heard.report);
    let reported = report.filter(|report| report.role == Role::Active && report.epoch == status.epoch);
    context.memory.active_head(key, status.epoch, reported.and_then(|report| report.head))
}

/// Only a member of the pair has reason to hold its Lease.
fn warn_of_foreign_holder(seen: &Observation) {
    let holder = seen.lease.as_ref().and_then(LeaseSeen::holder_member);
    if let Some(holder) = holder.filter(|holder| seen.member(holder).is_none()) {
        tracing::warn!(pair = seen.name(), holder, "the Lease is held by no member of the pair");
    }
}
