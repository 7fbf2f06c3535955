"""Flows that are one for many addresses: what they count, and that they decide nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import frames
import pytest
from conftest import (
    ECMP_NEXTHOP,
    MAC,
    OWN,
    PEER,
    REMOTE_LABEL,
    TUNNEL_NEXTHOP,
    VIF,
    VRF,
    Box,
    interface_row,
    route_row,
    tunnel_row,
)

from skytrail.agent.fold import fold_of
from skytrail.agent.plugin import FlowRecord
from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    Encapsulation,
    FatFlowRow,
    FloatingRow,
    FoldRow,
    IdentityId,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyPrefixRow,
    RuleId,
    SourceRow,
    VerdictRow,
    VifId,
)

PORT = 53
POLICY = PolicyId(80)
FAR = {4: "10.9.0.0/16", 6: "fd00:9::/64"}
FORBIDDEN = {4: "10.9.7.0/24", 6: "fd00:9::7:0/112"}
"""Within FAR; egress and ingress policies have it in a class of its own."""
every_family = pytest.mark.parametrize("family", [4, 6])
NOTHING = FoldRow(VIF, frames.UDP, PORT, 0, None, None, None, 0)
"""The far address is left out."""


def folding(**policies: int) -> InterfaceRow:
    return replace(interface_row(**policies), folds_flows=True)


def far(number: int, family: int = 4) -> str:
    """An address of FAR that policy lets by."""
    return str(ip_network(FAR[family])[number])


def forbidden(number: int = 1, family: int = 4) -> str:
    return str(ip_network(FORBIDDEN[family])[number])


@pytest.fixture
def folded(box: Box) -> Box:
    """One flow for all far addresses; FORBIDDEN may neither be asked nor ask."""
    box.apply(
        folding(egress=POLICY, ingress=POLICY),
        NOTHING,
        *(route_row(FAR[family], TUNNEL_NEXTHOP, label=REMOTE_LABEL) for family in (4, 6)),
        *(PolicyPrefixRow(POLICY, ip_network(FORBIDDEN[family]), 1) for family in (4, 6)),
        verdict(0, Action.ALLOW),
        verdict(1, Action.DENY),
    )
    return box


def verdict(prefix_class: int, action: Action) -> VerdictRow:
    return VerdictRow(POLICY, 0, prefix_class, PROTOCOL_ANY, 0, 0, action, RuleId(prefix_class + 1))


def ask(box: Box, to: str, source_port: int = 2000, *, port: int = PORT, source: str = "") -> bool:
    family = ip_address(to).version
    datagram = frames.udp(source_port, port)
    return box.send(datagram, frames.UDP, family=family, to=to, source=source or None).forwarded


def answer(box: Box, of: str, port: int = 2000, *, source_port: int = PORT) -> bool:
    family = ip_address(of).version
    datagram = frames.udp(source_port, port)
    return box.receive(frames.ip(of, OWN[family], frames.UDP, datagram)).forwarded


def asked(box: Box, by: str, source_port: int = 2000, *, to: str = "") -> bool:
    """A far client's packet arrives at the workload."""
    family = ip_address(by).version
    datagram = frames.udp(source_port, PORT)
    return box.receive(frames.ip(by, to or OWN[family], frames.UDP, datagram)).forwarded


def live(box: Box) -> list[FlowRecord]:
    return list(box.datapath.flows())


@every_family
def test_questions_and_answers_of_many_addresses_are_one_entry(folded: Box, family: int) -> None:
    for number in range(1, 51):
        assert ask(folded, far(number, family), 2000 + number)
    for number in range(1, 21):
        assert answer(folded, far(number, family), 2000 + number)

    (flow,) = live(folded)
    assert flow.folded == (
        ip_network(OWN[family]),
        ip_network("::/0" if family == 6 else "0.0.0.0/0"),
    )
    assert (flow.source_port, flow.destination_port, flow.packets) == (0, PORT, 50)
    assert flow.allowed
    assert not flow.is_reverse


@every_family
def test_clients_of_many_addresses_are_one_entry_and_are_answered(folded: Box, family: int) -> None:
    for number in range(1, 51):
        assert asked(folded, far(number, family), 2000 + number)
        sent = folded.send(
            frames.udp(PORT, 2000 + number), frames.UDP, family=family, to=far(number, family)
        )
        assert sent.forwarded

    (flow,) = live(folded)
    assert flow.folded is not None
    assert flow.folded[1] == ip_network(OWN[family])
    assert flow.packets == 50


@every_family
def test_whom_policy_denies_the_entry_of_the_others_does_not_let_by(
    folded: Box, family: int
) -> None:
    assert ask(folded, far(1, family))
    assert asked(folded, far(1, family))

    assert not ask(folded, forbidden(family=family))
    assert not asked(folded, forbidden(family=family))
    assert not answer(folded, forbidden(family=family))
    refused = folded.send(
        frames.udp(PORT, 2000), frames.UDP, family=family, to=forbidden(family=family)
    )
    assert refused.drops == {"POLICY": 1}


