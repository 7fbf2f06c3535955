"""Route target constraint (RFC 4684): who wants VPN routes with which targets, and who is told so.

```
 instances with subscribers --want--> own --+
 peers' memberships --put/remove--> table --+--> told(peer): what others want of the peer
 peers without the family: everything ------+--> Interest per peer: what may be sent to it
```
What one peer is told depends on what all *others* want, never on one best path: two routers of an
AS name the same membership alike, and a best path would hide one of them behind the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import islice
from typing import TypeVar

from skytrail.control.bgp_export import prepend
from skytrail.control.path import InstanceName, PeerName
from skytrail.net import RouteTarget
from skytrail.wire.bgp import Attributes, RouteTargetNlri
from skytrail.wire.bgp.attributes import DEFAULT_LOCAL_PREFERENCE, ORIGIN_IGP

EVERYTHING = RouteTargetNlri(bits=0)
"""The default membership: routes with whatever targets, and those with none."""
BEGINNINGS_COUNT_MAX = 64
"""Who names more ranges of targets than this gets everything: each is compared with each route."""
_ORIGIN_BITS = 32
_TARGET_BITS = 64
OWN = PeerName("")
_OURS = Attributes(origin=ORIGIN_IGP)
_UNTOLD = Attributes()
TAKEN_COUNT = 500
"""Memberships that are told in one go: a few milliseconds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interest:
    """Which VPN routes somebody wants; equal interests compare equal."""

    is_everything: bool = False
    targets: frozenset[RouteTarget] = frozenset()
    beginnings: frozenset[tuple[int, int]] = frozenset()
    """(count of leading bits of a target, their value), for memberships that name no whole one."""

    def covers(self, targets: frozenset[RouteTarget]) -> bool:
        """Tell whether a route with these targets is wanted."""
        if self.is_everything or not self.targets.isdisjoint(targets):
            return True
        return any(
            int.from_bytes(target.packed) >> (_TARGET_BITS - bits) == value
            for bits, value in self.beginnings
            for target in targets
        )


NOTHING = Interest()


