"""Kubernetes itself goes away."""

from __future__ import annotations

import time
from random import Random

from .. import machine
from ..arena import Arena
from ..fault import Promise, fault

API_AWAY_S = 60


@fault(
    "api-server-down",
    what=f"no API server for {API_AWAY_S} s",
    how="SIGKILL, and again each time its supervisor has started it",
    # The active goes on while its standby pledges not to take over. The bound is that of one that has to stop and starts again
    # once the API server answers: a standby may be away at the time.
    promise=Promise(reign="any", outage_s=API_AWAY_S + 45, errors=True),
)
def api_server_down(arena: Arena, dice: Random) -> None:
    end = time.monotonic() + API_AWAY_S
    while time.monotonic() < end:
        machine.kill(arena.control_plane("kube-apiserver"))
        time.sleep(0.2)
    arena.wait_api()


@fault(
    "etcd-killed",
    what="kill -9 of etcd; its supervisor starts it again",
    how="SIGKILL",
    promise=Promise(reign="any", outage_s=25),
)
def etcd_killed(arena: Arena, dice: Random) -> None:
    machine.kill(arena.control_plane("etcd"))
    arena.wait_api()
