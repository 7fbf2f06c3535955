"""Copies for analyzers: what arrives there, and that the originals do not notice."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

import frames
import pytest
from conftest import (
    LABEL,
    LAYER2_LABEL,
    LOCAL_TUNNEL,
    MAC,
    OWN,
    PEER_MAC,
    REMOTE,
    REMOTE_LABEL,
    REMOTE_MAC,
    TC_SHOT,
    TUNNEL_NEXTHOP,
    UNDERLAY_MTU,
    VIF,
    VRF,
    Box,
    interface_row,
    route_row,
    tunnel_row,
)
from rig import Rig, Workload, inside

from skytrail.agent.io import bpf_syscall
from skytrail.agent.io.ebpf import EbpfDatapath
from skytrail.agent.mirror import Copied, MirrorTo, mirror_row
from skytrail.agent.tables import (
    Action,
    Encapsulation,
    MirrorId,
    MirrorRow,
    NextHopId,
    PolicyId,
    PortMirrorRow,
    RuleId,
    VerdictRow,
    VrfId,
)
from skytrail.net import GATEWAY_MAC, Mac

MIRROR, OTHER_MIRROR = MirrorId(9), MirrorId(10)
ANALYZER = IPv4Address("10.9.9.9")
FIXED_NEXTHOP = NextHopId(60)
ORIGINAL = frames.ethernet(b"\2" * 6, b"\4" * 6, 0x0800, frames.ipv4(OWN[4], REMOTE[4], 17, b"it"))
_SO_RCVBUFFORCE = 33
TUNNELS = [each for each in Encapsulation if each is not Encapsulation.NATIVE]


@dataclass
class Copy:
    """A copy with record header, as an analyzer takes it apart."""

    source: IPv4Address
    ports: tuple[int, int]
    lengths: tuple[int, int]
    seconds: int
    metadata: dict[int, bytes]
    frame: bytes


def taken_apart(packet: bytes) -> Copy:
    assert packet[0] == 0x45
    assert frames.checksum(packet[:20]) == 0
    assert len(packet) == int.from_bytes(packet[2:4], "big")
    source, destination, length, _ = struct.unpack("!HHHH", packet[20:28])
    assert length == len(packet) - 20
    return record(packet[28:], IPv4Address(packet[12:16]), (source, destination))


def record(payload: bytes, source: IPv4Address, ports: tuple[int, int] = (0, 0)) -> Copy:
    seconds, _, kept, original = struct.unpack("!IIII", payload[:16])
    at, metadata = 16, {}
    while payload[at] != 255:
        metadata[payload[at]] = payload[at + 2 : at + 2 + payload[at + 1]]
        at += 2 + payload[at + 1]
    frame = payload[at + 2 :]
    assert len(frame) == kept
    return Copy(source, ports, (kept, original), seconds, metadata, frame)


def mirrored(box: Box, frame: bytes = ORIGINAL, mark: int = MIRROR) -> tuple[int, bytes]:
    """Run a frame through the far end of the mirror device."""
    context = bytearray(192)
    struct.pack_into("=I", context, 8, mark)
    fd = box.datapath._loaded.programs["mirror_ingress"]
    verdict, after, _, _ = bpf_syscall.run_on_frame(fd, frame, context=bytes(context))
    return verdict, after


def row(
    to: MirrorTo,
    mirror_id: MirrorId = MIRROR,
    *,
    vrf: VrfId = VRF,
    nexthop: int = 0,
) -> MirrorRow:
    copied = Copied(to, source_network="d:p:blue", destination_network="d:p:red", is_ingress=True)
    return mirror_row(copied, mirror_id, LOCAL_TUNNEL, (vrf, NextHopId(nexthop)))


def counts(box: Box, mirror_id: MirrorId = MIRROR) -> tuple[int, int, int]:
    return box.datapath.mirror_counts().get(mirror_id, (0, 0, 0))


@dataclass
class Growth:
    """Copies, cut off copies and lost ones since the last look."""

    box: Box
    before: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        self.before = counts(self.box)

    def of(self) -> tuple[int, ...]:
        return tuple(now - old for now, old in zip(counts(self.box), self.before, strict=True))


@pytest.mark.parametrize("encapsulation", TUNNELS)
def test_copy_reaches_an_analyzer_behind_a_tunnel(box: Box, encapsulation: Encapsulation) -> None:
    box.apply(tunnel_row(encapsulation), row(MirrorTo(ANALYZER, "d:p:x:x")))
    box.apply(route_row("10.9.9.9/32", TUNNEL_NEXTHOP, label=REMOTE_LABEL, mac=REMOTE_MAC))

    _, frame = mirrored(box)

    outer = frames.decode_tunnel(frame)
    packet = outer.inner
    if encapsulation is Encapsulation.VXLAN:
        assert packet[:14] == REMOTE_MAC.packed + GATEWAY_MAC.packed + b"\x08\x00"
        packet = packet[14:]
    copy = taken_apart(packet)
    assert outer.label == REMOTE_LABEL
    assert (copy.source, copy.ports) == (LOCAL_TUNNEL, (8097, 8099))
    assert copy.frame == ORIGINAL
    assert copy.lengths == (len(ORIGINAL), len(ORIGINAL))
    assert abs(copy.seconds - time.time()) < 60
    assert copy.metadata == {
        1: LOCAL_TUNNEL.packed,
        2: (0x400000A0).to_bytes(4, "big"),
        3: b"d:p:blue",
        4: b"d:p:red",
    }


def test_copy_reaches_a_local_analyzer_as_an_ordinary_packet(box: Box) -> None:
    box.apply(row(MirrorTo(IPv4Address("10.1.1.11"), "d:p:x:x", 5555)))

    _, frame = mirrored(box)

    assert frame[:14] == PEER_MAC.packed + GATEWAY_MAC.packed + b"\x08\x00"
    assert taken_apart(frame[14:]).ports == (8097, 5555)


def test_copy_reaches_a_collector_in_the_underlay_by_udp_gre_and_vxlan(box: Box) -> None:
    collector = IPv4Address("192.0.2.99")
    box.apply(tunnel_row(Encapsulation.NATIVE, FIXED_NEXTHOP))
    forms = {form: MirrorTo(collector, form=form, vni=7) for form in ("record", "gre", "vxlan")}
    forms["vxlan"] = replace(forms["vxlan"], udp_port=4789)
    got = {}
    for form, to in forms.items():
        box.apply(row(to, vrf=VrfId(0), nexthop=FIXED_NEXTHOP))
        got[form] = mirrored(box)[1]

    macs = bytes.fromhex("020000000102020000000101")
    assert {frame[:12] for frame in got.values()} == {macs}
    assert {frame[30:34] for frame in got.values()} == {collector.packed}
    assert all(frames.checksum(frame[14:34]) == 0 for frame in got.values())
    assert taken_apart(got["record"][14:]).frame == ORIGINAL
    assert got["gre"][34:] == b"\0\0\x65\x58" + ORIGINAL
    assert got["vxlan"][36:38] == (4789).to_bytes(2, "big")
    assert got["vxlan"][42:] == bytes.fromhex("0800000000000700") + ORIGINAL


def test_copy_without_header_follows_a_mac(box: Box) -> None:
    box.apply(tunnel_row(Encapsulation.VXLAN))
    box.apply(row(MirrorTo(mac=REMOTE_MAC, instance="d:p:x:x", form="frame")))

    _, frame = mirrored(box)

    assert frames.decode_tunnel(frame).inner == ORIGINAL


def test_copy_too_long_for_its_way_is_cut_off_and_says_so(box: Box) -> None:
    box.apply(row(MirrorTo(ANALYZER, "d:p:x:x")))
    box.apply(route_row("10.9.9.9/32", TUNNEL_NEXTHOP, label=REMOTE_LABEL, mac=REMOTE_MAC))
    long = ORIGINAL + bytes(1460)
    seen = Growth(box)

    _, frame = mirrored(box, long)

    copy = taken_apart(frames.decode_tunnel(frame).inner)
    assert len(frame) == UNDERLAY_MTU + 14
    assert copy.lengths == (len(copy.frame), len(long))
    assert long.startswith(copy.frame)
    assert seen.of() == (1, 1, 0)


@pytest.mark.parametrize("mark", [0, 77])
def test_frame_without_a_mirror_goes_nowhere(box: Box, mark: int) -> None:
    assert mirrored(box, mark=mark)[0] == TC_SHOT


def test_copy_without_a_way_is_lost_and_counted(box: Box) -> None:
    box.apply(row(MirrorTo(IPv4Address("203.0.113.1"), "d:p:x:x")))
    seen = Growth(box)

    assert mirrored(box)[0] == TC_SHOT
    assert seen.of() == (0, 0, 1)


def watch(box: Box, *, sent: int = 0, delivered: int = 0) -> None:
    """Mirror the workload to the local peer, which is the analyzer."""
    box.apply(row(MirrorTo(IPv4Address("10.1.1.11"), "d:p:x:x")))
    box.apply(PortMirrorRow(VIF, MirrorId(sent), MirrorId(delivered)))
    box.apply(replace(interface_row(), is_watched=True))


def settled(seen: Growth, expected: int) -> tuple[int, ...]:
    """Copies cross a device: give them a moment."""
    deadline = time.monotonic() + 5
    while seen.of()[0] < expected and time.monotonic() < deadline:
        time.sleep(0.005)
    return seen.of()


def test_original_is_the_same_with_and_without_a_mirror(box: Box) -> None:
    sent = {}
    for is_mirrored in (False, True):
        if is_mirrored:
            watch(box, sent=MIRROR, delivered=MIRROR)
            seen = Growth(box)
        sent[is_mirrored] = [
            box.send(frames.udp(1, 2, b"data"), frames.UDP, ttl=9, destination_mac=GATEWAY_MAC),
            box.send(frames.udp(1, 2, b"data"), frames.UDP, family=6),
            box.receive(frames.ipv4(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9, b"there"))),
            box.workload(frames.ethernet(REMOTE_MAC.packed, MAC.packed, 0x88B5, b"x" * 50)),
        ]

    assert [each.frame for each in sent[False]] == [each.frame for each in sent[True]]
    assert [each.verdict for each in sent[False]] == [each.verdict for each in sent[True]]
    assert settled(seen, 4)[0] == 4


def test_direction_of_an_interface_is_respected(box: Box) -> None:
    packet = frames.ipv4(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9))
    watch(box, delivered=MIRROR)
    seen = Growth(box)

    box.send(frames.udp(1, 2), frames.UDP)
    box.receive(packet)

    assert settled(seen, 1) == (1, 0, 0)


def test_what_policy_refuses_is_still_copied_by_its_interface(box: Box) -> None:
    watch(box, sent=MIRROR)
    box.apply(replace(interface_row(egress=3), is_watched=True))
    seen = Growth(box)

    assert box.send(frames.udp(1, 2), frames.UDP).drops == {"POLICY": 1}
    assert settled(seen, 1) == (1, 0, 0)


def verdict(port: int, mirror: int) -> VerdictRow:
    return VerdictRow(
        PolicyId(3), 0, 0, 17, port, 16, Action.ALLOW, RuleId(5), mirror_id=MirrorId(mirror)
    )


def test_rule_copies_its_flows_in_both_directions_and_no_others(box: Box) -> None:
    box.apply(row(MirrorTo(IPv4Address("10.1.1.11"), "d:p:x:x")), interface_row(egress=3))
    box.apply(verdict(80, MIRROR), verdict(81, 0))
    seen = Growth(box)

    for port in (80, 80, 81):
        assert box.send(frames.udp(1000, port), frames.UDP).forwarded
        answer = frames.ipv4(REMOTE[4], OWN[4], frames.UDP, frames.udp(port, 1000))
        assert box.receive(answer).forwarded

    assert settled(seen, 4) == (4, 0, 0)


def test_mirror_of_a_rule_follows_its_change_on_live_flows(box: Box) -> None:
    box.apply(row(MirrorTo(IPv4Address("10.1.1.11"), "d:p:x:x")), interface_row(egress=3))
    box.apply(verdict(80, MIRROR))
    seen = Growth(box)
    box.send(frames.udp(1000, 80), frames.UDP)
    settled(seen, 1)

    box.apply(verdict(80, 0))
    box.send(frames.udp(1000, 80), frames.UDP)
    box.apply(verdict(80, MIRROR))
    box.send(frames.udp(1000, 80), frames.UDP)

    assert settled(seen, 2) == (2, 0, 0)


@pytest.mark.parametrize("kind", ["udp", "gre"])
def test_copy_is_never_copied_again(box: Box, kind: str) -> None:
    """What arrives at a watched analyzer as a copy is delivered, and that is all."""
    encapsulation = {"udp": Encapsulation.MPLS_UDP, "gre": Encapsulation.MPLS_GRE}[kind]
    box.apply(tunnel_row(encapsulation), row(MirrorTo(ANALYZER, "d:p:x:x"), OTHER_MIRROR))
    box.apply(route_row("10.9.9.9/32", TUNNEL_NEXTHOP, label=LABEL, mac=REMOTE_MAC))
    _, tunnelled = mirrored(box, mark=OTHER_MIRROR)
    # As if this host were the receiver: the same packet, its outer addresses exchanged.
    arrives = tunnelled[:26] + tunnelled[30:34] + tunnelled[26:30] + tunnelled[34:]
    ordinary = frames.decode_tunnel(tunnelled).inner
    watch(box, delivered=MIRROR)
    seen = Growth(box)

    assert box.underlay(arrives).forwarded
    assert box.receive(ordinary, kind=kind, label=LAYER2_LABEL - 1).forwarded

    assert settled(seen, 1) == (1, 0, 0)


def test_datapath_that_opens_again_goes_on_copying(box: Box) -> None:
    """As an agent does that starts anew: inside a loop that runs already."""
    watch(box, sent=MIRROR)

    async def open_again() -> EbpfDatapath:
        return EbpfDatapath.open(box.name, flow_pairs_max=4096)

    other = asyncio.run(open_again())
    try:
        seen = Growth(box)
        box.send(frames.udp(1, 2), frames.UDP)
        assert settled(seen, 1) == (1, 0, 0)
    finally:
        other.close()


# Real packets.


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Workload 1 on host 1 is mirrored to 2 on the same host; 3 on host 2 talks to it."""
    made = Rig()
    try:
        for host in (made.hosts[0], made.hosts[0], made.hosts[1]):
            made.add_workload(host)
        made.program()
        yield made
    finally:
        made.close()


