"""Disks that are full, slow, stalled or broken."""

from __future__ import annotations

import time
from random import Random

from kpdemo.shell import Failure

from .. import machine
from ..arena import Arena
from ..disks import SmallDisks
from ..fault import Promise, fault

FULL_S = 8
BROKEN_S = 8
SLOW_S = 8
STALLED_S = 5


def disk(arena: Arena, member: str) -> tuple[SmallDisks, int]:
    """A member's disk: its maker and node."""
    if arena.disks is None:
        raise Failure("this fault needs a pair on small disks")
    return arena.disks, arena.cluster.node_of(member)


@fault(
    "standby-disk-full",
    what=f"the standby's disk is full for {FULL_S} s",
    how="ext4 of its own on a loop device, filled",
    promise=Promise(reign="same", outage_s=10),
    small_disks=True,
)
def standby_disk_full(arena: Arena, dice: Random) -> None:
    disks, node = disk(arena, arena.standby())
    with disks.full(node):
        arena.pause(FULL_S)


@fault(
    "active-disk-full",
    what=f"the active's disk is full for {FULL_S} s",
    how="ext4 of its own on a loop device, filled",
    promise=Promise(reign="any", outage_s=40, errors=True),
    small_disks=True,
)
def active_disk_full(arena: Arena, dice: Random) -> None:
    disks, node = disk(arena, arena.active())
    with disks.full(node):
        arena.pause(FULL_S)


@fault(
    "active-fsync-fails",
    what=f"the active's disk takes writes and fails fdatasync of new blocks for {BROKEN_S} s",
    how="ext4 on a loop device whose backing file cannot grow any more: the kernel's own error, ENOSPC as of a thin device",
    promise=Promise(reign="any", outage_s=40, errors=True),
    small_disks=True,
)
def active_fsync_fails(arena: Arena, dice: Random) -> None:
    disks, node = disk(arena, arena.active())
    with disks.exhausted(node):
        arena.pause(BROKEN_S)


@fault(
    "standby-fsync-fails",
    what=f"the standby's disk takes writes and fails fdatasync of new blocks for {BROKEN_S} s",
    how="as for the active's",
    promise=Promise(reign="same", outage_s=15),
    small_disks=True,
)
def standby_fsync_fails(arena: Arena, dice: Random) -> None:
    disks, node = disk(arena, arena.standby())
    with disks.exhausted(node):
        arena.pause(BROKEN_S)


@fault(
    "active-disk-eio",
    what="the active's disk answers everything with EIO, until another one is active; then it is repaired and its pod made anew",
    how="ext4 of its own, shut down by ioctl",
    promise=Promise(reign="next", outage_s=40, errors=True),
    small_disks=True,
)
def active_disk_eio(arena: Arena, dice: Random) -> None:
    status = arena.pair.status()
    disks, node = disk(arena, status["active"])
    masters = arena.processes(status["active"], "kudu-master")
    disks.shut_down(node)
    try:
        # Nobody can write down when it ended.
        arena.ends.setdefault(status["active"], []).append(machine.gone(masters))
        arena.pair.wait_epoch(status["epoch"] + 1, timeout_s=60)
        if arena.processes(status["active"], "kudu-master"):
            raise Failure(f"{status['active']} runs a kudu-master although another member is active")
    finally:
        arena.repair(status["active"], node)


@fault(
    "active-disk-slow",
    what=f"the active's disk takes no write for 0.1 to 0.4 s, again and again, for {SLOW_S} s",
    how="fsfreeze of an ext4 of its own, and thaw",
    promise=Promise(reign="any", outage_s=15),
    small_disks=True,
)
def active_disk_slow(arena: Arena, dice: Random) -> None:
    disks, node = disk(arena, arena.active())
    end = time.monotonic() + SLOW_S
    while time.monotonic() < end:
        disks.freeze(node)
        try:
            time.sleep(dice.uniform(0.1, 0.4))
        finally:
            disks.thaw(node)
        time.sleep(dice.uniform(0.05, 0.2))


@fault(
    "active-disk-stalled",
    what=f"the active's disk takes no write for {STALLED_S} s",
    how="fsfreeze of an ext4 of its own",
    promise=Promise(reign="any", outage_s=25),
    small_disks=True,
)
def active_disk_stalled(arena: Arena, dice: Random) -> None:
    disks, node = disk(arena, arena.active())
    disks.freeze(node)
    try:
        time.sleep(STALLED_S)
    finally:
        disks.thaw(node)
