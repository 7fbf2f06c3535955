"""Marking by the packet: what the underlay's headers say, and what a workload sees of them."""

from __future__ import annotations

from dataclasses import replace

import frames
import pytest
from conftest import (
    LABEL,
    LAYER2_LABEL,
    MAC,
    OWN,
    PEER,
    REMOTE,
    REMOTE_LABEL,
    REMOTE_MAC,
    UNDERLAY_VIF,
    VNI,
    Box,
    Outcome,
    as_frame,
    base_rows,
    interface_row,
    tunnel_row,
)

from skytrail.agent import abi
from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    Encapsulation,
    InterfaceRow,
    PolicyId,
    QosId,
    QosMapRow,
    QosMark,
    RuleId,
    SourcePortRow,
    VerdictRow,
)
from skytrail.net import GATEWAY_MAC

TUNNELS = [each for each in Encapsulation if each is not Encapsulation.NATIVE]
KINDS = {
    Encapsulation.MPLS_UDP: "udp",
    Encapsulation.MPLS_GRE: "gre",
    Encapsulation.VXLAN: "vxlan",
}
every_tunnel = pytest.mark.parametrize("encapsulation", TUNNELS)
every_family = pytest.mark.parametrize("family", [4, 6])

VOICE, BULK = QosMark(7, 46, 5, 6), QosMark(3, 10, 1, 2)
EF, AF41, CS1 = 46, 34, 8
ECN_CAPABLE = 1
OWN_MAP, RULE_MAP, FABRIC_MAP = 21, 22, 23
POLICY = 70


def qos_map(
    number: int,
    dscp: dict[int, QosMark | None] | None = None,
    *,
    default: QosMark | None = None,
    vlan: dict[int, QosMark] | None = None,
    exp: dict[int, QosMark] | None = None,
) -> QosMapRow:
    """A map with these entries, and the default everywhere else."""
    given = dscp or {}
    return QosMapRow(
        QosId(number),
        dscp=tuple(given.get(each, default) for each in range(64)),
        vlan=tuple((vlan or {}).get(each, default) for each in range(8)),
        exp=tuple((exp or {}).get(each, default) for each in range(8)),
        has_exp=bool(exp),
    )


def send(box: Box, dscp: int, *, family: int = 4, port: int = 2000, ecn: int = 0) -> Outcome:
    return box.send(frames.udp(1000, port, b"x"), frames.UDP, family=family, tos=dscp << 2 | ecn)


def marks(outcome: Outcome) -> tuple[int, int]:
    """DSCP and traffic class of the underlay's headers."""
    outer = frames.decode_tunnel(outcome.frame, marked=True)
    return outer.tos >> 2, outer.exp


def priority(mark: QosMark) -> int:
    return abi.QOS_PRIORITY_FIRST + mark.class_id


@pytest.fixture
def marked(box: Box) -> Box:
    """The workload's interface has a map: EF is voice, anything else bulk."""
    box.apply(interface_row(qos=OWN_MAP), qos_map(OWN_MAP, {EF: VOICE}, default=BULK))
    return box


@every_tunnel
@every_family
def test_dscp_of_the_packet_chooses_the_outer_marks(
    marked: Box, encapsulation: Encapsulation, family: int
) -> None:
    marked.apply(tunnel_row(encapsulation))

    outcome = send(marked, EF, family=family)

    outer = frames.decode_tunnel(outcome.frame, marked=True)
    assert (VOICE.dscp << 2, REMOTE_LABEL) == (outer.tos, outer.label)
    assert (0 if encapsulation is Encapsulation.VXLAN else VOICE.exp) == outer.exp
    assert priority(VOICE) == outcome.priority


@every_family
def test_the_workloads_own_header_stays_as_it_was(marked: Box, family: int) -> None:
    outcome = send(marked, CS1, family=family, ecn=ECN_CAPABLE)

    sent = frames.ip(
        OWN[family],
        REMOTE[family],
        frames.UDP,
        frames.udp(1000, 2000, b"x"),
        tos=CS1 << 2 | ECN_CAPABLE,
    )
    outer = frames.decode_tunnel(outcome.frame, marked=True)
    assert sent == outer.inner
    assert BULK.dscp << 2 | ECN_CAPABLE == outer.tos


