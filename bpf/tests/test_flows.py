"""Pairs, counters, re-evaluation, limits and ageing."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

import frames
import pytest
from conftest import (
    ECMP_NEXTHOP,
    LABEL,
    MAC,
    OWN,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_NEXTHOP,
    PEER_VIF,
    REMOTE,
    REMOTE_LABEL,
    TUNNEL_NEXTHOP,
    VIF,
    Box,
    base_rows,
    interface_row,
    route_row,
    tunnel_row,
)

from skytrail.agent.tables import (
    Action,
    Encapsulation,
    FlowShareRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    RuleId,
    VerdictRow,
    VifId,
    VrfId,
)
from skytrail.net import GATEWAY_MAC

every_family = pytest.mark.parametrize("family", [4, 6])
ALLOW_ALL, DENY_ALL = 50, 51


def verdict(policy: int, action: Action, rule: int = 9, **fields: int) -> VerdictRow:
    return VerdictRow(
        policy_id=PolicyId(policy),
        identity_class=0,
        prefix_class=0,
        protocol=fields.get("protocol", 256),
        port=fields.get("port", 0),
        port_bits=fields.get("port_bits", 0),
        action=action,
        rule_id=RuleId(rule),
    )


def flows(box: Box) -> list[tuple[bool, bool, int]]:
    """(is reverse, allowed, packets) of every entry, forward first."""
    return sorted((f.is_reverse, f.allowed, f.packets) for f in box.datapath.flows())


def answer(family: int, source: int = 2, destination: int = 1) -> bytes:
    return frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(source, destination))


@every_family
def test_first_packet_makes_a_pair_and_every_packet_counts(box: Box, family: int) -> None:
    for _ in range(5):
        assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded
    for _ in range(3):
        assert box.receive(answer(family)).forwarded

    assert flows(box) == [(False, True, 5), (True, True, 3)]
    record = next(f for f in box.datapath.flows() if not f.is_reverse)
    assert (record.vif_id, record.nexthop_id, record.label) == (VIF, TUNNEL_NEXTHOP, REMOTE_LABEL)


@every_family
def test_answers_are_admitted_by_the_flow_and_not_by_a_rule(box: Box, family: int) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL))

    assert box.receive(answer(family, 2, 5)).drops == {"POLICY": 1}
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded
    assert box.receive(answer(family)).forwarded


@every_family
def test_request_from_outside_and_its_answer(box: Box, family: int) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(egress=DENY_ALL))

    assert box.send(frames.udp(1, 3), frames.UDP, family=family).drops == {"POLICY": 1}
    assert box.receive(answer(family)).forwarded
    outcome = box.send(frames.udp(1, 2), frames.UDP, family=family)

    assert outcome.forwarded
    assert frames.decode_tunnel(outcome.frame).label == REMOTE_LABEL


@every_family
def test_local_pair_checks_both_ends_and_returns_freely(box: Box, family: int) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL))
    request = frames.udp(1, 2)

    outcome = box.send(
        request, frames.UDP, family=family, to=PEER[family], destination_mac=PEER_MAC
    )

    assert outcome.forwarded
    assert outcome.frame[:6] == PEER_MAC.packed
    reverse = next(f for f in box.datapath.flows() if f.is_reverse)
    assert (reverse.vif_id, reverse.source_port, reverse.destination_port) == (PEER_VIF, 2, 1)

    box.apply(
        verdict(DENY_ALL, Action.DENY),
        interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2, ingress=DENY_ALL),
    )
    again = box.send(request, frames.UDP, family=family, to=PEER[family], destination_mac=PEER_MAC)
    assert again.drops == {"POLICY": 1}


@every_family
def test_deny_takes_effect_on_a_live_flow_in_both_directions(box: Box, family: int) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded
    assert box.receive(answer(family)).forwarded

    box.apply(verdict(DENY_ALL, Action.DENY, rule=77), interface_row(egress=DENY_ALL))

    assert box.receive(answer(family)).drops == {"POLICY": 1}
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).drops == {"POLICY": 1}
    assert next(f for f in box.datapath.flows() if not f.is_reverse).rule_id == 77


@every_family
def test_allow_takes_effect_on_a_denied_flow(box: Box, family: int) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(egress=DENY_ALL))
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).drops == {"POLICY": 1}
    assert flows(box) == [(False, False, 1)]

    box.apply(verdict(DENY_ALL, Action.ALLOW))

    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded
    assert box.receive(answer(family)).forwarded
    assert flows(box) == [(False, True, 2), (True, True, 1)]


@every_family
def test_denied_flow_is_remembered_and_named(box: Box, family: int) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY, rule=5), interface_row(egress=DENY_ALL))

    for _ in range(3):
        assert box.send(frames.udp(1, 2), frames.UDP, family=family).drops == {"POLICY": 1}

    (record,) = box.datapath.flows()
    assert (
        record.allowed,
        record.drop_reason,
        record.rule_id,
        record.packets,
    ) == (False, "POLICY", 5, 3)


@every_family
def test_route_change_moves_a_live_flow(box: Box, family: int) -> None:
    bits = 32 if family == 4 else 128
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded

    box.apply(route_row(f"{REMOTE[family]}/{bits}", TUNNEL_NEXTHOP, label=88, identity=3))
    moved = box.send(frames.udp(1, 2), frames.UDP, family=family)
    box.apply(route_row(f"{REMOTE[family]}/{bits}", PEER_NEXTHOP, identity=2))
    local = box.send(frames.udp(1, 2), frames.UDP, family=family)
    box.apply(deletes=(route_row(f"{REMOTE[family]}/{bits}", PEER_NEXTHOP),))
    gone = box.send(
        frames.udp(1, 2), frames.UDP, family=family, destination_mac=PEER_MAC.__class__(b"\2" * 6)
    )

    assert frames.decode_tunnel(moved.frame).label == 88
    assert local.forwarded
    assert local.frame[:6] == PEER_MAC.packed
    assert gone.drops == {"NO_ROUTE": 1}


def test_losing_an_ecmp_member_moves_only_its_flows(box: Box) -> None:
    members = [NextHopId(30 + n) for n in range(4)]
    box.apply(*(tunnel_row(Encapsulation.MPLS_UDP, member) for member in members))

    def ecmp(chosen: list[NextHopId]) -> NextHopRow:
        return NextHopRow(
            nexthop_id=ECMP_NEXTHOP,
            kind=NextHopKind.ECMP,
            members=tuple((member, 1000 + member) for member in chosen),
            shares=tuple(100 * member for member in chosen),
        )

    def labels() -> list[int]:
        return [
            frames.decode_tunnel(box.send(frames.udp(port, 2), frames.UDP).frame).label
            for port in range(1, 81)
        ]

    box.apply(ecmp(members), route_row(f"{REMOTE[4]}/32", ECMP_NEXTHOP, identity=3))
    before = labels()
    box.apply(ecmp(members[1:]))
    after = labels()

    assert {1030, 1031, 1032, 1033} == set(before)
    assert {1031, 1032, 1033} == set(after)
    kept = [(old, new) for old, new in zip(before, after, strict=True) if old != 1030]
    assert all(old == new for old, new in kept)


@every_family
def test_ping_and_its_reply_are_one_flow(box: Box, family: int) -> None:
    protocol, request, reply = (frames.ICMP, 8, 0) if family == 4 else (frames.ICMP6, 128, 129)
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL))

    assert box.send(frames.icmp(request), protocol, family=family).forwarded
    back = frames.ip(REMOTE[family], OWN[family], protocol, frames.icmp(reply))
    foreign = frames.ip(REMOTE[family], OWN[family], protocol, frames.icmp(request))

    assert box.receive(back).forwarded
    assert box.receive(foreign).drops == {"POLICY": 1}


@every_family
def test_icmp_error_follows_the_flow_it_quotes(box: Box, family: int) -> None:
    protocol, kind = (frames.ICMP, 3) if family == 4 else (frames.ICMP6, 1)
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL))
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded

    def error(port: int) -> bytes:
        quoted = frames.ip(OWN[family], REMOTE[family], frames.UDP, frames.udp(1, port))
        return frames.ip(REMOTE[family], OWN[family], protocol, frames.icmp(kind, 1, 0, quoted))

    assert box.receive(error(2)).forwarded
    assert box.receive(error(3)).drops == {"POLICY": 1}


def test_interface_flow_limit_is_a_named_drop(box: Box) -> None:
    box.apply(interface_row(flow_count_max=3))

    outcomes = [box.send(frames.udp(port, 2), frames.UDP) for port in range(1, 6)]

    assert [outcome.forwarded for outcome in outcomes] == [True, True, True, False, False]
    assert outcomes[-1].drops == {"FLOW_LIMIT": 1}


def test_interfaces_of_one_machine_share_its_limit(box: Box) -> None:
    members = (VIF, PEER_VIF)
    box.apply(
        interface_row(flow_count_max=4096),
        interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2, flow_count_max=2100),
        LabelRow(2000, PEER_NEXTHOP),
        *[FlowShareRow(vif, members, 2100) for vif in members],
    )
    packet = frames.ip(REMOTE[4], PEER[4], frames.UDP, frames.udp(1, 80))

    # More than the half of the 4,096 that a machine always has: one of its interfaces may.
    outcomes = [box.send(frames.udp(port, 2), frames.UDP) for port in range(1, 2103)]
    assert [o.drops for o in outcomes if not o.forwarded] == [{"FLOW_LIMIT_MACHINE": 1}] * 2
    assert box.receive(packet, label=2000).drops == {"FLOW_LIMIT_MACHINE": 1}
    assert box.send(frames.udp(1, 2), frames.UDP).forwarded

    box.apply(deletes=(FlowShareRow(PEER_VIF, members, 2100),))
    assert box.receive(packet, label=2000).forwarded


def test_interfaces_of_a_part_of_a_machine_have_that_part_of_its_limit(box: Box) -> None:
    box.apply(interface_row(), FlowShareRow(VIF, (VIF,), parts_count=256))

    outcomes = [box.send(frames.udp(port, 2), frames.UDP) for port in range(1, 11)]

    # Of the half of the 4,096 that a machine has.
    assert [o.drops for o in outcomes if not o.forwarded] == [{"FLOW_LIMIT_MACHINE": 1}] * 2


def test_without_policy_what_finds_no_place_goes_on_packet_by_packet(box: Box) -> None:
    box.apply(replace(interface_row(flow_count_max=3), packet_mode=True))

    assert all(box.send(frames.udp(port, 2), frames.UDP).forwarded for port in range(1, 6))
    assert all(box.receive(answer(4, 2, port)).forwarded for port in range(1, 6))
    assert len(flows(box)) == 6


def test_neighbour_with_policy_is_not_reached_without_a_flow(box: Box) -> None:
    """Its answers would be judged as what it sends by itself."""

    def opened(port: int) -> dict[str, int]:
        datagram = frames.udp(port, 2)
        return box.send(datagram, frames.UDP, to=PEER[4], destination_mac=PEER_MAC).drops

    neighbour = interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2)
    box.apply(replace(interface_row(flow_count_max=2), packet_mode=True))

    assert [opened(port) for port in (1, 2, 3)] == [{}, {}, {"FLOW_LIMIT": 1}]

    box.apply(replace(neighbour, packet_mode=True))
    assert opened(3) == {}


def test_denied_flows_leave_half_of_the_share(box: Box) -> None:
    box.apply(verdict(DENY_ALL, Action.DENY), interface_row(ingress=DENY_ALL, flow_count_max=4))

    for port in range(100, 110):
        assert box.receive(answer(4, port)).drops == {"POLICY": 1}

    assert box.send(frames.udp(1, 2), frames.UDP).forwarded


def test_full_table_is_a_named_drop_and_ageing_frees_it() -> None:
    box = Box(f"std{secrets.token_hex(3)}", 16)
    try:
        box.apply(*base_rows(), interface_row(flow_count_max=1000))
        outcomes = [box.send(frames.udp(port, 2), frames.UDP) for port in range(1, 21)]
        assert sum(outcome.forwarded for outcome in outcomes) == 14
        assert outcomes[-1].drops == {"FLOW_TABLE_FULL": 1}
        now = time.monotonic()

        assert box.datapath.age_flows(now) == 0
        assert box.datapath.age_flows(now + 10_000) == 14

        outcomes = [box.send(frames.udp(port, 3), frames.UDP) for port in range(1, 15)]
        assert all(outcome.forwarded for outcome in outcomes)
        assert {1} == {f.packets for f in box.datapath.flows() if not f.is_reverse}
    finally:
        box.close()


def test_floods_of_two_workloads_leave_the_others_their_connections() -> None:
    """One flood ends at its own limit, two at the part of the table that is not theirs."""
    third, label, peer_label = VifId(13), 2001, 2000
    box = Box(f"std{secrets.token_hex(3)}", 1024)

    def opened(label: int, address: str, count: int) -> tuple[int, set[str]]:
        outcomes = [
            box.receive(
                frames.ip(REMOTE[4], address, frames.UDP, frames.udp(port, 80)), label=label
            )
            for port in range(1000, 1000 + count)
        ]
        return sum(each.forwarded for each in outcomes), {
            r for each in outcomes for r in each.drops
        }

    try:
        box.apply(
            *base_rows(),
            interface_row(third, 7003, MAC, identity=3),
            NextHopRow(nexthop_id=NextHopId(30), kind=NextHopKind.INTERFACE, vif_id=third),
            LabelRow(peer_label, PEER_NEXTHOP),
            LabelRow(label, NextHopId(30)),
        )

        assert opened(LABEL, OWN[4], 600) == (512, {"FLOW_LIMIT"})
        assert opened(peer_label, PEER[4], 600) == (384, {"FLOW_TABLE_FULL"})
        assert opened(label, "10.1.1.13", 15) == (15, set())
        assert opened(LABEL, OWN[4], 100) == (100, set())
    finally:
        box.close()


def test_active_flow_is_not_aged(box: Box) -> None:
    now = time.monotonic()
    box.send(frames.udp(1, 2), frames.UDP)
    box.datapath.age_flows(now)
    box.send(frames.udp(1, 2), frames.UDP)

    assert box.datapath.age_flows(now + 10_000) == 0
    assert box.datapath.age_flows(now + 20_000) == 1
    assert flows(box) == []


def test_closed_connection_goes_early_and_its_tuple_can_open_again(box: Box) -> None:
    now = time.monotonic()
    for flags in (frames.SYN, frames.ACK, frames.FIN | frames.ACK):
        assert box.send(frames.tcp(1, 2, flags=flags), frames.TCP).forwarded
    reopened = box.send(frames.tcp(1, 2, flags=frames.SYN), frames.TCP)

    assert reopened.forwarded
    assert flows(box) == [(False, True, 1), (True, True, 0)]
    assert box.send(frames.tcp(1, 2, flags=frames.RST), frames.TCP).forwarded
    box.datapath.age_flows(now)
    assert box.datapath.age_flows(now + 11) == 1


def test_removing_an_interface_forgets_its_flows(box: Box) -> None:
    box.send(frames.udp(1, 2), frames.UDP, to=PEER[4], destination_mac=PEER_MAC)
    box.send(frames.udp(1, 2), frames.UDP)

    box.apply(deletes=(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2),))

    assert {REMOTE[4]} == {str(f.destination) for f in box.datapath.flows() if not f.is_reverse}


def test_flows_survive_a_restart(box: Box) -> None:
    assert box.send(frames.udp(1, 2), frames.UDP).forwarded
    box.datapath.close()
    again = Box(box.name, 99)
    box.datapath = again.datapath
    box.datapath.open_punts(box.punts.append)

    assert box.receive(answer(4)).forwarded
    assert flows(box) == [(False, True, 1), (True, True, 1)]
    assert again.datapath._flow_pairs_max > 15


def test_interface_drop_counts_name_the_interface(box: Box) -> None:
    before = box.datapath.interface_drop_counts().get(VIF, {}).get("NO_ROUTE", 0)

    box.send(frames.udp(1, 2), frames.UDP, to="203.0.113.1", destination_mac=GATEWAY_MAC)

    assert before + 1 == box.datapath.interface_drop_counts()[VIF]["NO_ROUTE"]


def test_overlapping_addresses_of_two_vrfs_do_not_leak(box: Box) -> None:
    """The peer moves to another VRF with the workload's own address and its own way out."""
    other = VrfId(6)
    twin = replace(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2), vrf_id=other)
    box.apply(
        twin,
        LabelRow(700, PEER_NEXTHOP),
        replace(route_row(f"{OWN[4]}/32", PEER_NEXTHOP, identity=2), vrf_id=other),
    )
    packet = frames.ipv4(REMOTE[4], OWN[4], frames.UDP, frames.udp(2, 1))

    first, second = box.receive(packet), box.receive(packet, label=700)

    assert (MAC.packed, PEER_MAC.packed) == (first.frame[:6], second.frame[:6])
    assert {VIF, PEER_VIF} == {f.vif_id for f in box.datapath.flows()}
    box.apply(deletes=(LabelRow(700, PEER_NEXTHOP),))
    assert box.receive(packet, label=700).drops == {"LABEL_UNKNOWN": 1}
