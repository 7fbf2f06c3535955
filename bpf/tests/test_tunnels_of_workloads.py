"""Tunnels in UDP that workloads make by themselves, translated: VXLAN between containers in machines.

Of such a packet the innermost sum is often unfinished, while the sum of the tunnel around it is
finished and counts what the inner one will make of the rest (local checksum offload).
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import frames
import pytest
from rig import Workload, inside, run
from test_namespaces import loss_percent, offload
from test_unfinished_sums import (
    CLIENT,
    ETHERNET_BYTES,
    FLOATING,
    NEEDS_SUM,
    SUM_AT,
    Ends,
    Wire,
    client,
    exchanged,
    folded,
    wire,
    with_sum,
)
from translated import seen

from skytrail.net import GATEWAY_MAC

__all__ = ["client", "wire"]
"""Fixtures of that module."""

pytestmark = pytest.mark.root

PORT, UDP_BYTES, VXLAN_BYTES, NOTE_BYTES = 8472, 8, 8, 10
FRAME_AT = UDP_BYTES + VXLAN_BYTES
INNERMOST = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
_ports = itertools.count(30000)

every_family = pytest.mark.parametrize("family", [4, 6])
every_sum = pytest.mark.parametrize(
    ("innermost_is", "tunnel_is"),
    [
        ("unfinished", "finished"),
        ("unfinished", "zero"),
        ("finished", "finished"),
        ("finished", "unfinished"),
    ],
)


def tunnel_packet(
    source: str, destination: str, innermost_is: str, tunnel_is: str
) -> tuple[bytes, tuple[int, int] | None, bytes]:
    """A workload's VXLAN packet, where in it an unfinished sum counts from and is, and its end."""
    port = next(_ports)
    innermost = Ends(*INNERMOST[4], frames.TCP, frames.tcp(port, 80) + b"odd %d" % port)
    finished = innermost.whole(innermost.finished)
    header = struct.pack("!HHHH", port, PORT, FRAME_AT + ETHERNET_BYTES + len(finished), 0)
    header += b"\x08\0\0\0\0\0\x09\0"
    segment = header + frames.ethernet(b"\x02" * 6, b"\x06" * 6, 0x0800, finished)
    tunnel = Ends(source, destination, frames.UDP, segment)
    value = {"finished": tunnel.finished, "unfinished": tunnel.unfinished, "zero": 0}[tunnel_is]
    packet = tunnel.whole(value)
    at = len(packet) - len(segment)
    place = (at, SUM_AT[frames.UDP]) if tunnel_is == "unfinished" else None
    if innermost_is == "unfinished":
        packet = packet.replace(finished, innermost.whole(innermost.unfinished))
        place = (at + FRAME_AT + ETHERNET_BYTES + 20, SUM_AT[frames.TCP])
    return packet, place, innermost.segment[-9:]


def judged(packet: bytes, unfinished: tuple[int, int] | None, tunnel_is: str) -> tuple[str, str]:
    """The tunnel's ends, once the unfinished sum is finished; then all sums are right."""
    if unfinished:
        start, at = unfinished
        total = frames.checksum(packet[start:])
        packet = packet[:start] + with_sum(packet[start:], at, total)
    header = 20 if packet[0] >> 4 == 4 else 40
    ends = seen(packet, sums=tunnel_is != "zero")
    assert (packet[header + 6 : header + 8] == b"\0\0") == (tunnel_is == "zero")
    seen(packet[header + FRAME_AT + ETHERNET_BYTES :])
    return ends.source, ends.destination


def moved(place: tuple[int, int] | None, by: int) -> tuple[int, int] | None:
    return place and (place[0] + by, place[1])


def taken(opened: socket.socket, mark: bytes) -> tuple[bytes, tuple[int, int] | None]:
    """The frame that ends so and arrives, and its unfinished sum."""
    while True:
        data, (_, _, direction, *_) = opened.recvfrom(4096)
        flags, _, _, _, *place = struct.unpack("=BBHHHH", data[:NOTE_BYTES])
        if data.endswith(mark) and direction != socket.PACKET_OUTGOING:
            return data[NOTE_BYTES:], tuple(place) if flags & NEEDS_SUM else None