def test_every_packet_is_judged_by_itself(marked: Box) -> None:
    first, second = send(marked, EF), send(marked, 0)

    assert (VOICE.dscp, VOICE.exp) == marks(first)
    assert (BULK.dscp, BULK.exp) == marks(second)


def test_a_forwarding_class_that_does_not_exist_marks_nothing(marked: Box) -> None:
    marked.apply(qos_map(OWN_MAP, {EF: None}, default=BULK))

    outcome = send(marked, EF)

    assert (*marks(outcome), outcome.priority) == (EF, 0, 0)


def test_a_map_that_has_not_arrived_marks_nothing(box: Box) -> None:
    box.apply(interface_row(qos=99))

    assert marks(send(box, EF)) == (EF, 0)


def test_without_a_map_the_packets_own_dscp_is_the_tunnels(box: Box) -> None:
    outcome = send(box, AF41)

    assert (*marks(outcome), outcome.priority) == (AF41, 0, 0)


def test_a_changed_map_marks_live_flows(marked: Box) -> None:
    before = marks(send(marked, EF))

    marked.apply(qos_map(OWN_MAP, {EF: BULK}))

    assert (VOICE.dscp, VOICE.exp) == before
    assert (BULK.dscp, BULK.exp) == marks(send(marked, EF))


def verdict(port: int, bits: int, qos: int = 0, cell: int = 0) -> VerdictRow:
    return VerdictRow(
        PolicyId(POLICY),
        0,
        0,
        PROTOCOL_ANY,
        port,
        bits,
        Action.DENY if cell else Action.ALLOW,
        RuleId(1),
        source_cell=cell,
        qos_id=QosId(qos),
    )


def test_a_rule_comes_before_the_interface(marked: Box) -> None:
    marked.apply(
        interface_row(egress=POLICY, qos=OWN_MAP),
        qos_map(RULE_MAP, default=VOICE),
        verdict(0, 0),
        verdict(443, 16, RULE_MAP),
    )

    assert (VOICE.dscp, VOICE.exp) == marks(send(marked, CS1, port=443))
    assert (BULK.dscp, BULK.exp) == marks(send(marked, CS1, port=80))


def test_a_rule_of_source_ports_marks_as_well(box: Box) -> None:
    box.apply(
        interface_row(egress=POLICY),
        qos_map(RULE_MAP, default=VOICE),
        verdict(0, 0, cell=4),
        SourcePortRow(4, 1000, 16, Action.ALLOW, RuleId(2), qos_id=QosId(RULE_MAP)),
    )

    assert (VOICE.dscp, VOICE.exp) == marks(send(box, CS1))


def test_a_changed_rule_marks_live_flows(box: Box) -> None:
    box.apply(interface_row(egress=POLICY), qos_map(RULE_MAP, default=VOICE), verdict(0, 0))
    before = marks(send(box, CS1))

    box.apply(verdict(0, 0, RULE_MAP))

    assert before == (CS1, 0)
    assert (VOICE.dscp, VOICE.exp) == marks(send(box, CS1))


@every_family
def test_answers_are_marked_by_their_senders_interface(marked: Box, family: int) -> None:
    question = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(2000, 1000))
    asked = marked.receive(question)

    outcome = send(marked, EF, family=family)

    assert asked.forwarded
    assert (VOICE.dscp, VOICE.exp) == marks(outcome)


def test_delivery_on_the_same_host_changes_no_header(marked: Box) -> None:
    outcome = marked.send(frames.udp(1, 2), frames.UDP, to=PEER[4], tos=EF << 2)

    assert outcome.forwarded
    assert outcome.frame[15] == EF << 2


@every_tunnel
def test_a_frame_that_is_not_ip_is_marked_as_of_priority_0(
    marked: Box, encapsulation: Encapsulation
) -> None:
    marked.apply(
        tunnel_row(encapsulation, layer2=True), qos_map(OWN_MAP, vlan={0: VOICE}, default=BULK)
    )
    frame = frames.ethernet(REMOTE_MAC.packed, MAC.packed, 0x88B5, b"x" * 50)

    outcome = marked.workload(frame)

    outer = frames.decode_tunnel(outcome.frame, marked=True)
    assert frame == outer.inner
    assert (VOICE.dscp << 2, priority(VOICE)) == (outer.tos, outcome.priority)
    assert (0 if encapsulation is Encapsulation.VXLAN else VOICE.exp) == outer.exp


