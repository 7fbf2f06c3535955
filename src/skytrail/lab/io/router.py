"""A physical router's namespace, its link to a host, and the host behind it.

```
 [host: vRouter] <lab's nic> ---- eth0 [<lab>-<name>: routes, FRR] behind0 ---- eth0 [<lab>-<site>]
```
The link's end on the host stands for a network card (or a VLAN of one): what comes out of it is the
router's, and the agent takes it as it takes a tap.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

from skytrail.lab.io import frr, netns
from skytrail.lab.router import Link
from skytrail.net import Mac

UPLINK = "eth0"


@dataclass(frozen=True, slots=True)
class RouterPlace:
    """Where one router lives, and how it is attached."""

    namespace: str
    site_namespace: str
    host_namespace: str
    host_ifname: str
    host_mtu_bytes: int
    mac: Mac
    folder: Path
    behind: IPv4Network


def create(place: RouterPlace, link: Link, *, is_static: bool) -> None:
    """Make router and site; a router without BGP sends everything to the vRouter."""
    for name in (place.namespace, place.site_namespace):
        netns.create(name)
    netns.set_sysctls(place.namespace, {"net/ipv4/ip_forward": 1})
    netns.connect(
        (place.host_namespace, place.host_ifname),
        (place.namespace, UPLINK),
        mtu_bytes=place.host_mtu_bytes,
    )
    netns.connect((place.namespace, "behind0"), (place.site_namespace, "eth0"), mtu_bytes=1500)
    length, first, tenth = place.behind.prefixlen, place.behind[1], place.behind[10]
    netns.configure(place.host_namespace, [f"link set dev {place.host_ifname} up"])
    netns.configure(
        place.namespace,
        [
            f"link set dev {UPLINK} address {place.mac} mtu 1500 up",
            f"address add {link.address} dev {UPLINK}",
            f"address add {first}/{length} dev behind0",
            "link set dev behind0 up",
            *([f"route add default via {link.gateway}"] if is_static else []),
        ],
    )
    netns.configure(
        place.site_namespace,
        [
            f"address add {tenth}/{length} dev eth0",
            "link set dev eth0 up",
            f"route add default via {first}",
        ],
    )
    frr.prepare(place.folder)


def has_route(namespace: str, address: IPv4Address | IPv6Address) -> bool:
    """Tell whether a router's namespace leads anywhere for an address."""
    family = f"-{address.version}"
    return bool(netns.run(["ip", family, "-n", namespace, "route", "show", "match", str(address)]))
