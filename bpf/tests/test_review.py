"""Attacks on isolation and policy, and the states that only a second packet reaches."""

from __future__ import annotations

import secrets
import struct
import time
from collections import Counter
from ipaddress import ip_network

import frames
import pytest
from conftest import (
    LABEL,
    MAC,
    OWN,
    OWN_NEXTHOP,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_VIF,
    REMOTE,
    REMOTE_LABEL,
    REMOTE_MAC,
    TUNNEL_NEXTHOP,
    VIF,
    VRF,
    Box,
    Outcome,
    as_frame,
    base_rows,
    interface_row,
    route_row,
    tunnel_row,
)

from skytrail.agent.tables import (
    Action,
    BridgeRow,
    Encapsulation,
    IdentityId,
    LabelRow,
    PolicyId,
    Row,
    RuleId,
    SourceRow,
    VerdictRow,
    VifId,
)
from skytrail.net import GATEWAY_MAC, Mac

every_family = pytest.mark.parametrize("family", [4, 6])
DENY_ALL, ALLOW_ALL = 51, 50
ICMP_ERROR = {4: (frames.ICMP, 3), 6: (frames.ICMP6, 1)}


def verdict(policy: int, action: Action) -> VerdictRow:
    return VerdictRow(
        policy_id=PolicyId(policy),
        identity_class=0,
        prefix_class=0,
        protocol=256,
        port=0,
        port_bits=0,
        action=action,
        rule_id=RuleId(9),
    )


def denied_peer() -> tuple[Row, ...]:
    return (
        verdict(DENY_ALL, Action.DENY),
        interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2, ingress=DENY_ALL),
    )


def own_source(box: Box, family: int) -> SourceRow:
    return next(
        row
        for row in box.datapath.dump(SourceRow)
        if row.vif_id == VIF and row.prefix == ip_network(OWN[family])
    )


def from_remote(family: int, payload: bytes, protocol: int = frames.UDP) -> bytes:
    return frames.ip(REMOTE[family], OWN[family], protocol, payload)


def error_about(family: int, source: str, destination: str, payload: bytes) -> bytes:
    """ICMP message "unreachable" that quotes a UDP packet."""
    quoted = frames.ip(source, destination, frames.UDP, payload)
    return frames.icmp(ICMP_ERROR[family][1], 1, 0, quoted)


# Link-local addresses


def test_link_local_source_is_dropped_at_every_packet(box: Box) -> None:
    for _ in range(3):
        outcome = box.send(frames.udp(1, 2), frames.UDP, family=6, source="fe80::99")
        assert outcome.drops == {"LINK_LOCAL": 1}
    assert list(box.datapath.flows()) == []


def test_link_local_source_from_the_underlay_is_dropped_at_every_packet(box: Box) -> None:
    packet = frames.ipv6("fe80::99", OWN[6], frames.UDP, frames.udp(547, 546))
    for _ in range(3):
        assert box.receive(packet).drops == {"LINK_LOCAL": 1}


# ICMP errors


@every_family
def test_error_about_one_flow_does_not_reach_a_third_workload(box: Box, family: int) -> None:
    box.apply(*denied_peer())
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded
    error = error_about(family, REMOTE[family], OWN[family], frames.udp(2, 1))

    outcome = box.send(
        error, ICMP_ERROR[family][0], family=family, to=PEER[family], destination_mac=PEER_MAC
    )

    assert outcome.drops == {"POLICY": 1}


@every_family
def test_error_about_the_receivers_own_packet_is_delivered_locally(box: Box, family: int) -> None:
    """The peer asked; our workload answers "port unreachable" although it may not send."""
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(egress=DENY_ALL))
    ask = frames.ip(PEER[family], OWN[family], frames.UDP, frames.udp(1, 2))
    box.datapath._maps["ifindex_vif"].update(struct.pack("=I", 1), struct.pack("=I", PEER_VIF))
    try:
        assert box.workload(as_frame(ask, MAC, PEER_MAC)).forwarded
    finally:
        box.datapath._maps["ifindex_vif"].update(struct.pack("=I", 1), struct.pack("=I", VIF))
    error = error_about(family, PEER[family], OWN[family], frames.udp(1, 2))

    outcome = box.send(
        error, ICMP_ERROR[family][0], family=family, to=PEER[family], destination_mac=PEER_MAC
    )

    assert outcome.forwarded


