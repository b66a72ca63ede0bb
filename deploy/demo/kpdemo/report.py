"""One HTML file that tells what was done to a pair and what its client saw of it: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any

from .client import shows_error
from .shell import ROOT, Failure

FOLDER = ROOT / "reports"
# What a client's kinds of operation are, in the order in which they are shown.
KINDS = {
    "list": "lists all tables",
    "open": "opens a table",
    "create": "creates a table",
    "rename": "renames a table",
    "drop": "drops a table",
    "write": "inserts rows",
    "read": "reads rows",
}
# The phases of a switch as its receipt has them.
PHASES = {
    "detect": "from the last sign of the old active until the switch is decided; nothing in a planned switch",
    "fence": "until the old active is certainly dead: stopped, or its Lease over",
    "replay": "until the new active has applied everything in its log",
    "repoint": "until the Service leads to the new active",
}
# An operation that takes longer is said to wait. One that was never answered is missed when it is four times as late as usual.
WAITS_MS = 1000
LATE = 4
# Width of a drawing, in its own units; the page stretches it.
WIDTH = 1000
# How wide a single moment is drawn at least.
HAIR = 2


@dataclass(frozen=True)
class Look:
    """A pair's status at a moment; without an active and lags when it was not to be had."""

    at: int
    active: str | None = None
    epoch: int = 0
    # Operations that each standby is behind; one whose lag is not known is left out.
    lags: dict[str, int] = field(default_factory=dict)
    switching: bool = False


@dataclass
class Seen:
    """What was seen of a pair: by its client, by its receipts, by its status."""

    history: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    # When the client was ended on purpose, if it was.
    client_ended: int | None = None


@dataclass
class Chapter:
    """A span of time, and what is told of it."""

    title: str
    told: str
    begin: int
    end: int
    seen: Seen
    # None when there is nothing to hold against it.
    kept: bool | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)
    # Moments, and what happened then.
    marks: list[tuple[int, str]] = field(default_factory=list)

    def receipts(self) -> list[dict[str, Any]]:
        """The receipts of switches that touch the span."""
        return [one for one in self.seen.receipts if span(one)[0] <= self.end and span(one)[-1] >= self.begin]


@dataclass(frozen=True)
class Wait:
    """From when an operation was asked for until one of its kind succeeded, when that took too long; or to the end of what is shown."""

    begin: int
    end: int
    over: bool = True

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end - self.begin) / 1000


def moment(text: str) -> int:
    """Milliseconds since 1970 of a time in a status."""
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def span(receipt: dict[str, Any]) -> list[int]:
    """The moments between which the phases of a switch lie: one more than there are phases."""
    lengths = [round(float(receipt.get(f"{phase}Seconds", 0)) * 1000) for phase in PHASES]
    found = [moment(receipt["startedAt"]) - lengths[0]]
    for length in lengths:
        found.append(found[-1] + length)
    return found


def waits(history: Iterable[dict[str, Any]], kind: str, begin: int, end: int) -> list[Wait]:
    """Where one kind of operation had no success for too long, within a span."""
    entries = sorted((entry for entry in history if entry["kind"] == kind), key=lambda entry: entry["end_ms"])
    good, found, asked = [], [], None
    for entry in entries:
        # The first one since the last success: others may have failed before this one succeeds.
        asked = entry["start_ms"] if asked is None else asked
        if entry["outcome"] == "ok":
            good.append(entry["end_ms"])
            if entry["end_ms"] - asked > WAITS_MS:
                found.append(Wait(asked, entry["end_ms"]))
            asked = None
    gaps = [after - before for before, after in zip(good, good[1:])]
    late = max(WAITS_MS, LATE * statistics.median(gaps)) if gaps else WAITS_MS
    if good and end - good[-1] > late:
        found.append(Wait(good[-1], end, over=False))
    return [one for one in found if one.end >= begin and one.begin <= end]


def shown_errors(history: Iterable[dict[str, Any]], kind: str, begin: int, end: int) -> list[dict[str, Any]]:
    """The errors that one kind of operation was shown within a span."""
    return [entry for entry in history if entry["kind"] == kind and begin <= entry["end_ms"] <= end and shows_error(entry)]


def seconds(value: float) -> str:
    """A duration for people."""
    return f"{value:.1f} s" if value < 100 else f"{value / 60:.1f} min"


def clock(at: int) -> str:
    """A moment for people, UTC."""
    return datetime.fromtimestamp(at / 1000, timezone.utc).strftime("%H:%M:%S")


