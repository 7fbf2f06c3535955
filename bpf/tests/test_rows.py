"""What is installed reads back as what was asked for, and the ABI is the compiled one."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import frames
from conftest import (
    ECMP_NEXTHOP,
    LOOPBACK_IFINDEX,
    PEER_NEXTHOP,
    TUNNEL_NEXTHOP,
    UNDERLAY_IFINDEX,
    VIF,
    VRF,
    Box,
    base_rows,
    interface_row,
    tunnel_row,
)

from skytrail.agent.tables import (
    ROW_TYPES,
    Action,
    AgeingRow,
    Encapsulation,
    FatFlowRow,
    FlowShareRow,
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    QosId,
    QosMapRow,
    QosMark,
    RateRow,
    Row,
    RuleId,
    SeenMacRow,
    SourcePortRow,
    Tag,
    VerdictRow,
    VifId,
    VrfId,
)
from skytrail.net import Mac

ROOT = Path(__file__).resolve().parents[2]


def every_kind_of_row() -> list[Row]:
    return [
        *base_rows(),
        replace(interface_row(VifId(90)), tag=Tag(17, Mac.parse("02:00:00:00:00:01"))),
        NextHopRow(
            nexthop_id=ECMP_NEXTHOP,
            kind=NextHopKind.ECMP,
            members=((TUNNEL_NEXTHOP, 5), (PEER_NEXTHOP, 0)),
            shares=(7, 9),
        ),
        tunnel_row(Encapsulation.VXLAN, NextHopId(40), layer2=True),
        replace(tunnel_row(Encapsulation.MPLS_GRE, NextHopId(41)), out_destination_mac=None),
        PolicyIdentityRow(PolicyId(1), IdentityId(70000), 3),
        PolicyPrefixRow(PolicyId(1), ip_network("0.0.0.0/0"), 1),
        PolicyPrefixRow(PolicyId(1), ip_network("fc00::/7"), 2),
        VerdictRow(PolicyId(1), 3, 2, 256, 0, 0, Action.DENY, RuleId(0)),
        VerdictRow(PolicyId(1), 3, 2, 6, 80, 16, Action.ALLOW, RuleId(8), source_cell=4),
        VerdictRow(PolicyId(1), 3, 2, 6, 443, 16, Action.ALLOW, RuleId(8), qos_id=QosId(5)),
        SourcePortRow(4, 1024, 6, Action.ALLOW, RuleId(9), qos_id=QosId(6)),
        QosMapRow(
            QosId(5),
            dscp=tuple(QosMark(dscp, 63 - dscp, 0, 7) for dscp in range(64)),
            vlan=(None,) * 8,
            exp=(QosMark(255, 46, 7, 5), *(None,) * 7),
            has_exp=True,
        ),
        replace(
            interface_row(VifId(50), 7050),
            qos_id=QosId(5),
            priority_tags=True,
            rated_sent=True,
            rated_received=True,
            merges_flows=True,
        ),
        RateRow(VifId(50), False, 1, 131072),
        FatFlowRow(VifId(50), 17, 0),
        FatFlowRow(VifId(50), 6, 65535),
        AgeingRow(17, 53, 9),
        AgeingRow(6, 0, 9_999_999),
        FlowShareRow(VIF, (VIF, VifId(12)), 5000),
        SeenMacRow(VIF, Mac.parse("02:00:00:00:00:77")),
        replace(interface_row(VifId(51), 7051), learns=True, macs_full=True),
        FlowShareRow(VifId(12), (VIF, VifId(12)), 5000, 128),
        RateRow(VifId(50), True, 50_000_000_000, 2_500_000_000),
    ]


def installed(box: Box) -> Counter[Row]:
    return Counter(row for row_type in ROW_TYPES for row in box.datapath.dump(row_type))


def test_dump_returns_exactly_what_was_applied(box: Box) -> None:
    rows = every_kind_of_row()

    box.apply(*rows)
    box.apply(*rows)

    assert Counter(rows) == installed(box)


def test_removing_everything_leaves_nothing(box: Box) -> None:
    rows = every_kind_of_row()
    box.apply(*rows)

    box.apply(deletes=tuple(rows))
    box.apply(deletes=tuple(rows))

    assert Counter() == installed(box)


def test_interface_index_taken_over_by_a_new_port_stays_with_it(box: Box) -> None:
    box.apply(interface_row(VifId(20), LOOPBACK_IFINDEX))
    box.apply(deletes=(interface_row(),))

    assert VifId(20) == box.datapath._tables.interface_at(LOOPBACK_IFINDEX).vif_id
    assert VIF not in {row.vif_id for row in box.datapath.dump(InterfaceRow)}


def test_underlay_mtu_reaches_the_tunnels(box: Box) -> None:
    underlay = next(
        row for row in box.datapath.dump(InterfaceRow) if row.ifindex == UNDERLAY_IFINDEX
    )

    box.apply(replace(underlay, mtu_bytes=1400))

    assert box.send(frames.udp(1, 2, bytes(1400)), frames.UDP).drops == {"TOO_BIG": 1}
    assert box.punts[-1].argument == 1368


def test_abi_module_is_generated_from_the_compiled_object() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bpf/generate_abi.py", "--check"], capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_hundred_thousand_routes_are_read_back_as_they_were_written(box: Box) -> None:
    rows = [
        InetRouteRow(
            vrf_id=VrfId(VRF + 1 + index // 65536),
            prefix=ip_network((0x0B000000 + (index % 65536 << 8), 24)),
            nexthop_id=TUNNEL_NEXTHOP,
            label=index,
            identity=IdentityId(1),
        )
        for index in range(100_000)
    ]

    box.apply(*rows)

    held = {row.key: row for row in box.datapath.dump(InetRouteRow)}
    assert all(held[row.key] == row for row in rows)
