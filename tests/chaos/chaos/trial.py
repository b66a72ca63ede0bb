"""One fault, made once, and everything that is held against its promise."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from kpdemo import reigns
from kpdemo.cluster import now_ms
from kpdemo.recorder import Recorder
from kpdemo.report import Chapter, Seen
from kpdemo.shell import Failure, wait_for

from .arena import KINDS, Arena
from .fault import Fault

# A client that has no success for so long hangs, unless a longer outage is expected.
PATIENCE_S = 60
# A fault is preceded by so much of an ordinary life, which the report shows beside it.
BEFORE_S = 2
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
    # What became of the gaps that came of it: a state each.
    gaps: list[str] = field(default_factory=list)
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
    before = arena.pair.status()
    recorder = Recorder(arena.cluster, arena.pair.name).start()
    time.sleep(BEFORE_S + dice.uniform(0, 1))
    begun = now_ms()
    marks = [(begun, "the fault begins")]
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
    begun = marks[0][0] - BEFORE_S * 1000
    try:
        history = [entry for entry in arena.history().entries() if entry["end_ms"] > begun - 60_000 and entry["start_ms"] < end]
    except Failure:
        # Not even the client's pod can be found.
        history = []
    facts = [("promised", str(fault.promise)), ("made by", fault.how), ("seed", str(outcome.seed))]
    facts += [("broken", why) for why in outcome.broken] + [("shown to the client", error) for error in outcome.errors]
    seen = Seen(history, recorder.receipts(), recorder.looks())
    chapter = Chapter(f"{fault.name}, {outcome.mode}", "", begun, end, seen, not outcome.broken, facts, marks)
    unknown = "not known, it was off too" if arena.client_was_off else "not known"
    waited = [f"{kind} {'did not come back' if one is None else f'{one:.1f} s'}" for kind, one in outcome.outages.items()]
    what = fault.what.replace("`", "")
    chapter.told = (
        f"{what[:1].upper()}{what[1:]}. Longest time between two successes of the client: {', '.join(waited) or unknown}; "
        f"operations lost: {outcome.ops_lost or 'no switch'}{_told(outcome.gaps)}; "
        f"whole again {outcome.recovered_s:.0f} s after the fault was over."
    )
    return chapter


def _told(gaps: list[str]) -> str:
    return f", kept in {', '.join(gaps).lower()} gaps" if gaps else ""


def _recover(arena: Arena, fault: Fault, outcome: Outcome, begun: int) -> None:
    healed = now_ms()
    arena.wait_api()
    came_back = arena.client_goes_on(healed, max(PATIENCE_S, fault.promise.outage_s))
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
        outcome.ops_lost = wait_for("the receipts to say what is lost", lambda: _lost(arena, before), timeout_s=60)
    if promise.reign == "same" and outcome.reigns:
        broken.append(f"epoch {before['epoch']} was to go on, but it is {after['epoch']}")
    if promise.reign == "next" and after["active"] == before["active"] and outcome.reigns < 2:
        broken.append(f"{before['active']} is active still")
    lost = int(outcome.ops_lost or 0)
    # Of what an asynchronous pair lost the client is told that it is not there.
    if outcome.errors and not promise.errors and not (arena.mode == "Async" and lost):
        broken.append(f"the client was shown {'; '.join(outcome.errors)}")
    if arena.client_was_off:
        # It was started again with its node and has no outage to tell of.
        outcome.outages = {}
    elif outcome.outage_s is None:
        hung = [kind for kind, seconds in outcome.outages.items() if seconds is None]
        broken.append(f"the long-lived client had not recovered after {max(PATIENCE_S, promise.outage_s):g} s: {', '.join(hung)}")
    elif outcome.outage_s > promise.outage_s:
        broken.append(f"an outage of {outcome.outage_s:.1f} s, and no more than {promise.outage_s:g} s is promised")
    for one, other in reigns.overlaps(arena.lives()):
        # What stood still may run on for as long as its killing takes.
        if arena.thawed(one) and one.end - one.begin <= KILL_TIME_MS:
            continue
        if arena.thawed(other) and other.end - other.begin <= KILL_TIME_MS:
            continue
        broken.append(f"two masters at once: {one} and {other}")
    if arena.mode == "Async":
        _gaps(arena, outcome, before)
    try:
        arena.client.verify()
    except Failure as failure:
        # What is in conflict with what was done since waits for a person.
        if "Conflict" not in outcome.gaps:
            broken.append(str(failure))


def _gaps(arena: Arena, outcome: Outcome, before: dict[str, Any]) -> None:
    """What was lost has to wait in a gap, untouched until somebody asks for it; then all of it is to come back."""
    receipts = _receipts(arena, before)
    for receipt in receipts:
        if int(receipt["opsLost"]):
            gap = wait_for(f"the gap before epoch {receipt['epoch']}", partial(_gap_of, arena, receipt), timeout_s=60)
            if gap["ops"] < int(receipt["opsLost"]):
                outcome.broken.append(f"{receipt['opsLost']} operations are lost, and gap {gap['name']} has {gap['ops']}")
    for gap in _new_gaps(arena, before):
        asked = any(receipt["to"] == gap["member"] and receipt["epoch"] > gap["newEpoch"] for receipt in receipts)
        if gap["state"] != "Pending" and not asked:
            outcome.broken.append(f"gap {gap['name']} is {gap['state']}, and nobody has asked for it")
        if gap["state"] == "Pending":
            arena.cluster.plugin("gap", "replay", gap["name"], arena.pair.name)

    def done() -> list[str] | None:
        states = [gap["state"] for gap in _new_gaps(arena, before)]
        return ["none"] if not states else None if {"Pending", "Replaying"} & set(states) else states

    outcome.gaps = [state for state in wait_for("gaps to be replayed", done, timeout_s=120) if state != "none"]
    if not arena.client_goes_on(now_ms(), PATIENCE_S):
        outcome.broken.append("the client did not go on after a replay")


def _receipts(arena: Arena, before: dict[str, Any]) -> list[dict[str, Any]]:
    """The receipts of the switches since."""
    return [one for one in arena.pair.status().get("switches", []) if one["epoch"] > before["epoch"]]


def _new_gaps(arena: Arena, before: dict[str, Any]) -> list[dict[str, Any]]:
    """The gaps that were found since."""
    return [gap for gap in arena.pair.status().get("gaps", []) if gap["newEpoch"] > before["epoch"]]


def _gap_of(arena: Arena, receipt: dict[str, Any]) -> dict[str, Any] | None:
    """What became of what a switch lost."""
    gaps = arena.pair.status().get("gaps", [])
    return next(
        (gap for gap in gaps if gap["member"] == receipt.get("from") and gap["oldEpoch"] < receipt["epoch"] <= gap["newEpoch"]), None
    )


def _lost(arena: Arena, before: dict[str, Any]) -> str | None:
    """How many operations all switches since lost; none while it is not known."""
    lost = [receipt["opsLost"] for receipt in _receipts(arena, before)]
    return None if not lost or "unknown" in lost else str(sum(int(one) for one in lost))