@every_family
def test_unrelated_error_does_not_block_a_later_related_one(box: Box, family: int) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL))
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded
    protocol = ICMP_ERROR[family][0]

    def receive(port: int) -> dict[str, int]:
        error = error_about(family, OWN[family], REMOTE[family], frames.udp(1, port))
        return box.receive(from_remote(family, error, protocol)).drops

    assert receive(3) == {"POLICY": 1}
    assert receive(2) == {}


# Connections


def tcp_from_remote(flags: int) -> bytes:
    return from_remote(4, frames.tcp(2, 1, flags=flags), frames.TCP)


def test_half_closed_connection_still_brings_its_answer(box: Box) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL))
    now = time.monotonic()
    for flags in (frames.SYN, frames.ACK, frames.FIN | frames.ACK):
        assert box.send(frames.tcp(1, 2, flags=flags), frames.TCP).forwarded

    box.datapath.age_flows(now)
    assert box.datapath.age_flows(now + 60) == 0
    assert box.receive(tcp_from_remote(frames.ACK)).forwarded


def test_connection_closed_from_both_sides_goes_early(box: Box) -> None:
    now = time.monotonic()
    assert box.send(frames.tcp(1, 2, flags=frames.SYN), frames.TCP).forwarded
    assert box.send(frames.tcp(1, 2, flags=frames.FIN | frames.ACK), frames.TCP).forwarded
    assert box.receive(tcp_from_remote(frames.FIN | frames.ACK)).forwarded

    box.datapath.age_flows(now)
    assert box.datapath.age_flows(now + 11) == 1


def test_closed_connection_is_no_way_in(box: Box) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL))
    assert box.send(frames.tcp(1, 2, flags=frames.SYN), frames.TCP).forwarded
    assert box.send(frames.tcp(1, 2, flags=frames.RST), frames.TCP).forwarded

    assert box.receive(tcp_from_remote(frames.SYN)).drops == {"POLICY": 1}
    assert box.receive(tcp_from_remote(frames.ACK)).drops == {"POLICY": 1}


@every_family
def test_denied_connection_does_not_hold_up_one_of_the_far_end(box: Box, family: int) -> None:
    """Ours opened; then sending is forbidden and receiving allowed: the far end may open its own."""
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL))

    def send(flags: int) -> Outcome:
        return box.send(frames.tcp(1, 2, flags=flags), frames.TCP, family=family)

    def receive(flags: int) -> Outcome:
        return box.receive(from_remote(family, frames.tcp(2, 1, flags=flags), frames.TCP))

    assert send(frames.SYN).forwarded
    box.apply(interface_row(egress=DENY_ALL))
    assert send(frames.ACK).drops == {"POLICY": 1}

    assert receive(frames.ACK).drops == {"POLICY": 1}
    assert receive(frames.SYN).forwarded
    assert send(frames.SYN | frames.ACK).forwarded


@every_family
def test_answer_whose_request_lost_its_way_is_dropped_in_silence(box: Box, family: int) -> None:
    """The agent must not mistake a tunnel frame for one of the workload's."""
    bits = 32 if family == 4 else 128
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded
    box.apply(
        deletes=(
            route_row(f"{REMOTE[family]}/{bits}", TUNNEL_NEXTHOP),
            BridgeRow(VRF, REMOTE_MAC, TUNNEL_NEXTHOP, REMOTE_LABEL, IdentityId(3)),
        )
    )

    assert box.receive(from_remote(family, frames.udp(2, 1))).drops == {"NO_ROUTE": 1}
    assert box.punts == []


