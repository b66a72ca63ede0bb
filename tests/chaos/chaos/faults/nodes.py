"""Nodes that lose their power."""

from __future__ import annotations

from random import Random

from ..arena import Arena
from ..fault import Promise, fault


@fault(
    "active-node-off",
    what="power-off of the active's node; its peers hear nothing",
    how="deploy/local/cluster node power-off --silent: link cut, then every process of the node ends at once; on again when "
    "another one is active",
    promise=Promise(reign="next", outage_s=15),
)
def active_node_off(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    with arena.nodes_off(arena.cluster.node_of(status["active"]), silent=True):
        arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)
        arena.wait_served()


@fault(
    "active-node-off-ahead",
    what="the active's node loses its power when it has gone on for 1 to 4 s without reaching its standby: what it did in that time it "
    "alone has (in `Async`, where nobody waits for a standby)",
    how="packet filter between the members on the standby's node, then deploy/local/cluster node power-off --silent; on again when "
    "the standby is active",
    # The client is told that tables are not there which are lost.
    promise=Promise(reign="next", outage_s=20, errors=True),
    modes=("Async",),
)
def active_node_off_ahead(arena: Arena, dice: Random) -> None:
    status, standby = arena.pair.status(), arena.standby()
    with arena.cut_between(standby, status["active"]):
        arena.pause(dice.uniform(1, 4))
        with arena.nodes_off(arena.cluster.node_of(status["active"]), silent=True):
            arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)
            arena.wait_served()


@fault(
    "standby-node-off",
    what="power-off of the standby's node, on again once operations go on without it",
    how="deploy/local/cluster node power-off",
    promise=Promise(reign="same", outage_s=10),
)
def standby_node_off(arena: Arena, dice: Random) -> None:
    with arena.nodes_off(arena.cluster.node_of(arena.standby())):
        if arena.mode != "Async":
            arena.pair.wait_synchronous("Degraded", timeout_s=60)
        arena.wait_served()


@fault(
    "controller-node-off",
    what="power-off of the node of the controller that leads, with whatever else is there",
    how="deploy/local/cluster node power-off",
    promise=Promise(reign="any", outage_s=25, errors=True),
)
def controller_node_off(arena: Arena, dice: Random) -> None:
    with arena.nodes_off(arena.node_of_leader()):
        arena.pause(12)


@fault(
    "both-nodes-off",
    what="power-off of both members' nodes within a second; nobody is left to serve until they are back",
    how="deploy/local/cluster node power-off, on again after 10 s",
    promise=Promise(reign="any", outage_s=90, errors=True),
)
def both_nodes_off(arena: Arena, dice: Random) -> None:
    nodes = [arena.cluster.node_of(arena.active()), arena.cluster.node_of(arena.standby())]
    dice.shuffle(nodes)
    with arena.nodes_off(*nodes):
        arena.pause(10)


@fault(
    "all-nodes-off",
    what="power-off of all nodes, with members, controllers, tablet servers and the client",
    how="deploy/local/cluster node power-off, on again after 5 s; the client is started again with its history",
    promise=Promise(reign="any", outage_s=120, errors=True),
)
def all_nodes_off(arena: Arena, dice: Random) -> None:
    nodes = [*range(1, arena.cluster.nodes + 1)]
    dice.shuffle(nodes)
    with arena.nodes_off(*nodes):
        arena.pause(5)
