"""A workload's BGP at the gateway goes to a control node and back, translated."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, ip_address

import frames
import pytest
from conftest import (
    GATEWAY,
    LOCAL_TUNNEL,
    MAC,
    OWN,
    PEER,
    PEER_MAC,
    TC_PASS,
    TC_REDIRECT,
    UNDERLAY_IFINDEX,
    VIF,
    Box,
    Outcome,
)

from skytrail.agent.tables import BgpServiceRow
from skytrail.net import GATEWAY_MAC

pytestmark = pytest.mark.root
CONTROL = "198.51.100.9"
SOURCE_PORT, CLIENT_PORT, BGP = 50_010, 41_000, 179
SYN, ACK, SYN_ACK = 2, 16, 18
SERVICE = BgpServiceRow(
    VIF, IPv4Address(GATEWAY[4]), IPv4Address(CONTROL), SOURCE_PORT, UNDERLAY_IFINDEX
)


def segment(source: str, destination: str, ports: tuple[int, int], flags: int) -> bytes:
    """A TCP packet with right sums and the TTL of an external BGP session."""
    header = bytearray(frames.tcp(*ports, flags=flags))
    pseudo = ip_address(source).packed + ip_address(destination).packed
    pseudo += struct.pack("!HH", 6, len(header))
    header[16:18] = bytes(2)
    header[16:18] = struct.pack("!H", frames.checksum(pseudo + bytes(header)))
    return frames.ip(source, destination, 6, bytes(header), ttl=1)


def sums_are_right(frame: bytes) -> bool:
    ip, tcp = frame[14:34], frame[34:]
    pseudo = ip[12:20] + struct.pack("!HH", 6, len(tcp))
    return frames.checksum(ip) == 0 and frames.checksum(pseudo + tcp) == 0


def ends(frame: bytes) -> tuple[str, int, str, int]:
    source, destination = IPv4Address(frame[26:30]), IPv4Address(frame[30:34])
    ports = struct.unpack("!HH", frame[34:38])
    return str(source), ports[0], str(destination), ports[1]


def ask(box: Box, flags: int = SYN, *, port: int = CLIENT_PORT, to: str = GATEWAY[4]) -> Outcome:
    packet = segment(OWN[4], to, (port, BGP), flags)
    return box.workload(frames.ethernet(GATEWAY_MAC.packed, MAC.packed, 0x0800, packet))


def answer(box: Box, source: str = CONTROL, port: int = SOURCE_PORT) -> Outcome:
    packet = segment(source, str(LOCAL_TUNNEL), (BGP, port), SYN_ACK)
    return box.underlay(frames.ethernet(bytes(6), bytes(6), 0x0800, packet))


def test_a_connection_to_the_gateway_reaches_the_control_node_by_its_port(box: Box) -> None:
    box.apply(SERVICE)

    outcome = ask(box)

    assert (outcome.verdict, outcome.drops) == (TC_REDIRECT, {})
    assert ends(outcome.frame) == (str(LOCAL_TUNNEL), SOURCE_PORT, CONTROL, BGP)
    assert outcome.frame[22] == 64
    assert sums_are_right(outcome.frame)


def test_the_answer_comes_from_the_gateway_as_a_neighbour_s(box: Box) -> None:
    box.apply(SERVICE)
    ask(box)

    outcome = answer(box)

    assert (outcome.verdict, outcome.drops) == (TC_REDIRECT, {})
    assert ends(outcome.frame) == (GATEWAY[4], BGP, OWN[4], CLIENT_PORT)
    assert (outcome.frame[:6], outcome.frame[6:12]) == (MAC.packed, GATEWAY_MAC.packed)
    assert outcome.frame[22] == 255
    assert sums_are_right(outcome.frame)


def test_the_latest_connection_has_the_port(box: Box) -> None:
    box.apply(SERVICE)
    ask(box)
    ask(box, port=CLIENT_PORT + 1)

    assert ask(box, ACK).drops == {"NEXTHOP": 1}
    assert ends(answer(box).frame)[3] == CLIENT_PORT + 1


def test_what_is_no_answer_is_the_host_s(box: Box) -> None:
    box.apply(SERVICE)
    ask(box)

    assert answer(box, source="198.51.100.10").verdict == TC_PASS
    assert answer(box, port=SOURCE_PORT + 1).verdict == TC_PASS


def test_without_the_service_nothing_is_translated_any_more(box: Box) -> None:
    box.apply(SERVICE)
    ask(box)
    box.apply(deletes=(SERVICE,))

    assert answer(box).verdict == TC_PASS
    assert ask(box).verdict != TC_REDIRECT


def test_a_forged_source_and_another_workload_do_not_get_through(box: Box) -> None:
    box.apply(SERVICE)
    forged = segment(PEER[4], GATEWAY[4], (CLIENT_PORT, BGP), SYN)

    outcome = box.workload(frames.ethernet(GATEWAY_MAC.packed, PEER_MAC.packed, 0x0800, forged))

    assert outcome.verdict != TC_REDIRECT
    assert list(box.datapath.dump(BgpServiceRow)) == [SERVICE]


RELAYED = BgpServiceRow(VIF, IPv4Address(0), IPv4Address(0), 0, UNDERLAY_IFINDEX)


@pytest.mark.parametrize("version", [4, 6])
def test_what_has_a_relay_goes_there_as_it_was_sent(box: Box, version: int) -> None:
    box.apply(RELAYED)
    packet = frames.ip(OWN[version], GATEWAY[version], 6, frames.tcp(CLIENT_PORT, BGP, flags=SYN))
    sent = frames.ethernet(
        GATEWAY_MAC.packed, MAC.packed, 0x0800 if version == 4 else 0x86DD, packet
    )

    outcome = box.workload(sent)

    assert (outcome.verdict, outcome.drops) == (TC_REDIRECT, {})
    assert outcome.frame == sent


def test_a_forged_source_does_not_reach_the_relay(box: Box) -> None:
    box.apply(RELAYED)
    forged = segment(PEER[4], GATEWAY[4], (CLIENT_PORT, BGP), SYN)

    outcome = box.workload(frames.ethernet(GATEWAY_MAC.packed, PEER_MAC.packed, 0x0800, forged))

    assert outcome.verdict != TC_REDIRECT
