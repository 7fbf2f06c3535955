"""Sums that a sender left to a device which never came: a virtual wire between it and the host.

A tunnel packet says of one sum only that it is unfinished, the outer or the inner one. What the
workload gets of it must have the other one right, also translated.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

import frames
import pytest
from rig import LABEL_BASE, Rig, Workload, inside, run, underlay_address
from test_floating import CLIENT as CLIENT4
from test_floating import FLOATING as FLOATING4
from test_floating6 import CLIENT as CLIENT6
from test_floating6 import FLOATING as FLOATING6
from test_namespaces import loss_percent, megabits
from translated import PUBLIC, SUM_AT, floating_row, seen

from skytrail.agent.tables import (
    Encapsulation,
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    Row,
    VniRow,
)
from skytrail.net import GATEWAY_MAC, Mac

pytestmark = pytest.mark.root

VNI, BRIDGE_LABEL = 6006, LABEL_BASE + 900
BRIDGE, TUNNEL = NextHopId(44), NextHopId(45)
FLOATING, CLIENT = {4: FLOATING4, 6: FLOATING6}, {4: CLIENT4, 6: CLIENT6}
CLIENT_MAC = Mac.parse("02:00:00:00:02:09")
ETHERNET_BYTES = 14
ICMP = {4: frames.ICMP, 6: frames.ICMP6}
PORT = {"label": 6635, "frame": 6635, "vxlan": 4789}
SOL_PACKET, PACKET_VNET_HDR = 263, 15
NEEDS_SUM = 1
"""VIRTIO_NET_HDR_F_NEEDS_CSUM."""
_numbers = itertools.count(20000)


def folded(data: bytes) -> int:
    """Not complemented, as an unfinished sum is."""
    return ~frames.checksum(data) & 0xFFFF


def pseudo(source: str, destination: str, protocol: int, length: int) -> bytes:
    both = ip_address(source).packed + ip_address(destination).packed
    return both + struct.pack("!II", length, protocol)


def with_sum(segment: bytes, at: int, value: int) -> bytes:
    return segment[:at] + value.to_bytes(2, "big") + segment[at + 2 :]


@dataclass(frozen=True)
class Ends:
    """Who sends what to whom, of either family."""

    source: str
    destination: str
    protocol: int
    segment: bytes
    """Its sum is not filled in."""

    @property
    def unfinished(self) -> int:
        return folded(pseudo(self.source, self.destination, self.protocol, len(self.segment)))

    @property
    def finished(self) -> int:
        counted = pseudo(self.source, self.destination, self.protocol, len(self.segment))
        head = b"" if self.protocol == frames.ICMP else counted
        return frames.checksum(head + self.segment) or 0xFFFF

    def whole(self, value: int) -> bytes:
        segment = with_sum(self.segment, SUM_AT[self.protocol], value)
        return frames.ip(self.source, self.destination, self.protocol, segment)


@dataclass(frozen=True)
class Arrived:
    """What the workload got, and where its sum begins if that is unfinished."""

    packet: bytes
    unfinished_from: int | None


class Wire:
    """A host, what a router sends it on their link, and what its workload gets."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.rig = Rig(hosts=1, version=version)
        self.sockets: list[socket.socket] = []
        try:
            self.host = self.rig.hosts[0]
            self.workload = self.rig.add_workload(self.host)
            self.rig.program()
            self.host.datapath.apply(public_rows(self), [])
            self.router = self._open(self.rig.router, "h1")
            self.inner = self._open(self.workload.namespace, "eth0")
        except BaseException:
            self.close()
            raise

    def _open(self, namespace: str, device: str) -> socket.socket:
        with inside(namespace):
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.sockets.append(opened)
        opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        opened.bind((device, 0x0003))
        opened.settimeout(3)
        return opened

    def outer(self, tunnel: str, inner: bytes) -> Ends:
        """The tunnel packet around an IP packet."""
        word = (
            (self.workload.label if tunnel == "label" else BRIDGE_LABEL) << 12 | 0x140
        ).to_bytes(4, "big")
        if tunnel == "vxlan":
            word = b"\x08\0\0\0" + VNI.to_bytes(3, "big") + b"\0"
        if tunnel != "label":
            ethertype = 0x86DD if inner[0] >> 4 == 6 else 0x0800
            inner = frames.ethernet(GATEWAY_MAC.packed, CLIENT_MAC.packed, ethertype, inner)
        payload = word + inner
        udp = struct.pack("!HHHH", 50000, PORT[tunnel], 8 + len(payload), 0) + payload
        source = str(underlay_address(self.version, 1, 0xFE))
        return Ends(source, str(self.host.address), frames.UDP, udp)

    def send(self, packet: bytes, unfinished: tuple[int, int] | None) -> None:
        """``unfinished``: where a sum begins to count, and where it is from there."""
        note = struct.pack("=BBHHHH", 0, 0, 0, 0, 0, 0)
        if unfinished:
            note = struct.pack("=BBHHHH", NEEDS_SUM, 0, 0, 0, *unfinished)
        ethertype = 0x0800 if self.version == 4 else 0x86DD
        frame = frames.ethernet(
            self.host.mac.packed, self.host.neighbour_mac.packed, ethertype, packet
        )
        self.router.send(note + frame)

    def got(self, mark: bytes) -> Arrived:
        """The packet that ends so."""
        while True:
            data, (_, _, direction, *_) = self.inner.recvfrom(4096)
            flags, _, _, _, start, _ = struct.unpack("=BBHHHH", data[:10])
            if data.endswith(mark) and direction != socket.PACKET_OUTGOING:
                packet = data[10 + ETHERNET_BYTES :]
                return Arrived(packet, start - ETHERNET_BYTES if flags & NEEDS_SUM else None)

    def close(self) -> None:
        for each in self.sockets:
            each.close()
        self.rig.close()


