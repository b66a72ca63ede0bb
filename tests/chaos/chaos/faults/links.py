"""Links that are cut: packets are lost, and nobody is told."""

from __future__ import annotations

from random import Random

from ..arena import Arena
from ..fault import Promise, fault

# Until the launcher kills by its own clock (4 s), and the standby takes over (6 s), and a client's pause.
DEPOSED = Promise(reign="next", outage_s=20)


@fault(
    "api-link-cut",
    what="the active's pod and the API server hear nothing of each other, until another one is active",
    how="packet filter on the active's node, both ways",
    promise=DEPOSED,
)
def api_link_cut(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    with arena.cut_from_api(status["active"]):
        arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)


@fault(
    "api-link-one-way",
    what="the active's renewals reach the API server, its answers do not reach the active, until another one is active",
    how="packet filter on the active's node, one way",
    promise=DEPOSED,
)
def api_link_one_way(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    with arena.cut_from_api(status["active"], answers_only=True):
        arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=90)


@fault(
    "standby-api-link-cut",
    what="the standby's pod and the API server hear nothing of each other for 10 s",
    how="packet filter on the standby's node, both ways",
    promise=Promise(reign="same", outage_s=5),
)
def standby_api_link_cut(arena: Arena, dice: Random) -> None:
    with arena.cut_from_api(arena.standby()):
        arena.pause(10)


@fault(
    "standby-link-cut",
    what="active and standby hear nothing of each other, until operations have gone on without the standby",
    how="packet filter on the active's node, both ways; operations wait 2 s, then the rule is changed",
    promise=Promise(reign="same", outage_s=8),
)
def standby_link_cut(arena: Arena, dice: Random) -> None:
    with arena.cut_between(arena.active(), arena.standby()):
        if arena.mode != "Async":
            arena.pair.wait_synchronous("Degraded", timeout_s=60)
        arena.wait_served()


@fault(
    "standby-link-one-way",
    what="what the active sends does not reach the standby, the other way works, for 8 s",
    how="packet filter on the active's node, one way",
    promise=Promise(reign="same", outage_s=8),
)
def standby_link_one_way(arena: Arena, dice: Random) -> None:
    with arena.cut_between(arena.active(), arena.standby(), one_way=True):
        arena.pause(8)


@fault(
    "active-node-cut",
    what="the active's node runs on, cut off from everything, until another one is active",
    how="deploy/local/cluster node link-down",
    promise=Promise(reign="next", outage_s=15),
)
def active_node_cut(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    with arena.link_down(arena.cluster.node_of(status["active"])):
        arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)
        arena.wait_served()
