"""The device that copies of packets enter, and the one they come out of again.

A pair of virtual Ethernet links without offloads: on its way through, the kernel cuts what it sent
as one large frame into packets and finishes their checksums, so that copies are packets as they
would be on a wire. Nothing is ever addressed to these links.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import hashlib
import socket
import struct
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_SIOCETHTOOL = 0x8946
_TURN_OFF = {"checksums": 0x17, "segmentation": 0x1F, "generic segmentation": 0x24}
"""ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO."""
_MTU_BYTES = 65535


def link_names(agent: str) -> tuple[str, str]:
    """Return the names of the links of an agent: where copies enter, where they come out."""
    stem = "mir" + hashlib.sha256(agent.encode()).hexdigest()[:8]
    return f"{stem}a", f"{stem}b"


def open_links(agent: str) -> tuple[int, int]:
    """Return the indices of both links, which are made if they do not exist. ``OSError``."""
    near, far = link_names(agent)
    with IPRoute() as route:
        try:
            if not route.link_lookup(ifname=near):
                route.link("add", ifname=near, kind="veth", peer={"ifname": far})
            indices = [socket.if_nametoindex(name) for name in (near, far)]
            for name, index in zip((near, far), indices, strict=True):
                _prepare(name)
                route.link("set", index=index, mtu=_MTU_BYTES, state="up")
        except NetlinkError as refused:
            raise OSError(refused.code, f"links {near} and {far}: {refused}") from refused
    return indices[0], indices[1]


def close_links(agent: str) -> None:
    """Remove both links, if they exist."""
    with IPRoute() as route, contextlib.suppress(NetlinkError):
        for index in route.link_lookup(ifname=link_names(agent)[0]):
            route.link("del", index=index)


def _prepare(name: str) -> None:
    """Have large frames cut up, and the host itself say nothing here."""
    off = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    if off.exists():
        off.write_text("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in _TURN_OFF.values():
            value = array.array("B", struct.pack("=II", command, 0))
            address, _ = value.buffer_info()
            request = struct.pack("16sP16x", name.encode(), address)
            fcntl.ioctl(handle, _SIOCETHTOOL, request)