# Rows and generations


def test_rows_written_before_a_refused_one_reach_live_flows(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP).forwarded

    def refuse(rows: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(box.datapath._tables, "remove", refuse)
    with pytest.raises(OSError, match="no space"):
        box.apply(
            verdict(DENY_ALL, Action.DENY),
            interface_row(egress=DENY_ALL),
            deletes=(LabelRow(LABEL, OWN_NEXTHOP),),
        )

    assert box.send(frames.udp(1, 2), frames.UDP).drops == {"POLICY": 1}


def test_rows_of_an_agent_that_died_before_telling_reach_live_flows(box: Box) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP).forwarded
    box.datapath._tables.put([verdict(DENY_ALL, Action.DENY)])
    box.datapath._tables.put([interface_row(egress=DENY_ALL)])
    box.datapath.close()
    box.datapath = Box(box.name, 99).datapath
    box.datapath.open_punts(box.punts.append)

    assert box.send(frames.udp(1, 2), frames.UDP).drops == {"POLICY": 1}


def test_interface_number_used_again_inherits_no_flow(box: Box) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP).forwarded
    box.apply(deletes=(interface_row(),))
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL, egress=DENY_ALL))

    assert list(box.datapath.flows()) == []
    assert box.receive(from_remote(4, frames.udp(2, 1))).drops == {"POLICY": 1}


# Sources


@every_family
def test_answer_to_an_address_the_workload_does_not_have_is_a_spoof(box: Box, family: int) -> None:
    """A far end can address anything by our label: that earns the workload no new address."""
    foreign = "10.1.1.77" if family == 4 else "fd00:1::77"
    packet = frames.ip(REMOTE[family], foreign, frames.UDP, frames.udp(2, 1))
    assert box.receive(packet).forwarded

    for _ in range(2):
        outcome = box.send(frames.udp(1, 2), frames.UDP, family=family, source=foreign)
        assert outcome.drops == {"SPOOFED_ADDRESS": 1}


@every_family
def test_flow_of_the_interface_does_not_excuse_another_mac(box: Box, family: int) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded

    outcome = box.send(frames.udp(1, 2), frames.UDP, family=family, source_mac=PEER_MAC)

    assert outcome.drops == {"SPOOFED_MAC": 1}


@every_family
def test_address_taken_away_stops_its_live_flow(box: Box, family: int) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded

    box.apply(deletes=(own_source(box, family),))

    outcome = box.send(frames.udp(1, 2), frames.UDP, family=family)
    assert outcome.drops == {"SPOOFED_ADDRESS": 1}


@every_family
def test_answers_do_not_keep_a_flow_whose_opener_lost_its_address(box: Box, family: int) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded
    assert box.receive(from_remote(family, frames.udp(2, 1))).forwarded

    box.apply(deletes=(own_source(box, family),))

    answer = box.receive(from_remote(family, frames.udp(2, 1)))
    again = box.send(frames.udp(1, 2), frames.UDP, family=family)
    assert answer.drops == again.drops == {"SPOOFED_ADDRESS": 1}


@every_family
def test_address_given_to_another_mac_is_no_longer_the_first_ones(box: Box, family: int) -> None:
    second = Mac.parse("02:00:00:00:00:1a")
    box.apply(SourceRow(VIF, ip_network(OWN[family]), second))

    for _ in range(2):
        outcome = box.send(frames.udp(1, 2), frames.UDP, family=family, source_mac=second)
        assert outcome.forwarded
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).drops == {"SPOOFED_MAC": 1}


