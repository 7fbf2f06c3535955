"""How a copy's listeners, pools and members stand, and what they carried: HAProxy's ``show stat``. Pure.

```
 HAProxy: frontend LISTENER | backend POOL-of-LISTENER | server MEMBER
   |  "show stat", CSV       (the keeper asks, counters)
   v
 PartCounters of each  --> standings: ONLINE, DEGRADED, ... of each object (the agent)
```
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from skytrail.model.load_balancer import UUID, Listener, LoadBalancer, Operating

STATISTICS_BYTES_MAX: Final = 8 * 1024 * 1024
_OF = "-of-"
"""Between a pool and its listener in a backend's name."""
_WELL: Final = frozenset({Operating.ONLINE, Operating.NO_MONITOR, Operating.DRAINING})
"""Of members that are where they were meant to be."""


class PartCounters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A listener, pool or member as HAProxy counts it."""

    uuid: str
    kind: str
    """``listener``, ``pool`` or ``member``"""
    state: str
    """HAProxy's word: OPEN, UP, DOWN, no check, DRAIN, MAINT, also as in ``UP 1/3``"""
    detail: str = ""
    """What the last check found."""
    current_sessions: int = 0
    max_sessions: int = 0
    total_sessions: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    connection_errors: int = 0
    response_errors: int = 0


@dataclass(frozen=True, slots=True)
class CountedCopy:
    """A copy that runs."""

    balancer: LoadBalancer
    preference: int
    """Local preference of its routes: clients meet the copy with the greatest."""
    standings: Mapping[str, Operating]
    """How each object stands, by uuid."""
    parts: tuple[PartCounters, ...]


def parts_of(text: str) -> tuple[PartCounters, ...]:
    """Read the answer to ``show stat``; lines that are of no object are left out.

    ``ValueError`` when it is no such answer.
    """
    first, _, rest = text.partition("\n")
    names = first.removeprefix("# ").rstrip(",").split(",")
    if not {"pxname", "svname", "status", "type"} <= set(names):
        raise ValueError("HAProxy's answer is no table of statistics")
    found: list[PartCounters] = []
    for values in csv.reader(rest.splitlines()):
        row = dict(zip(names, values, strict=False))
        part = _part(row)
        if part is not None:
            found.append(part)
    return tuple(found)


def _part(row: Mapping[str, str]) -> PartCounters | None:
    proxy = row.get("pxname", "")
    # 0, 1, 2: frontend, backend, server; 3 is a socket of a frontend.
    match row.get("type"):
        case "0":
            kind, uuid = "listener", proxy
        case "1":
            kind, uuid = "pool", proxy.partition(_OF)[0]
        case "2":
            kind, uuid = "member", row.get("svname", "")
        case _:
            return None
    if not UUID.fullmatch(uuid):
        return None
    check = " ".join(
        each for each in (row.get("check_status", ""), row.get("last_chk", "")) if each
    )
    return PartCounters(
        uuid=uuid,
        kind=kind,
        state=row.get("status", ""),
        detail=check[:200],
        current_sessions=_count(row.get("scur")),
        max_sessions=_count(row.get("smax")),
        total_sessions=_count(row.get("stot")),
        bytes_in=_count(row.get("bin")),
        bytes_out=_count(row.get("bout")),
        connection_errors=_count(row.get("econ")),
        response_errors=_count(row.get("eresp")),
    )


def _count(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else 0


_SUMS: Final = (
    "total_sessions",
    "bytes_in",
    "bytes_out",
    "connection_errors",
    "response_errors",
)


class Totals:
    """Makes counters of one worker after the other into such as only grow.

    A changed configuration is another worker's, which counts from nothing: whoever counts less than
    before has a new one. What the old one counted after the last look is lost.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], PartCounters] = {}
        self._before: dict[tuple[str, str], tuple[int, ...]] = {}

    def of(self, parts: Iterable[PartCounters]) -> tuple[PartCounters, ...]:
        """Return the parts with all that was counted of them; forget those that are gone."""
        latest = {(each.kind, each.uuid): each for each in parts}
        before: dict[tuple[str, str], tuple[int, ...]] = {}
        for key, part in latest.items():
            known = self._before.get(key, (0,) * len(_SUMS))
            last = self._last.get(key)
            if last is not None and any(
                a < b for a, b in zip(_sums(part), _sums(last), strict=True)
            ):
                known = _added(known, _sums(last))
            before[key] = known
        self._last, self._before = latest, before
        return tuple(
            msgspec.structs.replace(
                part, **dict(zip(_SUMS, _added(before[key], _sums(part)), strict=True))
            )
            for key, part in latest.items()
        )


def _sums(part: PartCounters) -> tuple[int, ...]:
    return tuple(getattr(part, name) for name in _SUMS)


def _added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def operating_of_member(part: PartCounters) -> Operating:
    """Return what HAProxy's word for a server means."""
    # Servers on their way up or down are still what the first word says.
    match part.state.partition(" ")[0]:
        case "UP" | "OPEN" | "NOLB":
            return Operating.ONLINE
        case "no":
            return Operating.NO_MONITOR
        case "DRAIN":
            return Operating.DRAINING
        case "MAINT":
            return Operating.OFFLINE
        case _:
            return Operating.ERROR


def standings(balancer: LoadBalancer, parts: Sequence[PartCounters]) -> dict[str, Operating]:
    """Return how each object of a balancer that runs stands, by uuid; with what it is served from.

    A pool is as its members are, a listener as its pool, the balancer as its listeners. A listener
    that HAProxy was not given is in ERROR. Without any part nothing is known of what is in it.
    """
    if not parts:
        return {balancer.uuid: Operating.ONLINE}
    known = {(each.kind, each.uuid): each for each in parts}
    found: dict[str, Operating] = {}
    listeners: list[Operating] = []
    for listener in balancer.listeners:
        is_open = ("listener", listener.uuid) in known
        standing = _listener(listener, known, found) if is_open else Operating.ERROR
        found[listener.uuid] = standing
        listeners.append(standing)
    found[balancer.uuid] = _together(listeners) if listeners else Operating.ONLINE
    return found


def _listener(
    listener: Listener,
    known: Mapping[tuple[str, str], PartCounters],
    found: dict[str, Operating],
) -> Operating:
    pool = listener.pool
    if pool is None:
        return Operating.ONLINE
    members: list[Operating] = []
    for member in pool.members:
        part = known.get(("member", member.uuid))
        # One that HAProxy was not given has no address the balancer could speak to.
        standing = Operating.ERROR if part is None else operating_of_member(part)
        if part is not None and standing is Operating.NO_MONITOR and member.weight == 0:
            standing = Operating.DRAINING
        found[member.uuid] = standing
        members.append(standing)
    found[pool.uuid] = _together(members) if members else Operating.OFFLINE
    # A pool without members is as it was asked for: the listener answers, if only with a refusal.
    return found[pool.uuid] if members else Operating.ONLINE


def _together(each: Iterable[Operating]) -> Operating:
    """Return how a whole stands whose parts stand so."""
    states = list(each)
    if all(state in _WELL for state in states):
        return Operating.ONLINE
    if all(state in {Operating.ERROR, Operating.OFFLINE} for state in states):
        return Operating.ERROR
    return Operating.DEGRADED
