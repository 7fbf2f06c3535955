"""Speakers and peerings of the configuration: this node's own BGP settings and its peers'.

A ``bgp-router`` object is a speaker; a reference between two of them is a peering, whichever side
holds it. Its sessions may carry attributes for one end (named by ``bgp_router``) or for both. What
an end does not say comes from its ``bgp-router``, then from the defaults here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from skytrail.control.restart_timers import RestartTimers, restart_timers
from skytrail.model.generated.objects import BgpRouter
from skytrail.model.generated.types import (
    AddressFamilies,
    AuthenticationData,
    BgpFamilyAttributes,
    BgpRouterParams,
    BgpSessionAttributes,
)
from skytrail.model.graph import ObjectGraph
from skytrail.net.decimal_text import bounded
from skytrail.wire.bgp import BgpFamily

BGP_ROUTER = "bgp-router"
PORT = 179
HOLD_TIME_S = 90
CONTROL_NODES = frozenset({"control-node", "external-control-node"})
"""Of this installation, and of another one."""
ROUTER = "router"
WORKLOAD_ROUTERS = frozenset({"bgpaas-client", "bgpaas-server"})
DEFAULT_MEMBERSHIP_STOPS = frozenset({"gobgp"})
"""Vendors of routers that end when they are sent the default membership (RFC 4684)."""
TTL_ANNOTATION = "bgp-ttl-security"
BFD_ANNOTATION = "bfd"
BFD_INTERVAL_ANNOTATION = "bfd-interval-ms"
BFD_MULTIPLIER_ANNOTATION = "bfd-multiplier"
ASSISTED_REPLICATION_ANNOTATION = "bgp-assisted-replication"
SELECTIVE_MULTICAST_ANNOTATION = "bgp-selective-multicast"
BFD_KINDS = ("single-hop", "multihop")

FAMILY_NAMES = {
    "inet": BgpFamily.INET,
    "inet6": BgpFamily.INET6,
    "inet-labeled": BgpFamily.INET_LABELLED,
    "inet-vpn": BgpFamily.INET_VPN,
    "inet6-vpn": BgpFamily.INET6_VPN,
    "e-vpn": BgpFamily.EVPN,
    "erm-vpn": BgpFamily.ERMVPN,
    "route-target": BgpFamily.ROUTE_TARGET,
    "inet-mvpn": BgpFamily.MVPN,
}
CARRIED = (
    BgpFamily.INET_VPN,
    BgpFamily.INET6_VPN,
    BgpFamily.EVPN,
    BgpFamily.ROUTE_TARGET,
    BgpFamily.INET,
    BgpFamily.INET6,
    BgpFamily.INET_LABELLED,
    BgpFamily.ERMVPN,
    BgpFamily.MVPN,
)
"""Families a session may have, in the order they are offered."""
DEFAULT_FAMILIES = CARRIED[:4]
"""What is offered where nothing is listed: what instances are made of, and who wants what of it."""
CONTROL_NODE_FAMILIES = (*DEFAULT_FAMILIES, BgpFamily.ERMVPN)
"""The same for a control node, which knows overlay trees as well."""
EXTENDED_NEXT_HOP = (BgpFamily.INET_VPN, BgpFamily.INET, BgpFamily.INET_LABELLED)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Our own end."""

    name: str
    asn: int
    router_id: IPv4Address
    cluster_id: IPv4Address | None = None
    """Set: a route reflector, whose internal peers are its clients."""
    hold_time_s: int = HOLD_TIME_S
    families: tuple[BgpFamily, ...] = DEFAULT_FAMILIES
    timers: RestartTimers = field(default_factory=RestartTimers)


@dataclass(frozen=True, slots=True)
class BfdConfig:
    """How a peer's life is watched (RFC 5880): sent and expected so often, given up after so many."""

    is_multihop: bool = False
    interval_ms: int = 300
    multiplier: int = 3


