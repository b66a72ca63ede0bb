"""The peer: three kudu-masters with Kudu's own Raft, one on each node, a tablet server and the same client."""

from __future__ import annotations

import json
from typing import Any

from chaos import machine
from chaos.arena import KINDS
from chaos.history import History
from chaos.machine import Process
from kpdemo.client import POD as CLIENT_POD
from kpdemo.client import Client
from kpdemo.cluster import LocalCluster, now_ms
from kpdemo.shell import wait_for

MASTERS = ",".join(f"raft-{number}.raft:7051" for number in range(3))
# A master that is first started while another one's name is not known yet leaves half a catalog, with which it never starts again.
# Started again at once when it ends, as a pair's launcher does; a kubelet would wait longer each time.
MASTER = f"""for number in 0 1 2; do until getent hosts raft-$number.raft >/dev/null; do sleep 0.2; done; done
while :; do kudu-master --master_addresses={MASTERS} --rpc_advertised_addresses=$(hostname).raft:7051 \
--fs_wal_dir=/var/lib/kudu/wal --fs_data_dirs=/var/lib/kudu/wal --rpc_bind_addresses=0.0.0.0:7051 \
--webserver_port=8051 --unlock_unsafe_flags --time_source=system_unsync --cloud_metadata_server_request_timeout_ms=100 \
--log_dir=/tmp --logtostderr; done"""


class Raft:
    """Three masters and what belongs to them, in a namespace of their own."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = LocalCluster(nodes=cluster.nodes, namespace="kudu-raft")
        self.cluster.attach()
        self.client = Client(self.cluster, master=MASTERS)
        self._history: History | None = None

    def make(self) -> None:
        """Makes all of it and waits until the client works."""
        for each in manifests(self.cluster):
            self.cluster.apply(json.dumps(each))
        self.cluster.kubectl("rollout", "status", "statefulset/raft", "--timeout=180s", timeout_s=190)
        text = self.cluster.manifest("tablet-servers.yaml")
        self.cluster.apply(text.replace("--tserver_master_addrs=demo:7051", f"--tserver_master_addrs={MASTERS}"))
        self.cluster.kubectl("rollout", "status", "statefulset/demo-tserver", "--timeout=180s", timeout_s=190)
        self.client.start()
        self.settle()

    def settle(self) -> None:
        """Waits until the client works and all three masters are there."""
        wait_for("the client of Kudu's Raft to work", lambda: self.history().answered(KINDS, self._now), timeout_s=120)
        wait_for("three masters", lambda: len(self.roles()) == 3 and "LEADER" in self.roles().values(), timeout_s=120)

    @property
    def _now(self) -> int:
        return now_ms() - 1000

    def history(self) -> History:
        """What the client has written down."""
        if self._history is None:
            pod = self.cluster.get("pod", CLIENT_POD) or {}
            node = self.cluster.kubeconfig.parents[1] / f"nodes/node{self.cluster.node_of(CLIENT_POD)}"
            folder = node / f"kubelet/pods/{pod['metadata']['uid']}/volumes"
            self._history = History(folder / "kubernetes.io~empty-dir/history/history.jsonl")
        return self._history

    def roles(self) -> dict[str, str]:
        """Each master's role, by its pod; of those that answer."""
        text = self.cluster.kubectl(
            "exec", "demo-tserver-0", "--", "kudu", "master", "list", MASTERS, "--columns=rpc-addresses,role", "--format=csv",
            check=False, timeout_s=60,
        )
        # A master goes by the address that its advertised name had when it started.
        pods = self.cluster.kubectl(
            "get", "pods", "--selector=app=raft", "-o", "jsonpath={range .items[*]}{.status.podIP} {.metadata.name}{'\\n'}{end}"
        )
        names = dict(line.split() for line in pods.splitlines())
        rows = [line.rsplit(",", 1) for line in text.splitlines() if "," in line]
        roles = {address.rpartition(":")[0]: role for address, role in rows}
        return {names[address]: role for address, role in roles.items() if address in names}

    def leader(self) -> str:
        """The pod of the leader."""
        return next(pod for pod, role in self.roles().items() if role == "LEADER")

    def master(self, pod: str) -> list[Process]:
        """The kudu-master in a pod."""
        uid = self.cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
        name = self.cluster.kubeconfig.parents[1].name
        return [one for one in machine.of_pod(name, uid) if one.program == "kudu-master"]


def manifests(cluster: LocalCluster) -> list[dict[str, Any]]:
    """Namespace, Service and StatefulSet of the masters."""
    labels = {"app": "raft"}
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    pod = {
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
        "containers": [{
            "name": "kudu-master", "image": cluster.kudu_image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", MASTER],
            "volumeMounts": [{"name": "wal", "mountPath": "/var/lib/kudu"}],
        }],
    }
    claim = {
        "metadata": {"name": "wal"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}},
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "raft"},
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": labels, "ports": [{"port": 7051}]},
        },
        {
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "raft"},
            "spec": {
                "replicas": 3, "serviceName": "raft", "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod}, "volumeClaimTemplates": [claim],
            },
        },
    ]
