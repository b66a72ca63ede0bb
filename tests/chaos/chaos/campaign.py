"""Many trials, one after the other, on pairs that are made when they are needed."""

from __future__ import annotations

import os
from pathlib import Path

from kpdemo import report
from kpdemo.cluster import LocalCluster
from kpdemo.shell import Failure, headline, say
from kpdemo.story import Story

from .arena import Arena
from .fault import Fault
from .trial import Outcome, trial

# Where the logs of broken promises are kept, below the cache.
KEPT = Path(os.environ.get("KUDU_PAIR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kudu-pair") / "chaos"


class Campaign:
    """A cluster with the operator, and the pairs on it."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.outcomes: list[Outcome] = []
        self._cluster: LocalCluster | None = None
        self._arena: Arena | None = None
        self._made = 0

    def run(self, faults: list[Fault], rounds: int, seed: int) -> int:
        """All faults, each so often; the exit status."""
        self._cluster = LocalCluster()
        Story(self._cluster).set_up()
        for number, fault in enumerate(sorted(faults, key=lambda fault: fault.small_disks), 1):
            headline(f"{number} of {len(faults)}: {fault.name}: {fault.what}")
            for turn in range(rounds):
                self._once(fault, seed + turn)
        broken = [outcome for outcome in self.outcomes if outcome.broken]
        headline(f"{len(self.outcomes)} runs of {len(faults)} faults, {len(broken)} broken promises")
        for outcome in broken:
            say(f"{outcome.fault}, seed {outcome.seed}: {'; '.join(outcome.broken)}")
        return 1 if broken else 0

    def end(self) -> None:
        """Takes the cluster down, unless it is to stay."""
        if self._cluster and not os.environ.get("KEEP"):
            self._cluster.end()

    def report(self) -> str:
        """The page of all trials so far."""
        broken = [outcome for outcome in self.outcomes if outcome.broken]
        faults = {outcome.fault for outcome in self.outcomes}
        waits = [one for outcome in self.outcomes for one in outcome.outages.values()]
        known = [one for one in waits if one is not None]
        title = (
            f"{report.plural(len(self.outcomes), 'trial')} of {report.plural(len(faults), 'fault')} on a real pair: "
            f"{report.plural(len(broken), 'broken promise')}"
        )
        hung = ", and once at least did not come back by itself" if len(known) < len(waits) else ""
        lead = f"make chaos, mode {self.mode}. "
        if known:
            lead += f"The longest time between two successes of the client was {max(known):.1f} s{hung}."
        chapters: list[report.Chapter] = []
        lines: list[tuple[int | None, bool | None, list[str]]] = []
        for outcome in self.outcomes:
            cells = [outcome.fault, str(outcome.seed), *(_waited(outcome, kind) for kind in ("list", "create"))]
            cells += [str(outcome.reigns), outcome.ops_lost or "–", f"{outcome.recovered_s:.0f} s"]
            lines.append((len(chapters) if outcome.chapter else None, not outcome.broken, cells))
            chapters += [outcome.chapter] if outcome.chapter else []
        head = ["fault", "seed", "list waited", "create waited", "new reigns", "operations lost", "whole again after"]
        return report.page(title, lead, chapters, report.overview(head, lines))

    def _once(self, fault: Fault, seed: int) -> None:
        try:
            arena = self._arena_for(fault)
            arena.shorten_history()
            outcome = trial(arena, fault, seed)
        except Failure as failure:
            # Not even a pair to begin with.
            outcome = Outcome(fault.name, self.mode, seed, broken=[f"before the fault: {failure}"])
        self.outcomes.append(outcome)
        # After each one: whatever ends the campaign, what came before is told.
        report.write("chaos", self.report())
        waited = ", ".join(f"{kind} {'hung' if seconds is None else f'{seconds:.1f} s'}" for kind, seconds in outcome.outages.items())
        say(f"seed {seed}: {waited}; whole again after {outcome.recovered_s:.0f} s; ops lost {outcome.ops_lost or '-'}")
        for error in outcome.errors:
            say(f"  shown: {error}")
        if not outcome.broken:
            return
        for why in outcome.broken:
            say(f"  BROKEN: {why}")
        if self._arena:
            say(f"  logs kept in {self._keep(self._arena, outcome)}")
            # What went wrong here is not to be held against the next one.
            self._arena.remove()
            self._arena = None

    def _arena_for(self, fault: Fault) -> Arena:
        if self._arena and (self._arena.disks is not None) == fault.small_disks:
            return self._arena
        if self._arena:
            self._arena.remove()
        assert self._cluster is not None
        self._made += 1
        self._arena = Arena(self._cluster, f"chaos-{self._made}", self.mode, small_disks=fault.small_disks)
        self._arena.make()
        return self._arena

    def _keep(self, arena: Arena, outcome: Outcome) -> Path:
        folder = KEPT / f"{outcome.fault}-{outcome.mode}-{outcome.seed}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "outcome.json").write_text(outcome.json() + "\n")
        asked = {
            "pair.yaml": ("get", "kmp,lease,pods,services,endpointslices,pvc", "-o", "yaml"),
            "events.txt": ("get", "events", "--sort-by=.lastTimestamp"),
        }
        for member in ("demo-0", "demo-1"):
            for container in ("kudu-master", "replication"):
                asked[f"{member}-{container}.log"] = ("logs", member, "-c", container)
                asked[f"{member}-{container}.before.log"] = ("logs", member, "-c", container, "--previous")
            asked[f"{member}-reigns.jsonl"] = ("exec", member, "-c", "kudu-master", "--", "cat", "/var/lib/kudu/wal/reigns.jsonl")
        asked["client.log"] = ("logs", "kudu-client", "--tail=2000")
        asked["tserver.log"] = ("logs", "demo-tserver-0", "--tail=2000")
        for file, arguments in asked.items():
            (folder / file).write_text(arena.cluster.kubectl(*arguments, check=False))
        for pod in arena.operator("get", "pods", "-o", "name", check=False).split():
            name = pod.removeprefix("pod/")
            for suffix, more in (("", []), (".before", ["--previous"])):
                (folder / f"operator-{name}{suffix}.log").write_text(arena.operator("logs", name, *more, check=False))
        try:
            lines = "".join(f"{entry}\n" for entry in arena.history().entries()[-5000:])
        except Failure as failure:
            lines = str(failure)
        (folder / "history.txt").write_text(lines)
        return folder


def _waited(outcome: Outcome, kind: str) -> str:
    if kind not in outcome.outages:
        return "–"
    seconds = outcome.outages[kind]
    return "hung" if seconds is None else f"{seconds:.1f} s"
