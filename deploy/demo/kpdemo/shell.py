"""Running programs, waiting, and saying what goes on."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[3]
T = TypeVar("T")
_BOLD, _DIM, _PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
_began = time.monotonic()


class Failure(Exception):
    """Something that the reader has to know, in words for them."""


def run(*command: str | Path, check: bool = True, stdin: str | None = None, timeout_s: float = 600) -> str:
    """Runs a program and returns its standard output; a failure says what it printed."""
    try:
        done = subprocess.run(
            [str(word) for word in command], input=stdin, capture_output=True, text=True, timeout=timeout_s, cwd=ROOT
        )
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"{words(command)}: not done after {timeout_s:.0f} s") from expired
    if check and done.returncode != 0:
        raise Failure(f"{words(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def words(command: tuple[str | Path, ...]) -> str:
    """A command as a person would write it: without the environment that it is given."""
    texts = [str(word) for word in command]
    if texts[0] == "env":
        texts = list(itertools.dropwhile(lambda text: "=" in text, texts[1:]))
    return " ".join(texts)


def show(*command: str | Path) -> None:
    """Runs a program that reports its own progress."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: exit {done.returncode}")


def headline(text: str) -> None:
    """Begins a step."""
    print(f"\n{_BOLD}━━ {text}{_PLAIN} {_DIM}[{time.monotonic() - _began:.0f} s]{_PLAIN}", flush=True)


def say(text: str) -> None:
    """One line about what goes on."""
    print(f"   {text}", flush=True)


def wait_for(what: str, look: Callable[[], T | None], *, timeout_s: float, pause_s: float = 0.2) -> T:
    """Looks again and again until there is something; says every ten seconds what it still waits for."""
    end, told = time.monotonic() + timeout_s, time.monotonic()
    while True:
        found = look()
        if found:
            return found
        now = time.monotonic()
        if now > end:
            raise Failure(f"{what}: not after {timeout_s:.0f} s")
        if now - told > 10:
            say(f"… waiting for {what}")
            told = now
        time.sleep(pause_s)


def built(name: str = "kudu-pair") -> str:
    """One of the programs as cargo builds them: the operator, or its plugin for kubectl."""
    target = json.loads(run("cargo", "metadata", "--no-deps", "--format-version=1"))["target_directory"]
    return f"{target}/x86_64-unknown-linux-gnu/{'debug' if profile() == 'dev' else 'release'}/{name}"


def profile() -> str:
    """Cargo's profile of what is built: `dev`, or `bench` for figures."""
    return os.environ.get("KUDU_PAIR_PROFILE", "dev")
