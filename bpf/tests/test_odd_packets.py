"""ICMP errors and what they quote, fragments and what they overlap."""

from __future__ import annotations

import struct

import frames
import pytest
from conftest import OWN, PEER, REMOTE, Box, as_frame, interface_row

from skytrail.agent.tables import Action, PolicyId, RuleId, VerdictRow

every_family = pytest.mark.parametrize("family", [4, 6])
ICMP_ERROR = {4: (frames.ICMP, 3), 6: (frames.ICMP6, 1)}
POLICY = 80


def rule(action: Action, port: int = 0, bits: int = 0) -> VerdictRow:
    return VerdictRow(PolicyId(POLICY), 0, 0, 17 if bits else 256, port, bits, action, RuleId(9))


def from_remote(family: int, payload: bytes, protocol: int) -> bytes:
    return frames.ip(REMOTE[family], OWN[family], protocol, payload)


def ipv6_fragment(offset_units: int, more: int, payload: bytes, protocol: int) -> bytes:
    header = struct.pack("!BBHI", protocol, 0, offset_units << 3 | more, 77)
    return frames.ipv6(OWN[6], REMOTE[6], 44, header + payload)


def quoting(box: Box, family: int, packet: bytes) -> dict[str, int]:
    """Drops of an error of the remote host about a packet the workload is said to have sent."""
    protocol, kind = ICMP_ERROR[family]
    return box.receive(from_remote(family, frames.icmp(kind, 1, 0, packet), protocol)).drops


def denies_what_comes_in(box: Box, family: int) -> None:
    box.apply(rule(Action.DENY), interface_row(ingress=POLICY))
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded


@every_family
def test_error_quotes_the_ports_or_is_not_believed(box: Box, family: int) -> None:
    denies_what_comes_in(box, family)
    quote = frames.ip(OWN[family], REMOTE[family], frames.UDP, frames.udp(1, 2))

    # RFC 792: the header and 64 bits more.
    assert quoting(box, family, quote) == {}
    for cut in range(len(quote)):
        assert quoting(box, family, quote[:cut]) == {"POLICY": 1}


def test_error_about_a_packet_with_options_finds_its_flow(box: Box) -> None:
    denies_what_comes_in(box, 4)
    quote = frames.ipv4(OWN[4], REMOTE[4], 17, frames.udp(1, 2), options=b"\x01" * 8)

    assert quoting(box, 4, quote) == {}


def test_error_about_a_later_fragment_does_not_take_its_bytes_for_ports(box: Box) -> None:
    denies_what_comes_in(box, 4)
    datagram = frames.udp(1, 2)

    assert quoting(box, 4, frames.ipv4(OWN[4], REMOTE[4], 17, datagram, fragment=0x2000)) == {}
    later = frames.ipv4(OWN[4], REMOTE[4], 17, datagram, fragment=3)
    assert quoting(box, 4, later) == {"POLICY": 1}


def test_error_about_an_ipv6_fragment_finds_its_flow_if_it_is_the_first(box: Box) -> None:
    """As "packet too big" about a large datagram does."""
    denies_what_comes_in(box, 6)
    datagram = frames.udp(1, 2)

    assert quoting(box, 6, ipv6_fragment(0, 1, datagram, frames.UDP)) == {}
    assert quoting(box, 6, ipv6_fragment(3, 0, datagram, frames.UDP)) == {"POLICY": 1}


@every_family
def test_error_forged_about_somebody_elses_packet_is_not_believed(box: Box, family: int) -> None:
    """The quote must have been sent by whom the error is for."""
    denies_what_comes_in(box, family)
    quote = frames.ip(PEER[family], REMOTE[family], frames.UDP, frames.udp(1, 2))

    assert quoting(box, family, quote) == {"POLICY": 1}


# Fragments


def fragment4(offset_units: int, payload: bytes, *, more: bool, identification: int = 9) -> bytes:
    flags = (0x2000 if more else 0) | offset_units
    return frames.ipv4(
        OWN[4], REMOTE[4], 17, payload, fragment=flags, identification=identification
    )


def test_later_fragment_ahead_of_its_first_is_dropped_by_name(box: Box) -> None:
    """Hosts send in order, and one flow keeps its order; nothing is kept waiting."""
    first = fragment4(0, frames.udp(1, 2, bytes(16)), more=True)
    later = fragment4(3, bytes(24), more=False)

    assert box.workload(as_frame(later)).drops == {"FRAGMENT_UNKNOWN": 1}
    assert box.workload(as_frame(first)).forwarded
    assert box.workload(as_frame(later)).forwarded


def test_second_first_fragment_brings_nothing_past_policy(box: Box) -> None:
    """Whatever overlaps: later fragments follow the ports last seen, which were judged."""
    box.apply(rule(Action.ALLOW, 2, 16), rule(Action.DENY), interface_row(egress=POLICY))
    allowed = fragment4(0, frames.udp(1, 2, bytes(16)), more=True)
    denied = fragment4(0, frames.udp(1, 3, bytes(16)), more=True)
    later = fragment4(3, bytes(24), more=False)

    assert box.workload(as_frame(allowed)).forwarded
    assert box.workload(as_frame(denied)).drops == {"POLICY": 1}
    assert box.workload(as_frame(later)).drops == {"POLICY": 1}
    assert box.workload(as_frame(allowed)).forwarded
    assert box.workload(as_frame(later)).forwarded


@pytest.mark.parametrize("protocol", [6, 17, 132, 1])
def test_first_fragment_without_the_whole_header_is_dropped(box: Box, protocol: int) -> None:
    """RFC 1858: ports or flags that come later would be judged by nobody."""
    length = 16 if protocol == 6 else 0
    tiny = frames.ipv4(OWN[4], REMOTE[4], protocol, bytes(length), fragment=0x2000)

    assert box.workload(as_frame(tiny)).drops == {"FRAGMENT_TINY": 1}


def test_fragments_of_another_datagram_or_sender_do_not_follow(box: Box) -> None:
    first = fragment4(0, frames.udp(1, 2, bytes(16)), more=True)
    other = fragment4(3, bytes(24), more=False, identification=10)
    assert box.workload(as_frame(first)).forwarded

    assert box.workload(as_frame(other)).drops == {"FRAGMENT_UNKNOWN": 1}
    outside = frames.ipv4(REMOTE[4], OWN[4], 17, bytes(24), fragment=3, identification=9)
    assert box.receive(outside).drops == {"FRAGMENT_UNKNOWN": 1}
