"""Processes that end, or stand still."""

from __future__ import annotations

import time
from random import Random

from kpdemo.shell import Failure

from .. import machine
from ..arena import Arena
from ..fault import Promise, fault

# Between two starts of a container that ended the kubelet waits ten seconds from the second on, so a killed sidecar or launcher
# may mean a failover; a client's own pause before it tries again is up to 4.1 s.
RESTARTED = Promise(reign="any", outage_s=25)


@fault(
    "master-killed",
    what="kill -9 of the active's kudu-master",
    how="SIGKILL from the node",
    promise=Promise(reign="same", outage_s=6),
)
def master_killed(arena: Arena, dice: Random) -> None:
    arena.kill(arena.active(), "kudu-master")


@fault("sidecar-killed", what="kill -9 of the active's sidecar", how="SIGKILL from the node", promise=RESTARTED)
def sidecar_killed(arena: Arena, dice: Random) -> None:
    arena.kill(arena.active(), "sidecar")


@fault(
    "standby-sidecar-killed",
    what="kill -9 of the standby's sidecar",
    how="SIGKILL from the node",
    promise=Promise(reign="same", outage_s=8),
)
def standby_sidecar_killed(arena: Arena, dice: Random) -> None:
    arena.kill(arena.standby(), "sidecar")


@fault(
    "launcher-killed",
    what="kill -9 of the active's launcher, the parent of kudu-master",
    how="SIGKILL from the node",
    promise=RESTARTED,
)
def launcher_killed(arena: Arena, dice: Random) -> None:
    arena.kill(arena.active(), "launcher")


@fault(
    "controller-killed",
    what="kill -9 of the controller that leads",
    how="SIGKILL from the node",
    promise=Promise(reign="same", outage_s=3),
)
def controller_killed(arena: Arena, dice: Random) -> None:
    machine.kill(arena.controller())


@fault(
    "controller-killed-in-switch",
    what="kill -9 of the controller that leads, in the middle of a switchover",
    how="SIGKILL from the node, 0 to 1.5 s after the request; the next leader ends the switch or takes it back",
    promise=Promise(reign="any", outage_s=20),
)
def controller_killed_in_switch(arena: Arena, dice: Random) -> None:
    victims = arena.controller()
    request = arena.ask_to_switch("any")
    time.sleep(dice.uniform(0, 1.5))
    machine.kill(victims)
    arena.wait_answered(request)


@fault(
    "pod-stopped",
    what="SIGSTOP of every process of the active's pod, SIGCONT once another one is active",
    how="SIGSTOP from the node. Who stands still cannot kill; when launcher and second guard go on their first act is to kill kudu-master, "
    "whose time is up by the clock that went on. What runs until then counts against the promise of one active.",
    promise=Promise(reign="next", outage_s=20),
)
def pod_stopped(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    with arena.stopped(status["active"]):
        arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)


@fault(
    "sidecar-stopped",
    what="SIGSTOP of the active's sidecar for 10 s: nobody renews the Lease",
    how="SIGSTOP from the node; the launcher kills kudu-master by its own clock",
    promise=Promise(reign="next", outage_s=20),
)
def sidecar_stopped(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    masters = arena.processes(status["active"], "kudu-master")
    with machine.stopped(arena.processes(status["active"], "sidecar")):
        machine.gone(masters, timeout_s=10)
        arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)
        if not all(master.is_gone() for master in masters):
            raise Failure("kudu-master outlived its Lease")
