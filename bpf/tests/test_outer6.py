"""Tunnels over an IPv6 underlay: outer headers byte by byte, the way back, and what is refused."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

import frames
import pytest
from conftest import (
    LABEL,
    LAYER2_LABEL,
    LOCAL_TUNNEL,
    MAC,
    OWN,
    REMOTE,
    REMOTE_LABEL,
    REMOTE_MAC,
    TC_PASS,
    TC_REDIRECT,
    UNDERLAY_MTU,
    UNDERLAY_VIF,
    VNI,
    Box,
    Outcome,
    as_frame,
    base_rows,
    tunnel_row,
)

from skytrail.agent.io import ebpf_rows
from skytrail.agent.tables import (
    Encapsulation,
    InterfaceKind,
    InterfaceRow,
    NextHopRow,
)
from skytrail.net import GATEWAY_MAC, Mac, router_mac

LOCAL6, REMOTE6 = IPv6Address("2001:db8:1::1"), IPv6Address("2001:db8:2::2")
PORTS = {Encapsulation.MPLS_UDP: 6635, Encapsulation.VXLAN: 4789}
OVERHEAD = {Encapsulation.MPLS_UDP: 52, Encapsulation.MPLS_GRE: 48, Encapsulation.VXLAN: 70}
TUNNELS = [each for each in Encapsulation if each is not Encapsulation.NATIVE]
every_tunnel = pytest.mark.parametrize("encapsulation", TUNNELS)
every_family = pytest.mark.parametrize("family", [4, 6])
GROUP_MAC = Mac.parse("ff:ff:ff:ff:ff:ff")


@dataclass(frozen=True)
class Outer6:
    traffic_class: int
    flow_label: int
    hop_limit: int
    source: IPv6Address
    destination: IPv6Address
    source_port: int
    label: int
    inner: bytes


def decode(frame: bytes, encapsulation: Encapsulation) -> Outer6:
    """Take a tunnel frame apart, refusing what a strict receiver would."""
    word, length, protocol, hop_limit = struct.unpack("!IHBB", frame[14:22])
    assert frame[12:14] == b"\x86\xdd"
    assert word >> 28 == 6
    assert length == len(frame) - 54
    rest, source_port = frame[54:], 0
    if encapsulation is Encapsulation.MPLS_GRE:
        assert protocol == frames.GRE
        assert rest[:4] == b"\0\0\x88\x47"
        rest = rest[4:]
    else:
        source_port, port, udp_length, udp_sum = struct.unpack("!HHHH", rest[:8])
        assert (protocol, port, udp_length, udp_sum) == (
            frames.UDP,
            PORTS[encapsulation],
            length,
            0,
        )
        rest = rest[8:]
    if encapsulation is Encapsulation.VXLAN:
        assert rest[:4] == b"\x08\0\0\0"
        label, rest = int.from_bytes(rest[4:7], "big"), rest[8:]
    else:
        assert rest[2] & 1
        label, rest = int.from_bytes(rest[:4], "big") >> 12, rest[4:]
    return Outer6(
        word >> 20 & 0xFF,
        word & 0xFFFFF,
        hop_limit,
        IPv6Address(frame[22:38]),
        IPv6Address(frame[38:54]),
        source_port,
        label,
        rest,
    )


def tunnel6(encapsulation: Encapsulation, *, layer2: bool = False) -> NextHopRow:
    return replace(tunnel_row(encapsulation, layer2=layer2), local=LOCAL6, remote=REMOTE6)


def underlay6() -> InterfaceRow:
    row = next(
        row
        for row in base_rows()
        if isinstance(row, InterfaceRow) and row.kind is InterfaceKind.UNDERLAY
    )
    return replace(row, tunnel_address=None, tunnel_address6=LOCAL6)


def arrive(
    box: Box,
    inner: bytes,
    encapsulation: Encapsulation,
    label: int,
    *,
    udp_sum: int = 0,
    traffic_class: int = 0,
    destination: IPv6Address = LOCAL6,
) -> Outcome:
    """A tunnel packet from the wire; not through the kernel's own checks."""
    word = ((label & 0xFFFFF) << 12 | 0x140).to_bytes(4, "big")
    if encapsulation is Encapsulation.MPLS_GRE:
        payload, protocol = b"\0\0\x88\x47" + word + inner, frames.GRE
    else:
        vxlan = b"\x08\0\0\0" + label.to_bytes(3, "big") + b"\0"
        tunnelled = (vxlan if encapsulation is Encapsulation.VXLAN else word) + inner
        head = struct.pack("!HHHH", 50000, PORTS[encapsulation], 8 + len(tunnelled), udp_sum)
        payload, protocol = head + tunnelled, frames.UDP
    packet = frames.ipv6(
        str(REMOTE6), str(destination), protocol, payload, traffic_class=traffic_class
    )
    return box.underlay(frames.ethernet(bytes(6), bytes(6), 0x86DD, packet))


