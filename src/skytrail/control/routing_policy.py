"""Routing policies: ordered terms that match paths and accept, reject or change them.

They are applied where a path enters an instance's table, own and imported ones alike; what an
instance exports has been changed by its own policies before, not by those of whoever imports it.
The first term that accepts or rejects decides; without any the path is accepted as the terms left it.
A condition that cannot be read matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar

from skytrail.control.bgp_values import community_number, community_text
from skytrail.control.community_expression import expression_of
from skytrail.control.path import Path
from skytrail.net import BROADCAST_MAC, RouteTarget
from skytrail.wire.bgp import AsSegment, AsSegmentKind
from skytrail.wire.bgp.communities import text_of as extended_text
from skytrail.wire.xmpp import EnetKey

IpPrefix = IPv4Network | IPv6Network
_EVPN_MAC_IP = 2
_EVPN_INCLUSIVE = 3
_EVPN_PREFIX = 5
_EVPN_SELECTIVE = 6
_EXTENDED_HEX_DIGITS = 16
_TARGET_NAMES = frozenset({"target", "rt"})
_ORIGIN_NAMES = frozenset({"origin", "soo"})
_ORIGIN_SUBTYPE = b"\3"


@dataclass(frozen=True, slots=True)
class PrefixRange:
    """Prefixes inside ``prefix`` with a length in the range."""

    prefix: IpPrefix
    length_min: int
    length_max: int
    through: IpPrefix | None = None
    """Set: only those on the way from ``prefix`` to this one."""

    def covers(self, other: IpPrefix) -> bool:
        return (
            other.version == self.prefix.version
            and self.length_min <= other.prefixlen <= self.length_max
            and other.prefixlen >= self.prefix.prefixlen
            and other.network_address in self.prefix
            and (self.through is None or self.through.network_address in other)
        )


@dataclass(frozen=True, slots=True)
class CommunityPattern:
    """A community, or a regular expression that the whole of its text must match."""

    text: str

    def matches(self, found: Iterable[str]) -> bool:
        number = community_number(self.text)
        if number:
            return community_text(number) in found
        expression = expression_of(self.text)
        return expression is not None and any(map(expression.matches, found))


@dataclass(frozen=True, slots=True)
class ExtendedPattern:
    """An extended community, or a regular expression that the whole of its text must match."""

    text: str

    def matches(self, found: Iterable[bytes]) -> bool:
        exact = extended_community(self.text)
        if exact is not None:
            return exact in found
        expression = expression_of(self.text)
        return expression is not None and any(map(expression.matches, map(extended_text, found)))


@dataclass(frozen=True, slots=True)
class Match:
    """What a term is about; what is empty does not matter, everything else must hold."""

    protocols: frozenset[str] = frozenset()
    prefixes: tuple[PrefixRange, ...] | None = None
    """None: any; empty: what was named could not be read, so nothing."""
    communities: tuple[CommunityPattern, ...] = ()
    communities_all: bool = False
    extended: tuple[ExtendedPattern, ...] = ()
    extended_all: bool = False
    local_preference: int | None = None
    as_numbers: tuple[int, ...] = ()
    route_types: frozenset[int] = frozenset()
    family: str = ""
    never: bool = False
    """A condition that no path here can have."""

    def covers(self, path: Path) -> bool:
        return not self.never and all(self._conditions(path))

    def _conditions(self, path: Path) -> Iterator[bool]:
        if self.protocols:
            yield not self.protocols.isdisjoint(protocols_of(path))
        if self.prefixes is not None:
            key = path.key
            yield not isinstance(key, EnetKey) and any(each.covers(key) for each in self.prefixes)
        if self.communities:
            found = communities_of(path)
            some = all if self.communities_all else any
            yield some(pattern.matches(found) for pattern in self.communities)
        if self.extended:
            carried = extended_of(path)
            some = all if self.extended_all else any
            yield some(pattern.matches(carried) for pattern in self.extended)
        if self.local_preference is not None:
            yield path.attributes.local_preference == self.local_preference
        if self.as_numbers:
            numbers = {number for segment in as_path_of(path) for number in segment.numbers}
            yield numbers.issuperset(self.as_numbers)
        if self.route_types:
            yield _route_type(path) in self.route_types
        if self.family:
            yield _is_of_family(path, self.family)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a term rewrites; None: left as it is."""

    local_preference: int | None = None
    med: int | None = None
    prepended: tuple[int, ...] = ()
    communities_set: tuple[str, ...] | None = None
    communities_added: tuple[str, ...] = ()
    communities_removed: tuple[str, ...] = ()
    extended_set: tuple[bytes, ...] | None = None
    extended_added: tuple[bytes, ...] = ()
    extended_removed: tuple[bytes, ...] = ()

    def apply(self, path: Path) -> Path:
        """Return the changed path."""
        attributes = path.attributes
        if self.local_preference is not None:
            attributes = replace(attributes, local_preference=self.local_preference)
        if self.med is not None:
            attributes = replace(attributes, med=self.med)
        communities = _edited(
            communities_of(path),
            self.communities_set,
            (self.communities_added, self.communities_removed),
        )
        attributes = replace(attributes, communities=communities)
        extended = _edited(
            extended_of(path), self.extended_set, (self.extended_added, self.extended_removed)
        )
        as_path = _prepended(self.prepended, as_path_of(path))
        targets = frozenset(_targets(extended))
        learned = path.learned
        if learned is None:
            return replace(path, attributes=attributes, as_path=as_path, targets=targets)
        told = replace(
            learned.attributes,
            local_preference=attributes.local_preference,
            med=attributes.med or None,
            communities=tuple(sorted(map(community_number, communities))),
            extended_communities=extended,
            as_path=as_path,
        )
        learned = replace(learned, attributes=told, as_path_length=told.as_path_length)
        return replace(path, attributes=attributes, learned=learned, targets=targets)