@dataclass
class Analyzer:
    """What a workload receives as copies."""

    workload: Workload
    copies: list[Copy] = field(default_factory=list)

    def __post_init__(self) -> None:
        with inside(self.workload.namespace):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        self._socket.bind(("0.0.0.0", 8099))
        self._socket.settimeout(0.3)

    def drain(self) -> list[Copy]:
        try:
            while True:
                payload, (source, _) = self._socket.recvfrom(65536)
                self.copies.append(record(payload, IPv4Address(source)))
        except TimeoutError:
            return self.copies

    def close(self) -> None:
        self._socket.close()


def transfer(sender: Workload, receiver: Workload, data: bytes) -> bytes:
    """Send by TCP; return what arrived."""
    got = bytearray()
    with inside(receiver.namespace):
        server = socket.create_server((str(receiver.address4), 0))
    with inside(sender.namespace):
        client = socket.socket()

    def receive() -> None:
        connection, _ = server.accept()
        while part := connection.recv(1 << 16):
            got.extend(part)

    thread = threading.Thread(target=receive)
    thread.start()
    client.connect(server.getsockname())
    client.sendall(data)
    client.close()
    thread.join(20)
    server.close()
    return bytes(got)


def stream(copies: list[Copy], sender: Workload) -> bytes:
    """Put the copies' TCP segments of one direction together by their numbers; every one checked."""
    parts: dict[int, bytes] = {}
    first = None
    for copy in copies:
        packet = copy.frame[14:]
        if packet[9] != 6 or IPv4Address(packet[12:16]) != sender.address4:
            continue
        segment = packet[20 : int.from_bytes(packet[2:4], "big")]
        pseudo = packet[12:20] + struct.pack("!HH", 6, len(segment))
        assert frames.checksum(packet[:20]) == 0
        assert frames.checksum(pseudo + segment) == 0
        number = int.from_bytes(segment[4:8], "big")
        if segment[13] & frames.SYN:
            first = number + 1
        payload = segment[(segment[12] >> 4) * 4 :]
        if payload:
            parts[number] = payload
    assert first is not None
    whole = bytearray()
    for number in sorted(parts, key=lambda each: (each - first) & 0xFFFFFFFF):
        at = (number - first) & 0xFFFFFFFF
        assert at <= len(whole)
        whole[at : at + len(parts[number])] = parts[number]
    return bytes(whole)


