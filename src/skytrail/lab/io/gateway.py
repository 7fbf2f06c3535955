"""A gateway's namespaces and FRR daemons.

```
 [node: zebra, bgpd] -- underlay          vxlan device made here, then moved: its socket stays
 [<lab>.<name>-vrf: vxlan + bridge] -- [<lab>-<host>: a host with the tenth address]
```
zebra opens every named namespace it sees and changes their routes: it gets a mount namespace whose
``/run/netns`` holds its VRF alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from skytrail.lab.gateway import VRF, Joined, router_mac
from skytrail.lab.io import frr, netns
from skytrail.lab.plan import Node

_ZEBRA = """
set -e
mount --make-rprivate /
mount --rbind "$1" /run/netns
shift
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """Where one gateway lives."""

    node: Node
    vrf_namespace: str
    outside_namespace: str
    folder: Path
    outside: IPv4Network

    @property
    def host_address(self) -> IPv4Address:
        """Of the host outside."""
        return self.outside[10]


def create(place: GatewayPlace, joined: Joined) -> None:
    """Make VRF and outside, and the folder FRR works in. The node is there already."""
    node, vrf, outside = place.node, place.vrf_namespace, place.outside_namespace
    for name in (vrf, outside):
        netns.create(name)
    netns.set_sysctls(vrf, {"net/ipv4/ip_forward": 1})
    netns.configure(
        node.namespace,
        [
            f"link add vx0 type vxlan id {joined.vni} local {node.address} dstport 4789 nolearning",
            f"link set vx0 netns {vrf}",
        ],
    )
    netns.configure(
        vrf,
        [
            f"link add br0 address {router_mac(node.address)} type bridge",
            "link set vx0 master br0",
            "link set br0 up",
            "link set vx0 up",
        ],
    )
    netns.connect((vrf, "out0"), (outside, "eth0"), mtu_bytes=1500)
    length, first = place.outside.prefixlen, place.outside[1]
    netns.configure(vrf, [f"address add {first}/{length} dev out0", "link set out0 up"])
    netns.configure(
        outside,
        [
            f"address add {place.host_address}/{length} dev eth0",
            "link set eth0 up",
            f"route add default via {first}",
        ],
    )
    frr.prepare(place.folder)
    seen = place.folder / "netns"
    seen.mkdir(exist_ok=True)
    (seen / VRF).touch()


def zebra(place: GatewayPlace) -> list[str]:
    """Return zebra's command, to be run in the node's namespace."""
    seen = place.folder / "netns"
    bind = f'mount --bind "/run/netns/{place.vrf_namespace}" "{seen / VRF}"'
    script = _ZEBRA.replace("mount --rbind", f"{bind}\nmount --rbind")
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "zebra",
        str(seen),
        *frr.command(place.folder, "zebra"),
        "-n",
    ]