@every_tunnel
@every_family
def test_outer_headers_are_exact(box: Box, encapsulation: Encapsulation, family: int) -> None:
    box.apply(tunnel6(encapsulation))

    outcome = box.send(frames.udp(1000, 2000, b"payload"), frames.UDP, family=family, tos=0xB8)

    outer = decode(outcome.frame, encapsulation)
    payload = frames.udp(1000, 2000, b"payload")
    packet = frames.ip(OWN[family], REMOTE[family], frames.UDP, payload, tos=0xB8)
    assert outcome.verdict == TC_REDIRECT
    assert outcome.frame[:12] == frames.mac("02:00:00:00:01:02") + frames.mac("02:00:00:00:01:01")
    assert (outer.source, outer.destination) == (LOCAL6, REMOTE6)
    assert (outer.hop_limit, outer.traffic_class, outer.label) == (64, 0xB8, REMOTE_LABEL)
    assert 49152 <= outer.flow_label <= 65535
    if encapsulation is not Encapsulation.MPLS_GRE:
        assert outer.source_port == outer.flow_label
    vxlan = encapsulation is Encapsulation.VXLAN
    assert (as_frame(packet) if vxlan else packet) == outer.inner


@every_tunnel
@every_family
def test_layer2_next_hop_carries_the_whole_frame(
    box: Box, encapsulation: Encapsulation, family: int
) -> None:
    box.apply(tunnel6(encapsulation, layer2=True))

    outcome = box.send(frames.udp(1, 2), frames.UDP, family=family)

    packet = frames.ip(OWN[family], REMOTE[family], frames.UDP, frames.udp(1, 2))
    assert as_frame(packet) == decode(outcome.frame, encapsulation).inner


@every_tunnel
@every_family
@pytest.mark.parametrize("udp_sum", [0, 0x1234])
def test_decapsulation_undoes_encapsulation(
    box: Box, encapsulation: Encapsulation, family: int, udp_sum: int
) -> None:
    box.apply(underlay6())
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9, b"there"))
    vxlan = encapsulation is Encapsulation.VXLAN
    inner = as_frame(packet, MAC, REMOTE_MAC) if vxlan else packet

    outcome = arrive(box, inner, encapsulation, VNI if vxlan else LABEL, udp_sum=udp_sum)

    assert outcome.forwarded
    assert as_frame(packet, MAC, REMOTE_MAC if vxlan else GATEWAY_MAC) == outcome.frame


@every_family
def test_layer2_label_delivers_the_inner_frame(box: Box, family: int) -> None:
    box.apply(underlay6())
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9))
    inner = as_frame(packet, MAC, REMOTE_MAC)

    outcome = arrive(box, inner, Encapsulation.MPLS_UDP, LAYER2_LABEL)

    assert (TC_REDIRECT, inner) == (outcome.verdict, outcome.frame)


@every_tunnel
@every_family
def test_mtu_is_exact_and_20_bytes_less_than_over_ipv4(
    box: Box, encapsulation: Encapsulation, family: int
) -> None:
    box.apply(tunnel6(encapsulation))
    fits = UNDERLAY_MTU - OVERHEAD[encapsulation]
    header = (20 if family == 4 else 40) + 8

    at_limit = box.send(frames.udp(1, 2, b"x" * (fits - header)), frames.UDP, family=family)
    beyond = box.send(frames.udp(1, 2, b"x" * (fits - header + 1)), frames.UDP, family=family)

    assert at_limit.forwarded
    assert beyond.drops == {"TOO_BIG": 1}
    assert box.punts[-1].argument == fits
    assert box.punts[-1].reason.name == "ICMP_TOO_BIG"


@every_family
@pytest.mark.parametrize(("inner_ecn", "outer_ecn", "expected"), [(2, 3, 3), (1, 0, 1), (2, 1, 2)])
def test_congestion_marks_reach_the_inner_header(
    box: Box, family: int, inner_ecn: int, outer_ecn: int, expected: int
) -> None:
    box.apply(underlay6())
    payload = frames.udp(7, 9)
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, payload, tos=0x20 | inner_ecn)

    outcome = arrive(box, packet, Encapsulation.MPLS_UDP, LABEL, traffic_class=outer_ecn)

    delivered = outcome.frame[14:]
    tos = delivered[1] if family == 4 else int.from_bytes(delivered[:2], "big") >> 4 & 0xFF
    assert 0x20 | expected == tos


def test_congestion_mark_on_an_incapable_packet_drops_it(box: Box) -> None:
    box.apply(underlay6())
    packet = frames.ip(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9))

    outcome = arrive(box, packet, Encapsulation.MPLS_UDP, LABEL, traffic_class=3)

    assert outcome.drops == {"ECN": 1}


