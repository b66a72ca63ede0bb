"""Faults that are made at another layer, by other tests."""

from __future__ import annotations

from ..fault import elsewhere

elsewhere(
    "clock-step",
    what="the wall clock is put wrong by up to a day",
    where="`tests/failover/simulation.rs`, the leading controller's, in lives of pairs with and without synchronous acknowledgement. "
    "Launchers and sidecars count by the boot-time clock, which nothing steps",
    why="all nodes of the local cluster have this machine's clock",
)
elsewhere(
    "power-loss-of-a-disk",
    what="what was written and not made durable is gone, or torn",
    where="`tests/crash`, before and after each operation that changes a member's files",
    why="a power cut here ends processes; the kernel that holds what they wrote goes on",
)
