"""Follows a pair's status while something is done to it, for the report."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

from .cluster import Cluster, now_ms
from .report import Look

# After the API server has ended a watch, or has not answered.
AGAIN_S = 1.0


class Recorder:
    """Writes down each status of a pair, in a thread of its own."""

    def __init__(self, cluster: Cluster, pair: str = "demo") -> None:
        self._cluster, self._pair = cluster, pair
        self._lock = threading.Lock()
        self._looks: list[Look] = []
        self._receipts: dict[str, dict[str, Any]] = {}
        self._over = threading.Event()
        self._watch: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> Recorder:
        """Begins."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends; what was seen stays."""
        with self._lock:
            self._over.set()
            if self._watch:
                self._watch.terminate()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)

    def looks(self) -> list[Look]:
        """What was seen, oldest first."""
        with self._lock:
            return list(self._looks)

    def receipts(self) -> list[dict[str, Any]]:
        """The newest version of each receipt, in the order in which the switches began."""
        with self._lock:
            return [self._receipts[at] for at in sorted(self._receipts)]

    def _follow(self) -> None:
        while not self._over.is_set():
            with self._lock:
                if self._over.is_set():
                    return
                self._watch = self._cluster.watch_status(self._pair)
            assert self._watch.stdout
            for line in self._watch.stdout:
                self._note(line)
            self._watch.wait()
            with self._lock:
                # From here on nothing is known.
                self._looks.append(Look(now_ms()))
            self._over.wait(AGAIN_S)

    def _note(self, line: str) -> None:
        try:
            status = json.loads(line)
        except ValueError:
            # No status yet, or half a line when the watch was ended.
            return
        members = status.get("members", [])
        lags = {member["name"]: member["lagOps"] for member in members if "lagOps" in member and member["name"] != status.get("active")}
        with self._lock:
            self._looks.append(Look(now_ms(), status.get("active"), status.get("epoch", 0), lags, "switch" in status))
            for receipt in status.get("switches", []):
                self._receipts[receipt["startedAt"]] = receipt
