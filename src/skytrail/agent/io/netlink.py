"""The kernel's links, routes and neighbours: what the agent asks, and a signal when they change."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from skytrail.agent.nexthop import UnderlayPath
from skytrail.net import IpAddress, Mac

_SIOCGIFMTU = 0x8921
_SIOCGIFHWADDR = 0x8927
_IFREQ_BYTES = 40
_IFNAME_BYTES = 16
_RTMGRP_LINK = 1
_RTMGRP_NEIGH = 4
_RTMGRP_IPV4_ROUTE = 0x40
_RTMGRP_IPV6_ROUTE = 0x400
_NTF_USE = 1
_RTM_F_FIB_MATCH = 0x2000
_RTNH_UNUSABLE = 0x1 | 0x10
"""Dead, or its link is down."""
_NUD_USABLE = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80
"""Reachable, stale, delay, probe, noarp, permanent: the address is worth using."""


@dataclass(frozen=True, slots=True)
class Link:
    ifname: str
    ifindex: int
    mac: Mac
    mtu_bytes: int


def link_index(ifname: str) -> int:
    """Return the index of a link, or 0. One system call: done for every port at every change."""
    try:
        return socket.if_nametoindex(ifname)
    except OSError:
        return 0


def read_link(ifname: str) -> Link | None:
    """Return the link of that name in this network namespace, or None.

    By ioctl, not by /sys: that shows the namespace it was mounted in, which may be another.
    """
    request = ifname.encode()[: _IFNAME_BYTES - 1].ljust(_IFREQ_BYTES, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        try:
            ifindex = socket.if_nametoindex(ifname)
            mtu = fcntl.ioctl(handle, _SIOCGIFMTU, request)
            hardware = fcntl.ioctl(handle, _SIOCGIFHWADDR, request)
        except OSError:
            return None
    start = _IFNAME_BYTES + 2
    mtu_bytes: int = struct.unpack_from("i", mtu, _IFNAME_BYTES)[0]
    return Link(ifname, ifindex, Mac(hardware[start : start + 6]), mtu_bytes)


class UnderlayResolver:
    """Finds how the underlay reaches tunnel end points. Blocking; used by one worker thread."""

    def __init__(self) -> None:
        self._route = IPRoute()
        self.waits = False
        """Of several ways to some end point not all were there."""

    def close(self) -> None:
        self._route.close()

    def resolve(
        self, remotes: Iterable[IpAddress], macs: Callable[[int], Mac | None]
    ) -> dict[IpAddress, UnderlayPath]:
        """Return a path per remote that has a route; its MAC may still be unknown.

        Each neighbour is also *used*, which makes the kernel find or confirm it. ``macs`` tells
        the MAC of a link by its index.
        """
        self.waits = False
        hops = {remote: self._next_hops(remote) for remote in remotes}
        families = {_family(remote) for remote, each in hops.items() if each}
        neighbours = self._neighbours(families)
        for ifindex, address in sorted({hop for each in hops.values() for hop in each}):
            self._use(ifindex, address)
            self.waits |= (ifindex, address) not in neighbours
        paths: dict[IpAddress, UnderlayPath] = {}
        for remote, ways in hops.items():
            found = [
                UnderlayPath(ifindex, source, neighbours.get((ifindex, address)))
                for ifindex, address in ways
                if (source := macs(ifindex)) is not None
            ]
            if found:
                paths[remote] = next((way for way in found if way.destination_mac), found[0])
        return paths

    def _next_hops(self, remote: IpAddress) -> list[tuple[int, str]]:
        """Return each (link, address to resolve on it) that the route to an address has."""
        try:
            replies = self._route.route(
                "get", family=_family(remote), dst=str(remote), flags=_RTM_F_FIB_MATCH
            )
        except NetlinkError:
            return []
        for reply in replies:
            if several := reply.get_attr("RTA_MULTIPATH"):
                self.waits |= any(hop["flags"] & _RTNH_UNUSABLE for hop in several)
                return [
                    (int(hop["oif"]), str(hop.get_attr("RTA_GATEWAY") or remote))
                    for hop in several
                    if not hop["flags"] & _RTNH_UNUSABLE
                ]
            ifindex = reply.get_attr("RTA_OIF")
            if ifindex:
                return [(int(ifindex), str(reply.get_attr("RTA_GATEWAY") or remote))]
        return []

    def _neighbours(self, families: Iterable[int]) -> dict[tuple[int, str], Mac]:
        found: dict[tuple[int, str], Mac] = {}
        for entry in chain.from_iterable(self._route.get_neighbours(family=f) for f in families):
            address, mac = entry.get_attr("NDA_DST"), entry.get_attr("NDA_LLADDR")
            if address and mac and entry["state"] & _NUD_USABLE:
                with contextlib.suppress(ValueError):
                    found[int(entry["ifindex"]), str(address)] = Mac.parse(str(mac))
        return found

    def _use(self, ifindex: int, address: str) -> None:
        """Have the kernel resolve or confirm a neighbour, as sending to it would."""
        with contextlib.suppress(NetlinkError):
            self._route.neigh(
                "replace",
                family=_family(ip_address(address)),
                dst=address,
                ifindex=ifindex,
                flags=_NTF_USE,
                state=0,
            )


def _family(address: IpAddress) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


class ChangeSignal:
    """Calls back, at most once per ``quiet_s``, after links, neighbours or routes changed.

    What changed is not read: the agent looks at the few things it cares about again. That keeps
    it right also when the kernel drops notifications.
    """

    def __init__(self, changed: Callable[[], None], *, quiet_s: float = 0.05) -> None:
        self._changed = changed
        self._quiet_s = quiet_s
        self._pending = False
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        groups = _RTMGRP_LINK | _RTMGRP_NEIGH | _RTMGRP_IPV4_ROUTE | _RTMGRP_IPV6_ROUTE
        self._socket.bind((0, groups))

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._socket.fileno(), self._readable, loop)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                if not self._socket.recv(65536):
                    break
            except BlockingIOError:
                break
            except OSError:
                # Receive buffer overran (ENOBUFS): something changed, which is all we report.
                break
        if not self._pending:
            self._pending = True
            loop.call_later(self._quiet_s, self._fire)

    def _fire(self) -> None:
        self._pending = False
        self._changed()
