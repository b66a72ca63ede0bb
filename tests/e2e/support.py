"""The cluster, the pair and the client that all end-to-end tests share. Made once, by the first test that asks."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy/demo"))

from kpdemo.client import Client  # noqa: E402
from kpdemo.cluster import LocalCluster, now_ms  # noqa: E402
from kpdemo.pair import Pair  # noqa: E402
from kpdemo.shell import ROOT, Failure, wait_for  # noqa: E402
from kpdemo.story import Story  # noqa: E402


@functools.cache
def story() -> Story:
    """A cluster with the operator, a pair that runs, tablet servers, a client that watches."""
    told = Story(LocalCluster())
    told.set_up()
    told.make_pair()
    told.make_tables()
    return told


def cluster() -> LocalCluster:
    """The cluster."""
    return story().cluster  # type: ignore[return-value]


def pair() -> Pair:
    """The pair."""
    return story().pair


def client() -> Client:
    """The client."""
    return story().client


def in_member(member: str, *command: str, check: bool = True) -> str:
    """Runs a command in the container of a member's kudu-master."""
    return cluster().kubectl("exec", member, "-c", "kudu-master", "--", *command, check=check)


def reigns(member: str) -> list[dict[str, Any]]:
    """The launcher's own record of when kudu-master ran, oldest first."""
    text = in_member(member, "cat", "/var/lib/kudu/wal/reigns.jsonl")
    return [json.loads(line) for line in text.splitlines()]


def refused(manifest: str) -> str:
    """What the API server says to a manifest that it does not take; fails when it does."""
    try:
        cluster().kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest)
    except Failure as failure:
        return str(failure)
    raise AssertionError(f"was taken:\n{manifest}")


__all__ = ["ROOT", "client", "cluster", "in_member", "now_ms", "pair", "refused", "reigns", "story", "wait_for"]
