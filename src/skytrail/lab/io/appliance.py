"""Two workloads made into one network function: a router, a router that hides its left, a bridge.

```
 [left: eth0, inner0] ------- cable ------- [inner0, eth0 :right]
```
Each side stays a workload of its own, with its port, its DHCP client and its name in the lab. What
comes in by a side's port and is not for the side itself goes over the cable, and what comes over
the cable goes out by the side's port; no side has to be told which networks are where.
"""

from __future__ import annotations

from collections.abc import Iterable

from skytrail.lab.io import masquerade, netns
from skytrail.lab.plan import INNER_IFNAME, WORKLOAD_IFNAME, Plan
from skytrail.lab.topology import ApplianceKind, Guest, Topology, Workload

_MTU_BYTES = 9000
"""Frames of the widest port and a VLAN tag fit."""
_BRIDGE = "bridge0"
_ENDS = (("169.254.9.1", "fe80::9:1"), ("169.254.9.2", "fe80::9:2"))
_TABLE = 100
"""Routes for what came in by the port."""


def join_plugged(topology: Topology, plan: Plan, plugged: Iterable[Workload | Guest]) -> None:
    """Join each appliance whose both sides are plugged, and that has no cable yet."""
    here = {endpoint.name for endpoint in plugged}
    for each in topology.appliances:
        left, right = plan.namespace_of(each.left), plan.namespace_of(each.right)
        if here.issuperset({each.left, each.right}) and not netns.has_link(left, INNER_IFNAME):
            join(left, right, each.kind)


def join(left: str, right: str, kind: ApplianceKind) -> None:
    """Lay the cable between two workloads' namespaces and set both up."""
    netns.connect((left, INNER_IFNAME), (right, INNER_IFNAME), mtu_bytes=_MTU_BYTES)
    for index, namespace in enumerate((left, right)):
        if kind is ApplianceKind.BRIDGE:
            _bridge(namespace)
        else:
            _route(namespace, own=_ENDS[index], far=_ENDS[1 - index])
    if kind is ApplianceKind.NAT:
        masquerade.hide_behind(right, WORKLOAD_IFNAME)


def _route(namespace: str, *, own: tuple[str, str], far: tuple[str, str]) -> None:
    netns.set_sysctls(
        namespace,
        {
            "net/ipv4/ip_forward": 1,
            f"net/ipv4/conf/{INNER_IFNAME}/rp_filter": 0,
            f"net/ipv6/conf/{INNER_IFNAME}/accept_dad": 0,
            # A router keeps its own default route only if told so.
            f"net/ipv6/conf/{WORKLOAD_IFNAME}/accept_ra": 2,
            "net/ipv6/conf/all/forwarding": 1,
        },
    )
    lines = [
        f"address add {own[0]}/30 dev {INNER_IFNAME}",
        f"address add {own[1]}/64 dev {INNER_IFNAME}",
        f"link set {INNER_IFNAME} up",
    ]
    for family, address in (("-4", far[0]), ("-6", far[1])):
        lines += [f"route add default via {address} dev {INNER_IFNAME} table {_TABLE}"]
        netns.run(
            ["ip", family, "-n", namespace, "rule", "add", "iif", WORKLOAD_IFNAME, "table",
             str(_TABLE)]
        )  # fmt: skip
    netns.configure(namespace, lines)


def _bridge(namespace: str) -> None:
    """Pass frames as they are, tagged ones with their tags."""
    netns.configure(
        namespace,
        [
            # Neither the bridge nor the cable has addresses of its own to announce.
            f"link add name {_BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link set {_BRIDGE} addrgenmode none mtu {_MTU_BYTES} up",
            f"link set {INNER_IFNAME} addrgenmode none master {_BRIDGE} up",
            f"link set {WORKLOAD_IFNAME} master {_BRIDGE}",
        ],
    )