def plural(number: int, one: str, many: str = "") -> str:
    """A number of things."""
    return f"{number or 'no'} {one if number == 1 else many or one + 's'}"


# ---- drawings


@dataclass(frozen=True)
class Scale:
    """Where on a drawing a moment is."""

    begin: int
    end: int

    def at(self, moment_ms: int) -> float:
        """In units of a drawing, cut off at its edges."""
        share = (moment_ms - self.begin) / max(1, self.end - self.begin)
        return round(min(max(share, 0), 1) * WIDTH, 1)

    def bar(self, begin: int, end: int, look: str, title: str, top: float, height: float) -> str:
        """A bar from one moment to another; nothing outside of the span."""
        if end < self.begin or begin > self.end:
            return ""
        left = self.at(begin)
        width = max(HAIR, round(self.at(end) - left, 1))
        return (
            f'<rect class="{look}" x="{min(left, WIDTH - width)}" y="{top}" width="{width}" height="{height}">'
            f"<title>{escape(title)}</title></rect>"
        )


def drawing(inside: str, height: int, says: str) -> str:
    """An image as wide as its place; `says` tells it to those who do not see it."""
    return (
        f'<svg role="img" aria-label="{escape(says, quote=True)}" viewBox="0 0 {WIDTH} {height}" height="{height}" '
        f'preserveAspectRatio="none">{inside}</svg>'
    )


def row(name: str, what: str, track: str, value: str, alarm: bool = False) -> str:
    """A line of a chart: what it is, its drawing, what to know of it."""
    loud = ' class="value loud"' if alarm else ' class="value"'
    label = f"<b>{escape(name)}</b> <small>{escape(what)}</small>" if what else f"<b>{escape(name)}</b>"
    cells = f'<div class="label">{label}</div><div class="track">{track}</div><div{loud}>{escape(value)}</div>'
    return f'<div class="row">{cells}</div>'


def mark_lines(chapter: Chapter, scale: Scale, height: int) -> str:
    """A line across a drawing at each mark."""
    return "".join(scale.bar(at, at, "mark", text, 0, height) for at, text in chapter.marks)


def client_row(chapter: Chapter, scale: Scale, kind: str) -> str:
    """When one kind of operation succeeded."""
    history = chapter.seen.history
    ended = chapter.seen.client_ended
    end = min(chapter.end, ended) if ended else chapter.end
    good = [entry["end_ms"] for entry in history if entry["kind"] == kind and entry["outcome"] == "ok"]
    if end <= chapter.begin or not good:
        return ""
    found = waits(history, kind, chapter.begin, end)
    errors = shown_errors(history, kind, chapter.begin, end)
    inside = scale.bar(max(chapter.begin, min(good)), end, "works", f"{kind} succeeds again and again", 9, 8)
    for one in found:
        text = f"{kind}: no success for {seconds(one.seconds)}" + ("" if one.over else ", and none yet")
        inside += scale.bar(one.begin, one.end, "back", "", 0, 26) + scale.bar(one.begin, one.end, "waits", text, 3, 20)
    one_unit = (chapter.end - chapter.begin) * HAIR // WIDTH
    for entry in errors:
        at, text = entry["end_ms"], f"{kind}: {entry.get('error', 'no answer in time')}"
        inside += scale.bar(at - one_unit, at + one_unit, "error", text, 0, 26)
    longest = max(found, key=lambda one: one.seconds, default=None)
    if longest is None:
        value = "never waited"
    else:
        value = f"longest wait {seconds(longest.seconds)}" + ("" if longest.over else ", not over")
    if errors:
        value += f", {plural(len(errors), 'error')}"
    inside += mark_lines(chapter, scale, 26)
    alarm = bool(errors) or (longest is not None and not longest.over)
    return row(kind, KINDS.get(kind, ""), drawing(inside, 26, f"{kind}: {value}"), value, alarm)