@dataclass(frozen=True, slots=True)
class BgpPeerConfig:
    """One peer, everything resolved."""

    name: str
    address: IPv4Address | IPv6Address
    asn: int
    local_asn: int
    port: int = PORT
    hold_time_s: int = HOLD_TIME_S
    families: tuple[BgpFamily, ...] = DEFAULT_FAMILIES
    is_passive: bool = False
    takes_default_membership: bool = True
    """May be told that somebody wants all VPN routes (RFC 4684)."""
    is_control_node: bool = False
    """A control node, ours or another installation's: it has no use for a route in two forms."""
    is_router: bool = False
    """Nothing but a router: what it says of itself belongs to none of our networks."""
    is_down: bool = False
    """Kept closed by its administrator."""
    as_override: bool = False
    private_as_action: str = ""
    loop_count: int = 0
    """How often our own AS may stand in a path."""
    prefix_limits: tuple[tuple[BgpFamily, int], ...] = ()
    prefix_limit_pause_s: int = 0
    """How long a peer over its limit is left alone; 0: the default."""
    default_encapsulations: tuple[tuple[BgpFamily, tuple[str, ...]], ...] = ()
    """What routes without an encapsulation are taken to have."""
    md5_key: str = ""
    takes_new_tunnels: bool = False
    """May be told of multicast tunnels of later types than RFC 6514 has: others end their session."""
    takes_groups: bool = False
    """May be told who listens to which group (RFC 9251): GoBGP then drops all of EVPN (ADR 0280)."""
    ttl_hops: int = 0
    """The peer is at most so many hops away (RFC 5082); 0: it may be anywhere."""
    bfd: BfdConfig | None = None

    @property
    def is_external(self) -> bool:
        return self.asn != self.local_asn

    def __repr__(self) -> str:
        return f"BgpPeerConfig({self.name} {self.address} AS {self.asn})"


@dataclass(frozen=True, slots=True)
class BgpConfig:
    """What configuration wants of this node. ``problems`` names peers that cannot be configured."""

    speaker: Speaker | None = None
    peers: tuple[BgpPeerConfig, ...] = ()
    problems: tuple[str, ...] = ()


def bgp_config(graph: ObjectGraph, node: str) -> BgpConfig:
    """Return the settings of the control node called ``node``; no ``bgp-router``, no BGP."""
    own = next((router for router in _routers(graph) if router.fq_name[-1] == node), None)
    if own is None:
        return BgpConfig()
    name = ":".join(own.fq_name)
    try:
        speaker = replace(_speaker(own), timers=restart_timers(graph))
    except ValueError as error:
        return BgpConfig(problems=(f"{name}: {error}",))
    peers: list[BgpPeerConfig] = []
    problems: list[str] = []
    for other, sessions in _peerings(graph, own):
        try:
            peers.append(_peer(speaker, own, other, sessions))
        except ValueError as error:
            problems.append(f"{':'.join(other.fq_name)}: {error}")
    return BgpConfig(speaker, tuple(peers), tuple(problems))


def _routers(graph: ObjectGraph) -> Iterator[BgpRouter]:
    for router in graph.of_type(BGP_ROUTER):
        if isinstance(router, BgpRouter) and not _is_workload(router):
            yield router


def _is_workload(router: BgpRouter) -> bool:
    return _parameters(router).router_type in WORKLOAD_ROUTERS


def _parameters(router: BgpRouter) -> BgpRouterParams:
    return router.bgp_router_parameters or BgpRouterParams()


def _speaker(own: BgpRouter) -> Speaker:
    parameters = _parameters(own)
    if parameters.autonomous_system is None:
        raise ValueError("bgp_router_parameters.autonomous_system is missing")
    text = parameters.identifier or parameters.address
    if text is None:
        raise ValueError("bgp_router_parameters has neither identifier nor address")
    cluster = parameters.cluster_id
    return Speaker(
        name=":".join(own.fq_name),
        asn=parameters.autonomous_system,
        router_id=_router_id(text),
        cluster_id=IPv4Address(cluster) if cluster else None,
        hold_time_s=HOLD_TIME_S if parameters.hold_time is None else parameters.hold_time,
        families=_families(parameters.address_families) or DEFAULT_FAMILIES,
    )


