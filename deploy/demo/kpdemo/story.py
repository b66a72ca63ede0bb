"""The demo, step by step. Each step proves what it says, or the demo fails."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from . import report
from .client import Client
from .cluster import Cluster, LocalCluster, now_ms
from .pair import Pair
from .recorder import Recorder
from .shell import ROOT, Failure, built, headline, profile, run, say, show, wait_for

TABLES = 20
ROWS = 10_000
# The table that the client makes first and keeps.
ALWAYS = "watch-rows"
# One that only a lost active has, and one that is made after its loss.
GAP_TABLE = "made-before-the-loss"
LATER_TABLE = "made-after-the-loss"
OPERATOR_NAMESPACE = "kudu-pair-system"


@dataclass
class Row:
    """One line of the table at the end."""

    step: str
    active: str
    epoch: int
    receipt: dict[str, Any]
    outage: dict[str, Any]


class Story:
    """Goes through the demo on one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.pair = Pair(cluster)
        self.client = Client(cluster)
        self.rows: list[Row] = []
        # For the report: steps and when they began, moments and what happened then, what was seen.
        self.steps: list[tuple[int, str]] = []
        self.marks: list[tuple[int, str]] = []
        self.seen = report.Seen()
        self.recorder = Recorder(cluster)

    def tell(self) -> None:
        """All steps, and the report of them, also when one fails."""
        stopped = "interrupted"
        try:
            self.tell_all()
            stopped = ""
        except Failure as failure:
            stopped = str(failure)
            raise
        finally:
            self.leave_report(stopped)

    def tell_all(self) -> None:
        """All steps."""
        self.set_up()
        self.make_pair()
        self.recorder.start()
        self.make_tables()
        self.switch_over()
        self.fail_over()
        self.come_back()
        self.check()
        if isinstance(self.cluster, LocalCluster):
            self.switch_back(self.make_gap())
        self.print_table()

    def step(self, text: str) -> None:
        """Begins a step."""
        headline(text)
        self.steps.append((now_ms(), text))

    def mark(self, text: str) -> None:
        """Notes that something happens now."""
        self.marks.append((now_ms(), text))

    def leave_report(self, stopped: str) -> None:
        """Writes the report; `stopped` says why the demo did not reach its end, if it did not."""
        end = now_ms()
        self.recorder.stop()
        self.seen.receipts, self.seen.looks = self.recorder.receipts(), self.recorder.looks()
        if self.seen.client_ended is None and self.seen.looks:
            try:
                self.seen.history = self.client.history()
            except Failure as failure:
                say(f"the client's history could not be read: {failure}")
        path = report.write("demo", report.demo(self.steps, self.marks, self.seen, end, stopped))
        say(f"report: {path}")

    def set_up(self) -> None:
        """Programs, images, cluster, operator."""
        self.step("1. A cluster with the operator")
        if isinstance(self.cluster, LocalCluster):
            build_program()
            build_images()
            self.cluster.prepare()
            self.cluster.load_images()
        install_operator(self.cluster)
        self.cluster.kubectl("get", "nodes")

    def make_pair(self, spec: dict[str, Any] | None = None) -> None:
        """The pair, its spec changed as wanted, and tablet servers that know only its Service's name."""
        self.step("2. A pair of masters, and tablet servers that know only its Service")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.cluster.namespace}}
        self.cluster.apply(json.dumps(namespace))
        self.cluster.apply(self.cluster.changed(self.cluster.manifest("pair.yaml"), {"spec": spec or {}}))
        status = self.pair.wait_running()
        say(f"active {status['active']}, epoch {status['epoch']}: {self.pair.describe_lag()}")
        self.cluster.apply(self.cluster.manifest("tablet-servers.yaml"))
        self.cluster.kubectl("rollout", "status", "statefulset/demo-tserver", "--timeout=180s", timeout_s=190)
        self.client.start()

    def make_tables(self) -> None:
        """Tables and rows through the Service."""
        self.step("3. Tables and rows through the Service, and a client that goes on")
        self.client.create("orders", TABLES)
        self.client.load("orders-0001", ROWS)
        say(f"{TABLES} tables, {self.client.count('orders-0001')} rows in the first; {self.pair.describe_lag()}")

    def switch_over(self) -> None:
        """A planned switch."""
        self.step("4. A planned switch: kubectl annotate kmp demo kudupair.io/switchover=any")
        self.pair.wait_running()
        begun = now_ms()
        self.mark("a planned switch is asked for")
        answer = self.pair.switch_over("any")
        if answer["answer"] != "Completed":
            raise Failure(f"the switchover was not completed: {answer}")
        self.client.wait_quiet(now_ms())
        self.note("switchover", self.client.outages(begun, now_ms()))

    def fail_over(self) -> None:
        """The active is lost without a word; client and tablet servers go on with the connections that they have."""
        self.step("5. The active is lost")
        self.pair.wait_running()
        status = self.pair.status()
        epoch, active = status["epoch"], status["active"]
        begun = now_ms()
        self.mark(f"the active, {active}, is lost")
        self.cluster.lose_active(active)
        seconds = wait_for("a new connection to be served", lambda: self.new_connection(begun), timeout_s=90, pause_s=0.1)
        say(f"a new connection was served {seconds:.1f} s after the active was lost")
        self.pair.wait_epoch(epoch + 1)
        self.client.wait_quiet(now_ms())
        self.note("failover", self.client.outages(begun, now_ms()))

    def reconnect(self) -> None:
        """What a user does about connections that hang: new processes."""
        say("the client and the tablet servers are started again, as their users would do")
        self.cluster.kubectl("rollout", "restart", "statefulset/demo-tserver")
        self.cluster.kubectl("rollout", "status", "statefulset/demo-tserver", "--timeout=180s", timeout_s=190)
        # Only now: a client that is told of a tablet server's old address waits a minute for it.
        self.client.restart()
        self.client.wait_quiet(now_ms())

    def come_back(self) -> None:
        """The old active rejoins."""
        self.step("6. The lost member comes back, as a standby")
        self.mark("the lost member may come back")
        self.cluster.return_node()
        status = self.pair.wait_running(timeout_s=240)
        self.mark(f"the pair is whole again, {status['active']} is active")
        say(f"active {status['active']}, epoch {status['epoch']}: {self.pair.describe_lag()}")
        say(f"receipt of the failover: ops lost {self.pair.receipt().get('opsLost')}")

    def check(self) -> None:
        """Nothing is missing."""
        self.step("7. Nothing acknowledged is missing")
        say(self.client.verify().strip())
        rows = self.client.count("orders-0001")
        if rows != ROWS:
            raise Failure(f"orders-0001 has {rows} rows, not {ROWS}")
        say(f"orders-0001 has its {rows} rows")
        # ksck takes a table that is dropped while it looks for a fault.
        self.seen.history = self.client.history()
        self.seen.client_ended = now_ms()
        self.client.stop()
        wait_for("ksck to be content", self.ksck, timeout_s=90, pause_s=1)
        say("kudu cluster ksck: OK")

    def make_gap(self, suffix: str = "") -> dict[str, Any]:
        """Tables and rows that the standby does not get before the active is lost. The gap, as the status tells of it."""
        self.step("8. Tables that only the active had when it was lost")
        gap_table, later_table = GAP_TABLE + suffix, LATER_TABLE + suffix
        status = self.pair.wait_running()
        active, epoch = status["active"], status["epoch"]
        standby = next(name for name in self.pair.members() if name != active)
        with self.cluster.parted(standby, active):
            say(f"nothing arrives between {standby} and {active} any more")
            self.mark(f"{standby} is cut off from {active}, and a table is made")
            self.create(gap_table)
            rows = ("--num_threads=1", f"--num_rows_per_thread={ROWS}", "--keep_auto_table", "--use_random=false")
            self.tool("perf", "loadgen", self.master, f"--table_name={gap_table}", *rows)
            say(f"table {gap_table} with {self.rows_of(gap_table)} rows, by way of {active}")
            self.mark(f"the active, {active}, is lost with what only it has")
            self.cluster.lose_active(active)
            self.pair.wait_epoch(epoch + 1)
        if gap_table in self.tables():
            raise Failure(f"{gap_table} was to be lost")
        self.create(later_table)
        say(f"{standby} serves without {gap_table}, and table {later_table} is made")
        self.mark(f"{active} may come back")
        self.cluster.return_node()
        self.pair.wait_running(timeout_s=240)

        def told() -> dict[str, Any] | None:
            # An earlier failover may have left one as well.
            return next((gap for gap in self.pair.status().get("gaps", []) if gap["newEpoch"] > epoch), None)

        gap = wait_for("the gap to be told", told, timeout_s=30)
        say(f"gap {gap['name']}: {gap['ops']} operations, {', '.join(gap['changes'])}; {gap['state']}")
        say(f"condition GapPending: {self.pair.condition('GapPending')['status']}")
        print(self.gap_tool("show", gap), end="")
        print(self.gap_tool("plan", gap), end="")
        return gap

    def gap_tool(self, command: str, gap: dict[str, Any]) -> str:
        """What `kubectl kudupair gap` says of a gap."""
        return self.cluster.plugin("gap", command, gap["name"], self.pair.name)

    def switch_back(self, gap: dict[str, Any]) -> None:
        """A planned switch to the member that keeps a gap."""
        self.step(f"9. Switched back to {gap['member']}: what only it had is replayed")
        self.mark(f"a planned switch to {gap['member']} is asked for")
        answer = self.pair.switch_over(gap["member"])
        if answer["answer"] != "Completed":
            raise Failure(f"the switchover was not completed: {answer}")
        self.check_replayed(gap)

    def replay_in_place(self, gap: dict[str, Any]) -> None:
        """A replay without a switch, of a gap that a standby keeps."""
        print(self.cluster.plugin("gap", "replay", gap["name"], self.pair.name), end="")

    def check_replayed(self, gap: dict[str, Any], suffix: str = "") -> None:
        """Whether what only one member had is there again, beside what was done since."""
        gap_table, later_table = GAP_TABLE + suffix, LATER_TABLE + suffix

        def replayed() -> dict[str, Any] | None:
            now = next(one for one in self.pair.status()["gaps"] if one["name"] == gap["name"])
            return now if now["state"] not in ("Pending", "Replaying") else None

        try:
            now = wait_for("the replay to be on every standby", replayed, timeout_s=60)
        except Failure as failure:
            raise Failure(f"{failure}; {self.pair.condition('GapPending').get('message')}") from failure
        say(f"gap {now['name']}: {now['state']}, operations {' to '.join(now.get('replayed', []))}")
        for line in now["outcome"]:
            say(line)
        missing = {gap_table, later_table} - self.tables()
        if missing or now["state"] != "Replayed":
            raise Failure(f"tables {missing} are missing; the gap is {now['state']}")
        rows = wait_for("the rows to be read", lambda: self.rows_of(gap_table), timeout_s=60, pause_s=1)
        if rows != ROWS:
            raise Failure(f"{gap_table} has {rows} rows, not {ROWS}")
        say(f"tables of both reigns are there, and {gap_table} has its {rows} rows")
        wait_for("ksck to be content", self.ksck, timeout_s=90, pause_s=1)
        say("kudu cluster ksck: OK")

    @property
    def master(self) -> str:
        """The pair's Service."""
        return f"{self.pair.name}:7051"

    def tool(self, *arguments: str, check: bool = True) -> str:
        """One of Kudu's own tools, in a process of its own."""
        return self.cluster.kubectl("exec", "demo-tserver-0", "--", "kudu", *arguments, check=check, timeout_s=120)

    def create(self, table: str) -> None:
        """A table of Kudu's own load generator's kind."""
        columns = [
            {"column_name": "key", "column_type": "INT64", "is_nullable": False},
            {"column_name": "int_val", "column_type": "INT32"},
            {"column_name": "string_val", "column_type": "STRING"},
        ]
        description = {
            "table_name": table,
            "schema": {"columns": columns, "key_column_names": ["key"]},
            "partition": {"hash_partitions": [{"columns": ["key"], "num_buckets": 2}]},
            "num_replicas": 1,
        }
        self.tool("table", "create", self.master, json.dumps(description))

    def tables(self) -> set[str]:
        """The names of all tables."""
        return set(self.tool("table", "list", self.master).split())

    def rows_of(self, table: str) -> int | None:
        """How many rows a table has, if it can be read."""
        text = self.tool("table", "scan", self.master, table, "--show_values=false", check=False)
        counted = re.search(r"Total count (\d+)", text)
        return int(counted[1]) if counted else None

    def ksck(self) -> bool:
        """Whether ksck finds all in order."""
        text = self.cluster.kubectl(
            "exec", "demo-tserver-0", "--", "kudu", "cluster", "ksck", "demo:7051", check=False, timeout_s=60
        )
        return text.rstrip().endswith("OK")

    def new_list(self) -> bool:
        """Whether a process that has just been started is served now."""
        # Kudu's tools wait three seconds at least; a try that hits a peer that is gone is cut short instead.
        listing = ("timeout", "1", "kudu", "table", "list", f"{self.pair.name}:7051")
        text = self.cluster.kubectl("exec", "demo-tserver-0", "--", *listing, check=False, timeout_s=30)
        return ALWAYS in text.split()

    def new_connection(self, since_ms: int) -> float | None:
        """Seconds since a moment, if a process that has just been started is served now."""
        return (now_ms() - since_ms) / 1000 if self.new_list() else None

    def note(self, step: str, seen: dict[str, dict[str, Any]]) -> None:
        """A line for the table, and what the client saw."""
        status = self.pair.status()
        for kind, one in seen.items():
            seconds = "not yet" if one["seconds"] is None else f"{one['seconds']:.2f} s"
            say(f"client: {kind}: longest outage {seconds}, errors: {', '.join(one['errors']) or 'none'}")
        worst = max((one["seconds"] for kind, one in seen.items() if one["seconds"] and kind != "write"), default=None)
        self.rows.append(Row(step, status["active"], status["epoch"], self.pair.receipt(), {"seconds": worst}))

    def print_table(self) -> None:
        """What happened, in one table."""
        self.step("What happened")
        columns = ["step", "active", "epoch", "recorded head", "promoted head", "ops lost", "detect", "fence", "replay",
                   "repoint", "client outage"]
        last = self.pair.receipt()
        lines = [columns]
        for row in self.rows:
            receipt = last if row.receipt.get("epoch") == last.get("epoch") else row.receipt
            phases = [receipt.get(f"{phase}Seconds", "?") for phase in ("detect", "fence", "replay", "repoint")]
            outage = row.outage["seconds"]
            lines.append([
                row.step, row.active, str(row.epoch), receipt.get("recordedHead", "?"), receipt.get("promotedHead", "?"),
                receipt.get("opsLost", "?"), *(f"{phase} s" for phase in phases),
                "?" if outage is None else f"{outage:.2f} s",
            ])
        widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
        for line in lines:
            print("   " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)))