class Asked:
    """What one peer asks for: its memberships, and the interest they are together.

    The origin AS does not matter for that (RFC 4684 section 3). What was said before a
    :meth:`doubt` is stale until it is said again.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._members: dict[RouteTargetNlri, int] = {}
        self._targets: dict[RouteTarget, int] = {}
        """How many memberships name each."""
        self._beginnings: dict[tuple[int, int], int] = {}
        self._defaults_count = 0
        self._is_doubted = False
        self._interest: Interest | None = NOTHING
        """None: to be worked out."""

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[RouteTargetNlri]:
        return iter(self._members)

    def __contains__(self, nlri: RouteTargetNlri) -> bool:
        return nlri in self._members

    @property
    def stale_count(self) -> int:
        return sum(each != self.generation for each in self._members.values())

    def is_before(self, nlri: RouteTargetNlri, generation: int) -> bool:
        """Tell whether a membership was last said before a generation began."""
        return self._members.get(nlri, generation) < generation

    def doubt(self) -> None:
        """All of it is to be said again."""
        self.generation += 1
        self._is_doubted = True

    def settle(self) -> bool:
        """It has been said again; False if it was not in doubt."""
        was_doubted, self._is_doubted = self._is_doubted, False
        return was_doubted

    def add(self, nlri: RouteTargetNlri) -> bool:
        """Note a membership; True if it is a new one."""
        is_new = nlri not in self._members
        self._members[nlri] = self.generation
        if is_new:
            self._count(nlri, 1)
        return is_new

    def discard(self, nlri: RouteTargetNlri) -> bool:
        """Forget a membership; False if there was none."""
        if self._members.pop(nlri, None) is None:
            return False
        self._count(nlri, -1)
        return True

    @property
    def interest(self) -> Interest:
        """Which routes are asked for; a few milliseconds for 100,000 targets, if they changed."""
        if self._interest is None:
            if self._defaults_count or len(self._beginnings) > BEGINNINGS_COUNT_MAX:
                self._interest = Interest(is_everything=True)
            else:
                self._interest = Interest(
                    targets=frozenset(self._targets), beginnings=frozenset(self._beginnings)
                )
        return self._interest

    def _count(self, nlri: RouteTargetNlri, by: int) -> None:
        self._interest = None
        bits = nlri.bits - _ORIGIN_BITS
        if bits <= 0:
            self._defaults_count += by
        elif bits < _TARGET_BITS:
            beginning = (bits, int.from_bytes(nlri.target) >> (_TARGET_BITS - bits))
            _add(self._beginnings, beginning, by)
        else:
            try:
                target = RouteTarget(nlri.target)
            except ValueError:
                # Some other extended community; no route is imported by it.
                return
            _add(self._targets, target, by)


def _add(counts: dict[T, int], key: T, by: int) -> None:
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        del counts[key]


@dataclass(slots=True)
class Listener:
    """A peer that is told memberships, and how."""

    name: PeerName
    asn: int
    local_asn: int
    cluster_id: IPv4Address | None
    """Ours, when internal peers are our clients."""
    takes_everything: bool
    """May be told the default membership, which stops some implementations."""
    told: dict[RouteTargetNlri, Attributes] = field(
        default_factory=dict[RouteTargetNlri, Attributes]
    )
    pending: dict[RouteTargetNlri, None] = field(default_factory=dict[RouteTargetNlri, None])

    @property
    def is_external(self) -> bool:
        return self.asn != self.local_asn


@dataclass(frozen=True, slots=True)
class _Source:
    attributes: Attributes
    is_external: bool


class Memberships:
    """Every membership by who asks for it. ``asn`` is our AS number."""

    def __init__(self, asn: int, router_id: IPv4Address) -> None:
        self._asn = asn
        self._router_id = router_id
        self._sources: dict[RouteTargetNlri, dict[PeerName, _Source]] = {}
        self._listeners: dict[PeerName, Listener] = {}
        self._wanted: dict[RouteTarget, int] = {}
        self._instances: dict[InstanceName, frozenset[RouteTarget]] = {}

    # What we want ourselves.

    def want(self, instance: InstanceName, targets: frozenset[RouteTarget]) -> None:
        """An instance imports these targets and has readers; empty: it wants nothing (more)."""
        before = self._instances.pop(instance, frozenset())
        if targets:
            self._instances[instance] = targets
        for target in sorted(targets - before):
            count = self._wanted.get(target, 0)
            self._wanted[target] = count + 1
            if not count:
                self.put(OWN, self._membership(target), _OURS, is_external=False)
        for target in sorted(before - targets):
            self._wanted[target] -= 1
            if not self._wanted[target]:
                del self._wanted[target]
                self.remove(OWN, self._membership(target))

    def _membership(self, target: RouteTarget) -> RouteTargetNlri:
        return RouteTargetNlri(self._asn, target.packed)

    # What peers want.

    def put(
        self,
        source: PeerName,
        nlri: RouteTargetNlri,
        attributes: Attributes,
        *,
        is_external: bool,
    ) -> None:
        """A peer wants this; ``EVERYTHING`` for one that cannot say."""
        self._sources.setdefault(nlri, {})[source] = _Source(attributes, is_external)
        self._changed(nlri)

    def remove(self, source: PeerName, nlri: RouteTargetNlri) -> None:
        """A peer wants it no more; unknown ones are ignored."""
        sources = self._sources.get(nlri)
        if sources is None or sources.pop(source, None) is None:
            return
        if not sources:
            del self._sources[nlri]
        self._changed(nlri)

    def _changed(self, nlri: RouteTargetNlri) -> None:
        for listener in self._listeners.values():
            listener.pending[nlri] = None

    # What peers are told.

    def join(self, listener: Listener) -> None:
        """Tell a peer everything from now on; joining again starts anew."""
        listener.pending = dict.fromkeys(self._sources)
        self._listeners[listener.name] = listener

    def repeat(self, name: PeerName) -> None:
        """Tell a peer again what it has been told."""
        listener = self._listeners.get(name)
        if listener is not None:
            # An entry that equals nothing: whatever is still true differs from it.
            listener.told = dict.fromkeys(listener.told, _UNTOLD)
            listener.pending.update(dict.fromkeys(listener.told))

    def leave(self, name: PeerName) -> None:
        self._listeners.pop(name, None)

    def has_news(self) -> list[PeerName]:
        """Return the peers for whom :meth:`take` may have something."""
        return [name for name, listener in self._listeners.items() if listener.pending]

    def has_news_for(self, name: PeerName) -> bool:
        listener = self._listeners.get(name)
        return listener is not None and bool(listener.pending)

    def take(
        self, name: PeerName
    ) -> tuple[dict[Attributes, list[RouteTargetNlri]], list[RouteTargetNlri]]:
        """Return what to tell a peer: memberships by their attributes, and those to take back.

        That is up to ``TAKEN_COUNT`` of them; there may be more.
        """
        listener = self._listeners.get(name)
        reach: dict[Attributes, list[RouteTargetNlri]] = {}
        gone: list[RouteTargetNlri] = []
        if listener is None:
            return reach, gone
        # Most of them were said with the same attributes, and comparing these takes longest.
        said: dict[tuple[int, bool], Attributes] = {}
        for nlri in list(islice(listener.pending, TAKEN_COUNT)):
            del listener.pending[nlri]
            chosen = self._chosen(nlri, listener)
            attributes = None
            if chosen is not None:
                known = (id(chosen[1].attributes), chosen[0] == OWN)
                attributes = said.get(known)
                if attributes is None:
                    attributes = said[known] = self._attributes(*chosen, listener)
            before = listener.told.get(nlri)
            if attributes is None:
                if before is not None:
                    del listener.told[nlri]
                    gone.append(nlri)
            elif attributes != before:
                listener.told[nlri] = attributes
                reach.setdefault(attributes, []).append(nlri)
        return reach, gone

    def sources(self) -> dict[RouteTargetNlri, list[PeerName]]:
        """Return who wants what, ourselves by the empty name."""
        return {nlri: list(sources) for nlri, sources in self._sources.items()}

    def told(self, name: PeerName) -> frozenset[RouteTargetNlri]:
        listener = self._listeners.get(name)
        return frozenset() if listener is None else frozenset(listener.told)

    def _chosen(self, nlri: RouteTargetNlri, listener: Listener) -> tuple[PeerName, _Source] | None:
        """Return whose membership is told to a peer, ``None`` when nobody else has it."""
        if nlri == EVERYTHING and not listener.takes_everything:
            return None
        candidates = [
            (source.attributes.as_path_length, name, source)
            for name, source in self._sources.get(nlri, {}).items()
            if name != listener.name and _passes(name, source, listener)
        ]
        if not candidates:
            return None
        # Ourselves first: the empty name and the empty path.
        _, name, source = min(candidates, key=lambda row: row[:2])
        return name, source

    def _attributes(self, name: PeerName, source: _Source, listener: Listener) -> Attributes:
        """Return how a membership of somebody's is told to a peer."""
        attributes = replace(
            source.attributes, med=None, communities=(), extended_communities=(), unknown=()
        )
        if listener.is_external:
            return replace(
                attributes,
                as_path=prepend(attributes.as_path, listener.local_asn),
                local_preference=None,
                originator=None,
                cluster_list=(),
            )
        attributes = replace(attributes, local_preference=DEFAULT_LOCAL_PREFERENCE)
        if name == OWN or source.is_external or listener.cluster_id is None:
            return replace(attributes, originator=None, cluster_list=())
        # RFC 4684 section 3.2: to clients the reflector itself is the originator, so that one
        # who asks for the same does not take the route for its own.
        return replace(
            attributes,
            originator=self._router_id,
            cluster_list=(listener.cluster_id, *attributes.cluster_list),
        )


def membership_text(nlri: RouteTargetNlri) -> str:
    """Return origin AS and target for people, ``everything`` for the default membership."""
    if nlri == EVERYTHING:
        return "everything"
    if nlri.bits < _ORIGIN_BITS + _TARGET_BITS:
        return f"{nlri.asn}:{nlri.target.hex()}/{nlri.bits}"
    try:
        return f"{nlri.asn}:{RouteTarget(nlri.target)}"
    except ValueError:
        return f"{nlri.asn}:{nlri.target.hex()}"


def _passes(name: PeerName, source: _Source, listener: Listener) -> bool:
    """Tell whether what ``listener`` says of VPN routes is passed on to the source."""
    is_internal = not source.is_external and not listener.is_external
    return name == OWN or not is_internal or listener.cluster_id is not None