def active_row(chapter: Chapter, scale: Scale, members: list[str]) -> str:
    """Which member was the active."""
    reigns: list[tuple[int, int, str, int]] = []
    known = [look for look in chapter.seen.looks if look.active]
    for number, look in enumerate(known):
        end = known[number + 1].at if number + 1 < len(known) else max(chapter.end, look.at)
        if reigns and reigns[-1][2:] == (look.active, look.epoch):
            reigns[-1] = (reigns[-1][0], end, *reigns[-1][2:])
        else:
            reigns.append((look.at, end, str(look.active), look.epoch))
    here = [one for one in reigns if one[1] >= chapter.begin and one[0] <= chapter.end]
    if not here:
        return ""
    inside = names = ""
    for begin, end, member, epoch in here:
        inside += scale.bar(begin, end, f"member{members.index(member) % 5}", f"{member}, epoch {epoch}", 2, 22)
        left, right = scale.at(begin) * 100 / WIDTH, scale.at(end) * 100 / WIDTH
        names += f'<span style="left:{left:.1f}%;width:{right - left:.1f}%">{escape(member)}</span>'
    order = " → ".join(f"{member}" for _, _, member, _ in here)
    inside += mark_lines(chapter, scale, 26)
    return row("active", "as the status says it", drawing(inside, 26, order) + names, f"epoch {here[-1][3]} at the end")


def switch_row(chapter: Chapter, scale: Scale) -> str:
    """The phases of each switch."""
    receipts = chapter.receipts()
    if not receipts:
        return ""
    inside = ""
    for receipt in receipts:
        moments = span(receipt)
        for number, phase in enumerate(PHASES):
            begin, end = moments[number], moments[number + 1]
            if end > begin:
                inside += scale.bar(begin, end, phase, f"{phase}: {seconds((end - begin) / 1000)}", 2, 22)
    if len(receipts) == 1:
        value = f"{seconds((span(receipts[0])[-1] - span(receipts[0])[0]) / 1000)} in all"
    else:
        value = plural(len(receipts), "switch", "switches")
    return row("switch", "by its receipt", drawing(inside + mark_lines(chapter, scale, 26), 26, f"phases of a switch: {value}"), value)


def lag_row(chapter: Chapter, scale: Scale, members: list[str]) -> str:
    """How far each standby was behind."""
    height, foot = 56, 52
    points: dict[str, list[list[tuple[int, int]]]] = {}
    looks = chapter.seen.looks
    for number, look in enumerate(looks):
        until = looks[number + 1].at if number + 1 < len(looks) else max(chapter.end, look.at)
        if until < chapter.begin or look.at > chapter.end:
            continue
        for member in set(points) - set(look.lags):
            # Not known: its line begins anew later.
            points[member].append([])
        for member, lag in look.lags.items():
            points.setdefault(member, [[]])[-1].extend([(max(look.at, chapter.begin), lag), (min(until, chapter.end), lag)])
    if not points:
        return row("lag", "operations behind", "", "not known") if looks else ""
    most = max((lag for lines in points.values() for line in lines for _, lag in line), default=0)
    inside = f'<line class="foot" x1="0" y1="{foot}" x2="{WIDTH}" y2="{foot}"/>'
    for member, lines in sorted(points.items()):
        for line in filter(None, lines):
            path = " ".join(f"{scale.at(at)},{foot - lag * (foot - 6) / max(1, most):.1f}" for at, lag in line)
            inside += f'<polyline class="line{members.index(member) % 5}" points="{path}"><title>{escape(member)}</title></polyline>'
    value = f"at most {plural(most, 'operation')}" if most else "0 in each status"
    inside += mark_lines(chapter, scale, height)
    return row("lag", "operations that a standby is behind", drawing(inside, height, f"lag: {value}"), value)


