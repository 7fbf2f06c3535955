"""Whether the daemons of a lab live and are well, by their own words, and what to do when not."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from skytrail.lab import commands, labs
from skytrail.lab.service import Lab
from skytrail.lab.state import LabError
from skytrail.runtime.introspection import IntrospectionFailed, read_page

HEALTHY_TIMEOUT_S = 60.0
_POLL_S = 0.05


class _Health(msgspec.Struct, frozen=True):
    healthy: bool
    unmet: tuple[str, ...] = ()


def daemon_names(lab: Lab) -> list[str]:
    """Every daemon the lab runs, in the order it starts them."""
    analytics = [commands.ANALYTICS] if lab.topology.analytics else []
    return [*analytics, commands.API, commands.COMPILER, *(node.name for node in lab.plan.nodes)]


def socket_of(lab: Lab, name: str) -> Path:
    """Where a daemon answers questions about itself."""
    return lab.paths.api_socket if name == commands.API else lab.paths.introspect_socket(name)


def restart_command(lab: Lab, name: str) -> str:
    """What a user types to have a daemon again."""
    others = f" --lab {lab.name}" if len(labs.names()) > 1 else ""
    return f"skytrail lab restart {name}{others}"


def process_health(lab: Lab, name: str) -> tuple[str, str]:
    """Return (state, detail) of a daemon: what it waits for; of a dead one how to restart it."""
    if lab.processes.identity(name) is None:
        return "dead", restart_command(lab, name)
    try:
        health = msgspec.json.decode(read_page(socket_of(lab, name), "/healthz"), type=_Health)
    except (IntrospectionFailed, msgspec.DecodeError, UnicodeDecodeError) as error:
        return "silent", str(error)
    return ("healthy" if health.healthy else "waiting"), "; ".join(health.unmet)


def wait_healthy(lab: Lab, name: str, timeout_s: float = HEALTHY_TIMEOUT_S) -> None:
    """Wait until a daemon is healthy; :class:`LabError` says what it waits for when time is up.

    Processes that are no daemons tell nothing of their health: they count as healthy.
    """
    deadline = time.monotonic() + timeout_s
    while name in daemon_names(lab):
        condition, detail = process_health(lab, name)
        if condition == "healthy":
            return
        if condition == "dead":
            raise LabError(f"{name} ended again:\n{lab.processes.tail(name)}")
        if time.monotonic() > deadline:
            raise LabError(f"{name} runs, but is {condition} after {timeout_s:g} s: {detail}")
        time.sleep(_POLL_S)
