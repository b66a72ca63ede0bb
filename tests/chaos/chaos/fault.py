"""What a fault is, and the registry of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .arena import Arena

Strike = Callable[["Arena", Random], None]


@dataclass(frozen=True)
class Promise:
    """What is promised of one fault.

    Of every fault it is promised besides that nothing acknowledged is missing, nothing dropped is back, two masters never
    ran at once, and the pair runs in sync again.
    """

    # Who is active afterwards: `same` member in the same epoch, the `next` epoch's, or `any`.
    reign: str
    # Longest time without a successful `list` or `create` of the client that was there all the time, seconds.
    outage_s: float
    # Whether the client may be shown an error.
    errors: bool = False

    def __str__(self) -> str:
        reign = {"same": "the same reign goes on", "next": "the standby takes over", "any": "either goes on"}[self.reign]
        return f"{reign}; outage ≤ {self.outage_s:g} s; {'errors may be shown' if self.errors else 'no error'}"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    name: str
    family: str
    what: str
    how: str
    promise: Promise
    strike: Strike
    # Strikes a pair whose volumes are small file systems of their own.
    small_disks: bool = False
    # The modes of acknowledgement in which it can come to what it is about.
    modes: tuple[str, ...] = ("All", "Async")


@dataclass(frozen=True)
class Elsewhere:
    """A fault that this machine cannot make on a real cluster, and the tests that make it at the nearest layer."""

    name: str
    what: str
    where: str
    why: str


FAULTS: dict[str, Fault] = {}
ELSEWHERE: list[Elsewhere] = []


def fault(
    name: str, *, what: str, how: str, promise: Promise, small_disks: bool = False, modes: tuple[str, ...] = ("All", "Async")
) -> Callable[[Strike], Strike]:
    """Registers a function that makes a fault and undoes it: when it returns, only recovery is left to wait for."""

    def register(strike: Strike) -> Strike:
        if name in FAULTS:
            raise ValueError(f"two faults named {name}")
        family = strike.__module__.rpartition(".")[2]
        FAULTS[name] = Fault(name, family, what, how, promise, strike, small_disks, modes)
        return strike

    return register


def elsewhere(name: str, *, what: str, where: str, why: str) -> None:
    """Registers a fault that other tests make."""
    ELSEWHERE.append(Elsewhere(name, what, where, why))