@pytest.mark.parametrize("port", [6635, 4789])
def test_tunnel_frame_of_a_workload_reaches_no_tunnel_end(box: Box, port: int) -> None:
    word = (LABEL << 12 | 0x100 | 64).to_bytes(4, "big")
    inner = frames.ipv4(REMOTE[4], OWN[4], frames.UDP, frames.udp(1, 2))

    outcome = box.send(
        frames.udp(50000, port, word + inner),
        frames.UDP,
        to="192.0.2.1",
        destination_mac=GATEWAY_MAC,
    )

    assert outcome.drops == {"NO_ROUTE": 1}


# Limits


def test_greedy_interfaces_leave_some_of_the_table_to_others() -> None:
    box = Box(f"str{secrets.token_hex(3)}", 64)
    try:
        box.apply(*base_rows(), interface_row(flow_count_max=1000))
        outcomes = [box.send(frames.udp(port, 2), frames.UDP) for port in range(1, 71)]
        assert outcomes[-1].drops == {"FLOW_TABLE_FULL": 1}

        box.datapath._maps["ifindex_vif"].update(struct.pack("=I", 1), struct.pack("=I", PEER_VIF))
        other = frames.ipv4(PEER[4], REMOTE[4], frames.UDP, frames.udp(1, 2))

        assert box.workload(as_frame(other, source=PEER_MAC)).forwarded
    finally:
        box.close()


def test_probes_that_nobody_answers_are_forgotten_early(box: Box) -> None:
    """Half-open connections must not sit in the table as long as real ones."""
    now = time.monotonic()
    box.send(frames.tcp(1, 2, flags=frames.SYN), frames.TCP)
    box.send(frames.tcp(2, 2, flags=frames.SYN), frames.TCP)
    box.receive(from_remote(4, frames.tcp(2, 2, flags=frames.SYN | frames.ACK), frames.TCP))

    box.datapath.age_flows(now)
    assert box.datapath.age_flows(now + 200) == 1


# Fragments


def ipv6_fragment(offset_units: int, more: int, payload: bytes, protocol: int) -> bytes:
    header = struct.pack("!BBHI", protocol, 0, offset_units << 3 | more, 77)
    return frames.ipv6(OWN[6], REMOTE[6], 44, header + payload)


def test_ipv6_fragment_that_overwrites_the_transport_header_is_dropped(box: Box) -> None:
    first = ipv6_fragment(0, 1, frames.tcp(1, 2) + bytes(4), frames.TCP)
    over = ipv6_fragment(1, 0, bytes(16), frames.TCP)

    assert box.workload(as_frame(first)).forwarded
    assert box.workload(as_frame(over)).drops == {"FRAGMENT_TINY": 1}


@every_family
def test_later_fragment_of_a_denied_first_is_denied(box: Box, family: int) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(egress=DENY_ALL))
    if family == 6:
        first = ipv6_fragment(0, 1, frames.udp(1, 2, bytes(8)), frames.UDP)
        later = ipv6_fragment(2, 0, bytes(8), frames.UDP)
    else:
        first = frames.ipv4(OWN[4], REMOTE[4], 17, frames.udp(1, 2, bytes(8)), fragment=0x2000)
        later = frames.ipv4(OWN[4], REMOTE[4], 17, bytes(8), fragment=2)

    assert box.workload(as_frame(first)).drops == {"POLICY": 1}
    assert box.workload(as_frame(later)).drops == {"POLICY": 1}


# What leaves


def test_routed_frame_carries_the_routes_mac_and_not_the_senders_choice(box: Box) -> None:
    box.apply(tunnel_row(Encapsulation.VXLAN))

    for _ in range(2):
        outcome = box.send(frames.udp(1, 2), frames.UDP, destination_mac=Mac(b"\xff" * 6))
        assert frames.decode_tunnel(outcome.frame).inner[:6] == REMOTE_MAC.packed


