"""A pair that acknowledges synchronously, and faults of tests/chaos on it. Runs before test_pair.py, whose end removes the operator."""

from __future__ import annotations

import unittest
from typing import ClassVar

import support
from chaos import faults  # noqa: F401
from chaos.arena import Arena
from chaos.fault import FAULTS
from chaos.trial import Outcome, trial
from kpdemo.cluster import now_ms

# Moments within each fault follow from it; `SEED=1 FAULTS=... make chaos` makes the same one.
SEED = 1


class AcknowledgementTest(unittest.TestCase):
    """Every standby has an operation before the client is told that it is done."""

    arena: ClassVar[Arena]

    @classmethod
    def setUpClass(cls) -> None:
        cls.arena = Arena(support.cluster(), "kudu-sync", "All")
        cls.arena.make()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.arena.remove()

    def test_1_the_promise_is_shown_and_in_the_lease(self) -> None:
        """The condition, and the record that a failover would honour."""
        standby, status = self.arena.standby(), self.arena.pair.status()
        condition = self.arena.pair.condition("Synchronous")
        self.assertEqual((condition["status"], condition["reason"]), ("True", "InSync"))
        promise = self.arena.promise()
        self.assertEqual((promise["epoch"], promise["members"], promise["quorum"]), (status["epoch"], [standby], 1))
        self.assertFalse(promise["degraded"])

    def test_2_a_deleted_active_loses_nothing(self) -> None:
        """Forced deletion of the active's pod in the middle of creations: the standby has all that was acknowledged."""
        outcome = self.strike("pod-deleted-by-force")
        self.assertEqual((outcome.reigns, outcome.ops_lost), (1, "0"))

    def test_3_operations_go_on_without_the_standby(self) -> None:
        """Its node loses its power: the changed rule is recorded, creations go on under it, and it is taken back."""
        standby = self.arena.standby()
        with self.arena.nodes_off(self.arena.cluster.node_of(standby)):
            condition = self.arena.pair.wait_synchronous("Degraded", timeout_s=60)
            self.assertEqual(condition["status"], "False")
            promise = self.arena.promise()
            self.assertEqual((promise["members"], promise["quorum"], promise["degraded"]), ([], 0, True))
            self.assertTrue(self.arena.client_goes_on(now_ms(), timeout_s=30), "creations do not go on")
        self.arena.pair.wait_running(timeout_s=240)
        self.arena.pair.wait_synchronous("InSync")
        self.assertEqual(self.arena.promise()["members"], [standby])
        self.arena.client.verify()

    def test_4_a_killed_controller_changes_nothing(self) -> None:
        """kill -9 of the one that leads."""
        self.strike("controller-killed")

    def test_5_a_killed_sidecar_loses_nothing(self) -> None:
        """kill -9 of the active's."""
        self.strike("sidecar-killed")

    def strike(self, name: str) -> Outcome:
        """One fault, with all that is checked after it."""
        outcome = trial(self.arena, FAULTS[name], SEED)
        shown = ", ".join(f"{kind} {seconds} s" for kind, seconds in outcome.outages.items())
        print(f"   {name}: longest outages {shown}; whole again after {outcome.recovered_s} s")
        self.assertEqual(outcome.broken, [])
        return outcome
