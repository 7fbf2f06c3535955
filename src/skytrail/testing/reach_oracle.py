"""Who must reach whom, who must not, and who may either way, while things break. Pure.

A *state* says for one configuration of the world which streams policy permits and which of those
have what carries them (a plugged end, a live link). A :class:`Timeline` holds the states that may
be in force at each moment: one while all is quiet, several from the start of a change until its
effect was seen everywhere. The rule is three lines, :func:`fate`:

 must      every state in force permits and carries the stream
 must not  no state in force permits it
 either    the rest
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from skytrail.net import IpAddress

IN_FLIGHT_S = 1.0
"""A packet is on its way, and so may meet a change that began after it was sent, for so long."""


class Fate(enum.Enum):
    MUST = "must arrive"
    MUST_NOT = "must not arrive"
    EITHER = "may arrive"


@dataclass(frozen=True, slots=True)
class Stream:
    """Packets of one workload to one address."""

    source: str
    address: IpAddress
    protocol: str
    owner: str
    """Who of the source's tenant has the address; empty when nobody has."""

    def __str__(self) -> str:
        return f"{self.protocol} {self.source} -> {self.owner or 'nobody'} ({self.address})"


@dataclass(frozen=True, slots=True)
class State:
    permitted: frozenset[Stream]
    carried: frozenset[Stream]
    """Those whose ends and links exist, permitted or not."""


@dataclass(slots=True)
class Packet:
    """What became of one packet. Times are of one clock, in seconds."""

    sent: float
    arrivals: dict[str, float] = field(default_factory=dict[str, float])
    """First sight of the request, by the workload that saw it."""
    answered: float | None = None
    """When the source saw the answer."""
    strays: set[str] = field(default_factory=set[str])
    """Other workloads that saw the answer."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A TCP connection that ended though its client wanted it to last."""

    stream: Stream
    opened: float
    ended: float
    why: str


class Timeline:
    """The states in force from each moment on."""

    def __init__(self, start: float, state: State) -> None:
        self._moments: list[tuple[float, frozenset[State]]] = [(start, frozenset({state}))]

    def enter(self, moment: float, states: Iterable[State]) -> None:
        """From ``moment`` on exactly these are in force; moments only grow."""
        self._moments.append((moment, frozenset(states)))

    def between(self, start: float, end: float) -> frozenset[State]:
        """Every state in force at some time from ``start`` to ``end``."""
        found: set[State] = set()
        for index, (moment, states) in enumerate(self._moments):
            following = self._moments[index + 1 : index + 2]
            if moment <= end and (not following or following[0][0] > start):
                found |= states
        return frozenset(found)


def fate(states: Collection[State], stream: Stream) -> Fate:
    """What may become of a packet that any of these states may have treated."""
    if all(stream in state.permitted & state.carried for state in states):
        return Fate.MUST
    if not any(stream in state.permitted for state in states):
        return Fate.MUST_NOT
    return Fate.EITHER


def fault(stream: Stream, packet: Packet, timeline: Timeline) -> str:
    """Say what is wrong with a packet that had its time; empty when nothing is."""
    foreign = sorted((packet.arrivals.keys() - {stream.owner}) | packet.strays)
    if foreign:
        return f"{stream}: WRONG DELIVERY, seen by {', '.join(foreign)}"
    arrived = packet.arrivals.get(stream.owner)
    if arrived is not None:
        states = timeline.between(packet.sent, arrived)
        if fate(states, stream) is Fate.MUST_NOT:
            return f"{stream}: arrived though denied all the while"
    if packet.answered is None:
        states = timeline.between(packet.sent, packet.sent + IN_FLIGHT_S)
        if fate(states, stream) is Fate.MUST:
            return f"{stream}: {'no answer' if arrived else 'lost'} though nothing concerned it"
    return ""


def ending_fault(ending: Ending, timeline: Timeline) -> str:
    """Say what is wrong with the end of a connection; empty when something concerned it."""
    states = timeline.between(ending.ended - IN_FLIGHT_S, ending.ended)
    if fate(states, ending.stream) is not Fate.MUST:
        return ""
    age_s = ending.ended - ending.opened
    return f"{ending.stream}: {ending.why} after {age_s:.1f} s though nothing concerned it"


def conforms(stream: Stream, packet: Packet, state: State) -> bool:
    """Tell whether the packet went as the one state says: answered, or never seen."""
    if fate((state,), stream) is Fate.MUST:
        return packet.answered is not None
    return not packet.arrivals


def settled(
    stream: Stream, packets: Sequence[Packet], state: State, *, count_min: int
) -> float | None:
    """Return when the stream began to go as the state says and has done since.

    ``packets`` are those since the fault that had their time, in order. None until the last
    ``count_min`` of them conform; then when the last that did not was sent, 0 if all did.
    """
    last_wrong = next(
        (n for n in range(len(packets) - 1, -1, -1) if not conforms(stream, packets[n], state)), -1
    )
    if len(packets) - 1 - last_wrong < count_min:
        return None
    return packets[last_wrong].sent if last_wrong >= 0 else 0.0