def axis(chapter: Chapter, scale: Scale) -> str:
    """Seconds since the beginning of the span."""
    length = (chapter.end - chapter.begin) / 1000
    step = next((one for one in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if length / one <= 8), 1200)
    ticks = ""
    for number in range(int(length // step) + 1):
        share = number * step / max(length, 0.001) * 100
        text = f"{number * step} s" if step < 60 else f"{number * step // 60} min"
        ticks += f'<span class="{"odd" if number % 2 else "even"}" style="left:{share:.2f}%">{text}</span>'
    label = f'<div class="label"><small>time since {clock(chapter.begin)} UTC</small></div>'
    return f'<div class="row axis">{label}<div class="track">{ticks}</div><div class="value"></div></div>'


def chart(chapter: Chapter) -> str:
    """All lines over one axis."""
    scale = Scale(chapter.begin, chapter.end)
    members = members_of(chapter.seen)
    present = {entry["kind"] for entry in chapter.seen.history}
    kinds = [kind for kind in KINDS if kind in present]
    client = "".join(client_row(chapter, scale, kind) for kind in kinds)
    if client:
        client = '<p class="group">the client</p>' + client
    elif chapter.seen.client_ended and chapter.seen.client_ended <= chapter.begin:
        client = '<p class="group">The client had been ended before.</p>'
    pair = active_row(chapter, scale, members) + switch_row(chapter, scale) + lag_row(chapter, scale, members)
    pair = f'<p class="group">the pair</p>{pair}' if pair else ""
    marks = "".join(
        f"<li><b>{(at - chapter.begin) / 1000:.1f} s</b> {escape(text)}</li>" for at, text in sorted(chapter.marks)
        if chapter.begin <= at <= chapter.end
    )
    return f'<div class="chart">{client}{pair}{axis(chapter, scale)}</div>' + (f'<ul class="marks">{marks}</ul>' if marks else "")


def members_of(seen: Seen) -> list[str]:
    """Every member that was seen."""
    found = {member for look in seen.looks for member in [look.active, *look.lags] if member}
    return sorted(found)


def phases_table(receipts: list[dict[str, Any]]) -> str:
    """The receipts, with figures."""
    if not receipts:
        return ""
    head = "".join(f'<th><i class="swatch {phase}"></i>{phase}</th>' for phase in PHASES)
    body = ""
    for one in receipts:
        kind = {"Switchover": "planned switch", "Failover": "failover", "Initialize": "first start"}.get(one["kind"], one["kind"])
        if one.get("outcome") == "RolledBack":
            kind += ", taken back"
        cells = "".join(f"<td>{escape(str(one.get(f'{phase}Seconds', '?')))} s</td>" for phase in PHASES)
        way = f"{one.get('from', '–')} → {one.get('to', '?')}"
        body += (
            f"<tr><td>{escape(kind)}</td><td>{escape(way)}</td><td>{escape(str(one.get('epoch', '?')))}</td>{cells}"
            f"<td>{escape(str(one.get('opsLost', '?')))}</td></tr>"
        )
    return (
        '<div class="wide"><table><thead><tr><th>switch</th><th>from → to</th><th>epoch</th>'
        f"{head}<th>operations lost</th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def chapter_html(chapter: Chapter, number: int) -> str:
    """A section of the page."""
    verdict = {True: '<span class="good">kept</span>', False: '<span class="bad">broken</span>', None: ""}[chapter.kept]
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in chapter.facts)
    return (
        f'<section id="c{number}"><h2>{escape(chapter.title)} {verdict}</h2><p>{escape(chapter.told)}</p>'
        f"{chart(chapter)}{phases_table(chapter.receipts())}" + (f"<dl>{facts}</dl>" if facts else "") + "</section>"
    )


LEGEND = (
    "<section><h2>How to read it</h2><ul class=\"legend\">"
    '<li><svg viewBox="0 0 40 26" width="40" height="26"><rect class="works" y="9" width="40" height="8"/></svg>'
    "<span>The client, one process that goes on all the time, has this kind of operation answered again and again.</span></li>"
    '<li><svg viewBox="0 0 40 26" width="40" height="26"><rect class="waits" y="3" width="40" height="20"/></svg>'
    f"<span>It waits: asked for, and no success for more than {WAITS_MS / 1000:g} s. It ends with the success, so the client's own "
    "pause before it tries again is in it.</span></li>"
    '<li><svg viewBox="0 0 40 26" width="40" height="26"><rect class="works" y="9" width="40" height="8"/>'
    '<rect class="error" x="18" width="4" height="26"/></svg><span>An error that an application would have seen.</span></li>'
    '<li><svg viewBox="0 0 40 26" width="40" height="26"><rect class="mark" x="19" width="2" height="26"/></svg>'
    "<span>Something that was done to the pair; the list below the chart says what.</span></li>"
    + "".join(
        f'<li><svg viewBox="0 0 40 26" width="40" height="26"><rect class="{phase}" y="2" width="40" height="22"/></svg>'
        f"<span><b>{phase}</b> {what}.</span></li>"
        for phase, what in PHASES.items()
    )
    + '<li><svg viewBox="0 0 40 26" width="40" height="26"><polyline class="line1" points="0,22 14,22 14,6 26,6 26,22 40,22"/></svg>'
    "<span><b>lag</b> operations that a standby is behind, in the colour of that member, as the pair's status says it: at each "
    "change, and every 10 s. No line: not known.</span></li></ul></section>"
)

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--panel:#f6f7f9;--text:#1b1f24;--faint:#57606a;--line:#d0d7de;--works:#2b8a6e;--waits:#d1480c;
--error:#a40e26;--mark:#1b1f24;--detect:#8a94a3;--fence:#c79a00;--replay:#0e8fb0;--repoint:#8a5bc7;
--m0:#2f6db5;--m1:#a3690c;--m2:#7b4aa8;--m3:#1f7f7a;--m4:#a83a68}
@media (prefers-color-scheme:dark){:root{--ground:#0f1419;--panel:#171d24;--text:#e6eaef;--faint:#9aa5b1;--line:#313a45;--works:#46b894;--waits:#ff8a4c;
--error:#ff5c72;--mark:#e6eaef;--detect:#7c8795;--fence:#e0b83a;--replay:#45c0e0;--repoint:#b48cf0;
--m0:#3d7fcb;--m1:#a9741f;--m2:#9164c0;--m3:#2b8f89;--m4:#bb5380}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1.5rem 1rem 4rem;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.15rem;margin:0 0 .25rem}
p{margin:.25rem 0 .75rem}
small{color:var(--faint);font-size:.8rem}
section{border-top:1px solid var(--line);padding-top:1.25rem;margin-top:1.75rem}
.row{display:grid;grid-template-columns:12rem 1fr 15rem;gap:0 .75rem;align-items:center;margin:.15rem 0}
.label b{font-weight:600}.label small{display:block;line-height:1.1}
.track{position:relative;background:var(--panel);border-radius:3px;min-height:1.2rem}
.track svg{display:block;width:100%}
.track span{position:absolute;top:0;line-height:26px;overflow:hidden;white-space:nowrap;text-overflow:clip;padding-left:.4rem;color:#fff;font-size:.8rem;pointer-events:none}
.value{font-variant-numeric:tabular-nums;font-size:.9rem}
.loud{color:var(--error);font-weight:600}
.axis .track{background:none;border-top:1px solid var(--line);border-radius:0}
.axis .track span{color:var(--faint);line-height:1.4;padding-left:.25rem;border-left:1px solid var(--line);overflow:visible}
.group{margin:.9rem 0 .2rem;font-size:.8rem;color:var(--faint)}
.works{fill:var(--works)}.waits{fill:var(--waits)}.error{fill:var(--error);stroke:var(--ground);vector-effect:non-scaling-stroke}.mark{fill:var(--mark);opacity:.75}.back{fill:var(--panel)}
.detect{fill:var(--detect);background:var(--detect)}.fence{fill:var(--fence);background:var(--fence)}
.replay{fill:var(--replay);background:var(--replay)}.repoint{fill:var(--repoint);background:var(--repoint)}
.member0{fill:var(--m0)}.member1{fill:var(--m1)}.member2{fill:var(--m2)}.member3{fill:var(--m3)}.member4{fill:var(--m4)}
polyline{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}
.line0{stroke:var(--m0)}.line1{stroke:var(--m1)}.line2{stroke:var(--m2)}.line3{stroke:var(--m3)}.line4{stroke:var(--m4)}
.foot{stroke:var(--line);vector-effect:non-scaling-stroke}
.swatch{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px}
.wide{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
td.long{white-space:normal;min-width:16rem}
th{font-weight:600}
.marks{list-style:none;padding:0;margin:.5rem 0;font-size:.9rem}.marks b{display:inline-block;min-width:4rem;font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.5rem 0;font-size:.9rem}dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}
.legend{list-style:none;padding:0;margin:.5rem 0;display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:.5rem 1.5rem;font-size:.9rem}
.legend li{display:flex;gap:.75rem}.legend svg{flex:none}
.good,.bad{font-size:.8rem;font-weight:600;padding:.1rem .5rem;border-radius:1rem;border:1px solid;vertical-align:middle}
.good{color:var(--works)}.bad{color:var(--error)}
a{color:inherit}
@media (max-width:44rem){.row{grid-template-columns:1fr auto}.label small{display:none}.track{grid-column:1/3;grid-row:2}.row{margin:.5rem 0}
.axis .label small{display:block}.axis .odd{display:none}.legend{grid-template-columns:1fr}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
"""


def overview(head: list[str], lines: list[tuple[int | None, bool | None, list[str]]]) -> str:
    """A table of what is told: number of its section if it has one, whether its promise was kept, cells; the first one leads there."""
    body = ""
    for number, kept, cells in lines:
        first = escape(cells[0]) if number is None else f'<a href="#c{number}">{escape(cells[0])}</a>'
        verdict = {True: '<span class="good">kept</span>', False: '<span class="bad">broken</span>', None: ""}[kept]
        body += f"<tr><td>{first}</td>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:]) + f"<td>{verdict}</td></tr>"
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="wide"><table><thead><tr>{names}<th>promise</th></tr></thead><tbody>{body}</tbody></table></div>'


def page(title: str, lead: str, chapters: list[Chapter], table: str = "") -> str:
    """The whole page. `table` is HTML; all else is text."""
    told = "".join(chapter_html(chapter, number) for number, chapter in enumerate(chapters))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1><p>{escape(lead)}</p>"
        f"{table}{LEGEND}{told}</main></body></html>\n"
    )


def write(name: str, text: str) -> Path:
    """Leaves a page in the folder of reports, in the place of the one before."""
    path = FOLDER / f"{name}.html"
    try:
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise Failure(f"the report cannot be written: {error}") from error
    return path


def longest_wait(seen: Seen, begin: int, end: int, kinds: Iterable[str] = KINDS) -> float:
    """The longest time that any of these kinds of operation waited within a span, seconds."""
    until = min(end, seen.client_ended) if seen.client_ended else end
    return max((one.seconds for kind in kinds for one in waits(seen.history, kind, begin, until)), default=0)


def errors_of(seen: Seen, begin: int, end: int) -> list[str]:
    """The different errors that the client was shown within a span."""
    found = (entry for kind in KINDS for entry in shown_errors(seen.history, kind, begin, end))
    return sorted({f"{entry['kind']}: {entry.get('error', 'no answer in time')}" for entry in found})


# ---- the demo


def demo(steps: list[tuple[int, str]], marks: list[tuple[int, str]], seen: Seen, end: int, stopped: str) -> str:
    """The page of a demo: all of it, then each step in which there was a switch, or which stopped it."""
    begun = min([entry["start_ms"] for entry in seen.history] + [look.at for look in seen.looks[:1]] + [end])
    switches = [one for one in seen.receipts if span(one)[-1] >= begun]
    chapters = [Chapter("All of it", "From the first table to the end.", begun, end, seen, None, marks=marks)]
    for number, (at, title) in enumerate(steps):
        last = number + 1 == len(steps)
        until = end if last else steps[number + 1][0]
        one = Chapter(title, "", max(at, begun), until, seen, marks=marks)
        one.kept = not (last and stopped)
        if not one.kept:
            one.told = f"It stopped here: {stopped}"
        elif at < begun or not one.receipts():
            continue
        else:
            one.told = " ".join(switched(receipt, seen) for receipt in one.receipts())
        chapters.append(one)
    failovers = sum(one["kind"] == "Failover" for one in switches)
    planned = sum(one["kind"] == "Switchover" for one in switches)
    errors = errors_of(seen, begun, end)
    told = (
        f"A pair of Kudu masters through {plural(planned, 'planned switch', 'planned switches')} and {plural(failovers, 'failover')}: "
        f"its client waited {seconds(longest_wait(seen, begun, end))} at most and was shown {plural(len(errors), 'kind of error', 'errors')}"
    )
    if not seen.history:
        told = "A pair of Kudu masters; what its client saw is not known"
    if stopped:
        told = f"The demo stopped in step {steps[-1][1]}" if steps else "The demo stopped"
    lead = f"make demo, {day(begun)}. " + (stopped or "Each step held what it promises.")
    if switches and seen.client_ended:
        lead += " The client was ended when its tables had been checked; later switches are shown by their receipts."
    return page(told, lead, chapters)


def switched(receipt: dict[str, Any], seen: Seen) -> str:
    """One switch in a sentence."""
    moments = span(receipt)
    kind = "A planned switch" if receipt["kind"] == "Switchover" else "A failover" if receipt["kind"] == "Failover" else "The first start"
    told = f"{kind} to {receipt['to']} took {seconds((moments[-1] - moments[0]) / 1000)}"
    if seen.history and not (seen.client_ended and seen.client_ended < moments[0]):
        # The client goes on somewhat after the Service leads to the new active.
        told += f"; the client waited {seconds(longest_wait(seen, moments[0], moments[-1]))} at most"
    lost = str(receipt.get("opsLost", "unknown"))
    return f"{told}; operations lost: {'none' if lost == '0' else lost}."


def day(at: int) -> str:
    """A moment with its day."""
    return datetime.fromtimestamp(at / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
