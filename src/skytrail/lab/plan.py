"""Names and addresses a lab uses, computed from its topology alone. Pure.

Underlay: each host, and each controller, has a /24 of its own behind the underlay router, so that
two hosts are never neighbours. With the default range 198.18.0.0/15, host *i* (from 1) lives in
198.18.*i*.0/24, controller *j* in 198.19.*j*.0/24 and gateway *k* in 198.18.*250+k*.0/24; the
router has .1 and the node .2. With two uplinks there are two such routers, a link of each node to either,
198.18.*i*.64/26 and 198.18.*i*.128/26, and the node's .2 is on its loopback; the routers reach each
other by 198.18.0.0/30.
Where the underlay is IPv6, host *i* lives in 2001:2:0:*i*::/64 and controller *j* in 2001:2:0:8000+*j*::/64
(numbers in hexadecimal), with ::1 the router and ::2 the node, and no node has an IPv4 address there. With
two uplinks the links are in the same numbers of 2001:2:1::/48 and 2001:2:2::/48, the node's own ::2 is on its
loopback, and the routers reach each other by 2001:2:3::/64.
Everything sits in network namespaces called ``<lab>-<name>``: labs never meet, even when they use
the same addresses.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice
from pathlib import Path

from skytrail.lab.topology import NODES_COUNT_MAX, Topology
from skytrail.net import IpAddress

UNDERLAY_IFNAME = "underlay0"
UPLINK_IFNAMES = (UNDERLAY_IFNAME, "underlay1")
WORKLOAD_IFNAME = "eth0"
INNER_IFNAME = "inner0"
"""Between the two workloads of an appliance."""
ROUTER = "underlay"
SECOND_ROUTER = "underlay2"
IFNAME_LENGTH_MAX = 15
_NETWORK6 = IPv6Network("2001:2::/48")
"""The range RFC 5180 sets aside for tests of interconnected devices."""
_LINKS6 = (IPv6Network("2001:2:1::/48"), IPv6Network("2001:2:2::/48"))
_BETWEEN_ROUTERS6 = IPv6Network("2001:2:3::/64")
_CONTROLLERS6 = 0x8000


class NodeKind(enum.Enum):
    CONTROLLER = "controller"
    HOST = "host"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class NodeUplink:
    """A link of a node with several, to a router of its own."""

    ifname: str
    router_namespace: str
    address: IpAddress
    gateway: IpAddress
    length: int
    """Of the prefix of both."""


@dataclass(frozen=True, slots=True)
class Node:
    """A controller or a compute host on the underlay."""

    name: str
    kind: NodeKind
    namespace: str
    address: IPv4Address
    gateway: IPv4Address
    network: IPv4Network
    router_ifname: str
    """The underlay router's end of the node's link."""
    uplinks: tuple[NodeUplink, ...] = ()
    """Its links where it has several, and ``address`` is on its loopback."""
    network6: IPv6Network | None = None
    """Where the underlay is IPv6: instead of ``network``, and the addresses there are in use."""

    @property
    def place(self) -> IpAddress:
        """The address it has in the underlay; ``address``, unless the underlay is IPv6."""
        return self.address if self.network6 is None else IPv6Address(int(self.network6[2]))

    @property
    def way_out(self) -> IpAddress:
        """The router's address on its link; ``gateway``, unless the underlay is IPv6."""
        return self.gateway if self.network6 is None else IPv6Address(int(self.network6[1]))

    @property
    def ifnames(self) -> tuple[str, ...]:
        """Its links into the underlay."""
        return tuple(each.ifname for each in self.uplinks) or (UNDERLAY_IFNAME,)


