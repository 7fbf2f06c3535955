"""What only the vRouter may say is not taken from workloads, and nobody takes more than a share of it."""

from __future__ import annotations

import struct

import frames
import pytest
from conftest import (
    GATEWAY,
    MAC,
    OWN,
    PEER,
    PEER_MAC,
    VIF,
    Box,
    as_frame,
    interface_row,
    route_row,
)

from skytrail.agent.plugin import PuntReason
from skytrail.agent.tables import VifId
from skytrail.net import GATEWAY_MAC, Mac

LINK_LOCAL = "fe80::a"
BROADCAST = Mac(b"\xff" * 6)
OTHER_VIF = VifId(VIF + 40)
TOKENS = 256
RING_EVENTS = 4194304 // 2080


def dhcp(client_mac: Mac = MAC) -> bytes:
    asks = bytes(28) + client_mac.packed + bytes(206)
    packet = frames.ipv4("0.0.0.0", "255.255.255.255", frames.UDP, frames.udp(68, 67, asks))
    return as_frame(packet, BROADCAST)


def dns() -> bytes:
    return as_frame(
        frames.ipv4(OWN[4], GATEWAY[4], frames.UDP, frames.udp(5000, 53, bytes(20))), GATEWAY_MAC
    )


def ping() -> bytes:
    return as_frame(frames.ipv4(OWN[4], GATEWAY[4], frames.ICMP, frames.icmp(8)), GATEWAY_MAC)


def nd(kind: int, body: bytes, source: str = LINK_LOCAL, to: str = "ff02::1") -> bytes:
    message = frames.icmp6_checked(source, to, bytes((kind, 0, 0, 0)) + bytes(4) + body)
    packet = frames.ipv6(source, to, frames.ICMP6, message, hop_limit=255)
    return as_frame(packet, Mac(b"\x33\x33\0\0\0\1"))


def refill(box: Box) -> None:
    for bucket in range(VIF * 8, VIF * 8 + 8):
        box.datapath._maps["punt_buckets"].update(struct.pack("=I", bucket), bytes(16))


def test_request_in_the_name_of_another_mac_is_dropped_by_name(box: Box) -> None:
    assert box.workload(dhcp(PEER_MAC)).drops == {"DHCP_CLIENT": 1}
    assert box.workload(dhcp()).drops == {}


@pytest.mark.parametrize("to", ["255.255.255.255", PEER[4]])
def test_workload_cannot_answer_as_a_dhcp_server(box: Box, to: str) -> None:
    packet = frames.ipv4(OWN[4], to, frames.UDP, frames.udp(67, 68, bytes(240)))
    mac = BROADCAST if to.startswith("255") else PEER_MAC

    assert box.workload(as_frame(packet, mac)).drops == {"DHCP_SERVER": 1}
    assert box.workload(as_frame(packet, mac)).drops == {"DHCP_SERVER": 1}


def test_workload_cannot_answer_as_a_dhcpv6_server(box: Box) -> None:
    packet = frames.ipv6(OWN[6], PEER[6], frames.UDP, frames.udp(547, 546, bytes(20)))

    assert box.workload(as_frame(packet, PEER_MAC)).drops == {"DHCP_SERVER": 1}


def test_router_with_port_security_off_may_serve_others(box: Box) -> None:
    box.apply(interface_row(antispoof=False))
    packet = frames.ipv4(OWN[4], PEER[4], frames.UDP, frames.udp(67, 68, bytes(240)))

    assert box.workload(as_frame(packet, PEER_MAC)).forwarded


@pytest.mark.parametrize("kind", [134, 137])
def test_workload_cannot_act_as_a_router(box: Box, kind: int) -> None:
    assert box.workload(nd(kind, bytes(32))).drops == {"ND_ROUTER": 1}


@pytest.mark.parametrize(
    ("target", "reason"), [(PEER[6], "SPOOFED_ADDRESS"), (OWN[6], "ND_IGNORED")]
)
def test_advertisement_of_anothers_address_is_told_apart(
    box: Box, target: str, reason: str
) -> None:
    claim = frames.IPv6Address(target).packed + b"\2\1" + MAC.packed

    assert box.workload(nd(136, claim)).drops == {reason: 1}


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (dhcp(), "PUNT_RATE_DHCP"),
        (dns(), "PUNT_RATE_DNS"),
        (nd(133, b""), "PUNT_RATE_NEIGHBOUR"),
        (ping(), "PUNT_RATE"),
    ],
)
def test_flood_of_one_class_is_limited_and_leaves_the_others_alone(
    box: Box, frame: bytes, reason: str
) -> None:
    box.apply(route_row("10.1.1.1/32", 13))

    drops = box.workload(frame, repeat=1000).drops

    assert drops.keys() == {reason}
    assert drops[reason] + len(box.punts) == 1000
    rest = [each for each in (dhcp(), dns(), nd(133, b""), ping()) if each != frame]
    assert [box.workload(each).drops for each in rest] == [{}, {}, {}]


def test_quiet_interface_gets_through_while_a_loud_one_fills_the_ring(box: Box) -> None:
    box.apply(route_row("10.1.1.1/32", 13))
    full = 0
    box.reads_punts = False
    for _ in range(RING_EVENTS // TOKENS + 1):
        refill(box)
        full += box.workload(dns(), repeat=TOKENS).drops.get("PUNT_FULL", 0)
    assert full

    box.apply(interface_row(vif=OTHER_VIF))
    quiet = box.workload(dhcp())

    assert quiet.drops == {}
    box.datapath.poll_punts()
    assert box.punts[-1].vif_id == OTHER_VIF
    assert box.punts[-1].reason == PuntReason.DHCP


def test_multicast_dns_is_copied_to_the_agent_and_goes_its_way(box: Box) -> None:
    packet = frames.ipv4(OWN[4], "224.0.0.251", frames.UDP, frames.udp(5353, 5353, bytes(20)))
    packet6 = frames.ipv6(OWN[6], "ff02::fb", frames.UDP, frames.udp(5353, 5353, bytes(20)))

    drops = box.workload(as_frame(packet, Mac(b"\1\0\x5e\0\0\xfb"))).drops
    box.workload(as_frame(packet6, Mac(b"\x33\x33\0\0\0\xfb")))

    assert drops == {"MULTICAST": 1}  # Nobody else is in the network.
    assert [punt.reason for punt in box.punts] == [PuntReason.DNS, PuntReason.DNS]