@every_sum
@every_family
def test_sums_are_right_of_what_a_workload_sends(
    wire: Wire, family: int, innermost_is: str, tunnel_is: str
) -> None:
    own = str(wire.workload.address4 if family == 4 else wire.workload.address6)
    packet, place, mark = tunnel_packet(own, CLIENT[family], innermost_is, tunnel_is)
    note = struct.pack("=BBHHHH", 0, 0, 0, 0, 0, 0)
    if place:
        note = struct.pack("=BBHHHH", NEEDS_SUM, 0, 0, 0, *moved(place, ETHERNET_BYTES))
    ethertype = 0x0800 if family == 4 else 0x86DD
    wire.inner.send(
        note + frames.ethernet(GATEWAY_MAC.packed, wire.workload.mac.packed, ethertype, packet)
    )

    frame, unfinished = taken(wire.router, mark)

    assert (unfinished is None) == (place is None)
    before = len(frame) - len(packet)
    there = judged(frame[before:], moved(unfinished, -before), tunnel_is)
    assert there == (FLOATING[family], CLIENT[family])


@pytest.mark.parametrize("tunnel", ["label", "frame", "vxlan"])
@every_sum
@every_family
def test_sums_are_right_of_what_a_workload_gets(
    wire: Wire, family: int, tunnel: str, innermost_is: str, tunnel_is: str
) -> None:
    packet, place, mark = tunnel_packet(CLIENT[family], FLOATING[family], innermost_is, tunnel_is)
    sent = wire.outer(tunnel, packet).whole(0)
    wire.send(sent, moved(place, ETHERNET_BYTES + len(sent) - len(packet)))

    frame, unfinished = taken(wire.inner, mark)

    assert (unfinished is None) == (place is None)
    there = judged(frame[ETHERNET_BYTES:], moved(unfinished, -ETHERNET_BYTES), tunnel_is)
    own = str(wire.workload.address4 if family == 4 else wire.workload.address6)
    assert there == (CLIENT[family], own)


def test_an_unfinished_sum_is_what_the_tunnel_s_looks_like() -> None:
    """What the datapath tells the two apart by, in these frames."""
    packet, _, _ = tunnel_packet(CLIENT[4], FLOATING[4], "unfinished", "finished")
    pseudo = packet[12:20] + struct.pack("!II", len(packet) - 20, frames.UDP)

    assert folded(pseudo) != int.from_bytes(packet[26:28], "big")


@contextmanager
def tunnel_inside(end: Workload, source: str, far: str, place: int) -> Iterator[None]:
    """The kernel's VXLAN of a workload, with sums of its own."""
    zero = "udp6zerocsumrx" if frames.is_v6(source) else ""
    with inside(end.namespace):
        run(
            f"ip link add nested mtu 1300 type vxlan id 9 local {source} remote {far} "
            f"dstport {PORT} udpcsum {zero}"
        )
    try:
        with inside(end.namespace):
            run("ip link set nested up")
            run(f"ip addr add {INNERMOST[4][place]}/24 dev nested")
            run(f"ip addr add {INNERMOST[6][place]}/64 dev nested nodad")
        yield
    finally:
        with inside(end.namespace):
            run("ip link del nested")


@every_family
def test_sockets_in_a_tunnel_of_the_workload_s_own_understand(
    wire: Wire, client: Workload, family: int
) -> None:
    """Sums are finished between the hosts, so that who gets them looks."""
    own = str(wire.workload.address4 if family == 4 else wire.workload.address6)
    links = [(wire.host.namespace, "under"), (wire.rig.router, "h1")]
    near, far = wire.workload, client
    with ExitStack() as stack:
        for link in links:
            offload(*link, "off")
            stack.callback(offload, *link, "on")
        stack.enter_context(tunnel_inside(near, own, CLIENT[family], 0))
        stack.enter_context(tunnel_inside(far, CLIENT[family], FLOATING[family], 1))
        for version in (4, 6):
            server, asker = INNERMOST[version]
            assert loss_percent(far, server) == 0
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                assert exchanged(far, near, server, kind) == b"over there"
                assert exchanged(near, far, asker, kind) == b"over there"
