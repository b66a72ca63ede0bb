"""One fault, made once, and everything that is held against its promise."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from kpdemo import reigns
from kpdemo.cluster import now_ms
from kpdemo.shell import Failure, wait_for

from .arena import KINDS, Arena
from .fault import Fault

# Longer than any fault leaves a client that gets answers without a success; a client that has none after it hangs.
PATIENCE_S = 60
# A master that stood still beyond its deadline is killed within the kill time of the spec (1 s) once it goes on.
KILL_TIME_MS = 1000


@dataclass
class Outcome:
    """What came of one fault."""

    fault: str
    mode: str
    seed: int
    # By kind of operation: longest time without a success, seconds; none when it never came back by itself.
    outages: dict[str, float | None] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    reigns: int = 0
    ops_lost: str = ""
    recovered_s: float = 0
    broken: list[str] = field(default_factory=list)

    @property
    def outage_s(self) -> float | None:
        """The longest outage of `list` and `create`."""
        both = [self.outages.get(kind) for kind in ("list", "create")]
        return None if None in both else max(one for one in both if one is not None)

    def json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def trial(arena: Arena, fault: Fault, seed: int) -> Outcome:
    """Makes a fault at a moment that follows from the seed, waits until all is well, and checks."""
    outcome = Outcome(fault.name, arena.mode, seed)
    dice = Random(f"{fault.name} {seed}")
    arena.settle()
    arena.client_was_off = False
    time.sleep(dice.uniform(0, 1))
    before = arena.pair.status()
    begun = now_ms()
    try:
        fault.strike(arena, dice)
        _recover(arena, fault, outcome, begun)
        _check(arena, fault, outcome, before, begun)
    except Failure as failure:
        outcome.broken.append(str(failure))
    return outcome


def _recover(arena: Arena, fault: Fault, outcome: Outcome, begun: int) -> None:
    healed = now_ms()
    arena.wait_api()
    came_back = arena.client_goes_on(healed, PATIENCE_S)
    seen = arena.history().outages(begun, now_ms())
    if not came_back:
        arena.new_client()
    arena.pair.wait_running(timeout_s=240)
    if arena.mode != "Async":
        arena.pair.wait_synchronous("InSync", timeout_s=240)
    outcome.recovered_s = round((now_ms() - healed) / 1000, 1)
    if came_back:
        seen = arena.history().outages(begun, now_ms())
    outcome.outages = {kind: seen.get(kind, {}).get("seconds") for kind in KINDS}
    outcome.errors = sorted({f"{kind}: {error}" for kind, one in seen.items() for error in one["errors"]})


def _check(arena: Arena, fault: Fault, outcome: Outcome, before: dict[str, Any], begun: int) -> None:
    promise, broken = fault.promise, outcome.broken
    after = arena.pair.status()
    outcome.reigns = after["epoch"] - before["epoch"]
    if outcome.reigns:
        known = wait_for("the receipt to say what is lost", lambda: _known(arena), timeout_s=60)
        outcome.ops_lost = known
    if promise.reign == "same" and outcome.reigns:
        broken.append(f"epoch {before['epoch']} was to go on, but it is {after['epoch']}")
    if promise.reign == "next" and after["active"] == before["active"] and outcome.reigns < 2:
        broken.append(f"{before['active']} is active still")
    if outcome.errors and not promise.errors:
        broken.append(f"the client was shown {'; '.join(outcome.errors)}")
    if arena.client_was_off:
        # It was started again with its node and has no outage to tell of.
        outcome.outages = {}
    elif outcome.outage_s is None:
        hung = [kind for kind, seconds in outcome.outages.items() if seconds is None]
        broken.append(f"the long-lived client had not recovered after {PATIENCE_S} s: {', '.join(hung)}")
    elif outcome.outage_s > promise.outage_s:
        broken.append(f"an outage of {outcome.outage_s:.1f} s, and no more than {promise.outage_s:g} s is promised")
    for one, other in reigns.overlaps(arena.lives()):
        # What stood still may run on for as long as its killing takes.
        if arena.thawed(one) and one.end - one.begin <= KILL_TIME_MS:
            continue
        if arena.thawed(other) and other.end - other.begin <= KILL_TIME_MS:
            continue
        broken.append(f"two masters at once: {one} and {other}")
    lost = int(outcome.ops_lost or 0)
    try:
        arena.client.verify()
    except Failure as failure:
        # What an asynchronous pair may lose its receipt counts.
        if arena.mode != "Async" or not lost:
            broken.append(str(failure))


def _known(arena: Arena) -> str | None:
    lost = arena.pair.receipt().get("opsLost", "unknown")
    return None if lost == "unknown" else lost
