"""What is lost, and how one trial of it is measured."""

from __future__ import annotations

import datetime
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chaos import machine
from chaos.arena import KINDS, Arena
from kpdemo.cluster import LocalCluster, now_ms
from kpdemo.shell import Failure, say, wait_for

from .raft import Raft

# Kudu's own Raft did not come back for a client that was there when its leader's node went silent: so long is waited.
RAFT_SILENT_S = 60
PATIENCE_S = 60
PHASES = ("detect", "fence", "replay", "repoint")
# The settings of docs/benchmarks/README.md for a lost node that has to be noticed soon.
FAST = {
    "leaseDurationMilliseconds": 1500,
    "renewDeadlineMilliseconds": 900,
    "renewIntervalMilliseconds": 250,
    "killTimeMilliseconds": 350,
    "clockMarginMilliseconds": 200,
}
FAST_SPEC = {"failover": FAST, "replication": {"refresh": {"replayMilliseconds": 300}}}
DEFAULT_SPEC: dict[str, Any] = {"failover": dict.fromkeys(FAST), "replication": {"refresh": None}}


@dataclass
class Trial:
    """One loss. Seconds; none for what had not come back when waiting for it ended."""

    outages: dict[str, float | None]
    errors: list[str]
    # By the receipt; empty when there was no switch.
    phases: dict[str, float] = field(default_factory=dict)
    registered: float | None = None
    new_connection: float | None = None


@dataclass(frozen=True)
class Case:
    """One row."""

    name: str
    title: str
    target: str
    measure: Callable[[Any], Trial]
    raft: bool = False
    # Of the pair's spec.
    spec: dict[str, Any] = field(default_factory=lambda: DEFAULT_SPEC)


def process_kill(arena: Arena) -> Trial:
    """kill -9 of the active's kudu-master."""
    # A launcher waits before the third start within a minute: each trial is the first of its reign.
    epoch = arena.pair.status()["epoch"]
    arena.settle()
    arena.ask_to_switch("any")
    arena.pair.wait_epoch(epoch + 1, timeout_s=PATIENCE_S, pause_s=1)
    return measured(arena, lambda: arena.kill(arena.active(), "kudu-master"))


def pod_delete(arena: Arena) -> Trial:
    """Forced deletion of the active's pod."""
    return measured(arena, lambda: arena.delete(arena.active(), by_force=True), switches=True)


def switchover(arena: Arena) -> Trial:
    """A planned switch."""
    return measured(arena, lambda: arena.ask_to_switch("any"), switches=True)


def node_power_off(arena: Arena) -> Trial:
    """Power-off of the active's node, of which its peers hear nothing."""
    node = arena.cluster.node_of(arena.active())
    try:
        return measured(arena, lambda: arena.cluster.power_off(node, silent=True), switches=True, new_connections=True)
    finally:
        arena.cluster.power_on(node)


def measured(
    arena: Arena, strike: Callable[[], object], *, switches: bool = False, new_connections: bool = False
) -> Trial:
    """One loss, seen by the client that was there all the time."""
    arena.settle()
    time.sleep(random.uniform(0, 1))
    before = arena.pair.status()
    begun = now_ms()
    strike()
    new = None
    if new_connections:
        new = wait_for("a new connection", lambda: arena.story.new_connection(begun), timeout_s=PATIENCE_S, pause_s=0.05)
    if switches:
        # Seldom: looking takes time from what is measured.
        arena.pair.wait_epoch(before["epoch"] + 1, timeout_s=PATIENCE_S, pause_s=1)
    came_back = arena.client_goes_on(now_ms(), PATIENCE_S)
    seen = arena.history().outages(begun, now_ms())
    trial = Trial(
        {kind: seen.get(kind, {}).get("seconds") for kind in KINDS},
        sorted({f"{kind}: {error}" for kind, one in seen.items() for error in one["errors"]}),
        new_connection=new,
    )
    if switches:
        receipt = arena.pair.receipt()
        trial.phases = {phase: float(receipt[f"{phase}Seconds"]) for phase in PHASES}
    trial.registered = registered(arena.cluster, begun)
    if not came_back:
        arena.new_client()
    return trial


def registered(cluster: LocalCluster, since_ms: int) -> float | None:
    """When the tablet server told a master of itself after a moment, by its own log: seconds."""
    log = cluster.kubectl("logs", "demo-tserver-0", "--since=120s")
    for found in re.finditer(r"^I(\d{8} \d\d:\d\d:\d\d\.\d{6}) .*Registering TS with master", log, re.MULTILINE):
        at = datetime.datetime.strptime(f"{found[1]} +0000", "%Y%m%d %H:%M:%S.%f %z").timestamp() * 1000
        if at > since_ms:
            return (at - since_ms) / 1000
    return None


def raft_kill(raft: Raft) -> Trial:
    """kill -9 of the leader."""
    raft.settle()
    time.sleep(random.uniform(0, 1))
    victims = raft.master(raft.leader())
    begun = now_ms()
    machine.kill(victims)
    return seen_by(raft, begun, PATIENCE_S)


def raft_power_off(raft: Raft) -> Trial:
    """Power-off of the leader's node, of which its peers hear nothing."""
    raft.settle()
    client_node = raft.cluster.node_of("kudu-client")
    for _ in range(10):
        leader = raft.leader()
        if raft.cluster.node_of(leader) != client_node:
            break
        machine.kill(raft.master(leader))
        raft.settle()
    else:
        raise Failure("the leader is always on the client's node")
    node = raft.cluster.node_of(leader)
    begun = now_ms()
    raft.cluster.power_off(node, silent=True)
    try:
        return seen_by(raft, begun, RAFT_SILENT_S)
    finally:
        raft.cluster.power_on(node)
        raft.client.restart()


def seen_by(raft: Raft, begun: int, patience_s: float) -> Trial:
    """What the client of Kudu's Raft saw."""
    since = now_ms()
    try:
        wait_for("the client to go on", lambda: raft.history().answered(KINDS, since), timeout_s=patience_s, pause_s=0.05)
    except Failure as failure:
        say(str(failure))
    seen = raft.history().outages(begun, now_ms())
    return Trial(
        {kind: seen.get(kind, {}).get("seconds") for kind in KINDS},
        sorted({f"{kind}: {error}" for kind, one in seen.items() for error in one["errors"]}),
    )


CASES = [
    Case("kill", "process kill (`kill -9` of kudu-master)", "list ≤ 0.5, create ≤ 1.0", process_kill),
    Case("raft-kill", "the same, Kudu's own Raft: of the leader", "", raft_kill, raft=True),
    Case("switchover", "planned switch", "median list ≤ 0.7, create ≤ 1.2; worst ≤ 2", switchover),
    Case("delete", "forced deletion of the active's pod", "list ≤ 2, create ≤ 2.5", pod_delete),
    Case("power-off", "silent power-off of the active's node, default timings (Lease 6 s)", "≤ 7", node_power_off),
    Case("power-off-fast", "silent power-off of the active's node, fast timings", "≤ 3", node_power_off, spec=FAST_SPEC),
    Case("raft-power-off", "silent power-off, Kudu's own Raft: of the leader's node", "", raft_power_off, raft=True),
]
