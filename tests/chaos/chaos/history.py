"""The client's history, read where it lies on this machine: looking costs the cluster nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kpdemo.client import outages


class History:
    """A history that grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._entries: list[dict[str, Any]] = []

    def entries(self) -> list[dict[str, Any]]:
        """All operations that have ended, in the order in which they did."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
            # The last line may be half written.
            whole = text[: text.rfind(b"\n") + 1]
            self._read += len(whole)
            self._entries += [json.loads(line) for line in whole.splitlines() if line.endswith(b"}")]
        return self._entries

    def answered(self, kinds: tuple[str, ...], since_ms: int) -> bool:
        """Whether each kind of operation has begun and succeeded since a moment."""
        good = {entry["kind"] for entry in reversed(self.entries()) if entry["outcome"] == "ok" and entry["start_ms"] > since_ms}
        return good.issuperset(kinds)

    def outages(self, from_ms: int, to_ms: int) -> dict[str, dict[str, Any]]:
        """What each kind of operation saw between two moments."""
        # Long before it began nothing matters, but for the last success.
        recent = [entry for entry in self.entries() if entry["end_ms"] > from_ms - 120_000]
        return outages(recent, from_ms, to_ms)
