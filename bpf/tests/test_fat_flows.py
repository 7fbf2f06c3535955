"""Merged flows: one for many connections, and what keeps connections apart. Ageing as configured."""

from __future__ import annotations

import time
from dataclasses import replace

import frames
import pytest
from conftest import (
    OWN,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_VIF,
    REMOTE,
    VIF,
    Box,
    interface_row,
)

from skytrail.agent.plugin import FlowRecord
from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    AgeingRow,
    FatFlowRow,
    InterfaceRow,
    PolicyId,
    RuleId,
    SourcePortRow,
    VerdictRow,
)

PORT = 5060
POLICY = 80
every_family = pytest.mark.parametrize("family", [4, 6])
every_port = pytest.mark.parametrize("port", [PORT, 0])


def merging(**fields: int) -> InterfaceRow:
    return replace(interface_row(**fields), merges_flows=True)


def neighbour() -> InterfaceRow:
    return interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2)


@pytest.fixture
def fat(box: Box) -> Box:
    box.apply(merging(), FatFlowRow(VIF, frames.UDP, PORT))
    return box


def asked(box: Box, source_port: int, *, port: int = PORT, family: int = 4) -> bool:
    """A remote client's packet arrives at the workload."""
    datagram = frames.udp(source_port, port)
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, datagram)
    return box.receive(packet).forwarded


def answered(box: Box, port: int, *, family: int = 4, source_port: int = PORT) -> bool:
    return box.send(frames.udp(source_port, port), frames.UDP, family=family).forwarded


def live(box: Box) -> list[FlowRecord]:
    return sorted(box.datapath.flows(), key=lambda flow: flow.is_reverse)


def only(action: Action, port: int = 0, bits: int = 0, cell: int = 0) -> VerdictRow:
    return VerdictRow(
        PolicyId(POLICY), 0, 0, PROTOCOL_ANY, port, bits, action, RuleId(1), source_cell=cell
    )


@every_family
@every_port
def test_clients_ports_are_one_flow_both_ways(box: Box, family: int, port: int) -> None:
    box.apply(merging(egress=POLICY), FatFlowRow(VIF, frames.UDP, port), only(Action.DENY))

    assert all(asked(box, client, family=family) for client in range(2000, 2010))
    assert all(answered(box, client, family=family) for client in range(2000, 2010))

    forward, reverse = live(box)
    assert (forward.source_port, forward.destination_port, forward.packets) == (0, PORT, 10)
    assert (reverse.source_port, reverse.destination_port, reverse.packets) == (PORT, 0, 10)


@every_family
def test_the_workloads_own_connections_are_merged_as_well(fat: Box, family: int) -> None:
    for client in (2000, 2001):
        assert fat.send(frames.udp(client, PORT), frames.UDP, family=family).forwarded
    packet = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(PORT, 2001))

    assert fat.receive(packet).forwarded
    assert [flow.packets for flow in live(fat)] == [2, 1]


def test_other_ports_and_clients_have_flows_of_their_own(fat: Box) -> None:
    assert asked(fat, 2000, port=PORT)
    assert asked(fat, 2000, port=PORT + 1)
    assert asked(fat, 2001, port=PORT + 1)

    assert len(live(fat)) == 6


def test_a_port_opens_nothing_by_being_a_source(box: Box) -> None:
    """Whom nobody asked is judged, whatever port it comes from."""
    box.apply(merging(egress=POLICY), FatFlowRow(VIF, frames.UDP, PORT), only(Action.DENY))

    refused = box.send(frames.udp(PORT, 2000), frames.UDP)

    assert refused.drops == {"POLICY": 1}
    assert asked(box, 2000)
    assert answered(box, 2000)


@every_family
@every_port
def test_who_opens_a_connection_from_the_port_is_no_answer(
    box: Box, family: int, port: int
) -> None:
    """A merged flow admits its answers to any port of the opener's, but no new connection there."""
    box.apply(
        merging(ingress=POLICY),
        FatFlowRow(VIF, frames.TCP, port),
        only(Action.DENY, port=2001, bits=16),
    )

    def arrives(flags: int, to: int) -> bool:
        segment = frames.tcp(PORT, to, flags=flags)
        return box.receive(frames.ip(REMOTE[family], OWN[family], frames.TCP, segment)).forwarded

    opened = frames.tcp(2000, PORT, flags=frames.SYN)
    assert box.send(opened, frames.TCP, family=family).forwarded

    assert arrives(frames.SYN | frames.ACK, 2000)
    assert arrives(frames.ACK, 2000)
    assert not arrives(frames.SYN, 2001)
    assert arrives(frames.SYN | frames.ACK, 2000)


def test_a_policy_that_asks_for_the_clients_port_keeps_connections_apart(box: Box) -> None:
    box.apply(
        merging(ingress=POLICY),
        FatFlowRow(VIF, frames.UDP, PORT),
        only(Action.DENY, cell=3),
        SourcePortRow(3, 2000, 16, Action.ALLOW, RuleId(2)),
    )

    assert asked(box, 2000)
    assert not asked(box, 2001)
    assert asked(box, 2000)