def test_a_denied_address_keeps_nobody_else_out(folded: Box) -> None:
    assert not asked(folded, forbidden())
    assert not ask(folded, forbidden())

    assert ask(folded, far(1))
    assert answer(folded, far(1))
    assert asked(folded, far(2))


def test_answers_need_somebody_to_have_asked(box: Box) -> None:
    """A workload that takes no connections gets answers alone."""
    box.apply(
        folding(ingress=POLICY),
        NOTHING,
        route_row(FAR[4], TUNNEL_NEXTHOP, label=REMOTE_LABEL),
        verdict(0, Action.DENY),
    )
    assert not answer(box, far(1))

    assert ask(box, far(1))

    assert answer(box, far(1))
    assert not answer(box, far(1), source_port=PORT + 1)
    assert not asked(box, far(1))


def test_a_connection_that_is_opened_is_no_answer(box: Box) -> None:
    box.apply(
        folding(ingress=POLICY),
        FoldRow(VIF, frames.TCP, 0, 0, None, None, None, 0),
        route_row(FAR[4], TUNNEL_NEXTHOP, label=REMOTE_LABEL),
        verdict(0, Action.DENY),
    )

    def arrives(flags: int) -> bool:
        segment = frames.tcp(443, 2000, flags=flags)
        return box.receive(frames.ip(far(1), OWN[4], frames.TCP, segment)).forwarded

    assert box.send(frames.tcp(2000, 443, flags=frames.SYN), frames.TCP, to=far(1)).forwarded

    assert arrives(frames.SYN | frames.ACK)
    assert arrives(frames.ACK)
    assert not arrives(frames.SYN)


def test_policy_that_changes_holds_at_once_both_ways(folded: Box) -> None:
    assert ask(folded, far(1))

    folded.apply(verdict(0, Action.DENY))

    assert not ask(folded, far(1))
    assert not answer(folded, far(1))


def test_addresses_of_the_workload_are_checked_each_time(folded: Box) -> None:
    assert ask(folded, far(1))

    forged = folded.send(frames.udp(2000, PORT), frames.UDP, to=far(1), source="10.1.1.77")

    assert forged.drops == {"SPOOFED_ADDRESS": 1}


def test_a_raw_packet_with_the_key_of_an_entry_is_decided_by_itself(folded: Box) -> None:
    """Port 0 and the prefix's own address are what the entry has in its key."""
    row = replace(NOTHING, far=ip_network(FAR[4]), far_bits=16)
    folded.apply(row, PolicyPrefixRow(POLICY, ip_network("10.9.0.0/32"), 1))
    assert ask(folded, far(9))

    assert not ask(folded, "10.9.0.0", 0)


def test_prefixes_make_groups_and_leave_out_others(folded: Box) -> None:
    folded.apply(replace(NOTHING, far=ip_network("10.9.0.0/17"), far_bits=28))

    for number in (1, 2, 15, 16, 31, 32768, 32769):
        assert ask(folded, far(number))

    found = sorted(str(flow.folded[1]) for flow in live(folded) if flow.folded is not None)
    assert found == ["10.9.0.0/28", "10.9.0.16/28"]
    assert len([flow for flow in live(folded) if flow.folded is None]) == 4


def test_the_workloads_side_is_folded_where_many_addresses_are_behind_it(folded: Box) -> None:
    behind = ip_network("10.20.0.0/24")
    folded.apply(
        folding(egress=POLICY, ingress=90),  # Which lets nobody in.
        SourceRow(VIF, behind, MAC),
        route_row(str(behind), 11, identity=1, mac=MAC),
        replace(NOTHING, own=behind, own_bits=28),
    )

    for number in range(1, 15):
        assert ask(folded, far(number), source=str(behind[number]))
        assert answered_behind(folded, far(number), str(behind[number]))

    (flow,) = live(folded)
    assert flow.folded == (ip_network("10.20.0.0/28"), ip_network("0.0.0.0/0"))
    folded.apply(deletes=(SourceRow(VIF, behind, MAC),))
    assert not answered_behind(folded, far(1), str(behind[1]))


def answered_behind(box: Box, of: str, to: str) -> bool:
    return box.receive(frames.ip(of, to, frames.UDP, frames.udp(PORT, 2000))).forwarded