def build_program() -> None:
    """The operator's program."""
    show("cargo", "build", "--locked", "--quiet", "--profile", profile())


def build_images() -> None:
    """Operator, Kudu and client."""
    show("mvn", "-q", "-B", "-f", ROOT / "tests/client/pom.xml", "package", "-DskipTests")
    for image in (("operator", built()), ("kudu", "1.18.1"), ("client",)):
        run(ROOT / "deploy/local/images", "build", *image)


def install_operator(cluster: Cluster) -> None:
    """The chart, as a user installs it."""
    repository, _, tag = cluster.operator_image.rpartition(":")
    cluster.helm(
        "upgrade", "--install", "kudu-pair", str(ROOT / "charts/kudu-pair"), "--create-namespace", "--wait", "--timeout", "120s",
        "--set", f"image.repository={repository}", "--set", f"image.tag={tag}",
    )
    say(f"operator {cluster.operator_image} installed with Helm in {OPERATOR_NAMESPACE}")


def tear_down(cluster: Cluster) -> None:
    """Removes all that the demo made."""
    if isinstance(cluster, LocalCluster):
        cluster.end()
        return
    cluster.kubectl("delete", "namespace", cluster.namespace, "--ignore-not-found", "--wait=false")
    cluster.helm("uninstall", "kudu-pair", "--ignore-not-found")
    time.sleep(1)
