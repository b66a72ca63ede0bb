//! One pair with its members, its controllers and its trouble.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1::StatefulSet, coordination::v1::Lease, core::v1::Service};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use kudu_pair::api::{KuduMasterPair, PairStatus, Phase, names};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    door::{self, Trouble, Troubles},
    history::{self, History},
    kubelet::Machines,
    members::{LEASE, PAIR, RENEW_DEADLINE, Shared},
    replicas::Replicas,
};
use crate::{make_namespace, server::ApiServer};

/// Longer than anything here takes, on a machine that others use too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// One pair with all that belongs to it.
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) members: Shared,
    pub(crate) troubles: Arc<Troubles>,
    pub(crate) history: History,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) pairs: Api<KuduMasterPair>,
    pub(crate) leases: Api<Lease>,
    pub(crate) services: Api<Service>,
    pub(crate) stateful_sets: Api<StatefulSet>,
    machines: JoinHandle<()>,
}

impl World {
    /// A namespace with two controllers and no pair yet. The controllers have the rights of the chart in `operator_namespace`.
    pub(crate) async fn begin(server: &ApiServer, operator: (&str, &str), namespace: &str, trouble: Trouble) -> Self {
        let admin = server.admin();
        make_namespace(&admin, namespace).await;
        let members = Shared::begin().await;
        let troubles = Troubles::new(trouble, admin.clone(), namespace);
        let controller = || server.service_account(operator.0, operator.1);
        let doors = [
            door::open(0, controller(), Arc::clone(&troubles)).await,
            door::open(1, controller(), Arc::clone(&troubles)).await,
        ];
        let replicas = Arc::new(Replicas::new(&admin, namespace, doors));
        troubles.reach(Arc::clone(&replicas));
        let history = History::begin(&admin, namespace);
        let machines = tokio::spawn(Machines::new(&admin, namespace, members.clone()).run());
        for number in 0..2 {
            replicas.start(number);
        }
        Self {
            name: namespace.to_owned(),
            members,
            troubles,
            history,
            replicas,
            pairs: Api::namespaced(admin.clone(), namespace),
            leases: Api::namespaced(admin.clone(), namespace),
            services: Api::namespaced(admin.clone(), namespace),
            stateful_sets: Api::namespaced(admin, namespace),
            machines,
        }
    }

    /// Makes the pair, with this on top of the times that the members live by.
    pub(crate) async fn make(&self, failover: Value) {
        let mut times = json!({
            "leaseDurationMilliseconds": LEASE.as_millis(), "renewDeadlineMilliseconds": RENEW_DEADLINE.as_millis(),
            "renewIntervalMilliseconds": 300, "killTimeMilliseconds": 300, "clockMarginMilliseconds": 100,
            // Not the time of this suite: a leader is stopped many times in one switch.
            "switchoverTimeoutMilliseconds": 120_000
        });
        let all = times.as_object_mut().expect("an object");
        all.extend(failover.as_object().cloned().into_iter().flatten());
        let pair = json!({
            "apiVersion": "kudupair.io/v1alpha1", "kind": "KuduMasterPair", "metadata": { "name": PAIR },
            "spec": { "failover": times }
        });
        let pair = serde_json::from_value(pair).expect("a pair");
        self.pairs.create(&PostParams::default(), &pair).await.expect("taken");
    }

    pub(crate) async fn status(&self) -> PairStatus {
        self.pairs.get(PAIR).await.expect("the pair").status.unwrap_or_default()
    }

    /// Waits until the status is like that.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&PairStatus) -> bool) -> PairStatus {
        let begun = Instant::now();
        loop {
            let status = self.status().await;
            if is(&status) {
                return status;
            }
            if begun.elapsed() > PATIENCE {
                let status = serde_json::to_string_pretty(&status).expect("JSON");
                let (seen, words) = (self.troubles.seen(), self.replicas.last_words());
                panic!("{}: never {what}: {status}\n{seen:#?}\n{words}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_running(&self) -> PairStatus {
        self.until("Running", |status| status.phase == Some(Phase::Running) && status.switch.is_none()).await
    }

    pub(crate) async fn annotate(&self, annotation: &str, value: &str) {
        self.patch(json!({ "metadata": { "annotations": { annotation: value } } })).await;
    }

    /// Changes the pair, as a user does.
    pub(crate) async fn patch(&self, change: Value) -> KuduMasterPair {
        self.pairs.patch(PAIR, &PatchParams::default(), &Patch::Merge(change)).await.expect("taken")
    }

    /// Whom the Service selects.
    pub(crate) async fn selected(&self) -> Option<String> {
        self.services.get(PAIR).await.ok()?.spec?.selector?.remove(names::POD_NAME_LABEL)
    }

    /// What came out, as it has to be whatever trouble there was.
    pub(crate) async fn outcome(&self) -> Value {
        // The Service may be the last to follow when others wrote it, and after it what the status says of it.
        let begun = Instant::now();
        let mut status = self.status().await;
        while (self.selected().await != status.active || !is_ready(&status)) && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
            status = self.status().await;
        }
        let receipts = status.switches.iter().map(|receipt| {
            json!({
                "kind": receipt.kind, "epoch": receipt.epoch, "from": receipt.from, "to": receipt.to, "tried": receipt.tried,
                "outcome": receipt.outcome, "lossKnown": receipt.ops_lost != "unknown"
            })
        });
        let receipts: Vec<_> = receipts.collect();
        let members = status.members.iter().map(|member| json!([member.name, member.role, member.state]));
        let conditions = status.conditions.iter().map(|one| json!([one.type_, one.status, one.reason]));
        let lease = self.leases.get(&names::lease(PAIR)).await.expect("the Lease");
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        let replicas = self.stateful_sets.get(PAIR).await.expect("it").spec.and_then(|spec| spec.replicas);
        json!({
            "phase": status.phase, "active": status.active, "epoch": status.epoch, "receipts": receipts,
            "switchover": status.switchover.map(|answer| answer.answer),
            "approval": status.approval.map(|answer| answer.answer),
            "members": members.collect::<Vec<_>>(), "conditions": conditions.collect::<Vec<_>>(),
            "lease": [lease.annotations().get(names::EPOCH_ANNOTATION), holder.split('/').next()],
            "service": self.selected().await, "replicas": replicas
        })
    }

    /// Stops everything and checks what was ever written.
    pub(crate) fn end(self, undisturbed: bool) {
        self.troubles.arm(false);
        self.machines.abort();
        self.history.check(&self.name, undisturbed);
        history::one_at_a_time(&self.name, self.members.lock().reigns());
        for number in 0..2 {
            self.replicas.kill(number);
        }
    }
}

fn is_ready(status: &PairStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
