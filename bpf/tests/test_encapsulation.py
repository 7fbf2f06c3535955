"""Outer headers byte by byte, and the way back."""

from __future__ import annotations

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
    REMOTE_TUNNEL,
    TC_REDIRECT,
    UNDERLAY_MTU,
    VNI,
    Box,
    as_frame,
    tunnel_row,
)

from skytrail.agent.tables import Encapsulation
from skytrail.net import GATEWAY_MAC

KINDS = {
    Encapsulation.MPLS_UDP: "udp",
    Encapsulation.MPLS_GRE: "gre",
    Encapsulation.VXLAN: "vxlan",
}
OVERHEAD = {Encapsulation.MPLS_UDP: 32, Encapsulation.MPLS_GRE: 28, Encapsulation.VXLAN: 50}
TUNNELS = [each for each in Encapsulation if each is not Encapsulation.NATIVE]
every_tunnel = pytest.mark.parametrize("encapsulation", TUNNELS)
every_family = pytest.mark.parametrize("family", [4, 6])


@every_tunnel
@every_family
def test_outer_headers_are_exact(box: Box, encapsulation: Encapsulation, family: int) -> None:
    box.apply(tunnel_row(encapsulation))

    outcome = box.send(frames.udp(1000, 2000, b"payload"), frames.UDP, family=family, tos=0xB8)

    outer = frames.decode_tunnel(outcome.frame)
    packet = frames.ip(
        OWN[family], REMOTE[family], frames.UDP, frames.udp(1000, 2000, b"payload"), tos=0xB8
    )
    assert outcome.verdict == TC_REDIRECT
    assert frames.mac("02:00:00:00:01:02") == outer.destination_mac
    assert frames.mac("02:00:00:00:01:01") == outer.source_mac
    assert (outer.source, outer.destination) == (LOCAL_TUNNEL, REMOTE_TUNNEL)
    assert (outer.ttl, outer.tos, outer.dont_fragment) == (64, 0xB8, True)
    assert outer.label == REMOTE_LABEL
    if encapsulation is Encapsulation.VXLAN:
        assert as_frame(packet) == outer.inner
        assert outer.destination_port == 4789
    else:
        assert packet == outer.inner
    if encapsulation is not Encapsulation.MPLS_GRE:
        assert 49152 <= outer.source_port <= 65535


@every_tunnel
@every_family
def test_layer2_next_hop_carries_the_whole_frame(
    box: Box, encapsulation: Encapsulation, family: int
) -> None:
    box.apply(tunnel_row(encapsulation, layer2=True))

    outcome = box.send(frames.udp(1, 2), frames.UDP, family=family)

    packet = frames.ip(OWN[family], REMOTE[family], frames.UDP, frames.udp(1, 2))
    assert as_frame(packet) == frames.decode_tunnel(outcome.frame).inner


@every_tunnel
def test_frame_that_is_not_ip_is_bridged(box: Box, encapsulation: Encapsulation) -> None:
    box.apply(tunnel_row(encapsulation, layer2=True))
    frame = frames.ethernet(REMOTE_MAC.packed, MAC.packed, 0x88B5, b"x" * 50)

    outcome = box.workload(frame)

    outer = frames.decode_tunnel(outcome.frame)
    assert (frame, REMOTE_LABEL) == (outer.inner, outer.label)


@every_tunnel
@every_family
def test_decapsulation_undoes_encapsulation(
    box: Box, encapsulation: Encapsulation, family: int
) -> None:
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9, b"there"))
    vxlan = encapsulation is Encapsulation.VXLAN
    inner = as_frame(packet, MAC, REMOTE_MAC) if vxlan else packet

    outcome = box.receive(inner, kind=KINDS[encapsulation], label=VNI if vxlan else LABEL)

    expected = as_frame(packet, MAC, REMOTE_MAC if vxlan else GATEWAY_MAC)
    assert outcome.forwarded
    assert expected == outcome.frame


@pytest.mark.parametrize("kind", ["udp", "gre"])
@every_family
def test_layer2_label_delivers_the_inner_frame(box: Box, kind: str, family: int) -> None:
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9))
    inner = as_frame(packet, MAC, REMOTE_MAC)

    outcome = box.receive(inner, kind=kind, label=LAYER2_LABEL)

    assert (TC_REDIRECT, inner) == (outcome.verdict, outcome.frame)


def test_frame_that_is_not_ip_is_delivered_by_vni(box: Box) -> None:
    frame = frames.ethernet(MAC.packed, REMOTE_MAC.packed, 0x88B5, b"x" * 50)

    outcome = box.receive(frame, kind="vxlan", label=VNI)

    assert (TC_REDIRECT, frame) == (outcome.verdict, outcome.frame)