def public_rows(wire: Wire) -> list[Row]:
    """The workload has an address of either family in another network; a client is behind a tunnel."""
    host, workload = wire.host, wire.workload
    own = next(
        row
        for row in wire.rig.rows(host)
        if isinstance(row, InterfaceRow) and row.vif_id == workload.vif
    )
    return [
        replace(own, has_floating=True),
        NextHopRow(BRIDGE, NextHopKind.BRIDGE, vrf_id=PUBLIC),
        VniRow(VNI, BRIDGE),
        LabelRow(BRIDGE_LABEL, BRIDGE),
        NextHopRow(
            nexthop_id=TUNNEL,
            kind=NextHopKind.TUNNEL,
            encapsulation=Encapsulation.VXLAN,
            local=host.address,
            remote=underlay_address(wire.version, 1, 0xFE),
            out_ifindex=host.ifindex,
            out_source_mac=host.mac,
            out_destination_mac=host.neighbour_mac,
        ),
        *(each for family in (4, 6) for each in _rows_of(family, workload)),
    ]


def _rows_of(family: int, workload: Workload) -> Iterator[Row]:
    inside_address = workload.address4 if family == 4 else workload.address6
    place = int(family == 6)
    yield floating_row(FLOATING[family], workload.vif, place=place, inside=inside_address)
    for address, nexthop, label, mac in (
        (FLOATING[family], workload.nexthop, 0, workload.mac),
        (CLIENT[family], TUNNEL, VNI, CLIENT_MAC),
    ):
        yield InetRouteRow(PUBLIC, ip_network(address), nexthop, label, IdentityId(5), mac)


