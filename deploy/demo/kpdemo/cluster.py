"""The cluster: one of our own on this machine, or the user's."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .shell import ROOT, Failure, built, run, say, show

LOCAL = ROOT / "deploy/local/cluster"
IMAGES = ROOT / "deploy/local/images"
# The line of the example after which the demo puts its own image and flags.
VERSION_LINE = "    version: 1.18.1\n"


@dataclass
class Cluster:
    """A cluster that kubectl and Helm reach through a kubeconfig."""

    kubeconfig: Path
    namespace: str = "kudu-demo"
    operator_image: str = "kudu-pair/operator:dev"
    kudu_image: str = "kudu-pair/kudu:1.18.1"
    client_image: str = "kudu-pair/client:dev"
    # Kudu's `time_source`; None leaves its default, which wants nodes with NTP.
    time_source: str | None = None
    path: list[str] = field(default_factory=list)

    def _env(self, program: str) -> list[str]:
        path = os.pathsep.join([*self.path, os.environ["PATH"]])
        return ["env", f"KUBECONFIG={self.kubeconfig}", f"PATH={path}", program]

    def kubectl(self, *arguments: str, check: bool = True, stdin: str | None = None, timeout_s: float = 120) -> str:
        """kubectl in the demo's namespace."""
        return run(
            *self._env("kubectl"), "--namespace", self.namespace, *arguments, check=check, stdin=stdin, timeout_s=timeout_s
        )

    def plugin(self, *arguments: str) -> str:
        """`kubectl kudupair` in the demo's namespace."""
        return run(*self._env(built("kubectl-kudupair")), "--namespace", self.namespace, *arguments)

    def watch_status(self, pair: str) -> subprocess.Popen[str]:
        """A process that prints a pair's status, one line each time it has changed."""
        words = ("--namespace", self.namespace, "get", "kmp", pair, "--watch", "-o", 'jsonpath={.status}{"\\n"}')
        return subprocess.Popen(
            [*self._env("kubectl"), *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )

    def get(self, *arguments: str) -> dict[str, Any] | None:
        """One object, or None."""
        text = self.kubectl("get", *arguments, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text.strip() else None

    def apply(self, text: str) -> None:
        """Applies manifests."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def helm(self, *arguments: str, check: bool = True) -> str:
        """Helm in the operator's namespace."""
        return run(*self._env("helm"), "--namespace", "kudu-pair-system", *arguments, check=check)

    def prepare(self) -> None:
        """Makes the cluster ready for the operator."""

    def load_images(self) -> None:
        """Brings the images to the nodes."""

    def end(self) -> None:
        """Removes what `prepare` made."""

    def lose_active(self, pod: str) -> None:
        """Takes the active away without warning."""
        raise NotImplementedError

    def return_node(self) -> None:
        """Undoes `lose_active`."""

    def manifest(self, name: str) -> str:
        """One of deploy/examples, with this cluster's images."""
        text = (ROOT / "deploy/examples" / name).read_text()
        text = text.replace("kudu-pair/kudu:1.18.1", self.kudu_image).replace("kudu-pair/client:dev", self.client_image)
        flags = ""
        if self.time_source:
            flags = f'    flags: {{time_source: {self.time_source}, unlock_unsafe_flags: "true"}}\n'
        return text.replace(VERSION_LINE, f"{VERSION_LINE}    image: {self.kudu_image}\n{flags}")

    def changed(self, manifest: str, change: dict[str, Any]) -> str:
        """A manifest of one object with a change (JSON merge patch) in it."""
        patch = json.dumps(change)
        return self.kubectl("patch", "--local", "-f", "-", "--type=merge", "--patch", patch, "-o", "json", stdin=manifest)


class LocalCluster(Cluster):
    """A cluster of its own in network namespaces, see deploy/local."""

    def __init__(self, nodes: int = 3, **settings: Any) -> None:
        self.nodes = nodes
        # Of a launcher that lost its power nothing says when its kudu-master ended, but the power did: node, moment.
        self.power_cuts: list[tuple[int, int]] = []
        self._lost: int | None = None
        # The nodes here have no NTP, without which Kudu's default clock refuses to start.
        super().__init__(kubeconfig=Path("/nonexistent"), time_source="system_unsync", **settings)

    def prepare(self) -> None:
        show(LOCAL, "build")
        show(LOCAL, "up", "--nodes", str(self.nodes))
        self.attach()

    def attach(self) -> None:
        """Uses the cluster that is up."""
        self.kubeconfig = Path(run(LOCAL, "kubeconfig").strip())
        for line in run(LOCAL, "env").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            if name == "PATH":
                self.path = [value.strip("\"'").split(":")[0]]

    def load_images(self) -> None:
        archives = [run(IMAGES, "build", *image).split()[-1] for image in (("kudu", "1.18.1"), ("client",))]
        operator = run(IMAGES, "build", "operator", built()).split()[-1]
        show(LOCAL, "load-image", operator, *archives)

    def load_kudu(self, version: str) -> str:
        """Brings another version of Kudu to the nodes, and returns its image's name."""
        show(LOCAL, "load-image", run(IMAGES, "build", "kudu", version).split()[-1])
        return f"kudu-pair/kudu:{version}"

    def end(self) -> None:
        show(LOCAL, "down")

    def node_of(self, pod: str) -> int:
        """Number of the node that a pod runs on."""
        name = self.kubectl("get", "pod", pod, "-o", "jsonpath={.spec.nodeName}")
        return int("".join(character for character in name if character.isdigit()))

    def power_off(self, node: int, *, silent: bool) -> None:
        """Cuts a node's power; when it is silent its peers hear nothing, or else FIN and RST."""
        run(LOCAL, "node", "power-off", str(node), *(["--silent"] if silent else []))
        self.power_cuts.append((node, now_ms()))

    def power_on(self, node: int) -> None:
        """Boots a node with the disk that it had."""
        run(LOCAL, "node", "power-on", str(node))

    def power_cuts_of(self, pod: str) -> list[int]:
        """When the power of a pod's node was cut."""
        node = self.node_of(pod)
        return [at for cut, at in self.power_cuts if cut == node]

    @contextlib.contextmanager
    def parted(self, one: str, other: str) -> Iterator[None]:
        """Nothing arrives between two pods, and nobody is told. The first one's node stays on meanwhile."""
        namespace = f"/run/netns/{self.kubeconfig.parents[1].name}-n{self.node_of(one)}"
        here, there = (self.kubectl("get", "pod", pod, "-o", "jsonpath={.status.podIP}") for pod in (one, other))

        def filters(action: str) -> None:
            # Where addresses of Services have been replaced already, and before kube-proxy's own filters.
            for source, destination in ((here, there), (there, here)):
                rule = ("FORWARD", "--source", source, "--destination", destination, "--jump", "DROP")
                run("nsenter", f"--net={namespace}", "--", "iptables", "--wait", "--table", "mangle", action, *rule)

        filters("--insert")
        try:
            yield
        finally:
            filters("--delete")

    def lose_active(self, pod: str) -> None:
        self._lost = self.node_of(pod)
        say(f"node {self._lost} loses its link, then its power: its peers hear nothing")
        self.power_off(self._lost, silent=True)

    def return_node(self) -> None:
        if self._lost is None:
            return
        say(f"node {self._lost} is powered on")
        self.power_on(self._lost)
        self._lost = None


class ExistingCluster(Cluster):
    """The user's cluster: nodes are theirs, so the active is lost by a forced deletion of its pod."""

    def __init__(self) -> None:
        kubeconfig = os.environ.get("KUBECONFIG")
        if not kubeconfig:
            raise Failure("CLUSTER=existing: set KUBECONFIG to the cluster that the demo may use")
        super().__init__(
            kubeconfig=Path(kubeconfig),
            operator_image=os.environ.get("OPERATOR_IMAGE", Cluster.operator_image),
            kudu_image=os.environ.get("KUDU_IMAGE", "apache/kudu:1.18.1"),
            client_image=os.environ.get("CLIENT_IMAGE", Cluster.client_image),
            time_source=os.environ.get("KUDU_TIME_SOURCE"),
        )

    def lose_active(self, pod: str) -> None:
        say(f"pod {pod} is deleted by force")
        self.kubectl("delete", "pod", pod, "--force", "--grace-period=0")


def now_ms() -> int:
    """Wall clock, milliseconds since 1970."""
    return time.time_ns() // 1_000_000
