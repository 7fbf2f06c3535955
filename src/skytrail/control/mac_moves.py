"""MAC addresses that move too often (RFC 7432 section 15.1): found, held where they are, let go.

```
 EVPN tables change --noted--> tick: moves of each MAC in its window --too many--> Vrf.held
                                             held long enough --let go--> all its paths judged again
```
A workload that moves raises its sequence number by one; two that have the same MAC outbid each
other for ever. While a MAC is held, its routes from elsewhere are neither used nor told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from skytrail.control.config_graph import Change
from skytrail.control.instances import instance_name
from skytrail.control.path import InstanceName, Path
from skytrail.control.route_target import Replicator
from skytrail.model.generated.objects import GlobalSystemConfig, RoutingInstance, VirtualNetwork
from skytrail.model.generated.types import MACMoveLimitControlType
from skytrail.model.graph import ObjectGraph
from skytrail.net import IpAddress, Mac
from skytrail.wire.xmpp import EnetKey, Family, RouteKey

HELD_S = 180.0
"""How long a MAC is held; if it still moves then, it is held again."""
TRACKS_COUNT_MAX = 65_536
"""MACs that moved of late and are watched; while there are as many, further ones are not."""
LOOKS_COUNT = 5000
"""Changed destinations looked at by one tick, some milliseconds; the rest waits for the next ones."""
_HOLDING = frozenset({"drop", "shutdown"})


@dataclass(frozen=True, slots=True)
class MoveLimit:
    """So many moves within so many seconds are none too many."""

    moves_count: int = 4
    window_s: float = 180.0
    """By default the fifth move in three minutes is one too many (RFC 7432 section 15.1)."""
    holds: bool = True
    """False: such a MAC is shown only."""


_WINDOW_S_MAX = MoveLimit().window_s
"""The model's windows are shorter."""


@dataclass(slots=True)
class _Track:
    hosts: frozenset[IpAddress]
    sequence: int
    moves: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    """When, and how many at once."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A MAC that moved too often."""

    instance: InstanceName
    mac: Mac
    hosts: frozenset[IpAddress]
    """Where it is held, or was when it was found."""
    moves_count: int
    found_at: float
    is_held: bool


