"""ARP and neighbour discovery answered in the kernel; who may ask, and what is punted."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv6Address, ip_network

import frames
import pytest
from conftest import (
    GATEWAY,
    MAC,
    OWN,
    PEER,
    PEER_MAC,
    REMOTE,
    REMOTE_MAC,
    TC_REDIRECT,
    TC_SHOT,
    VIF,
    Box,
    as_frame,
    interface_row,
    route_row,
)

from skytrail.agent.mobility import announced_by
from skytrail.agent.plugin import PuntReason
from skytrail.agent.tables import SourceRow
from skytrail.net import GATEWAY_MAC, Mac

LINK_LOCAL = "fe80::a"
BROADCAST = b"\xff" * 6


def arp_frame(
    target: str, sender: str = OWN[4], *, operation: int = 1, sender_mac: bytes = MAC.packed
) -> bytes:
    return frames.ethernet(
        BROADCAST, MAC.packed, 0x0806, frames.arp(operation, sender_mac, sender, target)
    )


@pytest.mark.parametrize(
    ("target", "answer"),
    [(PEER[4], PEER_MAC), (REMOTE[4], REMOTE_MAC), (GATEWAY[4], GATEWAY_MAC)],
)
def test_arp_for_a_known_address_is_answered(box: Box, target: str, answer: Mac) -> None:
    outcome = box.workload(arp_frame(target))

    expected = frames.ethernet(
        MAC.packed, answer.packed, 0x0806, frames.arp(2, answer.packed, target, OWN[4], MAC.packed)
    )
    assert (TC_REDIRECT, expected) == (outcome.verdict, outcome.frame)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (arp_frame("10.1.1.99"), "ARP_UNKNOWN"),
        (arp_frame(OWN[4]), "ARP_IGNORED"),
        (arp_frame(OWN[4], "0.0.0.0"), "ARP_IGNORED"),
        (arp_frame(PEER[4], operation=2), "ARP_IGNORED"),
        (arp_frame(PEER[4], "10.1.1.77"), "SPOOFED_ADDRESS"),
        (arp_frame(PEER[4], sender_mac=PEER_MAC.packed), "SPOOFED_MAC"),
        (arp_frame(PEER[4])[:30], "ARP_MALFORMED"),
        (arp_frame(PEER[4])[:16] + b"\x86\xdd" + arp_frame(PEER[4])[18:], "ARP_MALFORMED"),
    ],
)
def test_arp_that_deserves_no_answer_is_dropped_by_name(
    box: Box, frame: bytes, reason: str
) -> None:
    assert {reason: 1} == box.workload(frame).drops


def test_arp_probe_learns_that_another_has_the_address(box: Box) -> None:
    outcome = box.workload(arp_frame(PEER[4], "0.0.0.0"))

    assert outcome.frame[22:28] == PEER_MAC.packed


def solicitation(
    target: str, source: str = OWN[6], *, option: bool = True, hop_limit: int = 255
) -> bytes:
    message = struct.pack("!BBHI", 135, 0, 0, 0) + IPv6Address(target).packed
    if option:
        message += b"\x01\x01" + MAC.packed
    group = "ff02::1:ff" + f"{int(IPv6Address(target)) & 0xFFFFFF:06x}"[:2] + ":0"
    message = frames.icmp6_checked(source, group, message)
    return as_frame(
        frames.ipv6(source, group, frames.ICMP6, message, hop_limit=hop_limit),
        Mac(b"\x33\x33\xff\0\0\x01"),
    )


def advertisement(target: str, mac: Mac, to: str, *, solicited: bool) -> bytes:
    # Routers must say that they are, or their neighbours drop their default route.
    flags = (0x60000000 if solicited else 0x20000000) | (0x80000000 if mac == GATEWAY_MAC else 0)
    message = struct.pack("!BBHI", 136, 0, 0, flags)
    message += IPv6Address(target).packed + b"\x02\x01" + mac.packed
    message = frames.icmp6_checked(target, to, message)
    return as_frame(frames.ipv6(target, to, frames.ICMP6, message, hop_limit=255), MAC, mac)


@pytest.mark.parametrize("option", [True, False])
@pytest.mark.parametrize("source", [OWN[6], LINK_LOCAL])
@pytest.mark.parametrize(
    ("target", "answer"),
    [(PEER[6], PEER_MAC), (REMOTE[6], REMOTE_MAC), (GATEWAY[6], GATEWAY_MAC)],
)
def test_solicitation_for_a_known_address_is_answered(
    box: Box, target: str, answer: Mac, source: str, option: bool
) -> None:
    outcome = box.workload(solicitation(target, source, option=option))

    assert outcome.verdict == TC_REDIRECT
    assert advertisement(target, answer, source, solicited=True) == outcome.frame


def test_duplicate_address_probe_is_answered_to_all(box: Box) -> None:
    outcome = box.workload(solicitation(PEER[6], "::", option=False))

    assert advertisement(PEER[6], PEER_MAC, "ff02::1", solicited=False) == outcome.frame


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (solicitation("fd00:1::99"), "ND_UNKNOWN"),
        (solicitation(OWN[6], "::", option=False), "ND_IGNORED"),
        (solicitation("fd00:1::99", "::", option=False), "ND_IGNORED"),
        (solicitation(PEER[6], hop_limit=64), "ND_MALFORMED"),
        (solicitation(PEER[6], "fd00:1::77"), "SPOOFED_ADDRESS"),
        (solicitation(PEER[6])[:-1] + b"\xee", "ND_MALFORMED"),
    ],
)
def test_solicitation_that_deserves_no_answer_is_dropped_by_name(
    box: Box, frame: bytes, reason: str
) -> None:
    assert {reason: 1} == box.workload(frame).drops


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"source_mac": PEER_MAC}, "SPOOFED_MAC"),
        ({"source": {4: "10.1.1.66", 6: "fd00:1::66"}}, "SPOOFED_ADDRESS"),
    ],
)
def test_spoofed_packets_are_dropped(box: Box, family: int, fields: dict, reason: str) -> None:
    if "source" in fields:
        fields = {"source": fields["source"][family]}

    outcome = box.send(frames.udp(1, 2), frames.UDP, family=family, **fields)

    assert {reason: 1} == outcome.drops


def test_spoofing_is_caught_on_a_live_flow_too(box: Box) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP).forwarded

    assert box.send(frames.udp(1, 2), frames.UDP, source_mac=PEER_MAC).drops == {"SPOOFED_MAC": 1}


def test_allowed_address_pair_with_its_own_mac_passes_and_with_the_port_mac_does_not(
    box: Box,
) -> None:
    virtual = Mac.parse("00:00:5e:00:01:42")
    box.apply(SourceRow(VIF, ip_network("10.1.1.200/32"), virtual))

    for _ in range(2):
        allowed = box.send(frames.udp(1, 2), frames.UDP, source="10.1.1.200", source_mac=virtual)
        assert allowed.forwarded
    assert box.send(frames.udp(1, 2), frames.UDP, source="10.1.1.200").drops == {"SPOOFED_MAC": 1}


def test_port_security_off_lets_any_source_pass(box: Box) -> None:
    box.apply(interface_row(antispoof=False))

    outcome = box.send(frames.udp(1, 2), frames.UDP, source="10.1.1.66", source_mac=PEER_MAC)

    assert outcome.forwarded


def punted(box: Box, frame: bytes) -> list[PuntReason]:
    before = len(box.punts)
    outcome = box.workload(frame)
    assert (outcome.verdict, outcome.drops) == (TC_SHOT, {})
    assert all((punt.vif_id, punt.ifindex) == (VIF, 1) for punt in box.punts[before:])
    assert frame == box.punts[-1].frame
    return [punt.reason for punt in box.punts[before:]]


def test_requests_to_the_vrouter_are_punted_by_kind(box: Box) -> None:
    asks = bytes(28) + MAC.packed + bytes(206)
    dhcp = frames.ipv4("0.0.0.0", "255.255.255.255", frames.UDP, frames.udp(68, 67, asks))
    dhcp6 = frames.ipv6(LINK_LOCAL, "ff02::1:2", frames.UDP, frames.udp(546, 547, bytes(20)))
    renewal = frames.ipv4(OWN[4], GATEWAY[4], frames.UDP, frames.udp(68, 67, bytes(240)))
    dns = frames.ipv4(OWN[4], GATEWAY[4], frames.UDP, frames.udp(5000, 53, bytes(20)))
    dns_tcp = frames.ipv6(OWN[6], GATEWAY[6], frames.TCP, frames.tcp(5000, 53, flags=frames.SYN))
    ping = frames.ipv4(OWN[4], GATEWAY[4], frames.ICMP, frames.icmp(8))
    solicit = frames.ipv6(
        LINK_LOCAL,
        "ff02::2",
        frames.ICMP6,
        frames.icmp6_checked(LINK_LOCAL, "ff02::2", b"\x85" + bytes(7)),
        hop_limit=255,
    )
    group = Mac(b"\x33\x33\0\0\0\2")

    assert punted(box, as_frame(dhcp, Mac(BROADCAST))) == [PuntReason.DHCP]
    assert punted(box, as_frame(dhcp6, group)) == [PuntReason.DHCP6]
    assert punted(box, as_frame(renewal, GATEWAY_MAC)) == [PuntReason.DHCP]
    assert punted(box, as_frame(dns, GATEWAY_MAC)) == [PuntReason.DNS]
    assert punted(box, as_frame(dns_tcp, GATEWAY_MAC)) == [PuntReason.DNS]
    assert punted(box, as_frame(ping, GATEWAY_MAC)) == [PuntReason.RECEIVE]
    assert punted(box, as_frame(solicit, group)) == [PuntReason.ROUTER_SOLICITATION]


def test_ttl_expiry_tells_the_agent(box: Box) -> None:
    box.send(frames.udp(1, 2), frames.UDP, ttl=1, destination_mac=GATEWAY_MAC)

    assert box.punts[-1].reason == PuntReason.ICMP_TTL_EXCEEDED


def test_missing_route_tells_the_agent(box: Box) -> None:
    box.send(frames.udp(1, 2), frames.UDP, to="203.0.113.1", destination_mac=GATEWAY_MAC)

    assert box.punts[-1].reason == PuntReason.ICMP_UNREACHABLE


def test_punts_of_one_interface_are_limited(box: Box) -> None:
    box.apply(route_row("10.1.1.1/32", 13))
    ping = as_frame(frames.ipv4(OWN[4], GATEWAY[4], frames.ICMP, frames.icmp(8)), GATEWAY_MAC)

    # In one go inside the kernel: a token comes back every millisecond.
    limited = box.workload(ping, repeat=1500).drops.get("PUNT_RATE", 0)

    assert limited > 0
    assert limited + len(box.punts) == 1500


def test_an_announcement_is_handed_over_where_an_address_goes_from_one_to_another(
    box: Box,
) -> None:
    frame = arp_frame(OWN[4])
    assert box.workload(frame).drops == {"ARP_IGNORED": 1}

    box.apply(replace(interface_row(), announces=True))

    assert box.workload(frame).drops == {}
    assert [punt.reason.name for punt in box.punts] == ["ANNOUNCEMENT"]
    assert box.punts[0].frame == frame
    assert box.workload(arp_frame("10.1.1.99", "10.1.1.99")).drops == {"SPOOFED_ADDRESS": 1}


def announcement(target: str, *, solicited: bool = False) -> bytes:
    flags = 0x60000000 if solicited else 0x20000000
    body = struct.pack("!BBHI", 136, 0, 0, flags) + IPv6Address(target).packed
    message = body + b"\x02\x01" + MAC.packed
    everybody = "ff02::1"
    checked = frames.icmp6_checked(OWN[6], everybody, message)
    raw = frames.ipv6(OWN[6], everybody, frames.ICMP6, checked, hop_limit=255)
    return frames.ethernet(b"\x33\x33\0\0\0\x01", MAC.packed, 0x86DD, raw)


def test_an_unsolicited_advertisement_is_handed_over_as_gratuitous_arp_is(box: Box) -> None:
    frame = announcement(OWN[6])
    assert box.workload(frame).drops == {"ND_IGNORED": 1}

    box.apply(replace(interface_row(), announces=True))

    assert box.workload(frame).drops == {}
    assert [punt.reason.name for punt in box.punts] == ["ANNOUNCEMENT"]
    assert box.punts[0].frame == frame
    assert announced_by(frame) == IPv6Address(OWN[6])
    assert box.workload(announcement(OWN[6], solicited=True)).drops == {"ND_IGNORED": 1}
    assert box.workload(announcement("fd00:1::99")).drops == {"SPOOFED_ADDRESS": 1}