def test_a_policy_that_comes_to_ask_for_it_judges_each_connection_anew(fat: Box) -> None:
    fat.apply(merging(ingress=POLICY), only(Action.ALLOW))
    assert asked(fat, 2000)
    assert asked(fat, 2001)

    fat.apply(only(Action.DENY, cell=3), SourcePortRow(3, 2000, 16, Action.ALLOW, RuleId(2)))

    assert asked(fat, 2000)
    assert not asked(fat, 2001)


def test_a_denied_client_makes_no_merged_flow(box: Box) -> None:
    box.apply(merging(ingress=POLICY), FatFlowRow(VIF, frames.UDP, PORT), only(Action.DENY))
    assert not asked(box, 2000)

    box.apply(only(Action.ALLOW))

    assert asked(box, 2000)
    assert asked(box, 2001)


def test_a_merged_flow_that_is_not_allowed_any_more_ends_with_its_answers(fat: Box) -> None:
    fat.apply(merging(ingress=POLICY, egress=POLICY), only(Action.ALLOW))
    assert asked(fat, 2000)
    assert answered(fat, 2000)

    fat.apply(only(Action.DENY))

    assert not answered(fat, 2000)
    assert not asked(fat, 2000)


def test_neighbours_on_one_host_merge_when_both_say_so(box: Box) -> None:
    rows = [merging(), FatFlowRow(VIF, frames.UDP, PORT)]
    box.apply(*rows)
    for client in (2000, 2001):
        assert box.send(frames.udp(client, PORT), frames.UDP, to=PEER[4]).forwarded
    assert len(live(box)) == 4

    box.apply(replace(neighbour(), merges_flows=True), FatFlowRow(PEER_VIF, frames.UDP, PORT))
    for client in (2002, 2003):
        assert box.send(frames.udp(client, PORT), frames.UDP, to=PEER[4]).forwarded

    assert len(live(box)) == 6


def test_sources_are_still_checked(fat: Box) -> None:
    assert fat.send(frames.udp(2000, PORT), frames.UDP).forwarded

    forged = fat.send(frames.udp(2001, PORT), frames.UDP, source="10.1.1.77")

    assert forged.drops == {"SPOOFED_ADDRESS": 1}


def test_an_error_about_a_merged_flow_is_admitted(box: Box) -> None:
    box.apply(merging(ingress=POLICY), FatFlowRow(VIF, frames.UDP, PORT), only(Action.DENY))
    assert box.send(frames.udp(2000, PORT), frames.UDP).forwarded

    def error(port: int) -> bool:
        quoted = frames.ip(OWN[4], REMOTE[4], frames.UDP, frames.udp(2000, port))
        message = frames.icmp(3, 3, 0, quoted)
        return box.receive(frames.ip(REMOTE[4], OWN[4], frames.ICMP, message)).forwarded

    assert error(PORT)
    assert not error(PORT + 1)


def test_closing_one_connection_does_not_close_the_others(box: Box) -> None:
    box.apply(merging(), FatFlowRow(VIF, frames.TCP, PORT))
    for flags in (frames.SYN, frames.ACK, frames.FIN | frames.ACK, frames.RST):
        assert box.send(frames.tcp(2000, PORT, flags=flags), frames.TCP).forwarded
    assert box.send(frames.tcp(2001, PORT, flags=frames.SYN), frames.TCP).forwarded

    assert [flow.packets for flow in live(box)] == [5, 0]


def age(box: Box, silent_s: float) -> int:
    """Flows that go after such a silence."""
    now_s = time.monotonic()
    box.datapath.age_flows(now_s)
    return box.datapath.age_flows(now_s + silent_s)


@pytest.mark.parametrize(
    ("rows", "silent_s", "gone"),
    [
        ([], 100, 0),
        ([], 200, 1),
        ([AgeingRow(frames.UDP, PORT, 30)], 25, 0),
        ([AgeingRow(frames.UDP, PORT, 30)], 35, 1),
        ([AgeingRow(frames.UDP, PORT, 600)], 500, 0),
        ([AgeingRow(frames.UDP, 0, 30)], 35, 1),
        ([AgeingRow(frames.UDP, 0, 30), AgeingRow(frames.UDP, PORT, 600)], 35, 0),
        ([AgeingRow(frames.TCP, PORT, 30), AgeingRow(frames.UDP, 99, 30)], 35, 0),
    ],
)
def test_flows_age_as_their_port_or_protocol_says(
    box: Box, rows: list[AgeingRow], silent_s: float, gone: int
) -> None:
    box.apply(*rows)
    assert box.send(frames.udp(2000, PORT), frames.UDP).forwarded

    assert age(box, silent_s) == gone


def test_probes_do_not_live_as_long_as_connections_may(box: Box) -> None:
    box.apply(AgeingRow(frames.TCP, PORT, 86_400))
    assert box.send(frames.tcp(2000, PORT, flags=frames.SYN), frames.TCP).forwarded

    assert age(box, 200) == 1
