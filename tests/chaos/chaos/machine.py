"""What is done to a node's processes and packets from outside of it: signals and packet filters."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kpdemo.cluster import now_ms
from kpdemo.shell import Failure, run, wait_for

API = "10.80.0.1"
API_PORT = "6443"


@dataclass(frozen=True)
class Process:
    """A process in the cluster, by its id on this machine."""

    pid: int
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        """Its program's name, and of kudu-pair the subcommand: `kudu-master`, `launcher`, `sidecar`, `controller`."""
        name = Path(self.words[0]).name
        return self.words[1] if name == "kudu-pair" and len(self.words) > 1 else name

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; one that is gone already takes none."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def is_gone(self) -> bool:
        """Whether nothing of it is left but an entry that nobody reaped."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return True


def processes(belongs: Callable[[Path], bool]) -> list[Process]:
    """Processes of this machine that belong to the cluster in a way."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if belongs(folder):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if words[0]:
                    found.append(Process(int(folder.name), tuple(word.decode(errors="replace") for word in words if word)))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def of_pod(cluster: str, uid: str) -> list[Process]:
    """Processes of a pod."""

    def belongs(folder: Path) -> bool:
        groups = (folder / "cgroup").read_text()
        return f"/kudu-pair-{cluster}/" in groups and f"pod{uid}" in groups

    return processes(belongs)


def of_control_plane(cluster: str, program: str) -> list[Process]:
    """A program of the control plane's machine."""
    network = Path(f"/run/netns/{cluster}-cp").stat().st_ino

    def belongs(folder: Path) -> bool:
        return (folder / "ns/net").stat().st_ino == network

    return [process for process in processes(belongs) if process.program == program]


def kill(victims: list[Process]) -> int:
    """kill -9; the moment at which all of them were gone."""
    for victim in victims:
        victim.signal(signal.SIGKILL)
    return gone(victims)


def gone(victims: list[Process], timeout_s: float = 60) -> int:
    """Waits until processes are gone; that moment."""
    wait_for("processes to end", lambda: all(victim.is_gone() for victim in victims), timeout_s=timeout_s, pause_s=0.005)
    return now_ms()


@contextlib.contextmanager
def stopped(victims: list[Process]) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    for victim in victims:
        victim.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for victim in victims:
            victim.signal(signal.SIGCONT)


@dataclass(frozen=True)
class Drop:
    """Packets from one address to another that a node drops on their way to or from its pods."""

    node: int
    source: str
    destination: str
    # `--sport` or `--dport` and its number, to leave other packets alone.
    port: tuple[str, ...] = ()


@contextlib.contextmanager
def dropped(cluster: str, *drops: Drop) -> Iterator[None]:
    """Drops packets for a while; nobody is told."""
    done: list[Drop] = []
    try:
        for drop in drops:
            _filter(cluster, "--insert", drop)
            done.append(drop)
        yield
    finally:
        for drop in done:
            _filter(cluster, "--delete", drop)


def _filter(cluster: str, action: str, drop: Drop) -> None:
    # Where addresses of Services have been replaced already, and before kube-proxy's own filters.
    rule = ["--source", drop.source, "--destination", drop.destination]
    if drop.port:
        rule += ["--protocol", "tcp", *drop.port]
    namespace = f"/run/netns/{cluster}-n{drop.node}"
    if not Path(namespace).exists():
        raise Failure(f"node {drop.node} has no network: it is off")
    run("nsenter", f"--net={namespace}", "--", "iptables", "--wait", "--table", "mangle", action, "FORWARD", *rule, "--jump", "DROP")
