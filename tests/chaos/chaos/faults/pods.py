"""Pods that are deleted."""

from __future__ import annotations

from random import Random

from ..arena import Arena
from ..fault import Promise, fault


@fault(
    "pod-deleted",
    what="deletion of the active's pod, as in a drain",
    how="kubectl delete pod",
    promise=Promise(reign="next", outage_s=10),
)
def pod_deleted(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    arena.delete(status["active"], by_force=False)
    arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)


@fault(
    "pod-deleted-by-force",
    what="forced deletion of the active's pod",
    how="kubectl delete pod --force --grace-period=0",
    # A creation that is caught in between is done after 10 s more, see ADR 9.
    promise=Promise(reign="next", outage_s=16),
)
def pod_deleted_by_force(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    arena.delete(status["active"], by_force=True)
    arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)


@fault(
    "standby-pod-deleted",
    what="forced deletion of the standby's pod",
    how="kubectl delete pod --force --grace-period=0; operations wait 2 s for it, then the rule is changed",
    promise=Promise(reign="same", outage_s=8),
)
def standby_pod_deleted(arena: Arena, dice: Random) -> None:
    arena.delete(arena.standby(), by_force=True)
