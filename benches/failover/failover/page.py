"""docs/benchmarks/failover.md and its picture. A run replaces the rows of what it measured."""

from __future__ import annotations

import statistics

from kpdemo.shell import ROOT, Failure

from .cases import CASES, PHASES, Case, Trial
from .picture import draw

PAGE = ROOT / "docs/benchmarks/failover.md"
PICTURE = ROOT / "docs/benchmarks/failover.svg"
BEGIN, END = "<!-- figures: written by make bench-failover -->", "<!-- end of the figures -->"
SEEN = ("list", "open", "create")
HEAD = [
    "| what is lost | trials | list | open | create | tablet server registered | new connection | errors shown | target, list and create |",
    "|---|---|---|---|---|---|---|---|---|",
]
PHASE_HEAD = ["| switch | noticed | fenced | replayed | repointed | until `create` succeeds |", "|---|---|---|---|---|---|"]


def write(trials: dict[str, list[Trial]]) -> None:
    """Puts what was measured into the page, leaves other rows as they are, and draws the phases."""
    text = PAGE.read_text()
    head, found, rest = text.partition(BEGIN)
    old, closed, tail = rest.partition(END)
    if not found or not closed:
        raise Failure(f"{PAGE}: the lines {BEGIN!r} and {END!r} have to be there; put them back")
    seen, phases = {}, {}
    for case in CASES:
        kept = [line for line in old.splitlines() if line.startswith(f"| {case.title} |")]
        of_case = trials.get(case.name, [])
        rows = [outages(case, of_case), shares(case, of_case)] if of_case else kept
        for row in rows:
            if row:
                (seen if row.count("|") == HEAD[0].count("|") else phases)[case.title] = row
    lines = [*HEAD, *seen.values()]
    if phases:
        lines += ["", *PHASE_HEAD, *phases.values(), "", f"![each phase's share]({PICTURE.name})"]
        PICTURE.write_text(draw([numbers(row) for row in phases.values()]))
    PAGE.write_text("\n".join([head.rstrip("\n"), "", BEGIN, *lines, END]) + tail)


def outages(case: Case, trials: list[Trial]) -> str:
    """Row of what clients saw."""
    cells = [figures([trial.outages.get(kind) for trial in trials]) for kind in SEEN]
    registered = [trial.registered for trial in trials]
    cells.append("with all three at all times" if case.raft else figures(registered))
    new = [trial.new_connection for trial in trials if trial.new_connection is not None]
    cells.append(figures(list(new)) if new else "")
    errors = sum(bool(trial.errors) for trial in trials)
    cells.append(f"in {errors} of {len(trials)}" if errors else "none")
    return f"| {case.title} | {len(trials)} | {' | '.join(cells)} | {case.target} |"


def shares(case: Case, trials: list[Trial]) -> str:
    """Row of a switch's phases, medians; empty when there was no switch."""
    with_phases = [trial for trial in trials if trial.phases]
    if not with_phases:
        return ""
    medians = [statistics.median(trial.phases[phase] for trial in with_phases) for phase in PHASES]
    creates = [trial.outages["create"] for trial in with_phases]
    known = [one for one in creates if one is not None]
    total = f"{statistics.median(known):.2f}" if len(known) == len(creates) else "hung"
    return f"| {case.title} | {' | '.join(f'{one:.2f}' for one in medians)} | {total} |"


def figures(seconds: list[float | None]) -> str:
    """Median and worst."""
    known = [one for one in seconds if one is not None]
    if not known:
        return "never" if seconds else ""
    if len(known) < len(seconds):
        return f"{statistics.median(known):.2f}, never in {len(seconds) - len(known)} of {len(seconds)}"
    return f"{statistics.median(known):.2f} / {max(known):.2f}"


def numbers(row: str) -> tuple[str, list[float], float | None]:
    """Title, phases and total of a row of phases."""
    title, *cells = [cell.strip() for cell in row.strip("|").split("|")]
    *phases, total = cells
    return title, [float(cell) for cell in phases], None if total == "hung" else float(total)
