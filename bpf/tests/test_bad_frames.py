"""What is not acceptable ends under exactly one named reason and changes nothing."""

from __future__ import annotations

import frames
import pytest
from conftest import (
    BRIDGE_NEXTHOP,
    DISCARD_NEXTHOP,
    LABEL,
    MAC,
    OWN,
    OWN_NEXTHOP,
    PEER,
    REMOTE,
    REMOTE_MAC,
    TC_PASS,
    TC_SHOT,
    TUNNEL_NEXTHOP,
    VNI,
    Box,
    as_frame,
    route_row,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.agent.tables import BridgeRow, IdentityId, LabelRow, VrfId
from skytrail.net import GATEWAY_MAC, Mac

UDP = frames.udp(1, 2, b"abc")
OUT4 = (OWN[4], REMOTE[4], frames.UDP)
OUT6 = (OWN[6], REMOTE[6], frames.UDP)
HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60


def chain(*kinds: int, last: int = frames.UDP) -> bytes:
    following = [*kinds[1:], last]
    return b"".join(bytes((after, 0, 1, 4, 0, 0, 0, 0)) for after in following)


FROM_WORKLOAD = {
    "IPv4 length beyond the frame": (
        as_frame(frames.ipv4(*OUT4, UDP, total_length=200)),
        "TRUNCATED",
    ),
    "IPv4 length inside its header": (
        as_frame(frames.ipv4(*OUT4, UDP, total_length=19)),
        "MALFORMED",
    ),
    "IPv4 with version 5": (as_frame(frames.ipv4(*OUT4, UDP, version=5)), "MALFORMED"),
    "IPv4 header length 4 words": (as_frame(frames.ipv4(*OUT4, UDP, ihl=4)), "MALFORMED"),
    "IPv4 options beyond the length": (
        as_frame(frames.ipv4(*OUT4, b"", ihl=15)),
        "MALFORMED",
    ),
    "IPv4 checksum": (as_frame(frames.ipv4(*OUT4, UDP, header_checksum=1)), "CHECKSUM"),
    "IPv4 UDP header cut": (as_frame(frames.ipv4(*OUT4, UDP[:7])), "TRUNCATED"),
    "IPv4 TCP header cut": (
        as_frame(frames.ipv4(OWN[4], REMOTE[4], frames.TCP, frames.tcp(1, 2)[:19])),
        "TRUNCATED",
    ),
    "TCP offset 4 words": (
        as_frame(
            frames.ipv4(OWN[4], REMOTE[4], frames.TCP, frames.tcp(1, 2)[:12] + b"\x40" + bytes(7))
        ),
        "MALFORMED",
    ),
    "ICMP cut": (as_frame(frames.ipv4(OWN[4], REMOTE[4], frames.ICMP, b"\x08\0")), "TRUNCATED"),
    "tiny first fragment": (
        as_frame(frames.ipv4(*OUT4, b"\0\1\0\2", fragment=0x2000)),
        "FRAGMENT_TINY",
    ),
    "fragment at offset 1": (
        as_frame(frames.ipv4(*OUT4, bytes(16), fragment=1)),
        "FRAGMENT_TINY",
    ),
    "later fragment alone": (
        as_frame(frames.ipv4(*OUT4, bytes(16), fragment=100, identification=4242)),
        "FRAGMENT_UNKNOWN",
    ),
    "IPv6 length beyond the frame": (
        as_frame(frames.ipv6(*OUT6, UDP, payload_length=100)),
        "TRUNCATED",
    ),
    "IPv6 with version 7": (
        frames.ethernet(REMOTE_MAC.packed, MAC.packed, 0x86DD, frames.ipv6(*OUT6, UDP, version=7)),
        "MALFORMED",
    ),
    "IPv6 hop-by-hop not first": (
        as_frame(frames.ipv6(OWN[6], REMOTE[6], DESTINATION, chain(DESTINATION, HOP) + UDP)),
        "EXTENSION_HEADERS",
    ),
    "IPv6 endless chain": (
        as_frame(frames.ipv6(OWN[6], REMOTE[6], DESTINATION, chain(*[DESTINATION] * 9) + UDP)),
        "EXTENSION_HEADERS",
    ),
    "IPv6 extension cut": (
        as_frame(frames.ipv6(OWN[6], REMOTE[6], ROUTING, b"\x11\0\0")),
        "TRUNCATED",
    ),
    "IPv6 later fragment alone": (
        as_frame(frames.ipv6(OWN[6], REMOTE[6], FRAGMENT, b"\x11\0\x01\0\0\0\x30\x39" + bytes(16))),
        "FRAGMENT_UNKNOWN",
    ),
    "802.1Q tag": (
        frames.ethernet(REMOTE_MAC.packed, MAC.packed, 0x8100, b"\0\1\x08\0" + UDP * 4),
        "VLAN",
    ),
    "nested tags": (
        frames.ethernet(REMOTE_MAC.packed, MAC.packed, 0x88A8, b"\0\1\x81\0\0\2\x08\0" + UDP * 4),
        "VLAN",
    ),
    "unknown unicast": (
        frames.ethernet(frames.mac("02:99:00:00:00:01"), MAC.packed, 0x88B5, bytes(46)),
        "UNKNOWN_MAC",
    ),
    "broadcast": (frames.ethernet(b"\xff" * 6, MAC.packed, 0x88B5, bytes(46)), "MULTICAST"),
    "multicast": (
        as_frame(frames.ipv4(OWN[4], "239.1.1.1", frames.UDP, UDP), Mac(b"\x01\0\x5e\1\1\1")),
        "MULTICAST",
    ),
    "no route": (
        as_frame(frames.ipv4(OWN[4], "203.0.113.9", frames.UDP, UDP), GATEWAY_MAC),
        "NO_ROUTE",
    ),
    "link-local destination": (
        as_frame(frames.ipv6(OWN[6], "fe80::99", frames.UDP, UDP)),
        "LINK_LOCAL",
    ),
    "own address": (as_frame(frames.ipv4(OWN[4], OWN[4], frames.UDP, UDP)), "SAME_INTERFACE"),
    "last hop": (as_frame(frames.ipv4(*OUT4, UDP, ttl=1), GATEWAY_MAC), "TTL"),
    "last hop, IPv6": (as_frame(frames.ipv6(*OUT6, UDP, hop_limit=1), GATEWAY_MAC), "TTL"),
}


@pytest.mark.parametrize("case", FROM_WORKLOAD)
def test_frame_from_workload_is_dropped_by_name(box: Box, case: str) -> None:
    frame, reason = FROM_WORKLOAD[case]

    outcome = box.workload(frame)

    assert (TC_SHOT, {reason: 1}) == (outcome.verdict, outcome.drops)


def test_frame_of_an_unknown_interface_is_dropped(box: Box) -> None:
    box.apply(deletes=tuple(row for row in box.datapath.dump(type_of("InterfaceRow"))))

    assert box.send(UDP, frames.UDP).drops == {"INTERFACE_UNKNOWN": 1}


def type_of(name: str) -> type:
    from skytrail.agent import tables

    return getattr(tables, name)


@pytest.mark.parametrize("family", [4, 6])
def test_options_and_extensions_do_not_hide_the_ports(box: Box, family: int) -> None:
    if family == 4:
        packet = frames.ipv4(*OUT4, frames.udp(5, 6), options=b"\x01" * 8)
    else:
        payload = chain(HOP, DESTINATION) + frames.udp(5, 6)
        packet = frames.ipv6(OWN[6], REMOTE[6], HOP, payload)

    outcome = box.workload(as_frame(packet))

    assert outcome.forwarded
    forward = [flow for flow in box.datapath.flows() if not flow.is_reverse]
    assert [(flow.source_port, flow.destination_port) for flow in forward] == [(5, 6)]


@pytest.mark.parametrize("family", [4, 6])
def test_later_fragments_follow_the_first(box: Box, family: int) -> None:
    if family == 4:
        first = frames.ipv4(*OUT4, frames.udp(5, 6, bytes(16)), fragment=0x2000)
        later = frames.ipv4(*OUT4, bytes(24), fragment=3)
    else:
        header = b"\x11\0\0\1\0\0\x22\x22"
        first = frames.ipv6(OWN[6], REMOTE[6], FRAGMENT, header + frames.udp(5, 6, bytes(16)))
        header = b"\x11\0\0\x18\0\0\x22\x22"
        later = frames.ipv6(OWN[6], REMOTE[6], FRAGMENT, header + bytes(24))

    outcomes = [box.workload(as_frame(packet)) for packet in (first, later)]

    assert all(outcome.forwarded for outcome in outcomes)
    forward = [flow for flow in box.datapath.flows() if not flow.is_reverse]
    assert [(f.source_port, f.destination_port, f.packets) for f in forward] == [(5, 6, 2)]


INNER = frames.ipv4(REMOTE[4], OWN[4], frames.UDP, UDP)


def test_label_nobody_has_is_dropped(box: Box) -> None:
    assert box.receive(INNER, label=99).drops == {"LABEL_UNKNOWN": 1}


def test_vni_nobody_has_is_dropped(box: Box) -> None:
    frame = as_frame(INNER, MAC, REMOTE_MAC)

    assert box.receive(frame, kind="vxlan", label=99).drops == {"VNI_UNKNOWN": 1}


@pytest.mark.parametrize("inner", [b"", b"\x45"])
def test_cut_inner_packet_is_dropped(box: Box, inner: bytes) -> None:
    assert box.receive(inner).drops == {"TRUNCATED": 1}


def test_payload_that_is_not_ip_under_an_ip_label_is_dropped(box: Box) -> None:
    assert box.receive(b"\x10" * 60).drops == {"NOT_IP": 1}


def test_label_towards_a_tunnel_is_a_loop(box: Box) -> None:
    box.apply(LabelRow(600, TUNNEL_NEXTHOP))

    assert box.receive(INNER, label=600).drops == {"LOOP": 1}


def test_label_of_a_useless_next_hop_is_dropped(box: Box) -> None:
    box.apply(LabelRow(601, DISCARD_NEXTHOP))

    assert box.receive(INNER, label=601).drops == {"NEXTHOP": 1}


def test_bridged_frame_for_a_remote_mac_is_a_loop(box: Box) -> None:
    frame = as_frame(INNER, REMOTE_MAC, MAC)

    assert box.receive(frame, kind="vxlan", label=VNI).drops == {"LOOP": 1}


def test_bridged_frame_for_an_unknown_mac_is_dropped(box: Box) -> None:
    frame = as_frame(INNER, Mac(b"\x02\x99\0\0\0\1"), MAC)

    assert box.receive(frame, kind="vxlan", label=VNI).drops == {"UNKNOWN_MAC": 1}


def test_tagged_inner_frame_is_dropped(box: Box) -> None:
    frame = frames.ethernet(MAC.packed, REMOTE_MAC.packed, 0x8100, b"\0\1\x08\0" + INNER)

    assert box.receive(frame, kind="vxlan", label=VNI).drops == {"VLAN": 1}


def test_local_source_from_outside_is_dropped(box: Box) -> None:
    packet = frames.ipv4(PEER[4], OWN[4], frames.UDP, UDP)

    assert box.receive(packet).drops == {"SOURCE_LOCAL": 1}


def test_bad_outer_checksum_is_dropped(box: Box) -> None:
    assert box.receive(INNER, header_checksum=7).drops == {"CHECKSUM": 1}


def test_outer_length_beyond_the_frame_is_dropped(box: Box) -> None:
    assert box.receive(INNER, total_length=900).drops == {"OUTER_HEADER": 1}


def test_outer_first_fragment_is_dropped(box: Box) -> None:
    assert box.receive(INNER, fragment=0x2000).drops == {"OUTER_HEADER": 1}


def test_stacked_labels_are_dropped(box: Box) -> None:
    word = (LABEL << 12 | 64).to_bytes(4, "big")
    packet = frames.ipv4("192.0.2.2", "192.0.2.1", frames.UDP, frames.udp(1, 6635, word + INNER))

    outcome = box.underlay(frames.ethernet(bytes(6), bytes(6), 0x0800, packet))

    assert outcome.drops == {"TUNNEL_HEADER": 1}


def test_gre_with_a_key_is_dropped(box: Box) -> None:
    payload = b"\x20\0\x88\x47" + bytes(8) + INNER
    packet = frames.ipv4("192.0.2.2", "192.0.2.1", frames.GRE, payload)

    outcome = box.underlay(frames.ethernet(bytes(6), bytes(6), 0x0800, packet))

    assert outcome.drops == {"TUNNEL_HEADER": 1}


@pytest.mark.parametrize(
    "packet",
    [
        frames.ipv4("192.0.2.2", "192.0.2.99", frames.UDP, frames.udp(1, 6635, bytes(60))),
        frames.ipv4("192.0.2.2", "192.0.2.1", frames.UDP, frames.udp(1, 53, bytes(60))),
        frames.ipv4("192.0.2.2", "192.0.2.1", frames.TCP, frames.tcp(1, 6635)),
        frames.ipv4("192.0.2.2", "192.0.2.1", frames.GRE, b"\0\0\x08\0" + bytes(60)),
        frames.ipv4("192.0.2.2", "192.0.2.1", frames.UDP, bytes(60), fragment=9),
    ],
)
def test_everything_else_is_left_to_the_host(box: Box, packet: bytes) -> None:
    frame = frames.ethernet(bytes(6), bytes(6), 0x0800, packet)

    outcome = box.underlay(frame)

    assert (TC_PASS, {}, frame) == (outcome.verdict, outcome.drops, outcome.frame)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    program=st.sampled_from(["workload_ingress", "underlay_ingress"]),
    start=st.sampled_from(
        [
            b"",
            as_frame(frames.ipv4(*OUT4, UDP)),
            as_frame(frames.ipv6(*OUT6, UDP)),
            frames.ethernet(
                bytes(6),
                bytes(6),
                0x0800,
                frames.encode_tunnel("udp", "192.0.2.2", "192.0.2.1", LABEL, INNER),
            ),
            frames.ethernet(
                b"\xff" * 6, MAC.packed, 0x0806, frames.arp(1, MAC.packed, OWN[4], PEER[4])
            ),
        ]
    ),
    cut=st.integers(0, 120),
    noise=st.binary(min_size=0, max_size=80),
)
def test_any_bytes_end_in_one_verdict(
    box: Box, program: str, start: bytes, cut: int, noise: bytes
) -> None:
    # BPF_PROG_RUN itself refuses frames too short for the IP header their type announces.
    frame = (start[:cut] + noise).ljust(54, b"\x00")
    punted = len(box.punts)

    outcome = box.run(program, frame)

    drops = sum(outcome.drops.values())
    if outcome.verdict == TC_SHOT:
        assert drops == 1 or (drops == 0 and len(box.punts) == punted + 1)
    else:
        assert drops == 0


def test_bridge_row_of_a_foreign_vrf_is_not_seen(box: Box) -> None:
    stranger = Mac(b"\x02\x77\0\0\0\1")
    box.apply(BridgeRow(VrfId(6), stranger, OWN_NEXTHOP, 0, IdentityId(0)))
    frame = frames.ethernet(stranger.packed, MAC.packed, 0x88B5, bytes(46))

    assert box.workload(frame).drops == {"UNKNOWN_MAC": 1}


def test_packet_to_everybody_in_a_frame_to_one_is_dropped(box: Box) -> None:
    box.apply(route_row("10.9.0.0/16", BRIDGE_NEXTHOP))

    assert box.send(UDP, frames.UDP, to="10.9.1.1").drops == {"MULTICAST": 1}


def test_discard_route_drops(box: Box) -> None:
    box.apply(route_row("10.9.0.0/16", DISCARD_NEXTHOP))

    assert box.send(UDP, frames.UDP, to="10.9.1.1").drops == {"DISCARD": 1}
