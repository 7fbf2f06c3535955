"""The underlay: one router namespace, and every node behind it in a subnet of its own."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Final
from zlib import crc32

from skytrail.lab.io import netns
from skytrail.lab.plan import UNDERLAY_IFNAME, Node, Plan
from skytrail.net import IpAddress

PEER_IFNAME: Final = "peer0"
JOINT_MTU_BYTES: Final = 9200
"""Between data centers the smaller of the two underlays' MTU holds."""


def create(plan: Plan) -> None:
    """Create the router and the nodes with their links and routes."""
    for router in plan.routers:
        netns.create(router)
        netns.set_sysctls(router, {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1})
    if plan.between_routers is not None:
        _join_routers(plan, plan.between_routers)
    for node in (*plan.nodes, *plan.gateways):
        if node.uplinks:
            _attach_twice(plan, node)
        else:
            _attach(plan, node)
    for router in plan.routers[1:] and plan.routers:
        route_by_either(plan, router)


def route_by_either(plan: Plan, router: str) -> None:
    """Have one of two routers reach each node by its own link, or else by the other router.

    To be said again after its links were down: the kernel forgets routes then, which on a router
    would come back by its routing protocol.
    """
    network = plan.between_routers
    if network is None:
        return
    other = network[2 if router == plan.router_namespace else 1]
    lines: list[str] = []
    metric = _METRIC[network.version]
    for node in (*plan.nodes, *plan.gateways):
        link = next(each for each in node.uplinks if each.router_namespace == router)
        lines += [
            f"route replace {node.place} via {link.address} dev {node.router_ifname} metric {metric}",
            f"route replace {node.place} via {other} metric {metric + _BACKUP_METRIC}",
        ]
    netns.configure(router, lines)


_BY_UPLINKS: Final = {
    # A link without carrier is not used, and flows are told apart by their ports.
    4: {
        "net/ipv4/conf/all/ignore_routes_with_linkdown": 1,
        "net/ipv4/conf/default/ignore_routes_with_linkdown": 1,
        "net/ipv4/fib_multipath_use_neigh": 1,
        "net/ipv4/fib_multipath_hash_policy": 1,
    },
    # IPv6 would forget the addresses of a link that goes down, as it does routes.
    6: {
        "net/ipv6/conf/all/ignore_routes_with_linkdown": 1,
        "net/ipv6/conf/default/ignore_routes_with_linkdown": 1,
        "net/ipv6/conf/all/keep_addr_on_down": 1,
        "net/ipv6/conf/default/keep_addr_on_down": 1,
        "net/ipv6/fib_multipath_hash_policy": 1,
    },
}
_METRIC: Final = {4: 0, 6: 1024}
"""Of a route when nobody says another."""
_BACKUP_METRIC: Final = 100
_ASK_AGAIN_MS: Final = 100


def _ask_again_soon(namespace: str, ifname: str) -> None:
    """Have flows wait 0.1 s for the second question for a router's MAC, not a second.

    Over IPv6 a link that comes back is used at once, and the first question may be lost, where the other
    end is not up yet.
    """
    netns.set_sysctls(namespace, {f"net/ipv6/neigh/{ifname}/retrans_time_ms": _ASK_AGAIN_MS})


def _flags(address: IpAddress) -> str:
    """Nobody else is on the link: no need to wait until an address is known to be nobody's."""
    return " nodad" if address.version == 6 else ""


def _join_routers(plan: Plan, network: IPv4Network | IPv6Network) -> None:
    """Link the two routers: what one of them lost its link to goes by the other."""
    first, second = plan.routers
    netns.connect((first, PEER_IFNAME), (second, PEER_IFNAME), mtu_bytes=JOINT_MTU_BYTES)
    for router, address in ((first, network[1]), (second, network[2])):
        netns.set_sysctls(router, _BY_UPLINKS[network.version])
        netns.configure(
            router,
            [
                f"address add {address}/{network.prefixlen} dev {PEER_IFNAME}{_flags(address)}",
                f"link set dev {PEER_IFNAME} up",
            ],
        )


