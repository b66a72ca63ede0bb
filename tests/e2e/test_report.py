"""The report that demo and chaos leave, from what could have been seen; no cluster is needed."""

from __future__ import annotations

import re
import sys
import unittest
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy/demo"))

from kpdemo import report  # noqa: E402
from kpdemo.report import Chapter, Look, Seen  # noqa: E402

# A round second, so that figures can be read.
ZERO = 1_700_000_000_000
NASTY = '</style><script>alert("x")</script>&<b>'


def time(at: int) -> str:
    """A moment as a status has it."""
    return datetime.fromtimestamp(at / 1000, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def entry(kind: str, at: int, outcome: str = "ok", **more: Any) -> dict[str, Any]:
    """An operation that ended at a moment."""
    return {"kind": kind, "name": "t", "start_ms": at - 20, "end_ms": at, "outcome": outcome, **more}


def failover(at: int, **more: Any) -> dict[str, Any]:
    """The receipt of a failover that was decided at a moment."""
    return {
        "kind": "Failover", "epoch": 2, "from": "demo-0", "to": "demo-1", "opsLost": "0", "startedAt": time(at), "finishedAt": time(at + 1500),
        "detectSeconds": "6.0", "fenceSeconds": "0.2", "replaySeconds": "0.8", "repointSeconds": "0.5", "outcome": "Completed", **more,
    }


def seen(lost: int = 10_000) -> Seen:
    """A client that works twice a second for a minute, but not for 8 s after a loss."""
    times = [at for at in range(0, 60_000, 500) if not lost <= at < lost + 8000]
    history = [entry(kind, ZERO + at) for at in times for kind in ("list", "create")]
    for one in history:
        if one["end_ms"] == ZERO + lost + 8000:
            one["start_ms"] = ZERO + lost
    looks = [Look(ZERO, "demo-0", 1, {"demo-1": 0}), Look(ZERO + 9000, "demo-0", 1, {"demo-1": 12}), Look(ZERO + lost),
             Look(ZERO + lost + 7500, "demo-1", 2, {}), Look(ZERO + 40_000, "demo-1", 2, {"demo-0": 0})]
    return Seen(history, [failover(ZERO + lost + 6000)], looks)


class Reader(HTMLParser):
    """Reads a page: its elements, whether they are closed in order, what it loads."""

    VOID = ("meta", "rect", "line", "polyline")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.words = ""
        self.wrong: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


class Waits(unittest.TestCase):
    """When an operation counts as waiting."""

    def test_a_wait_goes_from_the_question_to_the_success(self) -> None:
        found = report.waits(seen().history, "list", ZERO, ZERO + 59_500)
        self.assertEqual([(one.begin - ZERO, one.seconds, one.over) for one in found], [(10_000, 8.0, True)])

    def test_what_has_not_ended_still_waits(self) -> None:
        found = report.waits([entry("list", ZERO + at) for at in (0, 500, 1000)], "list", ZERO, ZERO + 9000)
        self.assertEqual([(one.seconds, one.over) for one in found], [(8.0, False)])

    def test_a_rare_operation_does_not_wait_between_two(self) -> None:
        history = [entry("rename", ZERO + at * 1000) for at in (0, 5, 10, 15)]
        self.assertEqual(report.waits(history, "rename", ZERO, ZERO + 22_000), [])

    def test_one_that_fails_waits_until_another_one_succeeds(self) -> None:
        history = [entry("list", ZERO), entry("list", ZERO + 500, "error"), entry("list", ZERO + 3000)]
        self.assertEqual([one.seconds for one in report.waits(history, "list", ZERO, ZERO + 3000)], [2.52])

    def test_an_error_is_no_success_and_one_that_was_settled_is_none(self) -> None:
        history = [entry("drop", ZERO + 1, "error", error="E"), entry("drop", ZERO + 2, "unknown", note="not-found"),
                   entry("drop", ZERO + 3, "unknown")]
        self.assertEqual([one["end_ms"] - ZERO for one in report.shown_errors(history, "drop", ZERO, ZERO + 9)], [1, 3])


class Receipts(unittest.TestCase):
    """Where the phases of a switch lie."""

    def test_phases_follow_each_other_and_end_with_the_switch(self) -> None:
        self.assertEqual([at - ZERO for at in report.span(failover(ZERO + 16_000))], [10_000, 16_000, 16_200, 17_000, 17_500])

    def test_a_chapter_has_those_that_touch_it(self) -> None:
        self.assertEqual(len(Chapter("", "", ZERO + 17_000, ZERO + 20_000, seen()).receipts()), 1)
        self.assertEqual(Chapter("", "", ZERO + 18_000, ZERO + 20_000, seen()).receipts(), [])


class Page(unittest.TestCase):
    """The whole page."""

    def demo(self, stopped: str = "", what: Seen | None = None) -> str:
        """The page of a demo with one failover."""
        steps = [(ZERO - 5000, "1. A cluster"), (ZERO + 9000, f"5. The active is lost {NASTY}"), (ZERO + 30_000, "6. It comes back")]
        return report.demo(steps, [(ZERO + 10_000, f"lost {NASTY}")], what or seen(), ZERO + 60_000, stopped)

    def test_its_title_says_what_happened(self) -> None:
        page = self.demo()
        told = "A pair of Kudu masters through no planned switches and 1 failover: its client waited 8.0 s at most and was shown no errors"
        self.assertIn(f"<h1>{told}</h1>", page)
        self.assertIn("took 7.5 s; the client waited 8.0 s at most; operations lost: none.", page)
        self.assertIn("at most 12 operations", page)

    def test_it_is_whole_and_loads_nothing(self) -> None:
        for page in (self.demo(), self.demo("no"), self.demo("no", Seen())):
            reader = Reader(page)
            self.assertEqual((reader.open, reader.wrong), ([], []))
            self.assertEqual([load for load in reader.loads if not load.startswith("#")], [])
            self.assertNotRegex(page, r"url\(|@import|https?:")

    def test_whatever_it_tells_is_text(self) -> None:
        what = seen()
        what.history.append(entry("list", ZERO + 20_000, "error", error=NASTY))
        what.receipts[0]["from"] = NASTY
        what.looks.append(Look(ZERO + 50_000, NASTY, 3, {NASTY: 1}))
        page = self.demo(NASTY, what)
        self.assertNotIn("<script", page)
        self.assertNotIn("<b>&", page)
        self.assertEqual(page.count("</style>"), 1)
        self.assertIn(NASTY, Reader(page).words)

    def test_one_that_stopped_says_where_and_why(self) -> None:
        page = self.demo("the node did not come back")
        self.assertIn("<h1>The demo stopped in step 6. It comes back</h1>", page)
        self.assertIn("It stopped here: the node did not come back", page)
        self.assertEqual(page.count('<span class="bad">broken</span>'), 1)

    def test_one_that_saw_nothing_is_a_page_still(self) -> None:
        self.assertIn("<h1>The demo stopped</h1>", report.demo([], [], Seen(), ZERO, "no cluster"))

    def test_nothing_is_drawn_outside_of_its_drawing(self) -> None:
        for left, width in re.findall(r'<rect class="[^"]*" x="([-\d.]+)" y="[^"]*" width="([-\d.]+)"', self.demo()):
            self.assertGreaterEqual(float(left), 0)
            self.assertLessEqual(float(left) + float(width), report.WIDTH + 0.2)


if __name__ == "__main__":
    unittest.main()
