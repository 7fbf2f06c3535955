"""What the listeners behind one port want: the router's side of IGMPv3 and MLDv2. Pure.

Per group there is one state (RFC 3376 section 6): sources that are wanted, each until a time, and
with a group time also everything else but the sources that nobody wants. Reports of earlier
versions are of no source; while somebody sends them, what those cannot tell apart is not taken from
others either. Whoever may have been the last listener of something is asked again
before it is taken away. A port that leaves and joins all the time is let go slowly: it gets more
than it wants, and nobody else hears of each change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
LOSSES_BURST = 1024
"""Groups and sources that a port may stop listening to at once."""
LOSSES_PER_S = 8
NEWEST = {4: 4, 6: 2}
"""The flag of the latest version of IGMP and of MLD, the only ones that know sources."""
_LINK_GROUPS = IPv4Network("224.0.0.0/24")
_SCOPE_LINK = 2


@dataclass(frozen=True, slots=True)
class Listening:
    """What a port takes of a group."""

    takes_all: bool = False
    """Of all sources but ``unwanted``; else of ``wanted`` alone."""
    wanted: frozenset[IpAddress] = frozenset()
    unwanted: frozenset[IpAddress] = frozenset()
    versions: int = 0
    """Of the protocol that its listeners speak (RFC 9251 section 9.1); 0: not known."""

    def takes(self, source: IpAddress | None) -> bool:
        """Tell whether it takes what a source sends; None: some source nobody named."""
        if source is None:
            return self.takes_all
        return source in self.wanted or (self.takes_all and source not in self.unwanted)


Groups = Mapping[IpAddress, Listening]
_NOTHING = Listening()


def joined(listenings: Iterable[Listening]) -> Listening:
    """Return what takes whatever any of these takes, and nothing else."""
    all_of = list(listenings)
    versions = 0
    for each in all_of:
        versions |= each.versions
    wanted = frozenset[IpAddress]().union(*(each.wanted for each in all_of))
    refusals = [each.unwanted for each in all_of if each.takes_all]
    if not refusals:
        return Listening(wanted=wanted, versions=versions)
    unwanted = frozenset.intersection(*refusals) - wanted
    return Listening(takes_all=True, wanted=wanted, unwanted=unwanted, versions=versions)


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
    versions: int = 0
    older_until: float = 0.0
    """Until when a listener is taken to be there that knows no sources."""
    first_until: float = 0.0
    """Likewise one of IGMPv1, which does not answer questions about one group."""

    @property
    def is_empty(self) -> bool:
        return not self.until and not self.wanted

    def listening(self) -> Listening:
        wanted, unwanted = frozenset(self.wanted), frozenset(self.unwanted)
        return Listening(bool(self.until), wanted, unwanted, self.versions)


class PortMembership:
    """The groups of one port. ``groups`` is replaced when it changes, never changed."""

    def __init__(self) -> None:
        self.groups: Groups = {}
        self.is_held = False
        """It left too much lately: what it listens to no longer is kept for a while."""
        self._losses_left = float(LOSSES_BURST)
        self._counted_at = 0.0
        self._states: dict[IpAddress, _Group] = {}

    def restore(self, groups: Groups, now: float) -> None:
        """Take for granted what was so before a restart, until listeners had time to say it."""
        until = now + MEMBERSHIP_TIME_S
        for group, listening in groups.items():
            state = _Group(until if listening.takes_all else 0.0)
            state.wanted = dict.fromkeys(listening.wanted, until)
            state.unwanted = set(listening.unwanted)
            state.versions = listening.versions
            self._states[group] = state
        self._publish(now)

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
            heard = _as_far_as_all_understand(state, record, now)
            questions += _follow(state, heard, now) if heard is not None else []
            if record.kind is not RecordKind.TO_INCLUDE or record.sources:
                state.versions |= record.versions
            if len(state.wanted) + len(state.unwanted) > SOURCES_COUNT_MAX:
                counts["records with too many sources"] += 1
                _shorten(state)
            if state.is_empty:
                del self._states[record.group]
        self._publish(now)
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
        self._publish(now)

    def _publish(self, now: float) -> None:
        groups: Groups = {group: state.listening() for group, state in self._states.items()}
        lost = _losses(self.groups, groups)
        self.is_held = bool(lost) and not self._may_lose(lost, now)
        if self.is_held:
            groups = _grown(self.groups, groups)
        if groups != self.groups:
            self.groups = groups

    def _may_lose(self, count: int, now: float) -> bool:
        left = self._losses_left + max(now - self._counted_at, 0.0) * LOSSES_PER_S
        self._losses_left, self._counted_at = min(left, float(LOSSES_BURST)), now
        needed = min(count, LOSSES_BURST)
        if self._losses_left < needed:
            return False
        self._losses_left -= needed
        return True


def is_of_link(group: IpAddress) -> bool:
    """Tell whether a group is everybody's on a link, whoever listens (RFC 4541 section 2.1.2)."""
    if isinstance(group, IPv6Address):
        return group.packed[1] & 0xF <= _SCOPE_LINK
    return group in _LINK_GROUPS


def _losses(before: Groups, after: Groups) -> int:
    """Count what is no longer taken."""
    count = 0
    for group, old in before.items():
        new = after.get(group, _NOTHING)
        if new is old or new == old:
            continue
        count += old.takes_all and not new.takes_all
        count += len(old.wanted - new.wanted) + len(new.unwanted - old.unwanted)
    return count


def _grown(before: Groups, after: Groups) -> Groups:
    """Return what takes both, as far as there is room."""
    grown = dict(before)
    for group, new in after.items():
        if group not in grown and len(grown) >= 2 * GROUPS_COUNT_MAX:
            continue
        both = joined((grown.get(group, _NOTHING), new))
        if len(both.wanted) > 2 * SOURCES_COUNT_MAX:
            both = Listening(takes_all=True, versions=both.versions)
        grown[group] = both
    return grown


def _shorten(state: _Group) -> None:
    """Too many sources to tell apart: take every one where any is wanted (more, never less)."""
    state.until = max([state.until, *state.wanted.values()])
    state.wanted.clear()
    state.unwanted.clear()


def _as_far_as_all_understand(state: _Group, record: Record, now: float) -> Record | None:
    """Return what counts of a record while there are listeners of earlier versions; None: nothing.

    RFC 3376 section 7.3.2, RFC 3810 section 8.3.2.
    """
    if 0 < record.versions < NEWEST[record.group.version]:
        state.older_until = now + MEMBERSHIP_TIME_S
        if record.group.version == 4 and record.versions == 1:
            state.first_until = state.older_until
        return record
    if now >= state.older_until:
        return record
    match record.kind:
        case RecordKind.BLOCK:
            return None
        case RecordKind.TO_INCLUDE if now < state.first_until:
            return None
        case RecordKind.TO_EXCLUDE:
            return replace(record, sources=())
        case _:
            return record


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
        is_new = record.kind is RecordKind.TO_EXCLUDE
        fresh = {
            source: state.until if is_new else end
            for source, end in sources.items()
            if source not in state.unwanted
        }
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