def _attach_twice(plan: Plan, node: Node) -> None:
    """Give a node a link to each router, its own address on its loopback, and a route by either."""
    netns.create(node.namespace)
    version = node.place.version
    settings = {"net/ipv6/conf/default/disable_ipv6": 1, **_BY_UPLINKS[version]}
    netns.set_sysctls(node.namespace, settings)
    for uplink in node.uplinks:
        netns.connect(
            (node.namespace, uplink.ifname),
            (uplink.router_namespace, node.router_ifname),
            mtu_bytes=plan.mtu_bytes,
        )
        flags = _flags(uplink.address)
        if version == 6:
            netns.set_sysctls(node.namespace, {f"net/ipv6/conf/{uplink.ifname}/disable_ipv6": 0})
            _ask_again_soon(node.namespace, uplink.ifname)
            _ask_again_soon(uplink.router_namespace, node.router_ifname)
        netns.configure(
            node.namespace,
            [
                f"address add {uplink.address}/{uplink.length} dev {uplink.ifname}{flags}",
                f"link set dev {uplink.ifname} up",
            ],
        )
        netns.configure(
            uplink.router_namespace,
            [
                f"address add {uplink.gateway}/{uplink.length} dev {node.router_ifname}{flags}",
                f"link set dev {node.router_ifname} up",
            ],
        )
    ways = " ".join(f"nexthop via {each.gateway} dev {each.ifname}" for each in node.uplinks)
    netns.configure(
        node.namespace,
        [
            f"address add {node.place}/{node.place.max_prefixlen} dev lo{_flags(node.place)}",
            f"route add default src {node.place} {ways}",
        ],
    )


def _attach(plan: Plan, node: Node) -> None:
    netns.create(node.namespace)
    # The host's ends of workload links must not speak IPv6 of their own to the workloads.
    netns.set_sysctls(node.namespace, {"net/ipv6/conf/default/disable_ipv6": 1})
    netns.connect(
        (node.namespace, UNDERLAY_IFNAME),
        (plan.router_namespace, node.router_ifname),
        mtu_bytes=plan.mtu_bytes,
    )
    length, flags = node.network.prefixlen, _flags(node.place)
    if node.network6 is not None:
        length = node.network6.prefixlen
        netns.set_sysctls(node.namespace, {f"net/ipv6/conf/{UNDERLAY_IFNAME}/disable_ipv6": 0})
    netns.configure(
        node.namespace,
        [
            f"address add {node.place}/{length} dev {UNDERLAY_IFNAME}{flags}",
            f"link set dev {UNDERLAY_IFNAME} up",
            f"route add default via {node.way_out}",
        ],
    )
    netns.configure(
        plan.router_namespace,
        [
            f"address add {node.way_out}/{length} dev {node.router_ifname}{flags}",
            f"link set dev {node.router_ifname} up",
        ],
    )


def add_outside(plan: Plan, namespace: str, outside: IPv4Network) -> None:
    """Put a host behind the router, in a range of its own."""
    netns.create(namespace)
    netns.connect((plan.router_namespace, "out0"), (namespace, "eth0"), mtu_bytes=1500)
    length, first, tenth = outside.prefixlen, outside[1], outside[10]
    netns.configure(
        plan.router_namespace, [f"address add {first}/{length} dev out0", "link set out0 up"]
    )
    netns.configure(
        namespace,
        [
            f"address add {tenth}/{length} dev eth0",
            "link set eth0 up",
            f"route add default via {first}",
        ],
    )


def join(one: tuple[str, IPv4Network], other: tuple[str, IPv4Network]) -> None:
    """Link two underlay routers, each given with the range behind it, unless they are linked.

    The link has no addresses, which could clash with those of a router's other links: each end
    answers ARP for what is behind it.
    """
    routers = sorted((one[0], other[0]))
    ifname = f"dc{crc32('/'.join(routers).encode()):08x}"
    if netns.has_link(one[0], ifname):
        return
    netns.connect((one[0], ifname), (other[0], ifname), mtu_bytes=JOINT_MTU_BYTES)
    for here, there in ((one, other), (other, one)):
        netns.set_sysctls(here[0], {f"net/ipv4/conf/{ifname}/proxy_arp": 1})
        netns.configure(
            here[0], [f"link set dev {ifname} up", f"route add {there[1]} dev {ifname}"]
        )