def test_vxlan_to_the_gateway_mac_is_routed_on_arrival(box: Box) -> None:
    packet = frames.ipv4(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9))

    outcome = box.receive(as_frame(packet, GATEWAY_MAC, REMOTE_MAC), kind="vxlan", label=VNI)

    assert as_frame(packet, MAC, GATEWAY_MAC) == outcome.frame


@every_tunnel
@every_family
def test_routed_packet_loses_one_hop_and_bridged_none(
    box: Box, encapsulation: Encapsulation, family: int
) -> None:
    box.apply(tunnel_row(encapsulation))
    seen = []
    for destination in (REMOTE_MAC, GATEWAY_MAC):
        outcome = box.send(
            frames.udp(1, 2), frames.UDP, family=family, ttl=9, destination_mac=destination
        )
        inner = frames.decode_tunnel(outcome.frame).inner
        if encapsulation is Encapsulation.VXLAN:
            assert inner[:6] == REMOTE_MAC.packed
            inner = inner[14:]
        if family == 4:
            assert frames.checksum(inner[:20]) == 0
        seen.append(inner[8 if family == 4 else 7])

    assert seen == [9, 8]


@pytest.mark.parametrize("first", range(0, 65536, 4099))
def test_header_checksum_survives_every_carry_when_ttl_falls(box: Box, first: int) -> None:
    outcome = box.send(
        frames.udp(1, 2), frames.UDP, identification=first, destination_mac=GATEWAY_MAC
    )

    assert frames.checksum(frames.decode_tunnel(outcome.frame).inner[:20]) == 0


@every_tunnel
@every_family
def test_mtu_is_exact(box: Box, encapsulation: Encapsulation, family: int) -> None:
    box.apply(tunnel_row(encapsulation))
    fits = UNDERLAY_MTU - OVERHEAD[encapsulation]
    header = (20 if family == 4 else 40) + 8

    at_limit = box.send(frames.udp(1, 2, b"x" * (fits - header)), frames.UDP, family=family)
    beyond = box.send(frames.udp(1, 2, b"x" * (fits - header + 1)), frames.UDP, family=family)

    assert at_limit.forwarded
    assert beyond.drops == {"TOO_BIG": 1}
    assert box.punts[-1].argument == fits
    assert box.punts[-1].reason.name == "ICMP_TOO_BIG"


@every_family
@pytest.mark.parametrize(("offered", "expected"), [(9000, None), (1200, 1200)])
def test_mss_of_a_syn_is_clamped(box: Box, family: int, offered: int, expected: int | None) -> None:
    options = b"\x01\x01\x04\x02" + b"\x02\x04" + offered.to_bytes(2, "big")
    syn = frames.tcp(1, 2, flags=frames.SYN, options=options)
    room = UNDERLAY_MTU - OVERHEAD[Encapsulation.MPLS_UDP] - (40 if family == 4 else 60)

    outcome = box.send(syn, frames.TCP, family=family)

    inner = frames.decode_tunnel(outcome.frame).inner
    assert (expected or room) == int.from_bytes(inner[-2:], "big")


@every_family
@pytest.mark.parametrize(
    ("inner_ecn", "outer_ecn", "expected"),
    [(0, 0, 0), (1, 0, 1), (2, 3, 3), (1, 3, 3), (3, 0, 3), (2, 1, 2)],
)
def test_congestion_marks_reach_the_inner_header(
    box: Box, family: int, inner_ecn: int, outer_ecn: int, expected: int
) -> None:
    packet = frames.ip(
        REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9), tos=0x20 | inner_ecn
    )

    outcome = box.receive(packet, tos=outer_ecn)

    delivered = outcome.frame[14:]
    tos = delivered[1] if family == 4 else int.from_bytes(delivered[:2], "big") >> 4 & 0xFF
    assert 0x20 | expected == tos
    if family == 4:
        assert frames.checksum(delivered[:20]) == 0


@every_family
def test_congestion_mark_on_an_incapable_packet_drops_it(box: Box, family: int) -> None:
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9))

    assert box.receive(packet, tos=3).drops == {"ECN": 1}


def test_unresolved_underlay_neighbour_is_a_named_drop(box: Box) -> None:
    row = tunnel_row(Encapsulation.MPLS_UDP)
    box.apply(type(row)(**{**fields(row), "out_destination_mac": None}))

    assert box.send(frames.udp(1, 2), frames.UDP).drops == {"UNDERLAY_UNRESOLVED": 1}


def fields(row: object) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__slots__}
