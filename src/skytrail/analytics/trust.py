"""What a machine may tell, as configuration has it: of what runs there, and of its role. Pure.

```
 UVE of a certified machine --> its subjects --> here, or placed nowhere --> taken
                                     `--> else held, until that comes; of what leaves for good it is held again
 sessions ----------------> (port, network) --> here or lately --> taken; else those rows are refused, counted
```
A certificate says which machine speaks; without one nobody is judged, as anybody can use any name. While configuration has
not come yet everything is taken, and judged as soon as it comes.
"""

from __future__ import annotations

import enum
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from skytrail.analytics.placement import (
    BALANCERS,
    GRACE_S,
    MACHINES,
    NETWORKS,
    PORTS,
    SESSIONS,
    Placement,
    Standing,
    Subject,
)
from skytrail.analytics.refusals import Refusals
from skytrail.analytics.telemetry import NODE_TABLES
from skytrail.analytics.uve import UveChange, UveTables
from skytrail.analytics.uve_room import Room, bytes_of, machine_of
from skytrail.wire.telemetry import Sessions
from skytrail.wire.telemetry.sessions import PLACE, ROWS_COUNT_MAX, array_of, check, select

HELD_BYTES_MAX: Final = 64 << 20
"""Of UVEs that wait for what they tell of, roughly; a machine may hold as much as is free."""
_HELD_BYTES: Final = 1024
"""What one takes beside its names and fields, of which it need not have any."""
_OF_HOSTS: Final = frozenset({PORTS, NETWORKS, MACHINES, BALANCERS})
_OF_PEERS: Final = frozenset({"ObjectXmppPeerInfo", "ObjectBgpPeer"})
"""Entities named with the machine that tells of them in front."""
_CONTROL_NODES: Final = "ObjectBgpRouter"
_ROLES: Final = (
    *(_CONTROL_NODES, "ObjectConfigNode", "ObjectCollectorInfo"),
    *("ObjectAnalyticsSnmpInfo", "ObjectAnalyticsAlarmInfo", "ObjectDatabaseInfo"),
)
"""What tells of more than itself: of instances control nodes, of switches and all else any of these."""
_TABLES_OF_CONTROL_NODES: Final = frozenset({"ObjectRoutingInstance"})

Place: TypeAlias = tuple[str, str, str]


class Refusal(enum.StrEnum):
    """Why something is not taken."""

    ELSEWHERE = "placed_elsewhere"
    NOT_PLACED = "not_placed"
    UNKNOWN = "not_configured"
    NETWORK = "not_its_network"
    ROLE = "not_its_role"


@dataclass(frozen=True, slots=True)
class _Held:
    subject: Subject
    change: UveChange
    size: int


