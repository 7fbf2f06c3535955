"""VLANs of an interface that are ports of their own, by packets: the way in, the way out, and answers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network

import frames
import pytest
from rig import Rig, Workload, inside

from skytrail.agent.plugin import Punt
from skytrail.agent.tables import (
    BridgeRow,
    FloodRow,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    SourceRow,
    Tag,
    VifId,
    VrfId,
)
from skytrail.net import Mac
from skytrail.testing.vlan_socket import VlanSocket

pytestmark = pytest.mark.root
SUB, RED, VLAN = VifId(40), VrfId(2), 100
SUB_NEXTHOP, PEER_LAYER2 = NextHopId(60), NextHopId(61)
SUB_MAC = Mac.parse("02:00:00:00:00:64")
OWN = "10.1.2.77"
BROADCAST = b"\xff" * 6


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Workload 1 in network 1 has a VLAN in network 2, where workload 2 is."""
    made = Rig(1)
    try:
        (host,) = made.hosts
        parent, peer = made.add_workload(host), made.add_workload(host, vrf=2, subnet=2)
        made.program()
        host.datapath.apply(
            [
                InterfaceRow(
                    ifindex=parent.ifindex,
                    vif_id=SUB,
                    kind=InterfaceKind.WORKLOAD_VETH,
                    vrf_id=RED,
                    mac=SUB_MAC,
                    mtu_bytes=made.workload_mtu,
                    policy_egress=PolicyId(0),
                    policy_ingress=PolicyId(0),
                    identity=IdentityId(0),
                    antispoof=True,
                    tag=Tag(VLAN, None),
                ),
                NextHopRow(nexthop_id=SUB_NEXTHOP, kind=NextHopKind.INTERFACE, vif_id=SUB),
                NextHopRow(
                    nexthop_id=PEER_LAYER2,
                    kind=NextHopKind.INTERFACE,
                    vif_id=peer.vif,
                    layer2=True,
                ),
                SourceRow(SUB, ip_network(OWN), SUB_MAC),
                BridgeRow(RED, SUB_MAC, SUB_NEXTHOP, 0, IdentityId(0)),
                InetRouteRow(RED, ip_network(OWN), SUB_NEXTHOP, 0, IdentityId(0), SUB_MAC),
                FloodRow(RED, ((SUB_NEXTHOP, 0), (PEER_LAYER2, 0))),
            ],
            [],
        )
        yield made
    finally:
        made.close()


@pytest.fixture
def drops(rig: Rig) -> Callable[[], dict[str, int]]:
    (host,) = rig.hosts
    before = host.datapath.drop_counts()

    def grown() -> dict[str, int]:
        now = host.datapath.drop_counts()
        found = {name: count - before.get(name, 0) for name, count in now.items()}
        return {name: count for name, count in found.items() if name.startswith(("VLAN", "SPOOF"))}

    return grown


def frame_of(payload: bytes, source: Mac = SUB_MAC) -> bytes:
    return frames.ethernet(b"\xff" * 6, source.packed, 0x88B5, payload.ljust(46, b"."))


@pytest.fixture
def vlan(rig: Rig) -> Iterator[VlanSocket]:
    with inside(rig.workloads[0].namespace):
        made = VlanSocket("eth0", VLAN)
    with made:
        yield made


def ping(peer: Workload, *, to: Mac, source: Mac = SUB_MAC, size: int = 32) -> bytes:
    echo = frames.icmp(8, identifier=9, payload=b"by the tag".ljust(size, b"."))
    echo = echo[:2] + frames.checksum(echo).to_bytes(2) + echo[4:]
    return frames.ethernet(
        to.packed, source.packed, 0x0800, frames.ipv4(OWN, str(peer.address4), 1, echo)
    )


def test_a_sub_interface_talks_in_its_own_network_by_its_tag(rig: Rig, vlan: VlanSocket) -> None:
    peer = rig.workloads[1]
    vlan.send(ping(peer, to=peer.mac))
    answer = vlan.hear(b"by the tag")

    assert answer[:14] == SUB_MAC.packed + peer.mac.packed + b"\x08\x00"


def test_neighbours_are_answered_by_the_tag_they_asked_with(rig: Rig, vlan: VlanSocket) -> None:
    peer = rig.workloads[1]
    asked = frames.arp(1, SUB_MAC.packed, OWN, str(peer.address4))
    vlan.send(frames.ethernet(b"\xff" * 6, SUB_MAC.packed, 0x0806, asked))

    answer = frames.arp(2, peer.mac.packed, str(peer.address4), OWN, SUB_MAC.packed)
    assert answer in vlan.hear(answer)


def test_a_full_sized_packet_fits_beside_the_tag(rig: Rig, vlan: VlanSocket) -> None:
    peer = rig.workloads[1]
    vlan.send(ping(peer, to=peer.mac, size=rig.workload_mtu - 28))

    assert len(vlan.hear(b"by the tag")) == 14 + rig.workload_mtu


def test_copies_for_everybody_reach_a_sub_interface_with_its_tag(
    rig: Rig, vlan: VlanSocket
) -> None:
    peer = rig.workloads[1]
    with inside(peer.namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as mouth:
        mouth.bind(("eth0", 0))
        mouth.send(frame_of(b"to everybody", peer.mac))

    assert vlan.hear(b"to everybody")


@pytest.mark.parametrize(
    ("frame", "tags", "reason"),
    [
        (frame_of(b"other"), (101,), "VLAN"),
        (frame_of(b"nested"), (7, VLAN), "VLAN_NESTED"),
        (frame_of(b"spoofed", Mac.parse("02:00:00:00:00:99")), (VLAN,), "SPOOFED_MAC"),
    ],
)
def test_what_no_sub_interface_may_send_is_dropped_by_name(
    vlan: VlanSocket,
    drops: Callable[[], dict[str, int]],
    frame: bytes,
    tags: tuple[int, ...],
    reason: str,
) -> None:
    vlan.send(frame, *tags)

    assert drops().get(reason) == 1


def test_the_parent_has_no_part_in_the_network_of_its_sub_interface(
    rig: Rig, drops: Callable[[], dict[str, int]]
) -> None:
    parent, peer = rig.workloads
    with inside(parent.namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as mouth:
        mouth.bind(("eth0", 0))
        mouth.send(ping(peer, to=peer.mac, source=parent.mac))

    assert drops().get("SPOOFED_ADDRESS") == 1


def test_a_sub_interface_that_learns_shows_macs_behind_its_vlan(rig: Rig, vlan: VlanSocket) -> None:
    datapath = rig.hosts[0].datapath
    (row,) = [each for each in datapath.dump(InterfaceRow) if each.vif_id == SUB]
    punts: list[Punt] = []
    datapath.open_punts(punts.append)
    datapath.apply([replace(row, antispoof=False, learns=True)], [])
    nested = b"\x02\0\0\0\0\x77"

    vlan.send(BROADCAST + nested + b"\x88\xb5" + bytes(46))
    datapath.poll_punts()
    datapath.apply([row], [])
    assert [(each.vif_id, each.frame[6:12]) for each in punts] == [(SUB, nested)]
