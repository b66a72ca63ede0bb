"""The long-lived client in the cluster, and what it saw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .cluster import Cluster
from .shell import Failure, wait_for

POD = "kudu-client"
JAR = ("java", "-jar", "/opt/client/client.jar")
HISTORY = "/history/history.jsonl"
# The client's exit status when the cluster did not do what was asked.
UNANSWERED = "exit code 3"
# Each kind of operation is made about once a second at least; one without a success for so long waits for something.
STILL_WAITING_MS = 3000


@dataclass
class Client:
    """A real Kudu client that runs in a pod and writes down each operation."""

    cluster: Cluster
    master: str = "demo:7051"
    # Pause between two operations of one kind.
    interval_ms: int = 100

    def start(self) -> None:
        """Starts the pod; its main process watches."""
        text = self.cluster.manifest("client.yaml").replace("--master=demo:7051", f"--master={self.master}")
        self.cluster.apply(text.replace("--interval-ms=100", f"--interval-ms={self.interval_ms}"))
        self.cluster.kubectl("wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=120s", timeout_s=130)

    def restart(self) -> None:
        """Starts a new process, as a user would do with one that hangs; its history goes on."""
        self.cluster.kubectl("exec", POD, "-c", "kudu-client", "--", "sh", "-c", "kill -TERM 1", check=False)
        self.cluster.kubectl("wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=120s", timeout_s=130)

    def stop(self) -> None:
        """Ends the pod, and the history with it."""
        self.cluster.kubectl("delete", "pod", POD, "--timeout=60s", timeout_s=70)

    def call(self, command: str, *arguments: str, check: bool = True) -> str:
        """One command of the client in a process of its own."""
        return self.cluster.kubectl(
            "exec", POD, "-c", "kudu-client", "--", *JAR, command, *arguments, check=check, timeout_s=180
        )

    def create(self, prefix: str, tables: int) -> None:
        """Creates tables."""
        self.call("create", "--master", self.master, "--prefix", prefix, "--tables", str(tables))

    def load(self, table: str, rows: int) -> None:
        """Inserts rows."""
        self.call("load", "--master", self.master, "--table", table, "--rows", str(rows))

    def count(self, table: str) -> int:
        """Counts rows."""
        return int(self.call("count", "--master", self.master, "--table", table).split()[-1])

    def history(self) -> list[dict[str, Any]]:
        """All that was written down so far."""
        # Empty while the container is being started again.
        text = self.cluster.kubectl("exec", POD, "-c", "kudu-client", "--", "cat", HISTORY, check=False)
        lines = text.splitlines()
        # The last line may be half written.
        return [json.loads(line) for line in lines if line.endswith("}")]

    def outages(self, from_ms: int, to_ms: int) -> dict[str, dict[str, Any]]:
        """For each kind of operation, what it saw between two moments: longest outage in seconds, errors."""
        return outages(self.history(), from_ms, to_ms)

    def wait_quiet(self, since_ms: int) -> None:
        """Waits until each kind of operation has succeeded after a moment."""

        def back() -> bool:
            latest: dict[str, int] = {}
            for entry in self.history():
                latest.setdefault(entry["kind"], 0)
                if entry["outcome"] == "ok" and entry["start_ms"] > since_ms:
                    latest[entry["kind"]] = entry["end_ms"]
            return bool(latest) and all(latest.values())

        wait_for("the client to go on", back, timeout_s=60)

    def verify(self) -> str:
        """Holds every acknowledged table against the catalog; fails when one is missing."""
        try:
            return self.call("verify", "--master", self.master, "--history", HISTORY)
        except Failure as failure:
            # A busy cluster may not answer in time, which says nothing of what it has.
            if UNANSWERED not in str(failure):
                raise
            return self.call("verify", "--master", self.master, "--history", HISTORY)


def outages(history: list[dict[str, Any]], from_ms: int, to_ms: int) -> dict[str, dict[str, Any]]:
    """For each kind of operation in a history, its `outage`."""
    kinds = sorted({entry["kind"] for entry in history})
    return {kind: outage([entry for entry in history if entry["kind"] == kind], from_ms, to_ms) for kind in kinds}


def shows_error(entry: dict[str, Any]) -> bool:
    """Whether an application would have been shown an error: an answer that is one, or none to a change in time."""
    # A change without an answer that has a note was made by an earlier try, or stopped with the client.
    return entry["outcome"] == "error" or (entry["outcome"] == "unknown" and not entry.get("note"))


def outage(entries: list[dict[str, Any]], from_ms: int, to_ms: int) -> dict[str, Any]:
    """Longest time between two successes of one kind that touches a span of time, and the errors in it.

    No time when the last success is too long ago: the operation still waits.
    """
    good = sorted(entry["end_ms"] for entry in entries if entry["outcome"] == "ok")
    errors = sorted(
        {entry.get("error", "?") for entry in entries if shows_error(entry) and from_ms <= entry["end_ms"] <= to_ms}
    )
    longest = 0
    for before, after in zip(good, good[1:]):
        if after >= from_ms and before <= to_ms:
            longest = max(longest, after - before)
    recovered = bool(good) and to_ms - good[-1] < STILL_WAITING_MS
    return {"seconds": longest / 1000 if recovered else None, "errors": errors}
