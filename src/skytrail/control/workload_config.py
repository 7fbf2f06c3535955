"""BGP sessions with workloads, as configuration wants them (BGP as a service).

The compiler makes a client router below a network's instance for each session, with the source port
by which its connection is known here: vRouters lead a workload's connection to that port. A key is
theirs to check: what arrives here is not signed (ADR 0205).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from skytrail.control.bgp_config import (
    FAMILY_NAMES,
    HOLD_TIME_S,
    BgpPeerConfig,
    SessionEnd,
    applicable,
)
from skytrail.control.instances import instance_name
from skytrail.control.path import InstanceName
from skytrail.model.generated.objects import BgpAsAService, BgpRouter, RoutingInstance
from skytrail.model.generated.types import BgpRouterParams, BgpSessionAttributes
from skytrail.model.graph import ObjectGraph
from skytrail.wire.bgp import BgpFamily
from skytrail.wire.xmpp import Family

BGP_ROUTER = "bgp-router"
CLIENT = "bgpaas-client"
SERVER = "bgpaas-server"
PREFIXES_COUNT_MAX = 10_000
"""Of one family from one workload, unless the session says otherwise."""
CARRIED = {BgpFamily.INET: Family.INET, BgpFamily.INET6: Family.INET6}


@dataclass(frozen=True, slots=True)
class WorkloadConfig:
    """One session with a workload."""

    peer: BgpPeerConfig
    instance: InstanceName
    network: str
    source_port: int
    """What the workload's connection comes from here, whoever its vRouter is."""
    gateway: IPv4Address | None
    """Next hop of what the workload is told."""
    ipv6_gateway: IPv6Address | None
    tells_routes: bool
    """False: the workload only announces."""

    @property
    def name(self) -> str:
        return self.peer.name


def workload_configs(
    graph: ObjectGraph, own_asn: int
) -> tuple[dict[str, WorkloadConfig], tuple[str, ...]]:
    """Return the sessions by name, and what is wrong with those there cannot be."""
    found: dict[str, WorkloadConfig] = {}
    problems: list[str] = []
    for router in graph.of_type(BGP_ROUTER):
        if not isinstance(router, BgpRouter) or _parameters(router).router_type != CLIENT:
            continue
        try:
            config = _config(graph, router, own_asn)
        except ValueError as error:
            problems.append(f"{':'.join(router.fq_name)}: {error}")
            continue
        if config is not None:
            found[config.name] = config
    return found, tuple(problems)


def _config(graph: ObjectGraph, router: BgpRouter, own_asn: int) -> WorkloadConfig | None:
    parameters = _parameters(router)
    instance = graph.parent(router.uuid)
    if not isinstance(instance, RoutingInstance):
        return None
    if parameters.address is None or parameters.source_port is None:
        raise ValueError("bgp_router_parameters has no address or no source_port")
    if parameters.autonomous_system is None:
        raise ValueError("bgp_router_parameters.autonomous_system is missing")
    attributes, server = _session(graph, router)
    session = SessionEnd(attributes)
    limits = dict.fromkeys(CARRIED, PREFIXES_COUNT_MAX)
    limits |= {
        family: each.prefix_limit.maximum
        for family, each in session.families_settings()
        if family in CARRIED and each.prefix_limit is not None and each.prefix_limit.maximum
    }
    named = {FAMILY_NAMES.get(each) for each in session.families.family} if session.families else ()
    families = tuple(family for family in CARRIED if not named or family in named)
    peer = BgpPeerConfig(
        name=":".join(router.fq_name),
        address=ip_address(parameters.address),
        asn=parameters.autonomous_system,
        local_asn=session.local_asn or server or own_asn,
        hold_time_s=session.hold_time or parameters.hold_time or HOLD_TIME_S,
        families=families,
        is_passive=True,
        is_down=session.is_down or bool(parameters.admin_down),
        as_override=session.as_override,
        private_as_action=session.private_as_action,
        loop_count=session.loop_count,
        prefix_limits=tuple(limits.items()),
    )
    return WorkloadConfig(
        peer=peer,
        instance=instance_name(instance.fq_name),
        network=":".join(instance.fq_name[:-1]),
        source_port=parameters.source_port,
        gateway=_gateway4(parameters),
        ipv6_gateway=_gateway6(parameters),
        tells_routes=not _is_suppressed(graph, router),
    )


def _parameters(router: BgpRouter) -> BgpRouterParams:
    return router.bgp_router_parameters or BgpRouterParams()


def _session(
    graph: ObjectGraph, router: BgpRouter
) -> tuple[list[BgpSessionAttributes], int | None]:
    """Return the session's attributes for our end, and the AS number of our end."""
    for reference in router.bgp_router_refs:
        server = graph.get(reference.uuid)
        if isinstance(server, BgpRouter) and _parameters(server).router_type == SERVER:
            sessions = reference.attr.session if reference.attr is not None else ()
            attributes = list(sessions[0].attributes) if sessions else []
            return applicable(attributes, server), _parameters(server).autonomous_system
    return [], None


def _is_suppressed(graph: ObjectGraph, router: BgpRouter) -> bool:
    return any(
        isinstance(service, BgpAsAService) and service.bgpaas_suppress_route_advertisement
        for service in graph.back_refs(router.uuid, BgpAsAService.type_name)
    )


def _gateway4(parameters: BgpRouterParams) -> IPv4Address | None:
    return IPv4Address(parameters.gateway_address) if parameters.gateway_address else None


def _gateway6(parameters: BgpRouterParams) -> IPv6Address | None:
    text = parameters.ipv6_gateway_address
    return IPv6Address(text) if text else None
