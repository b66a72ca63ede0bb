"""When kudu-masters ran, by their launchers' own records: two of different epochs never at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .cluster import Cluster, now_ms

RECORD = "/var/lib/kudu/wal/reigns.jsonl"


@dataclass(frozen=True, order=True)
class Life:
    """From when to when one kudu-master ran, milliseconds since 1970, and in which epoch."""

    begin: int
    end: int
    epoch: int
    member: str

    def __str__(self) -> str:
        return f"{self.member} in epoch {self.epoch} from {self.begin} to {self.end}"


def read(cluster: Cluster, member: str) -> list[dict[str, Any]]:
    """The launcher's own record of when kudu-master ran, oldest first; none where it never did."""
    text = cluster.kubectl("exec", member, "-c", "kudu-master", "--", "sh", "-c", f"test ! -e {RECORD} || cat {RECORD}")
    # A disk that broke while the launcher wrote leaves zeros at the end of what was flushed.
    lines = [line.strip("\0") for line in text.splitlines()]
    return [json.loads(line) for line in lines if line]


def lives(member: str, record: Iterable[dict[str, Any]], ends: Iterable[int] = ()) -> list[Life]:
    """The lives in a member's record.

    A `started` without its `ended` lasts until the launcher's next line, or now. `ends` are moments at which whatever ran there
    was certainly over, which no launcher wrote down: the power was cut.
    """
    found: list[Life] = []
    started = None
    for line in [*record, {"event": "now", "unixMillis": now_ms()}]:
        if started is not None:
            begin = started["unixMillis"]
            cuts = [at for at in ends if at >= begin]
            found.append(Life(begin, min([line["unixMillis"], *cuts]), started["epoch"], member))
        started = line if line["event"] == "started" else None
    return found


def overlaps(all_lives: Iterable[Life]) -> list[tuple[Life, Life]]:
    """Pairs of lives of different epochs that ran at once."""
    found = []
    running: list[Life] = []
    for life in sorted(all_lives):
        running = [one for one in running if one.end > life.begin]
        found += [(one, life) for one in running if one.epoch != life.epoch]
        running.append(life)
    return found