def test_what_is_translated_has_flows_of_its_own_and_is_answered(folded: Box) -> None:
    outside = "10.9.200.1"
    folded.apply(
        replace(folding(egress=POLICY, ingress=POLICY), has_floating=True),
        FloatingRow(
            vif_id=VIF,
            place=0,
            outside=IPv4Address(outside),
            inside=IPv4Address(OWN[4]),
            vrf_id=VRF,
            identity=IdentityId(1),
            policy_egress=PolicyId(0),
            policy_ingress=PolicyId(0),
        ),
    )

    for number in (1, 2):
        assert asked(folded, far(number), to=outside)
        assert folded.send(frames.udp(PORT, 2000), frames.UDP, to=far(number)).forwarded

    flows = live(folded)
    assert len(flows) == 4
    assert all(flow.folded is None for flow in flows)


def test_workloads_of_one_host_keep_flows_of_their_own(folded: Box) -> None:
    folded.apply(FatFlowRow(VIF, frames.UDP, PORT))

    for port in (2000, 2001):
        assert ask(folded, PEER[4], port)

    assert len(live(folded)) == 4


def test_each_connection_takes_its_own_member_and_keeps_it(folded: Box) -> None:
    """By its own addresses and ports, so that answers find the same member."""
    members = tuple((NextHopId(40 + number), 300 + number) for number in range(3))
    folded.apply(
        *(tunnel_row(Encapsulation.MPLS_UDP, nexthop) for nexthop, _ in members),
        NextHopRow(
            nexthop_id=ECMP_NEXTHOP, kind=NextHopKind.ECMP, members=members, shares=(1, 2, 3)
        ),
        route_row(FAR[4], ECMP_NEXTHOP),
    )

    def label_of(number: int) -> int:
        sent = folded.send(frames.udp(2000, PORT), frames.UDP, to=far(number))
        return frames.decode_tunnel(sent.frame).label

    first = [label_of(number) for number in range(1, 40)]

    assert set(first) == {300, 301, 302}
    assert first == [label_of(number) for number in range(1, 40)]
    assert len(live(folded)) == 1


def test_errors_about_what_policy_lets_by_are_let_by(folded: Box) -> None:
    folded.apply(PolicyPrefixRow(POLICY, ip_network("10.1.1.99/32"), 1))
    assert ask(folded, far(1))
    assert asked(folded, far(1))

    def error(quoted: bytes) -> bool:
        message = frames.icmp(3, 4, 0, quoted)
        return folded.receive(frames.ip("10.1.1.99", OWN[4], frames.ICMP, message)).forwarded

    assert error(frames.ip(OWN[4], far(3), frames.UDP, frames.udp(2000, PORT)))
    assert error(frames.ip(OWN[4], far(3), frames.UDP, frames.udp(PORT, 2000)))
    assert not error(frames.ip(OWN[4], forbidden(), frames.UDP, frames.udp(2000, PORT)))
    assert not error(frames.ip(OWN[4], far(3), frames.UDP, frames.udp(2000, PORT + 1)))


def test_ends_of_what_is_folded_are_told_with_prefixes(folded: Box) -> None:
    sessions = folded.datapath.sessions()
    sessions.want(wanted=True)
    sessions.drain(1_000)
    for number in (1, 2, 3):
        assert ask(folded, far(number))

    folded.datapath._scan(purge_vif=VIF)
    told = list(sessions.drain(10).events())
    sessions.want(wanted=False)

    assert [event.folded for event in told] == [(ip_network(OWN[4]), ip_network("0.0.0.0/0"))] * 2
    assert all(event.is_opened_here for event in told)
    assert told[1].packets == (3, 0)


def test_the_limit_of_flows_is_reached_by_groups_not_by_addresses(folded: Box) -> None:
    folded.apply(
        replace(folding(egress=POLICY, ingress=POLICY), flow_count_max=2),
        replace(NOTHING, far=ip_network(FAR[4]), far_bits=24),
    )

    assert all(ask(folded, far(number)) for number in range(1, 400))
    refused = folded.send(frames.udp(2000, PORT), frames.UDP, to=far(600))

    assert refused.drops == {"FLOW_LIMIT": 1}


@pytest.mark.parametrize("seed", range(3))
def test_kernel_and_agent_agree_on_who_shares_a_flow(folded: Box, seed: int) -> None:
    chosen = random.Random(seed)
    rows = [
        FoldRow(VIF, frames.UDP, port, number, None, prefix, None, bits)
        for port in (PORT, 0)
        for number in range(3)
        for prefix in [ip_network((far(0), chosen.randint(16, 24)))]
        for bits in [chosen.choice([0, 18, 25, 31, None])]
    ]
    folded.apply(deletes=(NOTHING,))
    folded.apply(folding(), *rows)
    for _ in range(40):
        target, port = far(chosen.randint(1, 4000)), chosen.choice([PORT, 80])
        folded.datapath._scan(purge_vif=VifId(VIF))
        assert ask(folded, target, port=port)

        ends = (ip_address(OWN[4]), ip_address(target))
        expected = fold_of(lambda asked: [row for row in rows if row.port == asked], ends, port)
        assert expected in [flow.folded for flow in live(folded)]
