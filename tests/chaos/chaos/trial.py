"""One fault, made once, and everything that is held against its promise."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from kpdemo import reigns
from kpdemo.cluster import now_ms
from kpdemo.recorder import Recorder
from kpdemo.report import Chapter, Seen
from kpdemo.shell import Failure, wait_for

from .arena import KINDS, Arena
from .fault import Fault

# Longer than any fault leaves a client that gets answers without a success; a client that has none after it hangs.
PATIENCE_S = 60
# What the report shows of the time before a fault.
BEFORE_MS = 3000
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
    # What is told of it in the report.
    chapter: Chapter | None = None

    @property
    def outage_s(self) -> float | None:
        """The longest outage of `list` and `create`."""
        both = [self.outages.get(kind) for kind in ("list", "create")]
        return None if None in both else max(one for one in both if one is not None)

    def json(self) -> str:
        """One line."""
        return json.dumps({name: value for name, value in asdict(replace(self, chapter=None)).items() if name != "chapter"})


def trial(arena: Arena, fault: Fault, seed: int) -> Outcome:
    """Makes a fault at a moment that follows from the seed, waits until all is well, and checks."""
    outcome = Outcome(fault.name, arena.mode, seed)
    dice = Random(f"{fault.name} {seed}")
    arena.settle()
    arena.client_was_off = False
    time.sleep(dice.uniform(0, 1))
    before = arena.pair.status()
    recorder = Recorder(arena.cluster, arena.pair.name).start()
    begun = now_ms()
    marks = [(begun, f"the fault: {fault.what}")]
    try:
        fault.strike(arena, dice)
        marks.append((now_ms(), "the fault is over, only recovery is left"))
        _recover(arena, fault, outcome, begun)
        marks.append((now_ms(), "the pair is whole again"))
        end = now_ms()
        _check(arena, fault, outcome, before, begun)
    except Failure as failure:
        end = now_ms()
        outcome.broken.append(str(failure))
    recorder.stop()
    outcome.chapter = _chapter(arena, fault, outcome, recorder, marks, end)
    return outcome


def _chapter(
    arena: Arena, fault: Fault, outcome: Outcome, recorder: Recorder, marks: list[tuple[int, str]], end: int
) -> Chapter:
    begun = marks[0][0] - BEFORE_MS
    try:
        history = [entry for entry in arena.history().entries() if entry["end_ms"] > begun - 60_000 and entry["start_ms"] < end]
    except Failure:
        # Not even the client's pod can be found.
        history = []
    facts = [("promised", str(fault.promise)), ("made by", fault.how), ("seed", str(outcome.seed))]
    facts += [("broken", why) for why in outcome.broken] + [("shown to the client", error) for error in outcome.errors]
    seen = Seen(history, recorder.receipts(), recorder.looks())
    chapter = Chapter(f"{fault.name}, {outcome.mode}", "", begun, end, seen, not outcome.broken, facts, marks)
    waited = [f"{kind} {'did not come back' if one is None else f'{one:.1f} s'}" for kind, one in outcome.outages.items()]
    chapter.told = (
        f"{fault.what[:1].upper()}{fault.what[1:]}. Longest time between two successes of the client: {', '.join(waited) or 'not known'}; "
        f"operations lost: {outcome.ops_lost or 'no switch'}; whole again {outcome.recovered_s:.0f} s after the fault was over."
    )
    return chapter


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