@dataclass(frozen=True, slots=True)
class Term:
    match: Match
    changes: Changes | None
    outcome: str
    """``accept``, ``reject``, ``term`` or ``policy``: what comes next."""


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    name: str
    terms: tuple[Term, ...]


Policies = tuple[RoutePolicy, ...]
"""Those of an instance, in their order."""


def admit(policies: Policies, path: Path) -> Path:
    """Return a path as an instance with these policies has it; the same object if untouched."""
    original, current = path, path
    for policy in policies:
        for term in policy.terms:
            if not term.match.covers(current):
                continue
            if term.changes is not None:
                current = term.changes.apply(current)
            match term.outcome:
                case "accept":
                    return _kept(original, current)
                case "reject":
                    return replace(current, rejected_by=policy.name, original=original)
                case "policy":
                    break
                case _:
                    continue
    return _kept(original, current)


def _kept(original: Path, current: Path) -> Path:
    return original if current == original else replace(current, original=original)


def protocols_of(path: Path) -> set[str]:
    """Return the names by which policies know where a path is from."""
    if path.made is not None:
        return {path.made.kind}
    if path.learned is not None:
        return {"bgpaas"} if path.instance else {"bgp"}
    return {"xmpp", path.attributes.sub_protocol} - {""}


def communities_of(path: Path) -> tuple[str, ...]:
    if path.learned is not None:
        return tuple(map(community_text, path.learned.attributes.communities))
    return path.attributes.communities


def extended_of(path: Path) -> tuple[bytes, ...]:
    """Return extended communities; of a path that is not learned only its targets are such."""
    if path.learned is not None:
        return path.learned.attributes.extended_communities
    return tuple(sorted(target.packed for target in path.targets))


def as_path_of(path: Path) -> tuple[AsSegment, ...]:
    return path.learned.attributes.as_path if path.learned is not None else path.as_path


def extended_community(text: str) -> bytes | None:
    """Read ``target:<AS or address>:<number>`` (``rt:`` as well), the same with ``origin:`` or
    ``soo:`` for a site of origin, or sixteen hexadecimal digits.
    """
    kind, _, rest = text.partition(":")
    if kind in _TARGET_NAMES or kind in _ORIGIN_NAMES:
        try:
            target = RouteTarget.parse(f"target:{rest}").packed
        except ValueError:
            return None
        if kind in _TARGET_NAMES:
            return target
        return target[:1] + _ORIGIN_SUBTYPE + target[2:]
    digits = text.removeprefix("0x")
    try:
        return bytes.fromhex(digits) if len(digits) == _EXTENDED_HEX_DIGITS else None
    except ValueError:
        return None


def prefix_range(text: str, kind: str, value: str = "") -> PrefixRange | None:
    """Read a prefix and how others are compared with it; None for what cannot be read."""
    try:
        prefix = ip_network(text, strict=False)
        own, longest = prefix.prefixlen, prefix.max_prefixlen
        match kind:
            case "" | "exact":
                return PrefixRange(prefix, own, own)
            case "longer":
                return PrefixRange(prefix, own + 1, longest)
            case "orlonger":
                return PrefixRange(prefix, own, longest)
            case "upto":
                return PrefixRange(prefix, own, int(value.strip("/ ")))
            case "prefix-length-range":
                first, _, last = value.partition("-")
                return PrefixRange(prefix, int(first.strip("/ ")), int(last.strip("/ ")))
            case "through":
                last = ip_network(value.strip(), strict=False)
                inside = last.version == prefix.version and last.network_address in prefix
                return PrefixRange(prefix, own, last.prefixlen, last) if inside else None
            case _:
                return None
    except ValueError:
        return None


T = TypeVar("T", str, bytes)


def _edited(
    present: tuple[T, ...], wanted: tuple[T, ...] | None, edits: tuple[tuple[T, ...], tuple[T, ...]]
) -> tuple[T, ...]:
    added, removed = edits
    base = present if wanted is None else wanted
    kept = [each for each in (*base, *added) if each not in removed]
    return tuple(dict.fromkeys(kept))


def _targets(extended: Iterable[bytes]) -> Iterator[RouteTarget]:
    for each in extended:
        try:
            yield RouteTarget(each)
        except ValueError:
            # Some other extended community.
            continue


def _prepended(numbers: tuple[int, ...], as_path: tuple[AsSegment, ...]) -> tuple[AsSegment, ...]:
    return (AsSegment(AsSegmentKind.SEQUENCE, numbers), *as_path) if numbers else as_path


def _route_type(path: Path) -> int:
    key = path.key
    if isinstance(key, EnetKey):
        if key.group is not None:
            return _EVPN_SELECTIVE
        is_inclusive = key.mac == BROADCAST_MAC and key.address is not None
        return _EVPN_INCLUSIVE if is_inclusive else _EVPN_MAC_IP
    return _EVPN_PREFIX if path.learned is not None and path.learned.is_prefix_route else 0


def _is_of_family(path: Path, family: str) -> bool:
    match family:
        case "inet":
            return isinstance(path.key, IPv4Network)
        case "evpn":
            return _route_type(path) != 0
        case _:
            return not isinstance(path.key, EnetKey)