class Trust:
    """Judges what generators say that have shown a certificate."""

    def __init__(
        self, uves: UveTables, *, placed_only: bool = False, placement: Placement | None = None
    ) -> None:
        self.placement = placement if placement is not None else Placement()
        self._uves = uves
        self._placed_only = placed_only
        self._roles: Counter[tuple[str, str]] = Counter()
        """Nodes that are configured: table and key."""
        self.is_current: Callable[[], bool] = lambda: True
        """Whether configuration is followed now."""
        self._known_since = math.inf
        self._proven: set[str] = set()
        self._held: dict[str, dict[Place, _Held]] = {}
        """By generator."""
        self._by_subject: dict[Subject, dict[tuple[str, Place], None]] = {}
        """What is held until something comes."""
        self._room = Room(HELD_BYTES_MAX)
        self._has_new_roles = False
        self.refusals = Refusals()
        self.unjudged_count = 0
        """UVEs and sessions that were taken though nobody knew whether they are the machine's."""

    @property
    def is_known(self) -> bool:
        """Whether configuration has come."""
        return self._known_since < math.inf

    @property
    def held_count(self) -> int:
        """UVEs that wait for what they tell of."""
        return sum(map(len, self._held.values()))

    @property
    def held_bytes(self) -> int:
        """What they take, roughly."""
        return self._room.used

    def note_node(self, table: str, key: str, amount: int) -> None:
        """A node came into configuration (1), or went (-1)."""
        self._roles[table, key] += amount
        self._has_new_roles |= amount > 0

    def begin(self, generator: str, *, is_proven: bool) -> None:
        """Note whether a generator has shown its machine's certificate."""
        if is_proven:
            self._proven.add(generator)
        else:
            self.forget(generator)

    def forget(self, generator: str) -> None:
        """A generator is gone for good."""
        self._proven.discard(generator)
        for place in list(self._held.get(generator, ())):
            self._release(generator, place)

    def known(self, now: float) -> list[UveChange]:
        """Configuration has come: return what takes back that which should not have been taken."""
        if self.is_known:
            return []
        self._known_since = now
        self.placement.take_came()
        return [
            change
            for generator in self._proven
            for place in self._uves.places(generator)
            for change in self._judge_again(generator, place)
        ]

    def admits(self, change: UveChange, now: float) -> bool:
        """Tell whether a change is taken; if not, it is held until what it tells of comes."""
        generator = change.generator
        place = change.table, change.key, change.struct
        if generator in self._held and place in self._held[generator]:
            self._release(generator, place)
        if not self.is_known:
            self.unjudged_count += change.table not in NODE_TABLES
            return True
        blocked = self._blocked(change)
        if blocked is None:
            return True
        refusal, subject = blocked
        self._hold(change, subject)
        self.refusals.note(machine_of(generator), refusal, " ".join(subject), now)
        return False

    def sessions(self, machine: str, message: Sessions, now: float) -> Sessions | None:
        """Return the sessions a machine may tell, None: none of them.

        Raises ``DecodeError`` when some may not be told and the message does not fit together; else that is not looked at.
        O(rows) with a small factor: each pair of port and network is judged once.
        """
        pairs = _pairs(message)
        if pairs is None:
            return message
        if not self.is_known:
            self.unjudged_count += message.count
            return message
        ports, networks, rows = pairs
        refused: dict[tuple[int, int], Refusal] = {}
        for pair in set(rows):
            refusal = self._session_refusal(machine, ports[pair[0]], networks[pair[1]])
            if refusal is Refusal.UNKNOWN and self._is_late(now):
                self.unjudged_count += rows.count(pair)
            elif refusal is not None:
                refused[pair] = refusal
        if not refused:
            return message
        check(message)
        chosen = [pair not in refused for pair in rows]
        counts = Counter(pair for pair in rows if pair in refused)
        for (port, network), count in counts.items():
            what = f"session {ports[port]} {networks[network]}"
            self.refusals.note(machine, refused[port, network], what, now, count)
        return select(message, chosen) if any(chosen) else None

    def tick(self, now: float) -> Iterator[UveChange]:
        """Yield what is taken, or taken back, since configuration changed; call about every second."""
        came = self.placement.take_came()
        if self._has_new_roles:
            self._has_new_roles = False
            came |= {subject for subject in self._by_subject if subject[0] not in _OF_HOSTS}
        for subject in came:
            for generator, place in list(self._by_subject.get(subject, ())):
                change = self._release(generator, place)
                blocked = self._blocked(change)
                if blocked is None:
                    yield change
                else:
                    self._hold(change, blocked[1])
        for host, subject in self.placement.take_expired(now):
            if subject[0] != SESSIONS:
                yield from self._expire(host, subject)

    def _expire(self, host: str, subject: Subject) -> Iterator[UveChange]:
        table, key = subject
        said = self._uves.get(table, key) or {}
        places = [(each, struct) for struct, by_generator in said.items() for each in by_generator]
        for generator, struct in places:
            if generator in self._proven and host in {"", machine_of(generator)}:
                yield from self._judge_again(generator, (table, key, struct))

    def _judge_again(self, generator: str, place: Place) -> Iterator[UveChange]:
        """Yield what takes back a generator's word, where that is not its own any more."""
        said = self._uves.said(*place, generator)
        if said is None:
            return
        change = UveChange(*place, generator, dict(said))
        blocked = self._blocked(change)
        if blocked is not None:
            self._hold(change, blocked[1])
            yield UveChange(*place, generator, {}, is_deleted=True)

    def _blocked(self, change: UveChange) -> tuple[Refusal, Subject] | None:
        """Return why a change cannot be taken, and which subject must come first."""
        machine, table, key = machine_of(change.generator), change.table, change.key
        if change.is_deleted or table in NODE_TABLES:
            return None
        if table in _OF_PEERS:
            is_own = key.startswith(f"{machine}:")
            return None if is_own else (Refusal.ROLE, (table, key))
        if table not in _OF_HOSTS:
            roles = (_CONTROL_NODES,) if table in _TABLES_OF_CONTROL_NODES else _ROLES
            has_role = any(self._roles[role, machine] for role in roles)
            return None if has_role else (Refusal.ROLE, (table, key))
        for subject in ((table, key), *_listed(change)):
            refusal = self._refusal(machine, subject)
            if refusal is not None:
                return refusal, subject
        return None

    def _refusal(self, machine: str, subject: Subject) -> Refusal | None:
        match self.placement.standing(machine, subject):
            case Standing.HERE:
                return None
            case Standing.UNPLACED:
                return Refusal.NOT_PLACED if self._placed_only else None
            case Standing.ELSEWHERE:
                return Refusal.ELSEWHERE
            case Standing.UNKNOWN:
                # What is plugged without being placed may have a machine that nobody wrote down.
                is_made_up = subject[0] == MACHINES and not self._placed_only
                return None if is_made_up else Refusal.UNKNOWN

    def _session_refusal(self, machine: str, port: str, network: str) -> Refusal | None:
        if not port:
            return Refusal.NETWORK if network else None
        if network and self._refusal(machine, (SESSIONS, port, network)) is None:
            return None
        refusal = self._refusal(machine, (PORTS, port))
        return Refusal.NETWORK if refusal is None and network else refusal

    def _is_late(self, now: float) -> bool:
        """Tell whether ports may have gone, or come, of which this node never heard."""
        return now < self._known_since + GRACE_S or not self.is_current()

    def _hold(self, change: UveChange, subject: Subject) -> None:
        size = _HELD_BYTES + len(change.key) + len(change.table) + len(change.struct)
        size += sum(bytes_of(name, each) for name, each in change.fields.items())
        machine = machine_of(change.generator)
        if not self._room.has(machine, size):
            self.refusals.unheld_count += 1
            return
        self._room.add(machine, size)
        place = change.table, change.key, change.struct
        self._held.setdefault(change.generator, {})[place] = _Held(subject, change, size)
        self._by_subject.setdefault(subject, {})[change.generator, place] = None

    def _release(self, generator: str, place: Place) -> UveChange:
        of_generator = self._held[generator]
        held = of_generator.pop(place)
        if not of_generator:
            del self._held[generator]
        waiting = self._by_subject[held.subject]
        del waiting[generator, place]
        if not waiting:
            del self._by_subject[held.subject]
        self._room.add(machine_of(generator), -held.size)
        return held.change


def _listed(change: UveChange) -> Iterator[Subject]:
    """Yield the ports that a network or machine is said to have."""
    said = change.fields.get("interface_list")
    if said is not None and isinstance(said.value, list):
        for name in dict.fromkeys(each for each in said.value if isinstance(each, str)):
            yield PORTS, name


def _pairs(message: Sessions) -> tuple[list[str], list[str], list[tuple[int, int]]] | None:
    """Return ports, networks, and each row's places among them; None for what does not fit together."""
    columns: list[tuple[list[str], array[int]]] = []
    if not 0 < message.count <= ROWS_COUNT_MAX:
        return None
    for name in ("vmi", "vn"):
        texts = message.texts.get(name)
        content = bytes(2 * message.count) if texts is None else texts.places
        if len(content) != 2 * message.count:
            return None
        places = cast("array[int]", array_of(PLACE, content))
        words = [""] if texts is None else texts.words
        if max(places, default=0) >= len(words):
            return None
        columns.append((words, places))
    (ports, port_places), (networks, network_places) = columns
    return ports, networks, list(zip(port_places, network_places, strict=True))
