"""The cluster, the pair and the client that all end-to-end tests share. Each is made once, by the first test that asks."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "deploy/demo"), str(TESTS / "chaos")]

from kpdemo import reigns  # noqa: E402
from kpdemo.client import Client  # noqa: E402
from kpdemo.cluster import LocalCluster, now_ms  # noqa: E402
from kpdemo.pair import Pair  # noqa: E402
from kpdemo.shell import ROOT, Failure, wait_for  # noqa: E402
from kpdemo.story import OPERATOR_NAMESPACE, Story  # noqa: E402

# What the pair begins with, and is upgraded from.
OLDER_KUDU = "1.17.1"


@functools.cache
def cluster() -> LocalCluster:
    """A cluster with the operator."""
    made = LocalCluster()
    Story(made).set_up()
    return made


@functools.cache
def story() -> Story:
    """A pair that runs an older Kudu, tablet servers, a client that watches."""
    told = Story(cluster())
    told.make_pair({"kudu": {"version": OLDER_KUDU, "image": cluster().load_kudu(OLDER_KUDU)}})
    told.make_tables()
    return told


def pair() -> Pair:
    """The pair."""
    return story().pair


def client() -> Client:
    """The client."""
    return story().client


def in_member(member: str, *command: str, check: bool = True) -> str:
    """Runs a command in the container of a member's kudu-master."""
    return cluster().kubectl("exec", member, "-c", "kudu-master", "--", *command, check=check)


def lives() -> list[reigns.Life]:
    """When kudu-masters of the pair ran."""
    record = functools.partial(reigns.read, cluster())
    return [life for name in pair().members() for life in reigns.lives(name, record(name), cluster().power_cuts_of(name))]


def restarts(*pods: str) -> int:
    """How often containers of these pods were started again."""
    return sum(
        status["restartCount"]
        for pod in pods
        for status in (cluster().get("pod", pod) or {})["status"]["containerStatuses"]
    )


def kudu_images() -> set[str]:
    """Images of the pair's masters, in the pods that are there and ready."""
    pods = json.loads(cluster().kubectl("get", "pods", "-l", "kudupair.io/pair=demo", "-o", "json"))["items"]
    ready = [pod for pod in pods if all(one["ready"] for one in pod["status"].get("containerStatuses", [{"ready": False}]))]
    if len(ready) < len(pair().members()):
        return set()
    return {one["image"] for pod in ready for one in pod["spec"]["containers"] if one["name"] == "kudu-master"}


def metrics() -> list[str]:
    """The lines of the leading controller's page of metrics."""
    operator = functools.partial(cluster().kubectl, "--namespace", OPERATOR_NAMESPACE)
    pods = operator("get", "pods", "-l", "app.kubernetes.io/name=kudu-pair,app.kubernetes.io/component=controller", "-o", "name").split()
    for pod in pods:
        lines = operator("get", "--raw", f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod.removeprefix('pod/')}:8080/proxy/metrics").splitlines()
        if "kudupair_leader 1" in lines:
            return lines
    raise AssertionError(f"no controller of {pods} leads")


def refused(manifest: str) -> str:
    """What the API server says to a manifest that it does not take; fails when it does."""
    try:
        # A namespace that is there whatever has run before.
        cluster().kubectl("--namespace", "default", "apply", "--dry-run=server", "-f", "-", stdin=manifest)
    except Failure as failure:
        return str(failure)
    raise AssertionError(f"was taken:\n{manifest}")


__all__ = ["ROOT", "client", "cluster", "in_member", "kudu_images", "lives", "metrics", "now_ms", "pair", "refused", "reigns", "restarts", "story", "wait_for"]
