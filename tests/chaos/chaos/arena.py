"""The pair that faults are made on, its client, and what faults need to know and do."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kpdemo import reigns
from kpdemo.client import POD as CLIENT_POD
from kpdemo.cluster import LOCAL, LocalCluster, now_ms
from kpdemo.pair import SWITCHOVER
from kpdemo.shell import Failure, run, say, wait_for
from kpdemo.story import OPERATOR_NAMESPACE, Story

from . import machine
from .disks import NODES as MEMBER_NODES
from .disks import SmallDisks
from .history import History
from .machine import API, API_PORT, Drop, Process

# The kinds of operation that have to work again after a fault.
KINDS = ("list", "open", "create", "write")
# Short, so that a fault of the standby shows the rule change soon; the default is 10 s.
STANDBY_TIMEOUT_MS = 2000
# Nodes with this label are for members.
MEMBERS = "kudupair.io/chaos-members"
# A check opens every table that was ever named, so that a long history makes it long.
LONG_HISTORY = 8000
CONTROLLER = "app.kubernetes.io/component=controller"


def spec(mode: str) -> dict[str, Any]:
    """Of a pair that acknowledges in this mode."""
    return {
        "replication": {
            "acknowledgement": {"mode": mode},
            "whenUnavailable": "Degrade",
            "timeoutMilliseconds": STANDBY_TIMEOUT_MS,
        }
    }


class Arena:
    """A pair with one standby, a tablet server and a long-lived client, in a namespace of their own."""

    def __init__(self, cluster: LocalCluster, namespace: str, mode: str, *, small_disks: bool = False) -> None:
        self.cluster = LocalCluster(nodes=cluster.nodes, namespace=namespace)
        self.cluster.attach()
        # A power cut is one for all pairs.
        self.cluster.power_cuts = cluster.power_cuts
        self.mode = mode
        self.story = Story(self.cluster)
        self.pair = self.story.pair
        self.client = self.story.client
        self.disks = SmallDisks(self.cluster) if small_disks else None
        # Whether the client's own node lost its power in this trial.
        self.client_was_off = False
        # When a member's kudu-master was seen to be gone by something that lets no launcher write it down.
        self.ends: dict[str, list[int]] = {}
        # Spans in which a member's processes stood still.
        self.frozen: dict[str, list[tuple[int, int]]] = {}
        self._history: tuple[str, History] | None = None

    @property
    def name(self) -> str:
        """The local cluster's name."""
        return self.cluster.kubeconfig.parents[1].name

    def make(self) -> None:
        """Makes all of it and waits until it runs."""
        wanted = spec(self.mode)
        # The third node is for the client and the tablet server, whose loss is another matter.
        for node in MEMBER_NODES:
            self.cluster.kubectl("label", "--overwrite", "node", f"node{node}", f"{MEMBERS}=yes")
        # More members are lost here than a budget of three an hour is meant for.
        wanted["failover"] = {"failoversPerHour": 1000} | wanted.get("failover", {})
        wanted["scheduling"] = {"nodeSelector": {MEMBERS: "yes"}}
        if self.disks:
            self.disks.make()
            wanted["storage"] = self.disks.storage()
        self.story.make_pair(wanted)
        self.settle()

    def settle(self) -> None:
        """Waits until all is well and the client works."""
        # One that is killed again and again is kept back by its kubelet for ever longer; with both kept back nobody decides.
        self.operator("rollout", "status", "deployment/kudu-pair", "--timeout=300s")
        self.pair.wait_running(timeout_s=240)
        if self.mode != "Async":
            self.pair.wait_synchronous("InSync")
        if not self.client_goes_on(now_ms(), timeout_s=60):
            raise Failure("the client does not work although the pair is Running")

    def remove(self) -> None:
        """Removes all of it."""
        self.cluster.kubectl("delete", "namespace", self.cluster.namespace, "--ignore-not-found", "--wait=false")
        if self.disks:
            self.disks.remove()

    # ---- who is who

    def active(self) -> str:
        """The active."""
        return self.pair.status()["active"]

    def standby(self) -> str:
        """The standby."""
        status = self.pair.status()
        return next(member["name"] for member in status["members"] if member["name"] != status["active"])

    def leader(self) -> str:
        """The pod of the controller that acts."""
        lease = self.operator("get", "lease", "kudu-pair-controller", "-o", "json")
        return json.loads(lease)["spec"]["holderIdentity"]

    def operator(self, *arguments: str, check: bool = True) -> str:
        """kubectl in the operator's namespace."""
        return self.cluster.kubectl("--namespace", OPERATOR_NAMESPACE, *arguments, check=check)

    def node_of_leader(self) -> int:
        """The node of the controller that acts."""
        name = self.operator("get", "pod", self.leader(), "-o", "jsonpath={.spec.nodeName}")
        return int("".join(character for character in name if character.isdigit()))

    def address(self, pod: str) -> str:
        """A pod's IP address."""
        return self.cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.status.podIP}")

    def processes(self, pod: str, program: str | None = None) -> list[Process]:
        """Processes of a member's pod; of one program: `kudu-master`, `launcher` or `sidecar`."""
        uid = self.cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
        return [one for one in machine.of_pod(self.name, uid) if program in (None, one.program)]

    def controller(self) -> list[Process]:
        """The process of the controller that acts."""
        uid = self.operator("get", "pod", self.leader(), "-o", "jsonpath={.metadata.uid}")
        return [one for one in machine.of_pod(self.name, uid) if one.program == "controller"]

    def control_plane(self, program: str) -> list[Process]:
        """A program of the control plane."""
        return machine.of_control_plane(self.name, program)

    # ---- what is done to them

    def kill(self, member: str, program: str) -> None:
        """kill -9 of a program in a member's pod."""
        victims = self.processes(member, program)
        if not victims:
            raise Failure(f"{member} runs no {program}")
        # With a launcher its kudu-master has to go, and nobody is left to write that down.
        masters = self.processes(member, "kudu-master") if program == "launcher" else []
        machine.kill(victims)
        if masters:
            self.ends.setdefault(member, []).append(machine.gone(masters))

    def delete(self, member: str, *, by_force: bool) -> None:
        """Deletes a member's pod; by force: its end is noted as soon as it is seen."""
        everything = self.processes(member)
        force = ["--force", "--grace-period=0"] if by_force else ["--wait=false"]
        self.cluster.kubectl("delete", "pod", member, *force)
        if by_force:
            self.ends.setdefault(member, []).append(machine.gone(everything))

    @contextlib.contextmanager
    def stopped(self, member: str, program: str | None = None) -> Iterator[None]:
        """SIGSTOP for a member's processes."""
        victims = self.processes(member, program)
        with machine.stopped(victims):
            begun = now_ms()
            yield
            # Noted before they go on: what runs from here on counts.
            self.frozen.setdefault(member, []).append((begun, now_ms()))

    @contextlib.contextmanager
    def cut_from_api(self, member: str, *, answers_only: bool = False) -> Iterator[None]:
        """Between a member's pod and the API server nothing arrives; or only the answers do not."""
        node, address = self.cluster.node_of(member), self.address(member)
        drops = [Drop(node, API, address, ("--sport", API_PORT))]
        if not answers_only:
            drops.append(Drop(node, address, API, ("--dport", API_PORT)))
        with machine.dropped(self.name, *drops):
            yield

    @contextlib.contextmanager
    def cut_between(self, one: str, other: str, *, one_way: bool = False) -> Iterator[None]:
        """Between two members nothing arrives; or only from the first to the second."""
        node, here, there = self.cluster.node_of(one), self.address(one), self.address(other)
        drops = [Drop(node, here, there)] + ([] if one_way else [Drop(node, there, here)])
        with machine.dropped(self.name, *drops):
            yield

    @contextlib.contextmanager
    def nodes_off(self, *nodes: int, silent: bool = False) -> Iterator[None]:
        """Nodes without power."""
        off = []
        self.client_was_off |= self.cluster.node_of("kudu-client") in nodes
        try:
            for node in dict.fromkeys(nodes):
                self.cluster.power_off(node, silent=silent)
                off.append(node)
            yield
        finally:
            for node in off:
                self.cluster.power_on(node)

    @contextlib.contextmanager
    def link_down(self, node: int) -> Iterator[None]:
        """A node whose cable is pulled."""
        run(LOCAL, "node", "link-down", str(node))
        try:
            yield
        finally:
            run(LOCAL, "node", "link-up", str(node))

    def repair(self, member: str, node: int) -> None:
        """Repairs the disk of a member, as a person would do: without its pod."""
        if self.disks is None:
            raise Failure("there is nothing to repair but small disks")
        name = f"node{node}"
        self.cluster.kubectl("cordon", name)
        try:
            self.delete(member, by_force=True)
            self.disks.repair(node)
        finally:
            self.cluster.kubectl("uncordon", name)

    def ask_to_switch(self, to: str) -> str:
        """Asks for a switchover without waiting for it; returns the request."""
        request = f"{to}@{time.time_ns()}"
        self.cluster.kubectl("annotate", "--overwrite", "kmp", self.pair.name, f"{SWITCHOVER}={request}")
        return request

    def wait_answered(self, request: str) -> dict[str, Any]:
        """Waits until a request for a switchover has its answer."""

        def answered() -> dict[str, Any] | None:
            answer = self.pair.status().get("switchover", {})
            return answer if answer.get("request") == request and answer.get("answer") != "Accepted" else None

        return wait_for("an answer to the switchover", answered, timeout_s=120)

    @contextlib.contextmanager
    def no_operator(self) -> Iterator[None]:
        """No controller runs."""
        deployment = "deployment/kudu-pair"
        self.operator("scale", deployment, "--replicas=0")
        self.operator("wait", "--for=delete", "pod", f"--selector={CONTROLLER}", "--timeout=60s")
        try:
            yield
        finally:
            self.operator("scale", deployment, "--replicas=2")
            self.operator("rollout", "status", deployment, "--timeout=60s")

    def wait_mounted(self, member: str, secret: str) -> None:
        """Waits until a member's pod sees the certificate in a Secret; without the kubelet's minute, which a changed pod saves."""
        wanted = (self.cluster.get("secret", secret) or {})["data"]["tls.crt"]
        pod = self.cluster.get("pod", member) or {}
        folder = f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~projected/certificates/managed"
        node = str(self.cluster.node_of(member))
        self.cluster.kubectl("annotate", "--overwrite", "pod", member, f"kudupair.io/looked-at={time.time_ns()}")

        def there() -> bool:
            seen = run(LOCAL, "node", "enter", node, "base64", "--wrap=0", f"{folder}/{member}/tls.crt", check=False)
            return seen == wanted

        wait_for(f"{secret} to reach {member}", there, timeout_s=150)

    def wait_upgraded(self) -> None:
        """Waits until every pod is of the newest revision."""

        def done() -> bool:
            found = self.cluster.get("statefulset", self.pair.name) or {}
            status = found["status"]
            # With OnDelete `currentRevision` says nothing; the pods themselves do.
            pods = self.cluster.kubectl(
                "get", "pods", "-l", "kudupair.io/pair=" + self.pair.name,
                "-o", "jsonpath={.items[*].metadata.labels.controller-revision-hash}",
            ).split()
            return found["metadata"]["generation"] == status["observedGeneration"] and set(pods) == {status["updateRevision"]}

        wait_for("all pods to be replaced", done, timeout_s=180)

    def wait_api(self) -> None:
        """Waits until the API server answers."""

        def ready() -> bool:
            return self.cluster.kubectl("get", "--raw", "/readyz", check=False).strip() == "ok"

        wait_for("the API server", ready, timeout_s=120)

    def wait_served(self) -> None:
        """Waits until a newly started process is served, whatever becomes of connections that are there."""
        wait_for("a new connection to be served", self.story.new_list, timeout_s=60)

    def pause(self, seconds: float) -> None:
        """Lets a fault last."""
        time.sleep(seconds)

    def patch(self, change: dict[str, Any]) -> None:
        """Changes the pair's spec."""
        self.cluster.kubectl("patch", "kmp", self.pair.name, "--type=merge", "--patch", json.dumps({"spec": change}))

    # ---- what is seen

    def promise(self) -> dict[str, Any]:
        """Which standbys have what is acknowledged, as the Lease says it."""
        return json.loads(self.pair.lease().get("metadata", {}).get("annotations", {}).get("kudupair.io/sync", "{}"))

    def history(self) -> History:
        """What the client's processes have written down; a new pod's is a new one."""
        pod = self.cluster.get("pod", CLIENT_POD) or {}
        uid = pod["metadata"]["uid"]
        if self._history is None or self._history[0] != uid:
            folder = self.node_folder(self.cluster.node_of(CLIENT_POD)) / f"kubelet/pods/{uid}/volumes"
            self._history = (uid, History(folder / "kubernetes.io~empty-dir/history/history.jsonl"))
        return self._history[1]

    def node_folder(self, node: int) -> Path:
        """A node's disk, on this machine."""
        return self.cluster.kubeconfig.parents[1] / f"nodes/node{node}"

    def client_goes_on(self, since_ms: int, timeout_s: float) -> bool:
        """Whether each kind of operation succeeds after a moment, within a time."""
        history = self.history()
        try:
            wait_for("the client to go on", lambda: history.answered(KINDS, since_ms), timeout_s=timeout_s, pause_s=0.05)
        except Failure:
            return False
        return True

    def shorten_history(self) -> None:
        """A new client with a history of its own, when the old one is long. What it has made is forgotten unharmed."""
        if len(self.history().entries()) > LONG_HISTORY:
            self.client.stop()
            self.client.start()

    def new_client(self) -> None:
        """A new process of the client, and tablet servers that dial again: what a user does about connections that hang."""
        say("the client's old connections hang: client and tablet servers are started again")
        self.story.reconnect()

    def lives(self) -> list[reigns.Life]:
        """When the pair's kudu-masters ran. One that stood still was no active: its life ends there, and begins anew after."""
        found = []
        for member in self.pair.members():
            ends = [*self.cluster.power_cuts_of(member), *self.ends.get(member, [])]
            for life in reigns.lives(member, reigns.read(self.cluster, member), ends):
                found += split(life, self.frozen.get(member, []))
        return found

    def thawed(self, life: reigns.Life) -> bool:
        """Whether a life is what a member's master ran on for after it had stood still."""
        return any(go_on == life.begin for _, go_on in self.frozen.get(life.member, []))


def split(life: reigns.Life, frozen: list[tuple[int, int]]) -> list[reigns.Life]:
    """A life without the spans in which it stood still."""
    parts, begin = [], life.begin
    for stop, go_on in sorted(frozen):
        if begin <= stop < life.end:
            parts.append(reigns.Life(begin, stop, life.epoch, life.member))
            begin = go_on
    if begin < life.end:
        parts.append(reigns.Life(begin, life.end, life.epoch, life.member))
    return parts