def _router_id(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise ValueError(
            f"bgp_router_parameters.identifier must be an IPv4 address, which {text} is not"
        ) from None


def _peerings(
    graph: ObjectGraph, own: BgpRouter
) -> Iterator[tuple[BgpRouter, list[BgpSessionAttributes]]]:
    """Yield each router this one has a peering with, and the session's attributes."""
    found: dict[str, tuple[BgpRouter, list[BgpSessionAttributes]]] = {}
    neighbours = graph.refs(own.uuid, BGP_ROUTER) + graph.back_refs(own.uuid, BGP_ROUTER)
    for other in neighbours:
        if isinstance(other, BgpRouter) and other.uuid != own.uuid and not _is_workload(other):
            found.setdefault(other.uuid, (other, _sessions(own, other) or _sessions(other, own)))
    for uuid in sorted(found, key=lambda uuid: found[uuid][0].fq_name):
        yield found[uuid]


def _sessions(one: BgpRouter, other: BgpRouter) -> list[BgpSessionAttributes]:
    for reference in one.bgp_router_refs:
        if reference.to == other.fq_name and reference.attr is not None and reference.attr.session:
            return list(reference.attr.session[0].attributes)
    return []


def _peer(
    speaker: Speaker, own: BgpRouter, other: BgpRouter, sessions: list[BgpSessionAttributes]
) -> BgpPeerConfig:
    mine, theirs = _parameters(own), _parameters(other)
    if theirs.address is None:
        raise ValueError("bgp_router_parameters.address is missing")
    asn = theirs.local_autonomous_system or theirs.autonomous_system
    if asn is None:
        raise ValueError("bgp_router_parameters.autonomous_system is missing")
    session = SessionEnd(applicable(sessions, own))
    is_control_node = theirs.router_type in CONTROL_NODES
    families = speaker.families
    if is_control_node and not _families(mine.address_families):
        families = CONTROL_NODE_FAMILIES
    settings = session.families_settings()
    return BgpPeerConfig(
        name=":".join(other.fq_name),
        address=ip_address(theirs.address),
        asn=asn,
        local_asn=session.local_asn or mine.local_autonomous_system or speaker.asn,
        port=theirs.port or PORT,
        hold_time_s=speaker.hold_time_s if session.hold_time is None else session.hold_time,
        families=_common(families, theirs.address_families, session.families),
        is_passive=session.is_passive,
        takes_default_membership=(theirs.vendor or "").lower() not in DEFAULT_MEMBERSHIP_STOPS,
        is_control_node=is_control_node,
        is_router=theirs.router_type == ROUTER,
        is_down=session.is_down or bool(mine.admin_down) or bool(theirs.admin_down),
        as_override=session.as_override,
        private_as_action=session.private_as_action,
        loop_count=session.loop_count,
        prefix_limits=tuple(
            (family, each.prefix_limit.maximum)
            for family, each in settings
            if each.prefix_limit is not None and each.prefix_limit.maximum
        ),
        prefix_limit_pause_s=max(
            (
                each.prefix_limit.idle_timeout or 0
                for _, each in settings
                if each.prefix_limit is not None
            ),
            default=0,
        ),
        default_encapsulations=tuple(
            (family, each.default_tunnel_encap)
            for family, each in settings
            if each.default_tunnel_encap
        ),
        md5_key=md5_key(session.auth, mine.auth_data, theirs.auth_data),
        takes_new_tunnels=is_control_node
        or _annotated_number(other, ASSISTED_REPLICATION_ANNOTATION, range(2)) == 1,
        takes_groups=is_control_node
        or _annotated_number(other, SELECTIVE_MULTICAST_ANNOTATION, range(2)) == 1,
        ttl_hops=_annotated_number(other, TTL_ANNOTATION, range(1, 255)) or 0,
        bfd=_bfd(other),
    )


def _annotation(router: BgpRouter, key: str) -> str:
    pairs = router.annotations.key_value_pair if router.annotations is not None else ()
    return next((each.value or "" for each in pairs if each.key == key), "")


def _annotated_number(router: BgpRouter, key: str, allowed: range) -> int | None:
    text = _annotation(router, key)
    if not text:
        return None
    try:
        return bounded(text, allowed[0], allowed[-1])
    except ValueError as error:
        raise ValueError(f"annotation {key}: {error}") from error


def _bfd(router: BgpRouter) -> BfdConfig | None:
    kind = _annotation(router, BFD_ANNOTATION)
    if not kind:
        return None
    if kind not in BFD_KINDS:
        raise ValueError(
            f"annotation {BFD_ANNOTATION} is {kind!r}: {' or '.join(BFD_KINDS)} is needed"
        )
    interval = _annotated_number(router, BFD_INTERVAL_ANNOTATION, range(10, 60_001))
    multiplier = _annotated_number(router, BFD_MULTIPLIER_ANNOTATION, range(1, 256))
    default = BfdConfig()
    return BfdConfig(
        is_multihop=kind == BFD_KINDS[1],
        interval_ms=interval or default.interval_ms,
        multiplier=multiplier or default.multiplier,
    )


def applicable(sessions: list[BgpSessionAttributes], own: BgpRouter) -> list[BgpSessionAttributes]:
    """Attributes of the session for our end, the specific ones first."""
    names = {own.fq_name[-1], ":".join(own.fq_name), own.uuid}
    specific = [each for each in sessions if each.bgp_router in names]
    return specific + [each for each in sessions if not each.bgp_router]


class SessionEnd:
    """Our end of a session: the first attributes that say something count."""

    def __init__(self, attributes: list[BgpSessionAttributes]) -> None:
        self._attributes = attributes
        self.is_passive = any(each.passive for each in attributes)
        self.is_down = any(each.admin_down for each in attributes)
        self.as_override = any(each.as_override for each in attributes)
        self.hold_time = next(
            (each.hold_time for each in attributes if each.hold_time is not None), None
        )
        self.local_asn = next(
            (each.local_autonomous_system for each in attributes if each.local_autonomous_system),
            None,
        )
        self.loop_count = next((each.loop_count for each in attributes if each.loop_count), 0)
        self.private_as_action = next(
            (each.private_as_action for each in attributes if each.private_as_action), ""
        )
        self.families = next(
            (each.address_families for each in attributes if each.address_families), None
        )
        self.auth = next((each.auth_data for each in attributes if each.auth_data), None)

    def families_settings(self) -> list[tuple[BgpFamily, BgpFamilyAttributes]]:
        return [
            (FAMILY_NAMES[each.address_family], each)
            for attributes in self._attributes
            for each in attributes.family_attributes
            if each.address_family in FAMILY_NAMES
        ]


def _families(listed: AddressFamilies | None) -> tuple[BgpFamily, ...]:
    """Return those of the list that this node carries."""
    named = {FAMILY_NAMES.get(name) for name in listed.family} if listed else set()
    return tuple([family for family in CARRIED if family in named])


def _common(own: Iterable[BgpFamily], *lists: AddressFamilies | None) -> tuple[BgpFamily, ...]:
    """Return what our end and every list that exists have in common."""
    families = tuple(own)
    for listed in lists:
        if listed is not None and listed.family:
            wanted = _families(listed)
            families = tuple([family for family in families if family in wanted])
    return families


def md5_key(*sources: AuthenticationData | None) -> str:
    """Return the first key there is; empty: the session is not signed."""
    for source in sources:
        if source is not None and source.key_type == "md5" and source.key_items:
            return source.key_items[0].key or ""
    return ""