class MacMoves:
    """Watches all instances of a control node. Not safe for use from more than one thread."""

    def __init__(self, replicator: Replicator) -> None:
        self.duplicates: dict[tuple[InstanceName, Mac], Duplicate] = {}
        self.found_count = 0
        self.unwatched_count = 0
        """Moves that were not looked at because too many MACs moved."""
        self._replicator = replicator
        self._default = MoveLimit()
        self._limits: dict[InstanceName, MoveLimit] = {}
        self._tracks: dict[tuple[InstanceName, EnetKey], _Track] = {}
        self._noted: dict[tuple[InstanceName, EnetKey], None] = {}
        self._news: list[Duplicate] = []
        self._forget_at = float("-inf")
        replicator.on_table_change.append(self._note)

    # Configuration.

    def follow(self, changes: Iterable[Change], graph: ObjectGraph) -> None:
        """Take over changed limits: of the system, and of networks, which count first."""
        networks: dict[str, None] = {}
        for change in changes:
            for version in change.versions:
                match version:
                    case GlobalSystemConfig(mac_move_control=given):
                        self._default = _limit(given) or MoveLimit()
                    case VirtualNetwork():
                        networks[version.uuid] = None
                    case RoutingInstance():
                        networks[version.parent_uuid or ""] = None
                    case _:
                        pass
        for uuid in networks:
            network = graph.get(uuid)
            if not isinstance(network, VirtualNetwork):
                continue
            limit = _limit(network.mac_move_control)
            for child in graph.children(uuid, RoutingInstance.type_name):
                name = instance_name(child.fq_name)
                if limit is None:
                    self._limits.pop(name, None)
                else:
                    self._limits[name] = limit

    # Tables.

    def _note(self, name: InstanceName, family: Family, key: RouteKey) -> None:
        """A table's selection changed; what that means is worked out by :meth:`tick`."""
        if family is Family.ENET and isinstance(key, EnetKey):
            self._noted[name, key] = None

    def tick(self, now: float) -> None:
        """Count the moves since the last call, hold what moved too often, let go what was held."""
        for name, key in list(islice(self._noted, LOOKS_COUNT)):
            del self._noted[name, key]
            self._look(name, key, now)
        self._forget_still(now)
        for duplicate in list(self.duplicates.values()):
            if now >= duplicate.found_at + HELD_S:
                self._let_go(duplicate)

    def _forget_still(self, now: float) -> None:
        """Forget MACs that have not moved for as long as a move may count."""
        if now < self._forget_at:
            return
        self._forget_at = now + _WINDOW_S_MAX / 2
        for place, track in list(self._tracks.items()):
            if not track.moves or track.moves[-1][0] <= now - _WINDOW_S_MAX:
                del self._tracks[place]

    def _look(self, name: InstanceName, key: EnetKey, now: float) -> None:
        vrf = self._replicator.vrfs.get(name)
        if vrf is None:
            self._tracks.pop((name, key), None)
            return
        best = vrf.ribs[Family.ENET].best(key)
        if not best:
            # One that is gone may be on its way; one that was held here has no reason to be.
            held = self.duplicates.get((name, key.mac))
            if held is not None and held.is_held:
                self._let_go(held)
            return
        if not best[0].attributes.sequence_number:
            # It never moved.
            return
        hosts, sequence = _hosts(best[0]), best[0].attributes.sequence_number
        track = self._tracks.get((name, key))
        if track is None and len(self._tracks) >= TRACKS_COUNT_MAX:
            self.unwatched_count += 1
            return
        if track is None:
            # Its earlier moves are of unknown age.
            self._tracks[name, key] = _Track(hosts, sequence, deque([(now, 1)]))
            return
        count = max(sequence - track.sequence, int(hosts != track.hosts))
        track.hosts, track.sequence = hosts, sequence
        limit = self._limits.get(name, self._default)
        if count > 0:
            track.moves.append((now, count))
        while track.moves and track.moves[0][0] <= now - limit.window_s:
            track.moves.popleft()
        moves_count = sum(count for _, count in track.moves)
        if limit.moves_count and moves_count > limit.moves_count:
            self._found(Duplicate(name, key.mac, hosts, moves_count, now, limit.holds))

    def _found(self, duplicate: Duplicate) -> None:
        place = (duplicate.instance, duplicate.mac)
        if place in self.duplicates:
            return
        self.duplicates[place] = duplicate
        self.found_count += 1
        self._news.append(duplicate)
        if duplicate.is_held:
            self._replicator.hold(duplicate.instance, duplicate.mac, duplicate.hosts)

    def _let_go(self, duplicate: Duplicate) -> None:
        del self.duplicates[duplicate.instance, duplicate.mac]
        for name, key in list(self._tracks):
            if name == duplicate.instance and key.mac == duplicate.mac:
                del self._tracks[name, key]
        if duplicate.is_held:
            self._replicator.hold(duplicate.instance, duplicate.mac, None)

    def take_news(self) -> list[Duplicate]:
        """Return what was found since the last call, for the log."""
        news, self._news = self._news, []
        return news

    def rows(self, now: float) -> Iterator[Mapping[str, object]]:
        """Yield what was found, for introspection."""
        for each in self.duplicates.values():
            yield {
                "instance": each.instance,
                "mac": str(each.mac),
                "moves": each.moves_count,
                "found_s": round(now - each.found_at, 1),
                "held_at": sorted(map(str, each.hosts)) if each.is_held else [],
                "held_s": round(each.found_at + HELD_S - now, 1) if each.is_held else None,
            }


def _hosts(path: Path) -> frozenset[IpAddress]:
    return frozenset(hop.address for hop in path.next_hops)


def _limit(given: MACMoveLimitControlType | None) -> MoveLimit | None:
    """Read a limit of the configuration; zero moves mean that nothing is watched."""
    if given is None or given.mac_move_limit is None:
        return None
    return MoveLimit(
        moves_count=max(given.mac_move_limit, 0),
        window_s=float(given.mac_move_time_window or 10),
        holds=given.mac_move_limit_action in _HOLDING,
    )
