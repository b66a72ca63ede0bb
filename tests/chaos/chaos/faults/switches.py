"""Switches that something gets in the way of."""

from __future__ import annotations

import json
import time
from random import Random

from kpdemo.shell import wait_for

from .. import certificates, machine
from ..arena import Arena
from ..fault import Promise, fault


@fault(
    "switchover-to-dying",
    what="a switchover to a member whose pod is deleted by force on the way",
    how="kubectl delete pod --force, 0 to 1 s after the request",
    promise=Promise(reign="any", outage_s=25),
)
def switchover_to_dying(arena: Arena, dice: Random) -> None:
    target = arena.standby()
    request = arena.ask_to_switch(target)
    time.sleep(dice.uniform(0, 1))
    arena.delete(target, by_force=True)
    arena.wait_answered(request)


@fault(
    "failover-during-base-copy",
    what="the active's pod is deleted by force while its only standby, whose volume was lost, copies a base",
    how="claim and pod of the standby deleted; the copying tool is held by SIGSTOP until the active is gone",
    # Nobody else has the catalog: the active's own return is waited for.
    promise=Promise(reign="any", outage_s=60, errors=True),
)
def failover_during_base_copy(arena: Arena, dice: Random) -> None:
    active, standby = arena.active(), arena.standby()
    arena.cluster.kubectl("delete", "pvc", f"wal-{standby}", "--wait=false")
    arena.delete(standby, by_force=True)
    # The ends of a record that is gone with its volume say nothing any more.
    arena.ends.pop(standby, None)

    def copying() -> list[machine.Process]:
        return [one for one in arena.processes(standby) if one.program == "kudu" and "copy_from_remote" in one.words]

    with machine.stopped(wait_for("the standby to copy a base", copying, timeout_s=120, pause_s=0.002)):
        arena.delete(active, by_force=True)


@fault(
    "double-failover",
    what="the active's pod is deleted by force, and its successor's as soon as it serves",
    how="kubectl delete pod --force, twice",
    promise=Promise(reign="any", outage_s=60, errors=True),
)
def double_failover(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    arena.delete(status["active"], by_force=True)
    after = arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)
    time.sleep(dice.uniform(0, 1))
    arena.delete(after["active"], by_force=True)


@fault(
    "failover-during-upgrade",
    what="the active's pod is deleted by force while pods are replaced because of a changed flag",
    how="a flag in spec.kudu.flags, then kubectl delete pod --force 0 to 8 s later",
    promise=Promise(reign="any", outage_s=60, errors=True),
)
def failover_during_upgrade(arena: Arena, dice: Random) -> None:
    # A flag that does no more than make the pods others.
    arena.patch({"kudu": {"flags": {"max_log_size": str(dice.randrange(100, 2000))}}})
    time.sleep(dice.uniform(0, 8))
    arena.delete(arena.active(), by_force=True)
    arena.wait_upgraded()


@fault(
    "edited-in-switch",
    what="timings of the pair are changed, and it is paused and resumed, in the middle of a switchover",
    how="kubectl patch, 0 to 0.8 s after the request",
    promise=Promise(reign="any", outage_s=20),
)
def edited_in_switch(arena: Arena, dice: Random) -> None:
    request = arena.ask_to_switch("any")
    time.sleep(dice.uniform(0, 0.8))
    arena.patch({"failover": {"leaseDurationMilliseconds": dice.randrange(6000, 9000)}, "paused": True})
    arena.patch({"paused": False})
    try:
        arena.wait_answered(request)
    finally:
        arena.patch({"failover": {"leaseDurationMilliseconds": None}})


@fault(
    "expired-certificate",
    what="the standby has a certificate that ended, and dials anew",
    how="no operator meanwhile; the standby's Secret gets a certificate of the pair's own authority that ended long ago, and "
    "its sidecar is killed once it is mounted. The operator comes back and has to issue another",
    promise=Promise(reign="same", outage_s=10),
)
def expired_certificate(arena: Arena, dice: Random) -> None:
    standby = arena.standby()
    secret = f"{standby}-replication-tls"
    with arena.no_operator():
        wanted = certificates.expired(arena.cluster, arena.pair.name, standby)
        arena.cluster.kubectl("patch", "secret", secret, "--type=merge", "--patch", json.dumps({"data": wanted}))
        arena.wait_mounted(standby, secret)
        arena.kill(standby, "sidecar")
        wait_for("operations to go on without the standby", lambda: arena.promise().get("degraded"), timeout_s=60)
    wait_for("another certificate", lambda: not certificates.is_over(arena.cluster, secret), timeout_s=60)
    arena.wait_mounted(standby, secret)
