"""Application policy sets as a stage of one port's policy: the local end of each rule is settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from itertools import product

from skytrail.agent.access_list import Selector
from skytrail.agent.port_config import Port
from skytrail.agent.prefix_set import PrefixSet
from skytrail.agent.security_sets import VALUE_BITS, AppliedSets, SecurityRule
from skytrail.agent.stage import RemoteRule, Stage
from skytrail.agent.tables import IpNetwork

_NAME = "application policy sets"


@dataclass(frozen=True, slots=True)
class _Way:
    """A rule in one direction of its two."""

    place: int
    """In the order of evaluation."""
    set_name: str
    rule: SecurityRule
    local: Selector
    remote: Selector


@dataclass(frozen=True, slots=True)
class _Ways:
    """Of one direction of packets, found by what the local end must be."""

    by_tag: dict[int, list[_Way]]
    """0: by no tag."""
    by_prefix: dict[IpNetwork, list[_Way]]
    prefixes: PrefixSet
    tags: frozenset[int]
    """What of a port's tags matters; ``kinds`` likewise."""
    kinds: frozenset[int]
    knows_networks: bool


_Inside = frozenset[tuple[int, frozenset[IpNetwork]]]
"""IP version of each address and the rules' prefixes around it."""


@dataclass(frozen=True, slots=True)
class _Local:
    """What rules can tell of a port; ports that look alike share their stages."""

    egress: bool
    tags: tuple[int, ...]
    network: str
    inside: _Inside


def security_stage(port: Port, *, egress: bool) -> Stage | None:
    """Return the stage of a port that obeys sets with rules.

    O(rules that apply to it), once for all ports that look alike to the rules.
    """
    security = port.security
    if security.missing_tags:
        names = ", ".join(security.missing_tags)
        return Stage(f"{_NAME} (tags have not arrived: {names})", True, ())
    sets = security.sets
    if sets is None:
        return None
    ways = _ways(sets, egress=egress)
    local = _Local(
        egress,
        tuple(tag for tag in security.tags if tag in ways.tags or tag >> VALUE_BITS in ways.kinds),
        port.network.name if ways.knows_networks else "",
        frozenset(
            (address.version, frozenset(ways.prefixes.covering(ip_network(address))))
            for address in port.addresses
        )
        if ways.by_prefix
        else frozenset(),
    )
    known = sets.made.get(local)
    if not isinstance(known, Stage):
        rules = tuple(_rules(ways, local))
        known = Stage(f"{_NAME} {sets.name}", True, rules)
        known = sets.made[local] = replace(known, digest=known.computed_digest)
    return known


def _ways(sets: AppliedSets, *, egress: bool) -> _Ways:
    known = sets.made.get(egress)
    if not isinstance(known, _Ways):
        known = sets.made[egress] = _index(list(_directed(sets, egress=egress)))
    return known


def _directed(sets: AppliedSets, *, egress: bool) -> Iterator[_Way]:
    for place, (set_name, rule) in enumerate(sets.rules):
        one, two = rule.ends
        sides: dict[tuple[Selector, Selector], None] = {}
        if ">" in rule.direction:
            sides[(one, two) if egress else (two, one)] = None
        if "<" in rule.direction:
            sides[(two, one) if egress else (one, two)] = None
        for local, remote in sides:
            if not (local.never or remote.never):
                yield _Way(place, set_name, rule, local, remote)


def _index(ways: list[_Way]) -> _Ways:
    counts = Counter(tag for way in ways for tag in way.local.tags)
    by_tag: dict[int, list[_Way]] = {}
    by_prefix: dict[IpNetwork, list[_Way]] = {}
    for way in ways:
        for prefix in way.local.prefixes:
            by_prefix.setdefault(prefix, []).append(way)
        if not way.local.prefixes:
            # By its rarest tag, a way is looked at for the fewest ports.
            handle = min(way.local.tags, key=lambda tag: (counts[tag], tag), default=0)
            by_tag.setdefault(handle, []).append(way)
    return _Ways(
        by_tag,
        by_prefix,
        PrefixSet(by_prefix),
        frozenset(counts),
        frozenset(kind for way in ways for kind in way.rule.match_kinds),
        any(way.local.network for way in ways),
    )


def _rules(ways: _Ways, local: _Local) -> Iterator[RemoteRule]:
    tags = frozenset(local.tags)
    found = [way for handle in (0, *local.tags) for way in ways.by_tag.get(handle, ())]
    around = frozenset(prefix for _, covering in local.inside for prefix in covering)
    found += [way for prefix in around for way in ways.by_prefix[prefix]]
    applying = {
        (way.place, way.local, way.remote): way
        for way in found
        if tags.issuperset(way.local.tags) and way.local.network in {"", local.network}
    }
    for way in sorted(applying.values(), key=lambda way: way.place):
        yield from _settled(way, local)


def _settled(way: _Way, local: _Local) -> Iterator[RemoteRule]:
    """Yield the rule as it reads where the port is the local end."""
    rule = way.rule
    versions = _versions(way.local, local.inside, allow=rule.allow)
    remotes = list(_alike(way, local.tags))
    for version, remote, service in product(versions, remotes, rule.services):
        yield RemoteRule(
            name=f"{way.set_name}#{rule.uuid}",
            allow=rule.allow,
            protocol=service.protocol,
            version=version,
            remote=remote,
            source_ports=service.source_ports,
            destination_ports=service.destination_ports,
            copied=rule.copied,
            notes=rule.notes,
            qos=rule.qos,
        )


def _alike(way: _Way, tags: Iterable[int]) -> Iterator[Selector]:
    """Yield the remote side with what it must have like the local one; nothing if that lacks it."""
    if not way.rule.match_kinds:
        yield way.remote
        return
    listed = list(tags)
    values = ([tag for tag in listed if tag >> VALUE_BITS == kind] for kind in way.rule.match_kinds)
    for alike in product(*values):
        yield replace(way.remote, tags=tuple(sorted({*way.remote.tags, *alike})))


def _versions(local: Selector, inside: _Inside, *, allow: bool) -> tuple[int | None, ...]:
    """Return for which IP versions the local address is inside; (None,) = whatever it is.

    Rows do not see the local address. A port with addresses of one version on both sides of the
    line fails closed: rules that allow need all of them inside, rules that deny only one.
    """
    if not local.prefixes:
        return (None,)
    found: list[int] = []
    for version in (4, 6):
        met = [not around.isdisjoint(local.prefixes) for each, around in inside if each == version]
        if met and (all(met) if allow else any(met)):
            found.append(version)
    return tuple(found)
