"""On how many of the hosts that need an object it is in the kernel, and why not on the others. Pure.

Control nodes report what the agents with a session say (``Agent``) and which machines each agent
asked for (``Placement``). A host counts when its agent has confirmed a revision that includes the
object and all derived from it; nothing is assumed for hosts nobody speaks of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.hosts import PORT, Need

HOSTS_SHOWN_MAX: Final = 100
_TOLD_COUNT: Final = 3
"""Hosts that the sentence names; the list has more."""
_OWN_PORTS: Final = (
    PORT,
    "alias-ip",
    "floating-ip",
    "instance-ip",
    "service-health-check",
    "virtual-machine",
)
"""Objects that are not programmed while an interface of theirs is not reached."""


class PortTrouble(msgspec.Struct, frozen=True):
    """An interface that does not forward, and why."""

    uuid: str
    reason: str


class BalancerStanding(msgspec.Struct, frozen=True):
    """How a load balancer and its parts stand, seen from a copy of it that runs."""

    uuid: str
    preference: int
    """Of the copy's routes: clients meet the copy with the greatest."""
    parts: dict[str, str] = {}
    """uuid to operating status"""


class Agent(msgspec.Struct, frozen=True):
    """A host as a control node knows it."""

    name: str
    connected: bool
    revision: int | None = None
    """What it has programmed, if it says so."""
    problem: str = ""
    """Why it cannot go on, in its words."""
    ports: tuple[PortTrouble, ...] = ()
    balancers: tuple[BalancerStanding, ...] = ()


class Placement(msgspec.Struct, frozen=True):
    """The machines an agent asked for, by name, beyond those its virtual-router refers to."""

    host: str
    machines: tuple[str, ...]
    held: bool = False
    """The session is over: this is what it was."""


class State(Enum):
    """Of one host. The first of the list that any host is in gives the condition its reason."""

    REFUSED = "refused"
    PORT_INACTIVE = "port_inactive"
    NOT_CONNECTED = "not_connected"
    PENDING = "pending"
    UNKNOWN = "unknown"
    PROGRAMMED = "programmed"


NO_CONTROL_NODE: Final = "no control node reports to this server"
_WORDS: Mapping[State, str] = {
    State.NOT_CONNECTED: "its agent has no session with a control node",
    State.PENDING: "its agent has not confirmed it yet",
    State.UNKNOWN: "its agent does not report what it programmed",
}


@dataclass(frozen=True, slots=True)
class _Host:
    name: str
    state: State
    detail: str


def latest(agents: Iterable[Agent]) -> dict[str, Agent]:
    """Return what is known of each host: who has a session and speaks of a revision knows best."""
    found: dict[str, Agent] = {}
    for agent in agents:
        known = found.get(agent.name)
        if known is None or _authority(agent) > _authority(known):
            found[agent.name] = agent
    return found


def _authority(agent: Agent) -> tuple[bool, bool, int]:
    return agent.connected, agent.revision is not None, agent.revision or 0


def hosts_by_machine(placements: Iterable[Placement]) -> dict[str, set[str]]:
    """Return the hosts of each machine: as of present sessions, else as of the last ones."""
    present: dict[str, list[Placement]] = {}
    for each in placements:
        present.setdefault(each.host, []).append(each)
    found: dict[str, set[str]] = {}
    for host, told in present.items():
        fresh = [each for each in told if not each.held]
        for each in fresh or told:
            for machine in each.machines:
                found.setdefault(machine, set()).add(host)
    return found


def condition(
    record: Record, need: Need, agents: Mapping[str, Agent] | None, *, is_derived: bool
) -> Document:
    """Return the condition; ``is_derived`` tells that nothing is still to come of the object.

    ``agents`` is None when no control node reports, so that nothing is known of any.
    """
    kind: Document = {"type": "programmed"}
    more: Document = {"hosts_ready": 0, "hosts_count": len(need.ports)}
    if not need.ports:
        detail = "no host has to do with it"
        return {**kind, "status": "true", "reason": "no_host_concerned", "detail": detail, **more}
    hosts = [
        _Host(name, State.UNKNOWN, NO_CONTROL_NODE)
        if agents is None
        else _host(name, record, need, agents.get(name), is_derived=is_derived)
        for name in sorted(need.ports)
    ]
    behind = [each for each in hosts if not _is_programmed(each)]
    more["hosts_ready"] = len(hosts) - len(behind)
    more["hosts"] = [
        {"host": each.name, "state": each.state.value, "detail": each.detail}
        for each in sorted(hosts, key=_is_programmed)[:HOSTS_SHOWN_MAX]
    ]
    status, reason = ("unknown", "no_control_node") if agents is None else _verdict(behind)
    count = f"{more['hosts_ready']} of {len(hosts)} hosts"
    if need.is_partial:
        count += " looked at"
    told = [f"{each.name}: {each.detail}" for each in behind[:_TOLD_COUNT]]
    if len(behind) > _TOLD_COUNT:
        told.append(f"and {len(behind) - _TOLD_COUNT} more")
    return {
        **kind,
        "status": status,
        "reason": reason,
        "detail": "; ".join([count, *told]),
        **more,
    }


def _is_programmed(host: _Host) -> bool:
    return host.state is State.PROGRAMMED


def _verdict(behind: list[_Host]) -> tuple[str, str]:
    if not behind:
        return "true", "programmed"
    states = {each.state for each in behind}
    if states == {State.UNKNOWN}:
        return "unknown", "not_reported"
    return "false", next(state.value for state in State if state in states)


def _host(name: str, record: Record, need: Need, agent: Agent | None, *, is_derived: bool) -> _Host:
    if agent is None or not agent.connected:
        return _Host(name, State.NOT_CONNECTED, _WORDS[State.NOT_CONNECTED])
    if agent.revision is None:
        return _Host(name, State.UNKNOWN, _WORDS[State.UNKNOWN])
    if agent.revision < need.revision:
        if agent.problem:
            return _Host(name, State.REFUSED, agent.problem)
        return _Host(name, State.PENDING, _WORDS[State.PENDING])
    if record.type_name in _OWN_PORTS:
        for trouble in agent.ports:
            if trouble.uuid in need.ports[name]:
                return _Host(name, State.PORT_INACTIVE, f"{trouble.uuid}: {trouble.reason}")
    if not is_derived:
        return _Host(name, State.PENDING, "what follows from it is not derived yet")
    return _Host(name, State.PROGRAMMED, f"at revision {agent.revision}")
