"""What the listeners behind one port want: the router's side of IGMPv3 and MLDv2. Pure.

Per group there is one state (RFC 3376 section 6): sources that are wanted, each until a time, and
with a group time also everything else but the sources that nobody wants. Reports of earlier
versions are of no source. Whoever may have been the last listener of something is asked again
before it is taken away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address

from skytrail.net import IpAddress
from skytrail.wire.igmp import Record, RecordKind

QUERY_INTERVAL_S = 125
RESPONSE_TIME_S = 10.0
LAST_RESPONSE_TIME_S = 1.0
ROBUSTNESS = 2
MEMBERSHIP_TIME_S = ROBUSTNESS * QUERY_INTERVAL_S + RESPONSE_TIME_S
LAST_MEMBER_TIME_S = ROBUSTNESS * LAST_RESPONSE_TIME_S
GROUPS_COUNT_MAX = 256
"""Of one port."""
SOURCES_COUNT_MAX = 64
"""Of one group of a port."""
_LINK_GROUPS = IPv4Network("224.0.0.0/24")
_SCOPE_LINK = 2


@dataclass(frozen=True, slots=True)
class Listening:
    """What a port takes of a group."""

    takes_all: bool = False
    """Of all sources but ``unwanted``; else of ``wanted`` alone."""
    wanted: frozenset[IpAddress] = frozenset()
    unwanted: frozenset[IpAddress] = frozenset()

    def takes(self, source: IpAddress | None) -> bool:
        """Tell whether it takes what a source sends; None: some source nobody named."""
        if source is None:
            return self.takes_all
        return source in self.wanted or (self.takes_all and source not in self.unwanted)


Groups = Mapping[IpAddress, Listening]


@dataclass(frozen=True, slots=True)
class Question:
    """To ask a port's listeners, once now and once again after a while."""

    group: IpAddress
    sources: tuple[IpAddress, ...] = ()


@dataclass(slots=True)
class _Group:
    until: float = 0.0
    """Until when sources that are not named are wanted; 0: they are not."""
    wanted: dict[IpAddress, float] = field(default_factory=dict[IpAddress, float])
    unwanted: set[IpAddress] = field(default_factory=set[IpAddress])

    @property
    def is_empty(self) -> bool:
        return not self.until and not self.wanted

    def listening(self) -> Listening:
        return Listening(bool(self.until), frozenset(self.wanted), frozenset(self.unwanted))


class PortMembership:
    """The groups of one port. ``groups`` is replaced when it changes, never changed."""

    def __init__(self) -> None:
        self.groups: Groups = {}
        self._states: dict[IpAddress, _Group] = {}

    def restore(self, groups: Groups, now: float) -> None:
        """Take for granted what was so before a restart, until listeners had time to say it."""
        until = now + MEMBERSHIP_TIME_S
        for group, listening in groups.items():
            state = _Group(until if listening.takes_all else 0.0)
            state.wanted = dict.fromkeys(listening.wanted, until)
            state.unwanted = set(listening.unwanted)
            self._states[group] = state
        self._publish()

    def receive(
        self, records: Iterable[Record], now: float, counts: Counter[str]
    ) -> list[Question]:
        """Act on a report; return whom to ask whether somebody else still listens."""
        questions: list[Question] = []
        for record in records:
            if is_of_link(record.group):
                continue
            if len(record.sources) > SOURCES_COUNT_MAX:
                counts["records with too many sources"] += 1
                continue
            state = self._states.get(record.group)
            if state is None:
                if len(self._states) >= GROUPS_COUNT_MAX:
                    counts["records of too many groups"] += 1
                    continue
                state = self._states[record.group] = _Group()
            questions += _follow(state, record, now)
            if len(state.wanted) + len(state.unwanted) > SOURCES_COUNT_MAX:
                counts["records with too many sources"] += 1
                _shorten(state)
            if state.is_empty:
                del self._states[record.group]
        self._publish()
        return questions

    def tick(self, now: float) -> None:
        """Forget what nobody repeated in time."""
        for group, state in list(self._states.items()):
            if state.until and state.until <= now:
                state.until = 0.0
                state.unwanted.clear()
            for source in [each for each, end in state.wanted.items() if end <= now]:
                del state.wanted[source]
                if state.until:
                    state.unwanted.add(source)
            if state.is_empty:
                del self._states[group]
        self._publish()

    def _publish(self) -> None:
        groups = {group: state.listening() for group, state in self._states.items()}
        if groups != self.groups:
            self.groups = groups


def is_of_link(group: IpAddress) -> bool:
    """Tell whether a group is everybody's on a link, whoever listens (RFC 4541 section 2.1.2)."""
    if isinstance(group, IPv6Address):
        return group.packed[1] & 0xF <= _SCOPE_LINK
    return group in _LINK_GROUPS


def _shorten(state: _Group) -> None:
    """Too many sources to tell apart: take every one where any is wanted (more, never less)."""
    state.until = max([state.until, *state.wanted.values()])
    state.wanted.clear()
    state.unwanted.clear()


def _follow(state: _Group, record: Record, now: float) -> list[Question]:
    """The tables of RFC 3376 section 6.4."""
    sources = dict.fromkeys(record.sources, now + MEMBERSHIP_TIME_S)
    match record.kind:
        case RecordKind.IS_INCLUDE | RecordKind.ALLOW:
            _want(state, sources)
            return []
        case RecordKind.TO_INCLUDE:
            others = [each for each in state.wanted if each not in sources]
            _want(state, sources)
            asked = _ask(state, record, others, now)
            if not state.until:
                return asked
            state.until = min(state.until, now + LAST_MEMBER_TIME_S)
            return [*asked, Question(record.group)]
        case RecordKind.IS_EXCLUDE | RecordKind.TO_EXCLUDE:
            return _exclude(state, record, sources, now)
        case RecordKind.BLOCK:
            if not state.until:
                return _ask(state, record, [s for s in sources if s in state.wanted], now)
            named = [each for each in sources if each not in state.unwanted]
            for source in named:
                state.wanted.setdefault(source, state.until)
            return _ask(state, record, named, now)


def _exclude(
    state: _Group, record: Record, sources: Mapping[IpAddress, float], now: float
) -> list[Question]:
    if state.until:
        # What nobody named before is wanted by others, as far as is known.
        state.unwanted &= sources.keys()
        fresh = {s: state.until for s in sources if s not in state.unwanted}
        state.wanted = {s: state.wanted.get(s, end) for s, end in fresh.items()}
    else:
        state.unwanted = {each for each in sources if each not in state.wanted}
        state.wanted = {s: end for s, end in state.wanted.items() if s in sources}
    state.until = now + MEMBERSHIP_TIME_S
    if record.kind is RecordKind.IS_EXCLUDE:
        return []
    return _ask(state, record, list(state.wanted), now)


def _want(state: _Group, sources: Mapping[IpAddress, float]) -> None:
    state.wanted.update(sources)
    state.unwanted.difference_update(sources)


def _ask(state: _Group, record: Record, sources: list[IpAddress], now: float) -> list[Question]:
    """These are gone soon unless somebody still wants them."""
    for source in sources:
        state.wanted[source] = min(state.wanted[source], now + LAST_MEMBER_TIME_S)
    return [Question(record.group, tuple(sources))] if sources else []