def test_a_packet_without_tunnel_is_marked_itself(marked: Box) -> None:
    marked.apply(tunnel_row(Encapsulation.NATIVE))

    outcome = send(marked, EF, ecn=ECN_CAPABLE)

    expected = frames.ip(
        OWN[4],
        REMOTE[4],
        frames.UDP,
        frames.udp(1000, 2000, b"x"),
        tos=VOICE.dscp << 2 | ECN_CAPABLE,
    )
    assert expected == outcome.frame[14:]


# From the underlay.


@pytest.fixture
def fabric(box: Box) -> Box:
    """The underlay interface has a map; it knows nothing of labels."""
    underlay = next(
        row for row in base_rows() if isinstance(row, InterfaceRow) and row.vif_id == UNDERLAY_VIF
    )
    box.apply(replace(underlay, qos_id=QosId(FABRIC_MAP)), qos_map(FABRIC_MAP, {EF: VOICE}))
    return box


def deliver(
    box: Box, encapsulation: Encapsulation, *, family: int = 4, tos: int = 0, exp: int = 0
) -> bytes:
    """Return the packet a workload gets; it was sent with DSCP CS1 and ECN."""
    packet = frames.ip(
        REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9), tos=CS1 << 2 | ECN_CAPABLE
    )
    is_vxlan = encapsulation is Encapsulation.VXLAN
    outcome = box.receive(
        as_frame(packet, MAC, REMOTE_MAC) if is_vxlan else packet,
        kind=KINDS[encapsulation],
        label=VNI if is_vxlan else LABEL,
        tos=tos,
        exp=exp,
    )
    assert outcome.forwarded
    return outcome.frame[14:]


def seen_with(dscp: int, family: int = 4, ecn: int = ECN_CAPABLE) -> bytes:
    return frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(7, 9), tos=dscp << 2 | ecn)


@every_tunnel
@every_family
def test_without_a_fabric_map_tunnels_leave_no_trace(
    box: Box, encapsulation: Encapsulation, family: int
) -> None:
    got = deliver(box, encapsulation, family=family, tos=EF << 2, exp=5)

    assert seen_with(CS1, family) == got


@every_tunnel
@every_family
def test_the_fabrics_map_writes_what_the_tunnel_says(
    fabric: Box, encapsulation: Encapsulation, family: int
) -> None:
    got = deliver(fabric, encapsulation, family=family, tos=EF << 2)

    assert seen_with(VOICE.dscp, family) == got


def test_the_fabrics_map_leaves_alone_what_it_does_not_know(fabric: Box) -> None:
    assert seen_with(CS1) == deliver(fabric, Encapsulation.MPLS_UDP, tos=AF41 << 2)


@every_tunnel
def test_a_labels_class_comes_before_the_dscp_around_it(
    fabric: Box, encapsulation: Encapsulation
) -> None:
    fabric.apply(qos_map(FABRIC_MAP, {EF: VOICE}, exp={3: BULK}))

    got = deliver(fabric, encapsulation, tos=EF << 2, exp=3)

    expected = VOICE if encapsulation is Encapsulation.VXLAN else BULK
    assert seen_with(expected.dscp) == got


def test_a_layer_2_labels_class_counts_as_well(fabric: Box) -> None:
    fabric.apply(qos_map(FABRIC_MAP, exp={3: BULK}))
    packet = frames.ip(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9), tos=CS1 << 2)

    outcome = fabric.receive(as_frame(packet, MAC, GATEWAY_MAC), label=LAYER2_LABEL, exp=3)

    assert seen_with(BULK.dscp, ecn=0) == outcome.frame[14:]


def test_congestion_still_reaches_a_remarked_packet(fabric: Box) -> None:
    got = deliver(fabric, Encapsulation.MPLS_UDP, tos=EF << 2 | 3)

    assert seen_with(VOICE.dscp, ecn=3) == got