@pytest.mark.parametrize("lead", [b"", b"\x01", b"\x01\x01", b"\x01\x01\x01"])
@every_family
def test_clamped_segment_size_keeps_the_checksum_wherever_the_option_stands(
    box: Box, family: int, lead: bytes
) -> None:
    options = lead + struct.pack("!BBH", 2, 4, 9000)
    options += bytes(-len(options) % 4)
    segment = frames.tcp(1, 2, flags=frames.SYN, options=options)
    pseudo_checked = with_tcp_checksum(segment, OWN[family], REMOTE[family])

    outcome = box.send(pseudo_checked, frames.TCP, family=family)

    inner = frames.decode_tunnel(outcome.frame).inner
    sent = inner[20 if family == 4 else 40 :]
    size = struct.unpack("!H", sent[20 + len(lead) + 2 : 20 + len(lead) + 4])[0]
    assert size < 1500
    assert sent == with_tcp_checksum(sent, OWN[family], REMOTE[family])


def with_tcp_checksum(segment: bytes, source: str, destination: str) -> bytes:
    from ipaddress import ip_address

    zeroed = segment[:16] + b"\0\0" + segment[18:]
    pseudo = ip_address(source).packed + ip_address(destination).packed
    if len(pseudo) == 8:
        pseudo += struct.pack("!BBH", 0, frames.TCP, len(segment))
    else:
        pseudo += struct.pack("!II", len(segment), frames.TCP)
    total = frames.checksum(pseudo + zeroed)
    return segment[:16] + total.to_bytes(2, "big") + segment[18:]


@every_family
def test_bytes_after_the_packet_count_for_the_size(box: Box, family: int) -> None:
    """They would leave with it, and the underlay would lose the frame uncounted."""
    packet = frames.ip(OWN[family], REMOTE[family], frames.UDP, frames.udp(1, 2))

    assert box.workload(as_frame(packet + bytes(1600))).drops == {"TOO_BIG": 1}
    assert box.workload(as_frame(packet + bytes(20))).forwarded


# Accounting


@every_family
def test_flows_of_an_interface_are_counted_back_to_zero(box: Box, family: int) -> None:
    def owned(vif: VifId) -> int:
        raw = box.datapath._maps["interface_flows"].lookup(struct.pack("=I", vif))
        return struct.unpack("=I", raw or bytes(4))[0]

    box.apply(*denied_peer())
    for port in range(1, 20):
        box.send(frames.udp(port, 2), frames.UDP, family=family)
        box.send(
            frames.udp(port, 2),
            frames.UDP,
            family=family,
            to=PEER[family],
            destination_mac=PEER_MAC,
        )
        box.receive(from_remote(family, frames.udp(port, 7)))
        flags = frames.SYN if port % 2 else frames.RST
        box.send(frames.tcp(port % 5, 2, flags=flags), frames.TCP, family=family)
    assert owned(VIF)

    now = time.monotonic()
    box.datapath.age_flows(now)
    box.datapath.age_flows(now + 10_000)

    assert (owned(VIF), owned(PEER_VIF), list(box.datapath.flows())) == (0, 0, [])


def test_reasons_of_the_interfaces_add_up_to_the_drops(box: Box) -> None:
    def totals() -> tuple[dict[str, int], Counter[str]]:
        by_interface: Counter[str] = Counter()
        for counts in box.datapath.interface_drop_counts().values():
            by_interface.update(counts)
        return dict(box.datapath.drop_counts()), by_interface

    total_before, interfaces_before = totals()
    box.apply(*denied_peer())
    lost = 0
    for family in (4, 6):
        for _ in range(3):
            box.send(frames.udp(1, 2), frames.UDP, family=family, source=PEER[family])
            box.send(frames.udp(1, 2), frames.UDP, family=family, source_mac=PEER_MAC)
            box.send(frames.udp(1, 2), frames.UDP, family=family, to=PEER[family])
            box.receive(from_remote(family, frames.udp(1, 2)), label=999)
            lost += 4
    total_after, interfaces_after = totals()

    grown = {name: count - total_before.get(name, 0) for name, count in total_after.items()}
    assert sum(grown.values()) == lost
    assert interfaces_after - interfaces_before == Counter(+Counter(grown))