@pytest.mark.parametrize("upward", [True, False])
def test_large_transfer_is_copied_whole_as_packets_of_the_wire(rig: Rig, *, upward: bool) -> None:
    """Frames of 64 KB become packets with right checksums on their way to the analyzer."""
    own, analyzer_at, far = rig.workloads
    host = rig.hosts[0]
    to = MirrorTo(analyzer_at.address4, "d:p:x:x")
    rows = [
        mirror_row(Copied(to), MIRROR, host.address, (own.vrf, NextHopId(0))),
        PortMirrorRow(own.vif, MIRROR, MIRROR),
    ]
    interface = next(r for r in rig.rows(host) if getattr(r, "ifindex", 0) == own.ifindex)
    with inside(host.namespace):
        # Room for whole packets behind the header.
        peer = next(r for r in rig.rows(host) if getattr(r, "ifindex", 0) == analyzer_at.ifindex)
        host.datapath.apply(
            [*rows, replace(interface, is_watched=True), replace(peer, mtu_bytes=1700)], []
        )
    rig_link(rig, analyzer_at, 1700)
    analyzer = Analyzer(analyzer_at)
    data = hashlib.shake_256(b"seed").digest(400_000)
    sender, receiver = (own, far) if upward else (far, own)
    try:
        arrived = transfer(sender, receiver, data)
        copies = analyzer.drain()
    finally:
        analyzer.close()
        with inside(host.namespace):
            host.datapath.apply([interface, peer], rows)

    assert arrived == data
    assert stream(copies, sender) == data
    assert {copy.lengths[0] for copy in copies} == {copy.lengths[1] for copy in copies}
    assert max(copy.lengths[1] for copy in copies) <= 1514
    assert {copy.source for copy in copies} == {host.address}


def rig_link(rig: Rig, workload: Workload, mtu: int) -> None:
    workload.run(f"ip link set eth0 mtu {mtu}")
    Workload.run(
        replace(workload, namespace=workload.host.namespace),
        f"ip link set {workload.ifname} mtu {mtu}",
    )


def test_mac_is_parsed_for_the_bridged_form() -> None:
    assert row(MirrorTo(mac=Mac.parse("02:00:00:00:00:0c"), form="frame")).header == b""
