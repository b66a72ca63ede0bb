"""A pair on a cluster: what it says of itself, and asking it to switch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from .cluster import Cluster
from .shell import Failure, wait_for

SWITCHOVER = "kudupair.io/switchover"


@dataclass
class Pair:
    """A KuduMasterPair."""

    cluster: Cluster
    name: str = "demo"

    def object(self) -> dict[str, Any]:
        """The object as it is now."""
        found = self.cluster.get("kudumasterpair", self.name)
        if found is None:
            raise Failure(f"there is no pair {self.name}")
        return found

    def status(self) -> dict[str, Any]:
        """Its status."""
        return self.object().get("status", {})

    def condition(self, kind: str) -> dict[str, Any]:
        """One of its conditions."""
        return next((one for one in self.status().get("conditions", []) if one["type"] == kind), {})

    def lease(self) -> dict[str, Any]:
        """The Lease that its active holds."""
        return self.cluster.get("lease", f"{self.name}-active") or {}

    def members(self) -> dict[str, dict[str, Any]]:
        """Its members by name."""
        return {member["name"]: member for member in self.status().get("members", [])}

    def wait_running(self, timeout_s: float = 180) -> dict[str, Any]:
        """Waits until the active serves and every standby follows it."""

        def running() -> dict[str, Any] | None:
            status = self.status()
            return status if status.get("phase") == "Running" and "switch" not in status else None

        return wait_for(f"pair {self.name} to be Running", running, timeout_s=timeout_s)

    def wait_synchronous(self, reason: str, timeout_s: float = 120) -> dict[str, Any]:
        """Waits until the condition `Synchronous` has a reason: `InSync`, `Degraded` or `Blocked`."""

        def so() -> dict[str, Any] | None:
            condition = self.condition("Synchronous")
            return condition if condition.get("reason") == reason else None

        return wait_for(f"pair {self.name} to be {reason}", so, timeout_s=timeout_s)

    def wait_epoch(self, epoch: int, timeout_s: float = 120, pause_s: float = 0.1) -> dict[str, Any]:
        """Waits until a reign has begun and its switch is over."""

        def begun() -> dict[str, Any] | None:
            status = self.status()
            return status if status.get("epoch", 0) >= epoch and "switch" not in status else None

        return wait_for(f"epoch {epoch} of pair {self.name}", begun, timeout_s=timeout_s, pause_s=pause_s)

    def switch_over(self, to: str = "any") -> dict[str, Any]:
        """Asks for a switchover and waits for its answer."""
        # A request is answered once; what follows the @ makes it a new one.
        request = f"{to}@{time.time_ns()}"
        self.cluster.kubectl("annotate", "--overwrite", "kmp", self.name, f"{SWITCHOVER}={request}")

        def answered() -> dict[str, Any] | None:
            answer = self.status().get("switchover", {})
            return answer if answer.get("request") == request and answer.get("answer") != "Accepted" else None

        return wait_for(f"an answer to the switchover to {to}", answered, timeout_s=120, pause_s=0.05)

    def receipt(self) -> dict[str, Any]:
        """Receipt of the last switch."""
        return self.status().get("lastSwitch", {})

    def describe_lag(self) -> str:
        """How far each standby is behind."""
        return "; ".join(
            f"{name} {member['state']} at {member.get('head', '?')}"
            + (f", {member['lagOps']} ops behind" if "lagOps" in member else "")
            for name, member in sorted(self.members().items())
        )