@pytest.fixture(scope="module", params=[4, 6])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Over an underlay of either family."""
    made = Wire(request.param)
    try:
        yield made
    finally:
        made.close()


def asked(protocol: int, destination: str, *, empty: bool = False) -> Ends:
    """What a client opens; each is a flow of its own, and ends like no other."""
    number = next(_numbers)
    payload = b"" if empty else f"odd, {number} ".encode()
    source = CLIENT[ip_address(destination).version]
    match protocol:
        case frames.TCP:
            segment = frames.tcp(number, 80, flags=frames.SYN) + payload
        case frames.UDP:
            segment = frames.udp(number, 53, payload)
        case _:
            kind = 8 if protocol == frames.ICMP else 128
            segment = frames.icmp(kind, identifier=number, payload=payload)
    return Ends(source, destination, protocol, segment)


def finish(ends: Ends, arrived: Arrived, sum_at: int) -> tuple[str, str]:
    """Source and destination of a packet once its sum is finished by who has to; it is right."""
    packet = arrived.packet
    header = 20 if packet[0] >> 4 == 4 else 40
    if arrived.unfinished_from is not None:
        assert arrived.unfinished_from == header
        total = frames.checksum(packet[header:])
        packet = packet[:header] + with_sum(packet[header:], sum_at, total)
    got = seen(packet)
    return got.source, got.destination


every_tunnel = pytest.mark.parametrize("tunnel", ["label", "frame", "vxlan"])
every_protocol = pytest.mark.parametrize(
    ("family", "protocol"),
    [(f, p) for f in (4, 6) for p in (frames.TCP, frames.UDP, ICMP[f])],
)


@pytest.mark.parametrize("outer_is", ["unfinished", "finished", "zero"])
@every_tunnel
@every_protocol
def test_a_finished_inner_sum_is_right_whatever_is_around_it(
    wire: Wire, family: int, protocol: int, tunnel: str, outer_is: str
) -> None:
    inner = asked(protocol, FLOATING[family])
    outer = wire.outer(tunnel, inner.whole(inner.finished))
    value = {"unfinished": outer.unfinished, "finished": outer.finished, "zero": 0}[outer_is]
    outer_header = 20 if wire.version == 4 else 40
    place = (ETHERNET_BYTES + outer_header, 6) if outer_is == "unfinished" else None

    wire.send(outer.whole(value), place)
    arrived = wire.got(inner.segment[-11:])

    workload = str(wire.workload.address4 if family == 4 else wire.workload.address6)
    assert arrived.unfinished_from is None
    assert finish(inner, arrived, SUM_AT[protocol]) == (CLIENT[family], workload)


@every_tunnel
@pytest.mark.parametrize("family", [4, 6])
def test_the_shortest_packets_are_right(wire: Wire, family: int, tunnel: str) -> None:
    inner = asked(ICMP[family], FLOATING[family], empty=True)
    outer = wire.outer(tunnel, inner.whole(inner.finished))
    wire.send(outer.whole(outer.unfinished), (ETHERNET_BYTES + (20, 40)[wire.version == 6], 6))

    arrived = wire.got(inner.segment[4:])

    assert arrived.unfinished_from is None
    assert finish(inner, arrived, SUM_AT[ICMP[family]])[0] == CLIENT[family]


@pytest.mark.parametrize("by_chance", [False, True])
@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP])
@pytest.mark.parametrize("family", [4, 6])
@every_tunnel
def test_an_unfinished_inner_sum_is_finished_by_who_gets_it(
    wire: Wire, family: int, protocol: int, tunnel: str, *, by_chance: bool
) -> None:
    """The outer sum is finished then, and may look unfinished by chance."""
    inner = asked(protocol, FLOATING[family])
    packet = inner.whole(inner.unfinished)
    # Local checksum offload: what the inner sum will make of the rest is known.
    outer = wire.outer(tunnel, inner.whole(inner.finished))
    if by_chance:
        outer = looking_unfinished(outer)
    sent = outer.whole(outer.finished).replace(inner.whole(inner.finished), packet)
    start = ETHERNET_BYTES + sent.index(packet) + len(packet) - len(inner.segment)

    wire.send(sent, (start, SUM_AT[protocol]))
    arrived = wire.got(inner.segment[-11:])

    workload = str(wire.workload.address4 if family == 4 else wire.workload.address6)
    assert by_chance == (outer.finished == outer.unfinished)
    assert arrived.unfinished_from is not None
    assert finish(inner, arrived, SUM_AT[protocol]) == (CLIENT[family], workload)


def looking_unfinished(outer: Ends) -> Ends:
    """The same by another source port: with its sum finished, it is what an unfinished one would be."""
    return next(
        each
        for port in range(1, 65536)
        if (each := replace(outer, segment=port.to_bytes(2, "big") + outer.segment[2:])).finished
        == each.unfinished
    )


@pytest.fixture
def client(wire: Wire) -> Iterator[Workload]:
    """The kernel's own VXLAN in the router's place, with outer sums as it makes them."""
    router, far = wire.rig.router, underlay_address(wire.version, 1, 0xFE)
    zero = "udp6zerocsumrx" if wire.version == 6 else ""
    run(
        f"ip -n {router} link add vx address {CLIENT_MAC} mtu 1500 type vxlan id {VNI} "
        f"local {far} remote {wire.host.address} dstport 4789 udpcsum {zero}"
    )
    try:
        run(f"ip -n {router} link set vx up")
        for family, mask in ((4, 24), (6, 64)):
            no_probe = "nodad" if family == 6 else ""
            run(f"ip -n {router} addr add {CLIENT[family]}/{mask} dev vx {no_probe}")
            run(
                f"ip -n {router} neigh replace {FLOATING[family]} lladdr {GATEWAY_MAC} dev vx "
                "nud permanent"
            )
        yield replace(wire.workload, namespace=router)
    finally:
        run(f"ip -n {router} link del vx")


def exchanged(client: Workload, server: Workload, address: str, kind: int) -> bytes:
    """What a socket of the client gets back of what it says."""
    family = socket.AF_INET6 if frames.is_v6(address) else socket.AF_INET
    port = next(_numbers)
    with inside(server.namespace):
        listener = socket.socket(family, kind)
    with inside(client.namespace):
        asking = socket.socket(family, kind)
    with listener, asking:
        for each in (listener, asking):
            each.settimeout(3)
        listener.bind(("", port))
        if kind == socket.SOCK_STREAM:
            listener.listen()
        asking.connect((address, port))
        asking.send(b"over there")
        if kind == socket.SOCK_STREAM:
            answering, _ = listener.accept()
            with answering:
                answering.settimeout(3)
                answering.send(answering.recv(100))
        else:
            data, sender = listener.recvfrom(100)
            listener.sendto(data, sender)
        return asking.recv(100)


@pytest.mark.parametrize("finishes_inner", [True, False])
def test_sockets_behind_the_kernel_s_own_vxlan_understand(
    wire: Wire, client: Workload, *, finishes_inner: bool
) -> None:
    """They drop what has a wrong sum."""
    if finishes_inner:
        client.run("ethtool -K vx tx off")
    for family in (4, 6):
        assert loss_percent(client, FLOATING[family]) == 0
        assert loss_percent(client, FLOATING[family], "-s 0") == 0
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            there = exchanged(client, wire.workload, FLOATING[family], kind)
            assert there == b"over there"


@pytest.mark.parametrize("family", [4, 6])
def test_large_segments_from_the_kernel_s_own_vxlan_cross(
    wire: Wire, client: Workload, family: int
) -> None:
    assert megabits(client, wire.workload, FLOATING[family]) > 20
