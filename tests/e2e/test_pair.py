"""What a pair promises, on a real cluster. The tests run in the order of their names and each leaves a pair that runs."""

from __future__ import annotations

import json
import statistics
import unittest

import support
from support import now_ms, reigns, wait_for

SWITCHES = 10


class PairTest(unittest.TestCase):
    """One pair through all that may happen to it."""

    def setUp(self) -> None:
        support.pair().wait_running(timeout_s=240)

    def test_0_kudu_is_upgraded_without_a_failover(self) -> None:
        """The standby first, then a switchover, then the old active; no client is shown an error."""
        before, begun = support.pair().status(), now_ms()
        kudu = {"version": "1.18.1", "image": support.cluster().kudu_image}
        support.cluster().kubectl("patch", "kmp", "demo", "--type=merge", "--patch", json.dumps({"spec": {"kudu": kudu}}))
        wait_for("every member to run the new version", lambda: support.kudu_images() == {kudu["image"]}, timeout_s=240)
        after = support.pair().wait_running(timeout_s=240)
        self.assertEqual([receipt["kind"] for receipt in after["switches"]], ["Switchover", "Initialize"], after["switches"])
        self.assertNotEqual(after["active"], before["active"])
        self.assertEqual(after["lastSwitch"]["opsLost"], "0")
        support.client().wait_quiet(now_ms())
        for kind, seen in support.client().outages(begun, now_ms()).items():
            print(f"   {kind}: longest outage {seen['seconds']} s")
            self.assertEqual(seen["errors"], [], f"{kind} was shown an error")

    def test_1_switchovers_lose_nothing_and_show_no_error(self) -> None:
        """Ten planned switches: no op lost, no error shown; how long each kind of operation waited is printed."""
        waits: dict[str, list[float]] = {}
        for _ in range(SWITCHES):
            status = support.pair().wait_running()
            begun = now_ms()
            answer = support.pair().switch_over()
            self.assertEqual(answer["answer"], "Completed", answer)
            support.client().wait_quiet(now_ms())
            receipt = support.pair().receipt()
            self.assertEqual(receipt["opsLost"], "0", receipt)
            self.assertEqual(receipt["promotedHead"], receipt["recordedHead"], receipt)
            self.assertEqual(receipt["epoch"], status["epoch"] + 1)
            for kind, seen in support.client().outages(begun, now_ms()).items():
                self.assertEqual(seen["errors"], [], f"{kind} was shown an error")
                waits.setdefault(kind, []).append(seen["seconds"])
        for kind, seconds in sorted(waits.items()):
            print(f"   {kind}: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)}")

    def test_2_a_switchover_that_cannot_be_is_refused_with_advice(self) -> None:
        """No member, the active itself."""
        active = support.pair().status()["active"]
        for target, words in (("demo-7", "is no member of this pair"), (active, "is the active already")):
            answer = support.pair().switch_over(target)
            self.assertEqual(answer["answer"], "Refused")
            self.assertIn(words, answer["message"])

    def test_2_the_controller_exports_what_it_did(self) -> None:
        """The page of metrics: the switchovers of the first test, the reign, the lag of a standby."""
        status = support.pair().status()
        labels = f'namespace="{support.pair().object()["metadata"]["namespace"]}",pair="demo"'
        values = dict(line.rsplit(" ", 1) for line in support.metrics() if not line.startswith("#"))
        standby = next(name for name in support.pair().members() if name != status["active"])
        completed = values[f'kudupair_switches_total{{{labels},kind="Switchover",outcome="Completed"}}']
        self.assertGreaterEqual(float(completed), 1)
        self.assertEqual(float(values[f"kudupair_epoch{{{labels}}}"]), status["epoch"])
        self.assertEqual(float(values[f'kudupair_active{{{labels},member="{status["active"]}"}}']), 1)
        self.assertIn(f'kudupair_member_lag_seconds{{{labels},member="{standby}"}}', values)

    def test_2_the_stream_is_encrypted_and_a_change_needs_no_new_pod(self) -> None:
        """By default with certificates of the operator; in plain text and back while the same pods go on."""

        def uids() -> str:
            return support.cluster().kubectl("get", "pods", "-l", "kudupair.io/pair=demo", "-o", "jsonpath={.items[*].metadata.uid}")

        def is_now(status: str, reason: str) -> bool:
            condition = support.pair().condition("StreamEncrypted")
            return (condition.get("status"), condition.get("reason")) == (status, reason)

        wait_for("an encrypted stream", lambda: is_now("True", "Managed"), timeout_s=240)
        pods, before = uids(), support.pair().status()
        for encryption, status in (("Plaintext", "False"), ("Managed", "True")):
            patch = f'{{"spec": {{"replication": {{"encryption": "{encryption}"}}}}}}'
            support.cluster().kubectl("patch", "kmp", "demo", "--type=merge", "--patch", patch)
            wait_for(f"encryption {encryption}", lambda s=status, e=encryption: is_now(s, e), timeout_s=240)
            support.pair().wait_running(timeout_s=240)
        after = support.pair().status()
        self.assertEqual((after["active"], after["epoch"], uids()), (before["active"], before["epoch"], pods))

    def test_3_a_killed_master_is_restarted_in_place(self) -> None:
        """kill -9 of kudu-master: the same member serves on, in the same epoch."""
        before = support.pair().status()
        begun = now_ms()
        support.in_member(before["active"], "sh", "-c", "kill -9 $(cat /proc/[0-9]*/stat | awk '$2 == \"(kudu-master)\" {print $1}')")
        seconds = wait_for("kudu-master to serve again", lambda: support.story().new_connection(begun), timeout_s=30, pause_s=0)
        print(f"   a new connection was served {seconds:.2f} s after the kill, with the start of kubectl and of the tool in it")
        support.client().wait_quiet(now_ms())
        after = support.pair().wait_running()
        self.assertEqual((after["active"], after["epoch"]), (before["active"], before["epoch"]))

    def test_4_a_deleted_active_is_replaced_and_comes_back(self) -> None:
        """Forced deletion of the active's pod."""
        before = support.pair().status()
        begun = now_ms()
        support.cluster().kubectl("delete", "pod", before["active"], "--force", "--grace-period=0")
        support.pair().wait_epoch(before["epoch"] + 1)
        support.client().wait_quiet(now_ms())
        for kind, seen in support.client().outages(begun, now_ms()).items():
            print(f"   {kind}: longest outage {seen['seconds']} s")
            self.assertEqual(seen["errors"], [], f"{kind} was shown an error")
        after = support.pair().wait_running()
        self.assertNotEqual(after["active"], before["active"])
        self.assertEqual(support.pair().receipt()["opsLost"], "0")

    def test_5_a_silent_node_loss_is_survived(self) -> None:
        """Link down, then power off: all are served again with the connections and the processes that they had."""
        before = support.pair().status()
        begun = now_ms()
        support.cluster().lose_active(before["active"])
        try:
            seconds = wait_for(
                "a new connection to be served", lambda: support.story().new_connection(begun), timeout_s=60, pause_s=0.1
            )
            print(f"   a new connection was served after {seconds:.1f} s")
            after = support.pair().wait_epoch(before["epoch"] + 1)
            self.assertNotEqual(after["active"], before["active"])
            # Creating a table needs the tablet servers too.
            support.client().wait_quiet(now_ms())
            for kind, seen in support.client().outages(begun, now_ms()).items():
                print(f"   {kind}: longest outage {seen['seconds']} s")
                self.assertEqual(seen["errors"], [], f"{kind} was shown an error")
            self.assertEqual(support.restarts("kudu-client", "demo-tserver-0"), 0)
        finally:
            support.cluster().return_node()
        support.pair().wait_running(timeout_s=240)
        wait_for("the loss to be counted", lambda: support.pair().receipt()["opsLost"] != "unknown", timeout_s=60)
        print(f"   ops lost: {support.pair().receipt()['opsLost']}")

    def test_6_two_masters_never_ran_at_once(self) -> None:
        """The launchers' own records: intervals of different epochs do not overlap."""
        lives = support.lives()
        self.assertGreater(len({life.epoch for life in lives}), SWITCHES)
        self.assertEqual(reigns.overlaps(lives), [])

    def test_7_nothing_acknowledged_is_missing(self) -> None:
        """Every acknowledged table, every row, ksck. The client ends here."""
        support.story().check()

    def test_7_what_only_a_lost_active_had_comes_back_with_the_switch_back(self) -> None:
        """Tables and rows that no standby got: kept, told, readable, replayed."""
        gap = support.story().make_gap()
        self.assertEqual(support.pair().condition("GapPending")["status"], "True")
        self.assertIn("CREATE TABLE made-before-the-loss", support.story().gap_tool("show", gap))
        self.assertRegex(support.story().gap_tool("plan", gap), "REPLAY +made-before-the-loss")
        support.story().switch_back(gap)
        self.assertNotIn(gap["name"], support.pair().condition("GapPending")["message"])
        self.assertEqual(reigns.overlaps(support.lives()), [])

    def test_7_what_only_a_standby_keeps_is_replayed_in_place(self) -> None:
        """The same without a switch: the standby hands its gap to the active, which is restarted with it."""
        gap = support.story().make_gap("-in-place")
        before = support.pair().status()
        self.assertNotEqual(before["active"], gap["member"])
        support.story().replay_in_place(gap)
        support.story().check_replayed(gap, "-in-place")
        after = support.pair().wait_running()
        self.assertEqual((after["active"], after["epoch"]), (before["active"], before["epoch"]))
        told = next(one for one in after["gaps"] if one["name"] == gap["name"])
        self.assertRegex(told["request"], r"^replay:.*@.* .+$")
        self.assertEqual(reigns.overlaps(support.lives()), [])

    def test_7_the_plugin_shows_and_switches(self) -> None:
        """`kubectl kudupair` against a real pair."""
        plugin, status = support.cluster().plugin, support.pair().status()
        self.assertIn(f"{status['active']}", plugin("status", "demo"))
        self.assertIn("Lease", plugin("explain", "demo"))
        self.assertRegex(plugin("logs", "demo", "--tail", "20"), "replication")
        self.assertRegex(plugin("drill", "demo"), r"demo-\d -> demo-\d.* s")
        after = support.pair().wait_running()
        self.assertEqual((after["active"], after["epoch"]), (status["active"], status["epoch"] + 2))

    def test_7_a_fenced_active_hands_over(self) -> None:
        """It follows from then on, and is not chosen again until it is unfenced."""
        plugin, fenced = support.cluster().plugin, support.pair().status()["active"]
        self.assertIn("done", plugin("fence", fenced, "demo"))
        after = support.pair().wait_running()
        self.assertNotEqual(after["active"], fenced)
        self.assertEqual(after["fenced"], [fenced])
        self.assertRegex(plugin("status", "demo"), f"SWITCH NOW is blocked[^$]*{fenced} is fenced")
        self.assertIn("done", plugin("unfence", fenced, "demo"))
        self.assertEqual(support.pair().condition("Fenced")["status"], "False")

    def test_8_the_chart_is_upgraded_tested_and_uninstalled(self) -> None:
        """The chart's own test runs ksck; an uninstallation leaves pairs, data and masters as they are."""
        chart = str(support.ROOT / "charts/kudu-pair")
        cluster = support.cluster()
        settings = {"test.pair": "demo", "test.namespace": cluster.namespace, "test.kuduImage": cluster.kudu_image}
        wanted = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        cluster.helm("upgrade", "kudu-pair", chart, "--reuse-values", *wanted, "--wait", "--timeout", "120s")
        support.pair().wait_running()
        cluster.helm("test", "kudu-pair", "--timeout", "120s")
        before = support.pair().status()
        cluster.helm("uninstall", "kudu-pair", "--wait", "--timeout", "120s")
        self.assertEqual(support.pair().status()["active"], before["active"])
        self.assertTrue(support.story().ksck(), "the masters serve on without the operator")
        self.assertEqual(len(cluster.kubectl("get", "pvc", "-l", "kudupair.io/pair=demo", "-o", "name").split()), 2)


class ApiTest(unittest.TestCase):
    """What the API server does not take."""

    def test_bad_input_is_refused_at_once(self) -> None:
        """Each with the field's name and what to do; tests/apiserver goes through all of them."""
        head = "apiVersion: kudupair.io/v1alpha1\nkind: KuduMasterPair\nmetadata: {name: bad}\nspec: "
        for spec, words in (
            ("{standbys: 0}", "spec.standbys"),
            ("{kudu: {flags: {fs_wal_dir: /x}}}", "fs_wal_dir"),
            ("{storage: {wal: {size: lots}}}", "spec.storage.wal.size"),
        ):
            self.assertIn(words, support.refused(head + spec))
