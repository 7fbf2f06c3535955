"""The links between the datapath and the host's own stack, made when workloads first need them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from skytrail.agent.fabric import HOST_ADDRESS, HOST_ADDRESS6, HOST_SIDE, HOST_SIDE6
from skytrail.agent.io.netlink import Link, link_index, read_link
from skytrail.net import GATEWAY_MAC

HOST_IFNAME = "skytrail-host"
"""The host's stack has this one."""
DATAPATH_IFNAME = "skytrail-vrf"
_IFF_NOARP = 0x80
_IFA_F_NODAD = 0x02
_SETTINGS = Path("/proc/sys/net")
_ALONE = {"accept_ra": "0", "autoconf": "0", "addr_gen_mode": "1"}


class HostSideRefused(Exception):
    """The kernel would not make the links."""


def ensure_host_side(*, is_apart: bool, has_ipv6: bool) -> Link:
    """Make the links unless they are there; return the datapath's end.

    ``is_apart``: the host has no IPv4 address elsewhere that its services could be sent to.
    """
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
            # The datapath's end is no link of an IPv6 host; the host's has what is given to it alone.
            _set(f"ipv6/conf/{DATAPATH_IFNAME}/disable_ipv6", "1")
            for name, value in _ALONE.items():
                _set(f"ipv6/conf/{HOST_IFNAME}/{name}", value)
            _set(f"ipv6/conf/{HOST_IFNAME}/disable_ipv6", "0" if has_ipv6 else "1")
            index = link_index(HOST_IFNAME)
            route.link("set", index=link_index(DATAPATH_IFNAME), state="up")
            route.link("set", index=index, flags=_IFF_NOARP, mask=_IFF_NOARP)
            route.link("set", index=index, state="up")
            route.route("replace", dst=str(HOST_SIDE), oif=index, scope="link")
            if is_apart:
                route.addr("replace", index=index, address=str(HOST_ADDRESS), prefixlen=32)
            if has_ipv6:
                _add_ipv6(route, index)
    except (NetlinkError, OSError) as error:
        raise HostSideRefused(str(error)) from error
    link = read_link(DATAPATH_IFNAME)
    if link is None:
        raise HostSideRefused(f"{DATAPATH_IFNAME} is gone again")
    return link


def _add_ipv6(route: IPRoute, index: int) -> None:
    """Give the host its address there, and the way to interfaces'."""
    route.addr(
        "replace", index=index, address=str(HOST_ADDRESS6), prefixlen=128, flags=_IFA_F_NODAD
    )
    route.route("replace", dst=str(HOST_SIDE6), oif=index)


def speaks_ipv6(settings: Path = _SETTINGS) -> bool:
    """Tell whether the kernel has IPv6 at all (``ipv6.disable=1`` leaves it out)."""
    return (settings / "ipv6").exists()


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
