"""The generated part of docs/reliability.md: one row a fault and mode. A run replaces the rows of what it ran."""

from __future__ import annotations

import statistics
from pathlib import Path

from kpdemo.shell import ROOT, Failure

from .fault import ELSEWHERE, FAULTS
from .trial import Outcome

PAGE = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- table of faults: written by make chaos -->", "<!-- end of the table of faults -->"
HEAD = [
    "| fault | mode | runs | promise kept | list / create: median, worst, s | errors shown | ops lost, by the receipts | seeds |",
    "|---|---|---|---|---|---|---|---|",
]


def row(outcomes: list[Outcome]) -> str:
    """The row of one fault in one mode."""
    first = outcomes[0]
    kept = sum(not outcome.broken for outcome in outcomes)
    errors = {error for outcome in outcomes for error in outcome.errors}
    lost = ", ".join(sorted({outcome.ops_lost for outcome in outcomes if outcome.ops_lost}, key=int))
    gaps = [gap for outcome in outcomes for gap in outcome.gaps]
    if gaps:
        states = ", ".join(f"{gaps.count(state)} {state.lower()} when asked" for state in sorted(set(gaps)))
        lost += f"; gaps: {states}"
    cells = [
        f"`{first.fault}`", first.mode, str(len(outcomes)), "always" if kept == len(outcomes) else f"**{kept} of {len(outcomes)}**",
        f"{figures(outcomes, 'list')} / {figures(outcomes, 'create')}", "none" if not errors else f"{len(errors)} kinds" if
        len(errors) > 1 else "1 kind", lost or "no switch", ", ".join(str(outcome.seed) for outcome in outcomes),
    ]
    return f"| {' | '.join(cells)} |"


def figures(outcomes: list[Outcome], kind: str) -> str:
    """Median and worst outage of one kind of operation."""
    # A client whose own node lost its power has none.
    seconds = [outcome.outages[kind] for outcome in outcomes if kind in outcome.outages]
    known = [one for one in seconds if one is not None]
    if len(known) < len(seconds):
        return "hung"
    return f"{statistics.median(known):.1f}, {max(known):.1f}" if known else "client off too"


def write(outcomes: list[Outcome]) -> None:
    """Puts the rows of a run into the page, and the faults' descriptions."""
    text = PAGE.read_text()
    head, found, rest = text.partition(BEGIN)
    old, closed, tail = rest.partition(END)
    if not found or not closed:
        raise Failure(f"{PAGE}: the lines {BEGIN!r} and {END!r} have to be there; put them back")
    rows = {key(line): line for line in old.splitlines() if line.startswith("| `") and key(line)[0].strip("`") in FAULTS}
    for name in FAULTS:
        for mode in ("All", "Async"):
            of_one = [outcome for outcome in outcomes if (outcome.fault, outcome.mode) == (name, mode)]
            if of_one:
                rows[f"`{name}`", mode] = row(of_one)
    order = {f"`{name}`": number for number, name in enumerate(FAULTS)}
    lines = [rows[one] for one in sorted(rows, key=lambda one: (order.get(one[0], 0), one[1]))]
    PAGE.write_text("\n".join([head.rstrip("\n"), "", BEGIN, *HEAD, *lines, "", *descriptions(), END]) + tail)


def key(line: str) -> tuple[str, str]:
    """What a row is about."""
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    return cells[0], cells[1]


def descriptions() -> list[str]:
    """What each fault is, how it is made, and what is promised."""
    lines = ["| fault | what | how it is made | what is promised beside |", "|---|---|---|---|"]
    lines += [f"| {name} | {one.what} | {one.how} | {one.promise} |" for name, one in FAULTS.items()]
    lines += ["", "Made at another layer:", "", "| fault | what | where | why not here |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.what} | {one.where} | {one.why} |" for one in ELSEWHERE]
    return lines
