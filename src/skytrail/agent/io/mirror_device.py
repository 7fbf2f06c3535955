"""The device that copies of packets enter, and the one they come out of again.

A pair of virtual Ethernet links without offloads: on its way through, the kernel cuts what it sent
as one large frame into packets and finishes their checksums, so that copies are packets as they
would be on a wire. Nothing is ever addressed to these links.
"""

from __future__ import annotations

import array
import errno
import fcntl
import hashlib
import socket
import struct
import subprocess
from pathlib import Path

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
    if near not in {name for _, name in socket.if_nameindex()}:
        _ip("add", "name", near, "type", "veth", "peer", "name", far)
    for name in (near, far):
        _prepare(name)
        _ip("set", "dev", name, "mtu", str(_MTU_BYTES), "up")
    return socket.if_nametoindex(near), socket.if_nametoindex(far)


def close_links(agent: str) -> None:
    """Remove both links, if they exist."""
    near, _ = link_names(agent)
    if near in {name for _, name in socket.if_nameindex()}:
        _ip("del", "dev", near)


def _ip(*arguments: str) -> None:
    # A tool, not netlink: the first start runs before, and inside, the loop that netlink's library
    # would want for itself.
    done = subprocess.run(["ip", "link", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EIO, f"ip link {' '.join(arguments)}: {done.stderr.strip()}")


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