@dataclass(frozen=True, slots=True)
class Plan:
    lab: str
    router_namespace: str
    mtu_bytes: int
    nodes: tuple[Node, ...]
    """Hosts and controllers, which run our daemons."""
    gateways: tuple[Node, ...] = ()
    second_router: str = ""
    """Namespace of the other underlay router, where nodes have two uplinks."""
    between_routers: IPv4Network | IPv6Network | None = None
    is_ipv6: bool = False

    @property
    def routers(self) -> tuple[str, ...]:
        """Namespaces of the underlay's routers."""
        return tuple(filter(None, (self.router_namespace, self.second_router)))

    @property
    def controllers(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.kind is NodeKind.CONTROLLER)

    @property
    def hosts(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.kind is NodeKind.HOST)

    def node(self, name: str) -> Node:
        """Return the node; ``KeyError`` listing the known ones."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise KeyError(f"no host or controller {name!r} in this lab; known: {known}")

    def namespace_of(self, name: str) -> str:
        return f"{self.lab}-{name}"


def plan(topology: Topology, lab: str) -> Plan:
    """Lay the topology out under the lab's name."""
    hosts_half, controllers_half = islice(topology.underlay.network.subnets(new_prefix=16), 2)
    router, second = f"{lab}-{ROUTER}", f"{lab}-{SECOND_ROUTER}"
    routers = (router, second)[: topology.underlay.uplinks_count]
    is_ipv6 = topology.underlay.version == 6
    nodes = [
        _node(lab, controller.name, NodeKind.CONTROLLER, (controllers_half, number), routers)
        for number, controller in enumerate(topology.controllers, start=1)
    ]
    nodes += [
        _node(lab, host.name, NodeKind.HOST, (hosts_half, number), routers)
        for number, host in enumerate(topology.hosts, start=1)
    ]
    if is_ipv6:
        nodes = [_over_ipv6(node) for node in nodes]
    between: IPv4Network | IPv6Network | None = None
    if len(routers) > 1:
        between = next(hosts_half.subnets(new_prefix=30)) if not is_ipv6 else _BETWEEN_ROUTERS6
    return Plan(
        lab=lab,
        router_namespace=router,
        mtu_bytes=topology.underlay.mtu_bytes,
        nodes=tuple(nodes),
        is_ipv6=is_ipv6,
        gateways=tuple(
            _node(
                lab,
                gateway.name,
                NodeKind.GATEWAY,
                (hosts_half, NODES_COUNT_MAX + number),
                routers,
            )
            for number, gateway in enumerate(topology.gateways, start=1)
        ),
        second_router=second if len(routers) > 1 else "",
        between_routers=between,
    )


def _node(
    lab: str, name: str, kind: NodeKind, place: tuple[IPv4Network, int], routers: Sequence[str]
) -> Node:
    half, number = place
    network = IPv4Network((int(half.network_address) + (number << 8), 24))
    return Node(
        name=name,
        kind=kind,
        namespace=f"{lab}-{name}",
        address=network[2],
        gateway=network[1],
        network=network,
        router_ifname=f"{kind.value[0]}{number}",
        uplinks=tuple(_uplinks(network, routers)) if len(routers) > 1 else (),
    )


def _over_ipv6(node: Node) -> Node:
    """Return the node as it is in an IPv6 underlay."""
    uplinks = [
        replace(each, address=network[2], gateway=network[1], length=network.prefixlen)
        for each, links in zip(node.uplinks, _LINKS6, strict=False)
        for network in (_network6(node, links),)
    ]
    return replace(node, network6=_network6(node, _NETWORK6), uplinks=tuple(uplinks))


def _network6(node: Node, of_all: IPv6Network) -> IPv6Network:
    number = int(node.router_ifname[1:])
    number += _CONTROLLERS6 if node.kind is NodeKind.CONTROLLER else 0
    return IPv6Network((int(of_all.network_address) + (number << 64), 64))


def _uplinks(network: IPv4Network, routers: Sequence[str]) -> Iterator[NodeUplink]:
    """Yield the links of a node: quarters of its network, after the one its own address is in."""
    quarters = list(network.subnets(new_prefix=26))[1:]
    for ifname, router, quarter in zip(UPLINK_IFNAMES, routers, quarters, strict=False):
        yield NodeUplink(ifname, router, quarter[2], quarter[1], quarter.prefixlen)


def tap_ifname(port_uuid: str) -> str:
    """Name of a port's interface on its host, as hypervisors derive it from the port's uuid."""
    return f"tap{port_uuid}"[: IFNAME_LENGTH_MAX - 1]


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a lab keeps its files; everything below ``root`` belongs to this lab alone."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "lab.json"

    @property
    def processes(self) -> Path:
        return self.root / "processes"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def api_socket(self) -> Path:
        return self.root / "api.sock"

    @property
    def telemetry_socket(self) -> Path:
        """Where processes of all namespaces tell the analytics node of themselves."""
        return self.root / "telemetry.sock"

    @property
    def history(self) -> Path:
        return self.root / "history"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def history_socket(self) -> Path:
        return self.root / "history.sock"

    def introspect_socket(self, process: str) -> Path:
        return self.root / f"{process}.introspect"

    def plug_socket(self, host: str) -> Path:
        return self.root / f"{host}.plug"

    def agent_state(self, host: str) -> Path:
        return self.root / "agents" / host

    def endpoint(self, name: str) -> Path:
        return self.root / "endpoints" / name

    def hosts_authority(self) -> Path:
        return self.root / "tls"

    def certificate(self, node: str) -> Path:
        """Folder of what an agent or control node shows to the other."""
        return self.root / "tls" / node

    @property
    def recordings(self) -> Path:
        return self.root / "recordings"

    def gateway(self, name: str) -> Path:
        return self.root / "gateways" / name

    def console_socket(self, guest: str) -> Path:
        return self.root / f"{guest}.console"
