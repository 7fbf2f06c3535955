"""The host's links into the underlay, one or several: which there are, how they are, which a flow takes.

With several the kernel's routes choose (ADR 0270). It looks them up as for the host's own packets,
from ``lo``, which must forward for that: nothing arrives there from outside.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from skytrail.agent.io.netlink import Link, read_link
from skytrail.agent.nexthop import Underlay, UnderlayPath
from skytrail.agent.uplink import UplinkState
from skytrail.net import IpAddress, Mac

_LO_FORWARDS = {
    version: Path(f"/proc/sys/net/ipv{version}/conf/lo/forwarding") for version in (4, 6)
}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_SIOCGIFFLAGS = 0x8913
_IFREQ_BYTES = 40
_IFNAME_BYTES = 16
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_RTM_GETROUTE, _NLM_F_REQUEST = 26, 1
_RTA_DST, _RTA_SRC, _RTA_OIF = 1, 2, 4
_RTA_IP_PROTO, _RTA_SPORT, _RTA_DPORT = 27, 28, 29
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_UDP = 17
_MPLS_UDP_PORT = 6635
_ANSWER_BYTES = 8192
_TIMEOUT_S = 1.0


class UnderlayMissing(Exception):
    """No underlay interface exists in this network namespace."""


class Uplinks:
    """Reads the links named, in their order. Small ioctl calls only."""

    def __init__(self, ifnames: Sequence[str]) -> None:
        self.ifnames = tuple(ifnames)
        self._links: tuple[Link, ...] = ()

    @property
    def is_routed(self) -> bool:
        """Whether the kernel's routes choose among several."""
        return len(self.ifnames) > 1

    @property
    def macs(self) -> Mapping[int, Mac]:
        """Of each link by its index, as last looked at."""
        return {link.ifindex: link.mac for link in self._links}

    def prepare(self, address: IpAddress) -> None:
        """Let the kernel be asked by programs for routes to tunnels from ``address``; ``OSError`` where
        it may not.
        """
        forwards = _LO_FORWARDS[address.version]
        if self.is_routed and forwards.read_text(encoding="ascii").strip() != "1":
            forwards.write_text("1", encoding="ascii")

    def look(self, address: IpAddress, paths: Mapping[IpAddress, UnderlayPath]) -> Underlay:
        """Return the host's place in the underlay; ``UnderlayMissing`` when no link is there."""
        found = [link for name in self.ifnames if (link := read_link(name)) is not None]
        if not found:
            names = " or ".join(self.ifnames)
            raise UnderlayMissing(f"there is no underlay interface {names}")
        self._links = tuple(found)
        first = found[0]
        return Underlay(
            ifname=first.ifname,
            ifindex=first.ifindex,
            address=address,
            mac=first.mac,
            # A packet may leave by any of them.
            mtu_bytes=min(link.mtu_bytes for link in found),
            paths=paths,
            further_links=tuple([link.ifindex for link in found[1:]]),
            is_routed=self.is_routed,
        )

    def states(self) -> list[UplinkState]:
        """Return how each link is now."""
        return [_state(name) for name in self.ifnames]

    def unmet(self) -> list[str]:
        """Return which of several links carry nothing; of one its peers tell."""
        if not self.is_routed:
            return []
        return [f"uplink {each.ifname}: {each.state}" for each in self.states() if not each.is_up]


def _state(ifname: str) -> UplinkState:
    link = read_link(ifname)
    if link is None:
        return UplinkState(ifname, "missing")
    request = ifname.encode()[: _IFNAME_BYTES - 1].ljust(_IFREQ_BYTES, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            answer = fcntl.ioctl(handle, _SIOCGIFFLAGS, request)
        except OSError:
            return UplinkState(ifname, "missing")
    flags: int = struct.unpack_from("=H", answer, _IFNAME_BYTES)[0]
    state = "down"
    if flags & _IFF_UP:
        state = "up" if flags & _IFF_RUNNING else "no carrier"
    return UplinkState(ifname, state, link.ifindex, str(link.mac), link.mtu_bytes)


def link_of_flow(source: IpAddress, destination: IpAddress, entropy: int) -> int:
    """Ask the kernel which link a tunnel packet with this outer source port takes; 0: none.

    Over IPv6 that is so where routes look at ports: they are not asked with a flow label.

    Raises ``OSError`` when it does not answer.
    """
    attributes = b"".join(
        _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value.ljust(-len(value) % 4 + len(value), b"\0")
        for kind, value in (
            (_RTA_DST, destination.packed),
            (_RTA_SRC, source.packed),
            (_RTA_IP_PROTO, bytes([_UDP])),
            (_RTA_SPORT, entropy.to_bytes(2, "big")),
            (_RTA_DPORT, _MPLS_UDP_PORT.to_bytes(2, "big")),
        )
    )  # fmt: skip
    family, bits = _FAMILIES[source.version], source.max_prefixlen
    body = _ROUTE.pack(family, bits, bits, 0, 0, 0, 0, 0, 0) + attributes
    header = _HEADER.pack(_HEADER.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as handle:
        handle.settimeout(_TIMEOUT_S)
        handle.send(header + body)
        answer = handle.recv(_ANSWER_BYTES)
    return _output_link(answer)


def _output_link(answer: bytes) -> int:
    """Return the link of a route message; 0 for an error or a route without."""
    at = _HEADER.size + _ROUTE.size
    while at + _ATTRIBUTE.size <= len(answer):
        size, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _RTA_OIF:
            found: int = struct.unpack_from("=I", answer, at + _ATTRIBUTE.size)[0]
            return found
        if size < _ATTRIBUTE.size:
            break
        at += (size + 3) & ~3
    return 0
