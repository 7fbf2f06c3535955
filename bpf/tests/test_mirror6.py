"""Copies for analyzers where the underlay, the analyzer, or both are IPv6."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import frames
import pytest
from conftest import (
    LABEL,
    LOCAL_TUNNEL,
    OWN,
    REMOTE,
    REMOTE_LABEL,
    REMOTE_MAC,
    TUNNEL_NEXTHOP,
    UNDERLAY_MTU,
    VRF,
    Box,
    route_row,
    tunnel_row,
)
from test_mirror import (
    ANALYZER,
    FIXED_NEXTHOP,
    MIRROR,
    ORIGINAL,
    OTHER_MIRROR,
    TUNNELS,
    Copy,
    Growth,
    mirrored,
    record,
    settled,
    taken_apart,
    watch,
)
from test_outer6 import LOCAL6, REMOTE6, arrive, decode, tunnel6, underlay6

from skytrail.agent.mirror import Copied, MirrorTo, mirror_row
from skytrail.agent.tables import Encapsulation, MirrorId, MirrorRow, NextHopId, VrfId
from skytrail.net import GATEWAY_MAC, IpAddress

ANALYZER6, COLLECTOR6 = IPv6Address("fd00:9::9"), IPv6Address("2001:db8:9::9")
DUMMY = IPv4Address("192.0.0.8")
every_tunnel = pytest.mark.parametrize("encapsulation", TUNNELS)


def row(
    to: MirrorTo,
    *,
    host: IpAddress = LOCAL6,
    mirror_id: MirrorId = MIRROR,
    fixed: bool = False,
) -> MirrorRow:
    copied = Copied(to, source_network="d:p:blue", destination_network="d:p:red", is_ingress=True)
    place = (VrfId(0), FIXED_NEXTHOP) if fixed else (VRF, NextHopId(0))
    return mirror_row(copied, mirror_id, host, place)


def taken_apart6(packet: bytes, source: IPv6Address, destination: IPv6Address) -> Copy:
    """A copy in UDP over IPv6, whose checksum a socket would verify."""
    word, length, protocol, _ = struct.unpack("!IHBB", packet[:8])
    assert (word, length, protocol) == (6 << 28, len(packet) - 40, 17)
    assert (packet[8:24], packet[24:40]) == (source.packed, destination.packed)
    ports, udp_length, udp_sum = packet[40:44], *struct.unpack("!HH", packet[44:48])
    assert udp_length == length
    assert udp_sum
    pseudo = packet[8:40] + struct.pack("!II", length, 17)
    whole = pseudo + packet[40:]
    assert frames.checksum(whole + bytes(len(whole) % 2)) == 0
    first, second = struct.unpack("!HH", ports)
    return record(packet[48:], IPv4Address(0), (first, second))


@every_tunnel
def test_copy_reaches_an_analyzer_behind_a_tunnel_over_ipv6(
    box: Box, encapsulation: Encapsulation
) -> None:
    box.apply(tunnel6(encapsulation), row(MirrorTo(ANALYZER, "d:p:x:x")))
    box.apply(route_row("10.9.9.9/32", TUNNEL_NEXTHOP, label=REMOTE_LABEL, mac=REMOTE_MAC))

    _, frame = mirrored(box)

    outer = decode(frame, encapsulation)
    packet = outer.inner
    if encapsulation is Encapsulation.VXLAN:
        assert packet[:14] == REMOTE_MAC.packed + GATEWAY_MAC.packed + b"\x08\x00"
        packet = packet[14:]
    copy = taken_apart(packet)
    assert (outer.source, outer.destination, outer.label) == (LOCAL6, REMOTE6, REMOTE_LABEL)
    assert (copy.source, copy.ports, copy.frame) == (DUMMY, (8097, 8099), ORIGINAL)
    assert copy.metadata[1] == LOCAL6.packed


@every_tunnel
@pytest.mark.parametrize(
    ("host", "source"),
    [(LOCAL6, LOCAL6), (LOCAL_TUNNEL, IPv6Address(f"64:ff9b:1::{LOCAL_TUNNEL}"))],
)
def test_copy_reaches_an_analyzer_with_an_ipv6_address(
    box: Box, encapsulation: Encapsulation, host: IpAddress, source: IPv6Address
) -> None:
    box.apply(tunnel_row(encapsulation), row(MirrorTo(ANALYZER6, "d:p:x:x"), host=host))
    box.apply(route_row(f"{ANALYZER6}/128", TUNNEL_NEXTHOP, label=REMOTE_LABEL, mac=REMOTE_MAC))

    _, frame = mirrored(box)

    packet = frames.decode_tunnel(frame).inner
    if encapsulation is Encapsulation.VXLAN:
        assert packet[:14] == REMOTE_MAC.packed + GATEWAY_MAC.packed + b"\x86\xdd"
        packet = packet[14:]
    copy = taken_apart6(packet, source, ANALYZER6)
    assert (copy.ports, copy.frame) == ((8097, 8099), ORIGINAL)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 125, 1000])
def test_checksum_is_right_for_frames_of_any_length(box: Box, size: int) -> None:
    box.apply(tunnel6(Encapsulation.NATIVE), row(MirrorTo(COLLECTOR6), fixed=True))
    box.apply(replace(tunnel6(Encapsulation.NATIVE), nexthop_id=FIXED_NEXTHOP))
    frame = ORIGINAL + bytes(255 - each % 7 for each in range(size))

    _, sent = mirrored(box, frame)

    assert sent[:14] == bytes.fromhex("02000000010202000000010186dd")
    assert taken_apart6(sent[14:], LOCAL6, COLLECTOR6).frame == frame


def test_copy_too_long_for_its_way_is_cut_off_and_summed_up_as_it_is(box: Box) -> None:
    box.apply(tunnel6(Encapsulation.MPLS_UDP), row(MirrorTo(ANALYZER6, "d:p:x:x")))
    box.apply(route_row(f"{ANALYZER6}/128", TUNNEL_NEXTHOP, label=REMOTE_LABEL, mac=REMOTE_MAC))
    long = ORIGINAL + bytes(range(256)) * 6
    seen = Growth(box)

    _, frame = mirrored(box, long)

    copy = taken_apart6(decode(frame, Encapsulation.MPLS_UDP).inner, LOCAL6, ANALYZER6)
    assert len(frame) == UNDERLAY_MTU + 14
    assert copy.lengths == (len(copy.frame), len(long))
    assert long.startswith(copy.frame)
    assert seen.of() == (1, 1, 0)


def test_collector_gets_gre_and_vxlan_over_ipv6(box: Box) -> None:
    box.apply(replace(tunnel6(Encapsulation.NATIVE), nexthop_id=FIXED_NEXTHOP))
    box.apply(row(MirrorTo(COLLECTOR6, form="gre"), fixed=True))
    gre = mirrored(box)[1]
    box.apply(row(MirrorTo(COLLECTOR6, udp_port=4789, form="vxlan", vni=7), fixed=True))
    vxlan = mirrored(box)[1]

    for frame, protocol in ((gre, 47), (vxlan, 17)):
        word, length, found, _ = struct.unpack("!IHBB", frame[14:22])
        assert (word, length, found) == (6 << 28, len(frame) - 54, protocol)
        assert frame[22:54] == LOCAL6.packed + COLLECTOR6.packed
    assert gre[54:] == b"\0\0\x65\x58" + ORIGINAL
    assert vxlan[54:62] == struct.pack("!HHHH", 8097, 4789, 16 + len(ORIGINAL), 0)
    assert vxlan[62:] == bytes.fromhex("0800000000000700") + ORIGINAL


def test_rows_are_read_back_as_written(box: Box) -> None:
    names = {"source_network": "s" * 200, "destination_network": "d" * 200}
    longest = mirror_row(
        Copied(MirrorTo(ANALYZER6, "d:p:x:x"), **names), MIRROR, LOCAL6, (VRF, NextHopId(0))
    )

    box.apply(longest, row(MirrorTo(ANALYZER, "d:p:x:x"), mirror_id=OTHER_MIRROR))

    found = {each.mirror_id: each for each in box.datapath.dump(MirrorRow)}
    assert found[MIRROR] == longest
    assert found[OTHER_MIRROR].analyzer == ANALYZER


@pytest.mark.parametrize("encapsulation", [Encapsulation.MPLS_UDP, Encapsulation.MPLS_GRE])
def test_copy_out_of_a_tunnel_over_ipv6_is_never_copied_again(
    box: Box, encapsulation: Encapsulation
) -> None:
    box.apply(tunnel6(encapsulation), row(MirrorTo(ANALYZER, "d:p:x:x"), mirror_id=OTHER_MIRROR))
    box.apply(route_row("10.9.9.9/32", TUNNEL_NEXTHOP, label=LABEL, mac=REMOTE_MAC))
    _, tunnelled = mirrored(box, mark=OTHER_MIRROR)
    # As if this host were the receiver: the same packet, its outer addresses exchanged.
    arrives = tunnelled[:22] + tunnelled[38:54] + tunnelled[22:38] + tunnelled[54:]
    watch(box, delivered=MIRROR)
    box.apply(replace(underlay6(), tunnel_address6=LOCAL6))
    seen = Growth(box)
    ordinary = frames.ip(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9))

    assert box.underlay(arrives).forwarded
    assert arrive(box, ordinary, encapsulation, LABEL).forwarded

    assert settled(seen, 1) == (1, 0, 0)