def test_what_a_stranger_makes_up_is_a_named_drop(box: Box) -> None:
    box.apply(underlay6())
    packet = frames.ip(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9))

    unknown = arrive(box, packet, Encapsulation.MPLS_GRE, 900_000)
    cut = arrive(box, b"", Encapsulation.MPLS_UDP, LABEL)
    strange = arrive(box, as_frame(packet), Encapsulation.VXLAN, 0xFFFFFF)

    assert unknown.drops == {"LABEL_UNKNOWN": 1}
    assert cut.drops.keys() <= {"TRUNCATED", "NOT_IP"}
    assert cut.drops
    assert strange.drops == {"VNI_UNKNOWN": 1}


def test_packets_to_others_and_of_hosts_without_an_address_are_left_to_the_stack(box: Box) -> None:
    packet = frames.ip(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9))

    of_v4_host = arrive(box, packet, Encapsulation.MPLS_UDP, LABEL)
    box.apply(underlay6())
    to_another = arrive(box, packet, Encapsulation.MPLS_UDP, LABEL, destination=REMOTE6)

    assert (of_v4_host.verdict, to_another.verdict) == (TC_PASS, TC_PASS)
    assert not of_v4_host.drops
    assert not to_another.drops


@every_tunnel
def test_frames_that_are_not_ip_are_bridged(box: Box, encapsulation: Encapsulation) -> None:
    box.apply(tunnel6(encapsulation, layer2=True))
    frame = frames.ethernet(REMOTE_MAC.packed, MAC.packed, 0x88B5, b"x" * 50)

    outer = decode(box.workload(frame).frame, encapsulation)

    assert (outer.source, outer.destination, outer.label) == (LOCAL6, REMOTE6, REMOTE_LABEL)
    assert outer.inner == frame


@every_tunnel
@pytest.mark.parametrize("size", [28, 46, 1000])
def test_frames_that_are_not_ip_are_delivered_however_short(
    box: Box, encapsulation: Encapsulation, size: int
) -> None:
    """The kernel wants to keep an IPv6 header where it is not told otherwise."""
    box.apply(underlay6())
    frame = frames.ethernet(MAC.packed, REMOTE_MAC.packed, 0x88B5, b"x" * size)
    label = VNI if encapsulation is Encapsulation.VXLAN else LAYER2_LABEL

    outcome = arrive(box, frame, encapsulation, label)

    assert (TC_REDIRECT, frame) == (outcome.verdict, outcome.frame)


def test_packets_out_by_any_of_several_links_need_a_way_of_the_kernel_s(box: Box) -> None:
    box.apply(replace(tunnel6(Encapsulation.MPLS_UDP), is_routed=True))

    outcome = box.send(frames.udp(1, 2), frames.UDP)

    assert outcome.drops == {"UNDERLAY_UNRESOLVED": 1}


def test_rows_are_read_back_as_written_and_both_families_are_told_apart(box: Box) -> None:
    row = tunnel6(Encapsulation.MPLS_UDP)

    box.apply(row, underlay6())

    assert row in box.datapath.dump(NextHopRow)
    (own,) = [each for each in box.datapath.dump(InterfaceRow) if each.vif_id == UNDERLAY_VIF]
    assert own == underlay6()
    box.apply(replace(underlay6(), tunnel_address=LOCAL_TUNNEL, tunnel_address6=None))
    (own,) = [each for each in box.datapath.dump(InterfaceRow) if each.vif_id == UNDERLAY_VIF]
    assert (own.tunnel_address, own.tunnel_address6) == (LOCAL_TUNNEL, None)


def test_what_the_datapath_does_not_carry_over_ipv6_is_refused_when_written() -> None:
    for row in (
        replace(tunnel6(Encapsulation.MPLS_UDP), encapsulation=None),
        replace(tunnel6(Encapsulation.MPLS_UDP), local=LOCAL_TUNNEL),
    ):
        with pytest.raises(ValueError, match="cannot lead over IPv6"):
            ebpf_rows.nexthop_entry(row, 1500)


@every_family
def test_frames_to_us_as_a_router_are_routed(box: Box, family: int) -> None:
    box.apply(underlay6())
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9))
    to_us = as_frame(packet, router_mac(LOCAL6), REMOTE_MAC)
    to_another = as_frame(packet, router_mac(REMOTE6), REMOTE_MAC)

    outcome = arrive(box, to_us, Encapsulation.VXLAN, VNI)

    assert outcome.forwarded
    assert as_frame(packet, MAC, GATEWAY_MAC) == outcome.frame
    assert not arrive(box, to_another, Encapsulation.VXLAN, VNI).forwarded
