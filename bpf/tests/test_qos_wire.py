"""Priorities in VLAN tags, on a cable between two hosts."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rig import Rig, inside

from skytrail.agent.tables import InterfaceRow, QosId, QosMapRow, QosMark

SOL_PACKET, PACKET_AUXDATA = 263, 8
VLAN_VALID = 1 << 4
VOICE = QosMark(7, 46, 5, 6)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Workload 1 on host 1, 2 on host 2; what 1 sends is of class voice, with tags of VLAN 0."""
    made = Rig(routed=False)
    try:
        made.add_workload(made.hosts[0])
        made.add_workload(made.hosts[1])
        made.program()
        host = made.hosts[0]
        marked = [
            replace(row, qos_id=QosId(0 if row.tunnel_address else 5), priority_tags=True)
            for row in made.rows(host)
            if isinstance(row, InterfaceRow)
        ]
        table = QosMapRow(QosId(5), (VOICE,) * 64, (VOICE,) * 8, (VOICE,) * 8, has_exp=False)
        host.datapath.apply([*marked, table], [])
        yield made
    finally:
        made.close()


def tags(rig: Rig, count: int) -> set[int | None]:
    """Tags of tunnel packets that reach host 2 while workload 1 pings workload 2."""
    host, target = rig.hosts[1], rig.workloads[1]
    with inside(host.namespace):
        name = socket.if_indextoname(host.ifindex)
        taken = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        taken.bind((name, 3))
    with taken:
        taken.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        taken.settimeout(5)
        rig.workloads[0].run(f"ping -c{count} -i0.02 -W1 {target.address4}")
        seen: set[int | None] = set()
        left = count
        while left:
            frame, more, _, sender = taken.recvmsg(2048, 128)
            if frame[23:24] != b"\x11" or sender[2] == socket.PACKET_OUTGOING:
                continue
            status, *_, tci, _ = struct.unpack("=IIIHHHH", more[0][2])
            seen.add(tci if status & VLAN_VALID else None)
            left -= 1
    return seen


def test_a_marked_packet_carries_its_priority_in_a_tag_of_vlan_0(rig: Rig) -> None:
    """And the other host takes such packets: the ping is answered."""
    assert tags(rig, 3) == {VOICE.vlan_priority << 13}
