"""The links between the datapath and the host's own stack, made when workloads first need them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from skytrail.agent.fabric import HOST_SIDE
from skytrail.agent.io.netlink import Link, link_index, read_link
from skytrail.net import GATEWAY_MAC

HOST_IFNAME = "skytrail-host"
"""The host's stack has this one."""
DATAPATH_IFNAME = "skytrail-vrf"
_IFF_NOARP = 0x80
_SETTINGS = Path("/proc/sys/net")


class HostSideRefused(Exception):
    """The kernel would not make the links."""


def ensure_host_side() -> Link:
    """Make the links unless they are there; return the datapath's end."""
    try:
        with IPRoute() as route:
            if not link_index(DATAPATH_IFNAME):
                # Whom the host sends to by this link it need not look for: everybody is behind it.
                route.link(
                    "add",
                    ifname=HOST_IFNAME,
                    kind="veth",
                    address=str(GATEWAY_MAC),
                    peer={"ifname": DATAPATH_IFNAME},
                )
            for ifname in (HOST_IFNAME, DATAPATH_IFNAME):
                # It is no link of an IPv6 host.
                _set(f"ipv6/conf/{ifname}/disable_ipv6", "1")
            index = link_index(HOST_IFNAME)
            route.link("set", index=link_index(DATAPATH_IFNAME), state="up")
            route.link("set", index=index, flags=_IFF_NOARP, mask=_IFF_NOARP)
            route.link("set", index=index, state="up")
            route.route("replace", dst=str(HOST_SIDE), oif=index, scope="link")
    except (NetlinkError, OSError) as error:
        raise HostSideRefused(str(error)) from error
    link = read_link(DATAPATH_IFNAME)
    if link is None:
        raise HostSideRefused(f"{DATAPATH_IFNAME} is gone again")
    return link


def reserve_ports(text: str) -> None:
    """Keep the kernel from giving ports of workloads to the host's own connections.

    What others reserved stays so.
    """
    with contextlib.suppress(OSError):
        present = (_SETTINGS / "ipv4/ip_local_reserved_ports").read_text().strip()
        _set("ipv4/ip_local_reserved_ports", ",".join(filter(None, (present, text))))


def _set(name: str, value: str) -> None:
    # A host without the setting, or with its settings sealed, does what it did before.
    with contextlib.suppress(OSError):
        (_SETTINGS / name).write_text(value)
